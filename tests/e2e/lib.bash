# shellcheck shell=bash
# What the end-to-end tests share. Loaded by each .bats file; tests/e2e/run sets the variables.
#
#   HULL_ISOLATION   process or hyperv: which column of the table a common test is
#   HULL_CLIENT      the program that `docker` calls: the real docker client, or hull
#   HULL_ENGINE      the VM engine under test, or empty: the one that hulld chooses
#   HULL             the hull command
#   HULL_WORLD       the run's folder; HULL_WORLD/NAME is the engine NAME (see engine_start)

bats_require_minimum_version 1.5.0

# ---------------------------------------------------------------------------- needs

# need FEATURE: skips the test where the feature is missing, or fails it where it must run.
need() {
        local name=$1 reason
        # Where one engine is under test, no other one will do.
        [[ $name != hyperv || -z $HULL_ENGINE ]] || name=hyperv-$HULL_ENGINE
        if grep -qx "$name" "$HULL_WORLD/features"; then
                return 0
        fi
        reason=$(sed -n "s/^no $name: //p" "$HULL_WORLD/features")
        if [[ " ${HULL_MUST_RUN:-} " == *" $name "* ]]; then
                printf '%s is in HULL_MUST_RUN, but: %s\n' "$name" "${reason:-not available}" >&2
                return 1
        fi
        skip "needs $name: ${reason:-not available}"
}

# The common files' setup.
common_setup() {
        need client
        if [[ $HULL_ISOLATION == hyperv ]]; then
                need hyperv
        fi
}

# ---------------------------------------------------------------------------- commands

# Every command is bounded; LIMIT=SECONDS before a call changes it.
docker() { timeout --kill-after=5 "${LIMIT:-60}" "$HULL_CLIENT" "$@"; }
hull() { timeout --kill-after=5 "${LIMIT:-60}" "$HULL" "$@"; }
pty() { timeout --kill-after=5 "${LIMIT:-60}" "$HULL_E2E/pty" "$@"; }
image_tool() { timeout --kill-after=5 "${LIMIT:-120}" "$HULL_E2E/image-tool" "$@"; }

# Whether `docker` is docker's own client: it has commands that hull has not.
real_docker() { [[ $HULL_CLIENT == docker ]]; }
# Debian 12's, which has texts and exit codes of its own for some of the engine's answers.
old_docker() { real_docker && [[ $(docker --version) == "Docker version 20."* ]]; }

# drun ARGUMENT...: docker run in the isolation under test.
drun() { docker run --isolation="$HULL_ISOLATION" "$@"; }

# box NAME OPTION...: a container that waits, and does nothing else.
box() {
        local name=$1
        shift
        drun -d --name "$name" "$@" hull/nano sleep 100000 >/dev/null
}

inspect() { docker inspect -f "$2" "$1"; } # inspect NAME TEMPLATE
identity() { inspect "$1" '{{.Id}}'; }
address() { inspect "$1" '{{.NetworkSettings.IPAddress}}'; }

