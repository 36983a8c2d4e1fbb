#!/usr/bin/env bats
# What the process of a container's VM has given up, read from the host: the same of a VM that was
# booted for its container, of one from the pool, and of one with shares, with every engine.

setup() {
        load lib
        need client
        need hyperv
        use main
}
teardown_file() {
        load lib
        use main
        remove_all
        [[ ! -f $HULL_WORLD/single/hulld.pid ]] || { use single && remove_all && engine_stop single; }
}

compute() { # compute NAME FIELD
        hull compute ls --format json | python3 -c '
import json, sys
text = sys.stdin.read()
rows = json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines())
print([row[sys.argv[2]] for row in rows if row["Name"] == sys.argv[1]][0])' "$1" "$2"
}

status_of() { awk -v name="$2:" '$1 == name { $1 = ""; print substr($0, 2) }' "/proc/$1/status"; }

# confined PID CAPABILITIES [NAME...]: it has these and, in the capability sets NAME, none; and
# neither ids nor namespaces of the host.
confined() {
        local uid space name
        uid=$(status_of "$1" Uid)
        uid=${uid%% *}
        ((uid >= HULL_UID_FIRST)) || fail "uid $uid"
        eq "$uid $uid $uid $uid" "$(status_of "$1" Uid)" uids
        eq "$uid $uid $uid $uid" "$(status_of "$1" Gid)" gids
        like "0 +$uid +65536" "$(xargs <"/proc/$1/uid_map")"
        like "0 +$uid +65536" "$(xargs <"/proc/$1/gid_map")"
        for name in CapPrm CapEff; do
                eq "$2" "$(status_of "$1" $name)" "$name"
        done
        for name in "${@:3}"; do
                eq 0000000000000000 "$(status_of "$1" "$name")" "$name"
        done
        eq 1 "$(status_of "$1" NoNewPrivs)" NoNewPrivs
        eq 2 "$(status_of "$1" Seccomp)" Seccomp
        for space in user mnt pid net ipc uts cgroup; do
                [[ $(readlink "/proc/$1/ns/$space") != "$(readlink /proc/self/ns/$space)" ]] || fail "the host's $space namespace"
        done
}

