#!/usr/bin/env bats
# hull compute: what the containers run in.
# row 1: each case runs in both isolations, and has one outcome.

setup() {
        load ../lib
        common_setup
}
teardown() {
        # What a test that failed has left would be in the way of the others.
        [[ -n ${BATS_TEST_COMPLETED:-} ]] || remove_all
}
teardown_file() {
        load ../lib
        remove_all
}

# of NAME FIELD: what `compute ls --format json` says.
of() { hull compute ls --format json | jq -rs "flatten[] | select(.Name == \"$1\").$2"; }

@test "row 11: compute ls: each column, of what runs and of nothing else" {
        local id worker vmm="" engine=""
        box seen
        docker create --isolation="$HULL_ISOLATION" --name unseen hull/nano true >/dev/null
        id=$(identity seen)
        worker=$(of seen WorkerPid)
        has "hull-worker" "$(tr '\0' ' ' <"/proc/$worker/cmdline")"
        has "$id" "$(tr '\0' ' ' <"/proc/$worker/cmdline")"
        if [[ $HULL_ISOLATION == hyperv ]]; then
                vmm=$(of seen VmmPid)
                [[ -d /proc/$vmm ]]
                [[ $(stat -c %u "/proc/$vmm") != 0 ]]
                engine=$(of seen Engine)
                like 'uml|tcg|kvm' "$engine"
                eq "${id:0:32}" "$(of seen User)"
        fi
        (($(of seen Memory) > 100 << 10))
        exits 0 hull compute ls -o wide
        eq 2 "${#lines[@]}"
        like 'Id +Name +Owner +Type +Isolation +Engine +WorkerPid +VmmPid +User +Memory +Uptime *' "${lines[0]}"
        like "${id:0:12} +seen +hulld +Container +$HULL_ISOLATION +${engine:+$engine +}$worker +${vmm:+$vmm +}[^ ]+ +[0-9.]+[KMG]iB +[A-Z0-9].*" "${lines[1]}"
        exits 0 hull compute ls
        like "${id:0:12} +seen +hulld +Container *" "${lines[1]}"
        eq "seen $HULL_ISOLATION" "$(hull compute ls --format '{{.Name}} {{.Isolation}}')"
        docker pause seen
        eq "${id:0:12}" "$(hull compute ls -q)"
        docker unpause seen
        docker rm -f seen unseen
        eq "" "$(hull compute ls -q)"
}

@test "row 11: compute kill: by id, by its beginning; nothing of it stays, and no policy starts it again" {
        local id vmm worker
        box doomed --restart always
        id=$(identity doomed)
        vmm=$(of doomed VmmPid)
        worker=$(of doomed WorkerPid)
        exits 0 hull compute kill "$id"
        eq "137 exited" "$(inspect doomed '{{.State.ExitCode}} {{.State.Status}}')"
        eventually 20 test ! -d "/proc/$worker"
        [[ $vmm == 0 || ! -d /proc/$vmm ]]
        eq 0 "$(inspect doomed '{{.RestartCount}}')"
        exits 1 hull compute kill "$id"
        has "compute system $id is not running" "$output"
        docker start doomed >/dev/null
        exits 0 hull compute kill "${id:0:12}"
        eq false "$(inspect doomed '{{.State.Running}}')"
        docker rm doomed
        exits 1 hull compute kill "$id"
        has "No such container: $id" "$output"
}

# bats test_tags=vm
@test "row 12: memory that was touched and is free again goes back to the host" {
        [[ $HULL_ISOLATION == hyperv ]] || skip "a process has none of its own"
        local full
        # An odd size: QEMU boots it, since it has no template.
        box sponge -m 1000m --shm-size 600m
        docker exec sponge sh -c 'dd if=/dev/zero of=/dev/shm/fill bs=1M count=512 2>/dev/null'
        full=$(of sponge Memory)
        docker exec sponge rm /dev/shm/fill
        # 95 % of it.
        given_back() { (($(of sponge Memory) < full - (486 << 20))); }
        eventually 20 given_back
        docker rm -f sponge
}
