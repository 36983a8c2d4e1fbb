# shellcheck shell=bash
# What kernel/build and kernel/cloud share: messages, clean-up, the cache's lock, and an apt
# configuration of their own. Sourced by them, after `set -euo pipefail`.

readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# shellcheck disable=SC2034  # used by those who source this
readonly mirror=${HULL_DEBIAN_MIRROR:-http://deb.debian.org/debian}

work=  # a scratch folder, removed at exit
child= # a process group in the background, ended at exit

say() {
        printf '%s\n' "kernel: $*" >&2
}

die() {
        say "$*"
        exit 1
}

# Prints the comment at the head of the script, which is its help.
usage() {
        sed -n '3,/^$/s/^# \{0,1\}//p' "$0" >&2
        exit 2
}

# shellcheck disable=SC2317,SC2329  # called by trap
cleanup() {
        local status=$?
        trap - EXIT
        if [[ -n $child ]]; then
                kill -- "-$child" 2>/dev/null || kill "$child" 2>/dev/null || true
                wait "$child" 2>/dev/null || true
        fi
        [[ -z $work ]] || rm -rf -- "$work"
        exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# need_tools TOOL=PACKAGE...: nothing is installed here, but what is missing is named.
need_tools() {
        local pair tool
        local -A missing=()
        for pair in "$@"; do
                tool=${pair%%=*}
                case $tool in
                *.h)
                        ! command -v gcc >/dev/null ||
                                printf '#include <%s>\n' "$tool" | gcc -E -o /dev/null - 2>/dev/null ||
                                missing[${pair#*=}]=1
                        ;;
                /*) [[ -r $tool ]] || missing[${pair#*=}]=1 ;;
                *) PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || missing[${pair#*=}]=1 ;;
                esac
        done
        ((${#missing[@]} == 0)) ||
                die "missing tools; install them with: apt-get install ${!missing[*]}"
}

# open_cache DIR MEGABYTES: makes the cache and a scratch folder in it.
open_cache() {
        local free
        mkdir -p -- "$1/by-inputs" "$1/source" 2>/dev/null ||
                die "cannot make $1; name a folder with --cache or HULL_CACHE"
        [[ -w $1 ]] || die "$1 is not writable; name a folder with --cache or HULL_CACHE"
        free=$(df -Pm -- "$1" | awk 'NR == 2 { print $4 }')
        ((free >= $2)) || die "$1 has $free MB free, about $2 MB are needed"
        # What a killed run has left; whoever holds the lock is alone.
        rm -rf -- "$1"/tmp.*
        work=$(mktemp -d -- "$1/tmp.XXXXXX")
}

# take_lock DIR: one run at a time. Returns 1 if there was a wait: look at the cache again.
take_lock() {
        mkdir -p -- "$1" 2>/dev/null || die "cannot make $1; name a folder with --cache or HULL_CACHE"
        exec {lock_fd}>"$1/lock" || die "$1 is not writable; name a folder with --cache or HULL_CACHE"
        flock -n "$lock_fd" && return 0
        say "another run is at work; waiting for it"
        flock "$lock_fd"
        return 1
}

# apt_setup "URI SUITE"...: points apt at a configuration, lists and state of our own in $work.
# Nothing of the system's is read, except how it reaches the network: a machine behind a proxy has
# that in its apt configuration or in the environment.
apt_setup() {
        local apt=$work/apt source
        rm -rf -- "$apt"
        mkdir -p -- "$apt"/{lists/partial,archives/partial,sources,state,download}
        : >"$apt/state/status"
        for source in "$@"; do
                printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' \
                        "${source% *}" "${source##* }" "$keyring"
        done >"$apt/sources/debian.sources"
        cat >"$apt/apt.conf" <<EOF
$(env -u APT_CONFIG apt-config dump Acquire 2>/dev/null |
                grep -E '^Acquire::(http|https)::([^ ]*::)?(Proxy|Proxy-Auto-Detect|CaInfo|Timeout) ' || true)
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$apt/sources";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "/dev/null";
Dir::State "$apt/state";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::AllowInsecureRepositories "false";
APT::Get::AllowUnauthenticated "false";
EOF
        # As root, apt fetches as the user _apt, who must get at these folders.
        if ((EUID == 0)) && id _apt >/dev/null 2>&1; then
                chmod 711 -- "$work"
                chown _apt -- "$apt"/{lists/partial,archives/partial,download}
        fi
        export APT_CONFIG=$apt/apt.conf
        apt-get -qq -o APT::Update::Error-Mode=any update >&2 ||
                die "cannot read Debian's package lists (${*##* })"
}

# apt_fetch PACKAGE VERSION FILE: downloads one package file, its signature checked by apt.
apt_fetch() {
        local files
        say "downloading $1 $2"
        (cd -- "$work/apt/download" && apt-get -q download "$1=$2" >&2) || die "cannot download $1 $2"
        files=("$work/apt/download/$1_"*.deb)
        # A copy, so that it belongs to this user and not to _apt.
        cp -- "${files[0]}" "$3"
        rm -- "${files[0]}"
}

# remember FILE KEY VERSION: the cache's answer for these inputs, replaced in one step.
remember() {
        printf '%s %s\n' "$2" "$3" >"$1.new"
        mv -- "$1.new" "$1"
}