# jailed NAME [CAPABILITIES]: everything that a jail takes away is gone.
jailed() {
        local vmm engine name target caps=${2:-0000000000000000}
        vmm=$(compute "$1" VmmPid)
        engine=$(compute "$1" Engine)
        [[ $engine == uml ]] || caps=0000000000000000
        confined "$vmm" "$caps"
        for name in CapInh CapAmb; do
                eq "$caps" "$(status_of "$vmm" $name)" "$name"
        done
        # A root with the program and next to nothing else; QEMU has its libraries, read-only.
        case $engine in
        uml) name='dev|disks|hull-vm|run|shares' ;;
        *) name='dev|disks|hull-vm|lib|lib64|proc|run|shares|usr' ;;
        esac
        eq "" "$(find "/proc/$vmm/root/" -mindepth 1 -maxdepth 1 -printf '%f\n' | grep -vxE "$name" || true)" "in its root"
        eq "" "$(find "/proc/$vmm/root/dev" -mindepth 1 -printf '%f\n' | grep -vxE 'null|kvm' || true)" "in its /dev"
        # It has nothing of the container's, the engine's or anybody's open but its own disks.
        for target in "/proc/$vmm/fd"/*; do
                name=$(readlink "$target") || continue
                case $name in
                pipe:* | socket:* | anon_inode:* | /memfd:* | /dev/null | /dev/kvm | /dev/net/tun) ;;
                */initramfs* | */layer.erofs | "$HULL_WORLD/main/root/containers/$(identity "$1")/scratch.ext4") ;;
                *vmlinu* | *kernel* | */vm-template* | */templates/*) ;;
                "/dev/fd"* | "/proc"* | /disks/* | /shares/* | /run/*) ;; # its own
                *) fail "it has $name open" ;;
                esac
        done
}

# bats test_tags=vm
@test "jail: a VM that was booted for its container, and its user is its alone" {
        docker run -d --name jail-one --isolation=hyperv --network none hull/nano sleep 100000 >/dev/null
        docker run -d --name jail-two --isolation=hyperv hull/nano sleep 100000 >/dev/null
        jailed jail-one
        jailed jail-two
        one=$(status_of "$(compute jail-one VmmPid)" Uid)
        two=$(status_of "$(compute jail-two VmmPid)" Uid)
        one=${one%% *} two=${two%% *}
        ((one - two >= 65536 || two - one >= 65536)) || fail "ids of two VMs: $one $two"
}

# bats test_tags=vm
@test "jail: with shares there are these and no others, and every right stays away" {
        mkdir -p "$BATS_TEST_TMPDIR/shared" "$BATS_TEST_TMPDIR/private"
        echo open >"$BATS_TEST_TMPDIR/shared/file"
        docker run -d --name jail-shares --isolation=hyperv -v "$BATS_TEST_TMPDIR/shared:/shared:ro" hull/nano sleep 100000 >/dev/null
        eq open "$(docker exec jail-shares cat /shared/file)"
        # CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, in its own user namespace.
        jailed jail-shares 000000000000001b
        vmm=$(compute jail-shares VmmPid)
        sharer=$vmm
        if [[ $(compute jail-shares Engine) != uml ]]; then
                # QEMU has none; its file server has them, and is one more of the user's and of the cgroup.
                sharer=$(server_of "$vmm")
                lacks "$BATS_TEST_TMPDIR" "$(cat "/proc/$vmm/mountinfo")"
                # CAP_SETUID and CAP_SETGID besides.
                confined "$sharer" 00000000000000db CapInh CapAmb CapBnd
                eq "$(status_of "$vmm" Uid)" "$(status_of "$sharer" Uid)"
                eq "$(cut -d : -f 2- "/proc/$vmm/cgroup")" "$(cut -d : -f 2- "/proc/$sharer/cgroup")"
                for space in user mnt pid net; do
                        [[ $(readlink "/proc/$vmm/ns/$space") != "$(readlink "/proc/$sharer/ns/$space")" ]] || fail "the VMM's $space namespace"
                done
        fi
        has "$BATS_TEST_TMPDIR/shared" "$(cat "/proc/$sharer/mountinfo")"
        lacks private "$(cat "/proc/$sharer/mountinfo")"
        eq "" "$(find "/proc/$sharer/root/" -name private -not -path '*/usr/*' 2>/dev/null)"
        if [[ $sharer != "$vmm" ]]; then
                exits 0 env LD_LIBRARY_PATH="$HULL_NSS_PATH" ps -o user:36= -p "$sharer"
                has "$(identity jail-shares | cut -c -31)" "$output"
                # Without it a guest would wait for ever: its end is the VM's.
                kill -KILL "$sharer"
                ended() { [[ $(docker inspect -f '{{.State.Status}}' jail-shares) == exited ]]; }
                eventually 20 ended
                has "its file server (virtiofsd) was killed by signal 9" "$(docker inspect -f '{{.State.Error}}' jail-shares)"
                eventually 5 process_gone "$vmm"
        fi
}

# What can be compared of two VMs' jails: not their disks, which one gets later than the other.
jail_of() { # NAME
        local vmm space uid
        vmm=$(compute "$1" VmmPid)
        uid=$(status_of "$vmm" Uid)
        uid=${uid%% *}
        grep -E '^(Cap|NoNewPrivs|Seccomp|Groups|Umask)' "/proc/$vmm/status"
        cat "/proc/$vmm/limits" "/proc/$vmm/oom_score_adj"
        awk '{ print $1, $3 }' "/proc/$vmm/uid_map" "/proc/$vmm/gid_map"
        for space in user mnt pid net ipc uts cgroup; do
                [[ $(readlink "/proc/$vmm/ns/$space") == "$(readlink /proc/self/ns/$space)" ]] && echo "the host's $space"
        done
        find "/proc/$vmm/root/" -mindepth 1 \( -path '*/disks/*' -o -path '*/run/*' -o -path '*/proc/*' \) -prune -o -printf '%P %M %U %G\n' |
                sed "s/ $uid\\b/ VM/g" | sort
        awk '$5 !~ /^\/disks/ { print $5, $6 }' "/proc/$vmm/mountinfo" | sort
}

# bats test_tags=vm
@test "jail: a VM from the pool has the same one as a VM that was booted for its container" {
        local worker
        pool_is_ready() { [[ $(docker info -f '{{.DriverStatus}}') == *"[VM pool 1 of 1 ready]"* ]]; }
        [[ $(docker info -f '{{.DriverStatus}}') == *" of 1 ready]"* ]] || skip "the engine keeps no VM ready"
        eventually 120 pool_is_ready
        worker=$(cat "$HULL_WORLD"/main/state/pool/*/worker.pid)
        docker run -d --name jail-pooled --isolation=hyperv --network none hull/nano sleep 100000 >/dev/null
        eq "$worker" "$(compute jail-pooled WorkerPid)" "it is none of the pool"
        # shellcheck disable=SC2086  # a list of options
        engine_start single $HULL_ENGINE_OPTIONS --vm-uid-range $((HULL_UID_FIRST + 88 * 65536)):1 --bridge none --vm-pool 0
        use single
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        docker run -d --name jail-cold --isolation=hyperv --network none hull/nano sleep 100000 >/dev/null
        cold=$(jail_of jail-cold)
        docker rm -f jail-cold >/dev/null
        engine_stop single
        use main
        jailed jail-pooled
        pooled=$(jail_of jail-pooled)
        eq "$cold" "$pooled" "$(diff <(echo "$cold") <(echo "$pooled") || true)"
        has "NoNewPrivs:	1" "$pooled"
        docker rm -f jail-pooled >/dev/null
}

@test "jail: user ids come back when everything of their VM is gone, and not before" {
        # shellcheck disable=SC2086  # a list of options
        engine_start single $HULL_ENGINE_OPTIONS --vm-uid-range $((HULL_UID_FIRST + 88 * 65536)):1 --bridge none --vm-pool 0
        use single
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        docker run -d --name holder --isolation=hyperv --network none hull/nano sleep 100000 >/dev/null
        holder=$(compute holder VmmPid)
        exits 125 docker run --name second --isolation=hyperv --network none hull/nano true
        has "user id" "$output"
        run ! process_gone "$holder"
        docker rm -f holder second >/dev/null
        eq "" "$(pgrep -u "$((HULL_UID_FIRST + 88 * 65536))" || true)"
        eq again "$(docker run --rm --isolation=hyperv --network none hull/nano echo again)"
}
