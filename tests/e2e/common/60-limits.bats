#!/usr/bin/env bats
# Memory, CPU and process limits.
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

# What the container's own control group says, in version 1 or 2: limit V2_FILE V1_FILE.
limit() { printf 'cat /sys/fs/cgroup/%s 2>/dev/null || cat /sys/fs/cgroup/%s' "$1" "$2"; }

@test "--memory: the limit is there, and passing it kills: 137, OOMKilled" {
        exits 137 drun --name hungry -m 96m hull/nano sh -c 'tail /dev/zero'
        eq "true 137" "$(inspect hungry '{{.State.OOMKilled}} {{.State.ExitCode}}')"
        eq $((96 << 20)) "$(inspect hungry '{{.HostConfig.Memory}}')"
        docker rm hungry
        exits 0 drun --rm -m 96m hull/nano sh -c "$(limit memory.max memory/memory.limit_in_bytes)"
        eq $((96 << 20)) "$output"
}

@test "a container that is not killed for memory does not say so" {
        exits 137 drun --name innocent hull/nano sh -c 'kill -KILL $$; kill -KILL 1; exit 137'
        eq false "$(inspect innocent '{{.State.OOMKilled}}')"
        docker rm innocent
}

@test "--pids-limit" {
        run drun --rm --pids-limit 12 hull/nano sh -c 'for i in $(seq 30); do sleep 5 & done; wait'
        has "can't fork" "$output"
        exits 0 drun --rm --pids-limit 12 hull/nano sh -c "$(limit pids.max pids/pids.max)"
        eq 12 "$output"
}

@test "--cpus" {
        exits 0 drun --rm --cpus 0.5 hull/nano sh -c "$(limit cpu.max cpu/cpu.cfs_quota_us)"
        like '50000( 100000)?' "$output"
        box half --cpus 0.5
        eq 500000000 "$(inspect half '{{.HostConfig.NanoCpus}}')"
        docker rm -f half
}

@test "--cpus caps what is used" {
        # Half a second of processor time takes at least 1.4 s at 0.3 processors.
        drun --name capped --cpus 0.3 hull/nano sh -c 'end=50; while [ "$(cut -d " " -f 14 /proc/self/stat 2>/dev/null; )" ] && read -r a b c d e f g h i j k l m u s rest </proc/$$/stat && [ $((u + s)) -lt $end ]; do :; done'
        python3 - "$(inspect capped '{{.State.StartedAt}}')" "$(inspect capped '{{.State.FinishedAt}}')" <<'PYTHON'
import datetime, sys
start, end = (datetime.datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00") for text in sys.argv[1:])
seconds = (end - start).total_seconds()
assert seconds >= 1.2, f"0.5 s of processor time in {seconds} s"
PYTHON
        docker rm capped
}

@test "limits that make no sense are refused in docker's words" {
        exits 125 drun --rm -m 1m hull/nano true
        has "Minimum memory limit allowed is 6MB" "$output"
        exits 125 drun --rm --cpus 10000 hull/nano true
        has "range of CPUs is from 0.01 to" "$output"
        exits 125 drun --rm -m 64m --memory-swap 32m hull/nano true
        has "Minimum memoryswap limit should be larger than memory limit" "$output"
}