# api METHOD PATH CURL-OPTION...: sets $status to the HTTP status and $body.
api() {
        local method=$1 path=$2 answer
        shift 2
        answer=$(curl --silent --max-time 30 --unix-socket "${DOCKER_HOST#unix://}" \
                --request "$method" --write-out '\n%{http_code}' "$@" "http://localhost$path") || true
        status=${answer##*$'\n'}
        body=${answer%$'\n'*}
        body=${body%$'\n'}
}

# Removes all containers of the engine; the files' teardown.
remove_all() {
        local -a ids
        mapfile -t ids < <(docker ps -aq)
        ((${#ids[@]} == 0)) || docker rm -f "${ids[@]}" >/dev/null
}

# ---------------------------------------------------------------------------- assertions

fail() {
        printf '%s\n' "$@" >&2
        return 1
}

# eq EXPECTED GOT [WHAT]
eq() {
        [[ $1 == "$2" ]] || fail "${3:-value}:" "  expected: $1" "  got:      $2"
}

# has TEXT IN
has() {
        [[ $2 == *"$1"* ]] || fail "expected to find: $1" "in: $2"
}

# lacks TEXT IN
lacks() {
        [[ $2 != *"$1"* ]] || fail "expected not to find: $1" "in: $2"
}

# like PATTERN GOT: an extended regular expression over the whole.
like() {
        [[ $2 =~ ^($1)$ ]] || fail "expected to match: $1" "got: $2"
}

# exits CODE COMMAND...: $output is what it wrote, ${lines[@]} its lines.
exits() {
        local code=$1
        shift
        # Not bats's run, which takes 127 for a mistake of the test.
        output=$("$@" 2>&1) && status=0 || status=$?
        mapfile -t lines <<<"$output"
        ((status == code)) || fail "expected exit code $code, got $status: $*" "$output"
}

# eventually SECONDS COMMAND...: it succeeds within that time.
eventually() {
        local end=$((SECONDS + $1))
        shift
        until "$@"; do
                ((SECONDS < end)) || fail "did not come true in time: $*" || return 1
                read -rt 0.05 <> <(:) || true
        done
}

log_has() { [[ $(docker logs "$1" 2>&1) == *"$2"* ]]; } # log_has NAME TEXT
is_state() { [[ $(inspect "$1" '{{.State.Status}}') == "$2" ]]; }
gone() { ! docker inspect "$1" >/dev/null 2>&1; }

# ---------------------------------------------------------------------------- engines

# engine_start NAME OPTION...: starts the engine of that name, and waits until it answers. Its
# folder is HULL_WORLD/NAME with root, state, hull.sock, hulld.log and hulld.pid.
engine_start() {
        local name=$1 folder=$HULL_WORLD/$1 pid
        shift
        mkdir -p "$folder"
        echo '{}' >"$folder/hulld.json"
        "$HULL_BUILD/programs/hulld" -H "unix://$folder/hull.sock" --root "$folder/root" \
                --state "$folder/state" --config "$folder/hulld.json" "$@" \
                </dev/null >>"$folder/hulld.log" 2>&1 3>&- 4>&- &
        pid=$!
        disown "$pid"
        echo "$pid" >"$folder/hulld.pid"
        until curl --silent --fail --max-time 5 --unix-socket "$folder/hull.sock" \
                http://localhost/_ping >/dev/null 2>&1; do
                kill -0 "$pid" 2>/dev/null || fail "hulld did not start:" "$(tail -n 20 "$folder/hulld.log")" || return 1
                ((SECONDS < ${ENGINE_DEADLINE:=SECONDS + 60})) || fail "hulld does not answer" || return 1
                read -rt 0.02 <> <(:) || true
        done
        unset ENGINE_DEADLINE
        # Who was made is remembered, so that the last test can look for traces.
        DOCKER_HOST=unix://$folder/hull.sock "$HULL" events --since 1 --filter type=container \
                --filter event=create --format '{{.Actor.ID}}' \
                </dev/null >>"$HULL_WORLD/ids" 2>/dev/null 3>&- 4>&- &
        disown $!
}

process_gone() { [[ ! -e /proc/$1 || $(cut -d ' ' -f 3 "/proc/$1/stat" 2>/dev/null) == Z ]]; }

# server_of PID: the file server of that VMM; false if it has none.
server_of() { pgrep -U "$(awk '/^Uid:/ { print $2 }' "/proc/$1/status")" -f '^virtiofsd '; }

# engine_stop NAME [SIGNAL]
engine_stop() {
        local pid
        pid=$(cat "$HULL_WORLD/$1/hulld.pid")
        kill "-${2:-TERM}" "$pid" 2>/dev/null || return 0
        eventually 20 process_gone "$pid"
}

# use NAME: the commands that follow speak to that engine.
use() { export DOCKER_HOST=unix://$HULL_WORLD/$1/hull.sock; }

# For setup_file: t/data, whose /data has owners, modes and links that lead elsewhere, and t/declared, which says
# that /data is a volume.
load_volume_images() {
        image_tool derive "$HULL_IMAGES/hull-nano.tar" "$BATS_FILE_TMPDIR/data.tar" t/data \
                --owned "data/=1234:5678:1750:" --owned "data/program=1234:5678:4755:text" \
                --owned "data/below/=0:7:2775:" --owned "data/below/file=9:9:600:deep" \
                --link "data/out=/etc/passwd" --link "data/up=../../../../../etc" \
                --link "jump=/data" --link "escape=../../../../../../etc" --add "single=file"
        image_tool derive "$HULL_IMAGES/hull-nano.tar" "$BATS_FILE_TMPDIR/declared.tar" t/declared \
                --owned "data/=1234:5678:1750:" --owned "data/program=1234:5678:4755:text" --volume /data
        hull load -q -i "$BATS_FILE_TMPDIR/data.tar" >/dev/null
        hull load -q -i "$BATS_FILE_TMPDIR/declared.tar" >/dev/null
}
