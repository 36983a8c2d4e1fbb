#!/usr/bin/env bats
# docker update: limits and the restart policy of containers that run and that do not.
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

# What the container's own control group says, in version 1 or 2: limit_of NAME V2_FILE V1_FILE.
limit_of() { docker exec "$1" sh -c "cat /sys/fs/cgroup/$2 2>/dev/null || cat /sys/fs/cgroup/$3"; }
memory_of() { limit_of "$1" memory.max memory/memory.limit_in_bytes; }
# The utility VM's, seen from the host: outside NAME V2_FILE V1_FILE.
outside() { cat "/sys/fs/cgroup/hull/$(identity "$1")-vm/$2" 2>/dev/null || cat "/sys/fs/cgroup/${3%%/*}/hull/$(identity "$1")-vm/${3#*/}"; }

# MemTotal of a utility VM is within 1 % of so many MiB, and the host allows it that and little more.
has_memory() {
        local total most
        [[ $HULL_ISOLATION == hyperv ]] || return 0
        [[ ${HULL_ENGINE:-uml} == uml ]] || return 0
        total=$(docker exec "$1" awk '/^MemTotal/ { print $2 }' /proc/meminfo)
        ((total * 100 <= $2 * 1024 * 101 && total * 100 >= $2 * 1024 * 99)) || fail "MemTotal $total KiB, not $2 MiB"
        most=$(outside "$1" memory.max memory/memory.limit_in_bytes)
        ((most > $2 << 20 && most < ($2 + 128) << 20)) || fail "the host allows $most bytes for $2 MiB"
}

@test "memory goes up and down while it runs, inside, outside and in inspect" {
        box grown -m 128m
        has_memory grown 128
        exits 0 docker update -m 512m --memory-swap 1g grown
        has grown "$output"
        eq $((512 << 20)) "$(memory_of grown)"
        eq "$((512 << 20)) $((1 << 30))" "$(inspect grown '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}')"
        has_memory grown 512
        # It can be used.
        exits 0 docker exec grown sh -c 'head -c 160m /dev/zero | tail -c 160m | wc -c'
        eq $((160 << 20)) "$output"
        exits 0 docker update -m 96m --memory-swap 192m grown
        eq $((96 << 20)) "$(memory_of grown)"
        eq $((96 << 20)) "$(inspect grown '{{.HostConfig.Memory}}')"
        has_memory grown 96
        exits 0 docker update -m 160m grown
        has_memory grown 160
        docker rm -f grown
}

@test "the new limit is what kills" {
        box hungry -m 256m
        docker update -m 96m --memory-swap 96m hungry >/dev/null
        exits 137 docker exec hungry sh -c 'head -c 180m /dev/zero | tail -c 180m | wc -c; exit 137'
        lacks $((180 << 20)) "$output"
        docker update -m 512m --memory-swap 512m hungry >/dev/null
        exits 0 docker exec hungry sh -c 'head -c 180m /dev/zero | tail -c 180m | wc -c'
        eq $((180 << 20)) "$output"
        docker rm -f hungry
}

# bats test_tags=vm
@test "a limit below what is in use is refused, and nothing changes" {
        box full -m 512m --memory-swap 512m --pids-limit 0 --shm-size 300m
        docker exec full sh -c 'head -c 200m /dev/zero >/dev/shm/fill'
        exits 1 docker update -m 64m --memory-swap 64m --pids-limit 77 full
        has "Cannot update container $(identity full): unable to set memory limit to $((64 << 20))" "$output"
        eq $((512 << 20)) "$(memory_of full)"
        has_memory full 512
        eq "$((512 << 20)) 0" "$(inspect full '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}')"
        lacks 77 "$(limit_of full pids.max pids/pids.max)"
        docker exec full rm /dev/shm/fill
        exits 0 docker update -m 96m full
        has_memory full 96
        docker rm -f full
}

# bats test_tags=vm
@test "processors, shares and processes" {
        box busy --cpus 0.5
        exits 0 docker update --cpus 0.25 --pids-limit 50 --cpu-shares 512 busy
        like '25000( 100000)?' "$(limit_of busy cpu.max cpu/cpu.cfs_quota_us)"
        eq 50 "$(limit_of busy pids.max pids/pids.max)"
        like '512|20' "$(limit_of busy cpu.weight cpu/cpu.shares)"
        eq "250000000 50 512" "$(inspect busy '{{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.CpuShares}}')"
        [[ $HULL_ISOLATION != hyperv ]] || like '25000( 100000)?' "$(outside busy cpu.max cpu/cpu.cfs_quota_us)"
        exits 0 docker update --cpus 0.75 busy
        eq 50 "$(limit_of busy pids.max pids/pids.max)"
        exits 0 docker update --cpus 1 --pids-limit -1 busy
        like '100000( 100000)?' "$(limit_of busy cpu.max cpu/cpu.cfs_quota_us)"
        eq max "$(limit_of busy pids.max pids/pids.max)"
        [[ $HULL_ISOLATION != hyperv ]] || like '100000( 100000)?' "$(outside busy cpu.max cpu/cpu.cfs_quota_us)"
        exits 1 docker update --cpu-quota 50000 busy
        has "CPU Quota cannot be updated as NanoCPUs has already been set" "$output"
        docker rm -f busy
}

@test "a container that is stopped gets it at its next start; one that is paused at once" {
        box still -m 128m
        api POST /containers/still/pause
        eq 204 "$status"
        exits 0 docker update -m 192m still
        api POST /containers/still/unpause
        eq 204 "$status"
        eq $((192 << 20)) "$(memory_of still)"
        has_memory still 192
        docker stop -t 0 still >/dev/null
        exits 0 docker update -m 256m --memory-swap -1 still
        eq $((256 << 20)) "$(inspect still '{{.HostConfig.Memory}}')"
        docker start still >/dev/null
        eq $((256 << 20)) "$(memory_of still)"
        has_memory still 256
        docker rm -f still
}

@test "the restart policy: one that is set acts, one that is taken back does not" {
        drun -d --name again hull/nano sh -c 'sleep 0.2; exit 3' >/dev/null
        docker wait again >/dev/null
        eq 0 "$(inspect again '{{.RestartCount}}')"
        exits 0 docker update --restart on-failure:2 again
        eq "on-failure 2" "$(inspect again '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}')"
        docker start again >/dev/null
        restarted() { [[ $(inspect again '{{.RestartCount}} {{.State.Status}}') == "2 exited" ]]; }
        eventually 20 restarted
        exits 0 docker update --restart no again
        docker start again >/dev/null
        docker wait again >/dev/null
        eq "0 exited" "$(inspect again '{{.RestartCount}} {{.State.Status}}')"
        docker rm again
        drun -d --rm --name fleeting hull/nano sleep 600 >/dev/null
        exits 1 docker update --restart always fleeting
        has "Restart policy cannot be updated because AutoRemove is enabled for the container" "$output"
        docker rm -f fleeting
}

@test "docker's checks, and the event" {
        since=$(date +%s)
        box checked -m 128m
        exits 1 docker update -m 1m checked
        has "Minimum memory limit allowed is 6MB" "$output"
        exits 1 docker update -m 512m checked
        has "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time" "$output"
        exits 1 docker update -m 512m --memory-swap 256m checked
        has "Minimum memoryswap limit should be larger than memory limit, see usage" "$output"
        exits 1 docker update --cpuset-cpus 4000 checked
        has "Requested CPUs are not available" "$output"
        exits 1 docker update --blkio-weight 5 checked
        has "Range of blkio weight is from 10 to 1000" "$output"
        exits 1 docker update -m 128m nosuch
        has "No such container: nosuch" "$output"
        eq $((128 << 20)) "$(inspect checked '{{.HostConfig.Memory}}')"
        lacks update "$(docker events --since "$since" --until "$(($(date +%s) + 1))" --filter container=checked)"
        docker update -m 100m checked >/dev/null
        has "container update" "$(docker events --since "$since" --until "$(($(date +%s) + 1))" --filter container=checked)"
        docker rm -f checked
}

@test "a virtual machine's memory has a ceiling while it runs" {
        [[ $HULL_ISOLATION == hyperv ]] || skip "a process has none"
        box low -m 128m
        exits 1 docker update -m 900g --memory-swap -1 low
        has "the running virtual machine cannot have more than" "$output"
        has "stop the container, update it, and start it again" "$output"
        eq $((128 << 20)) "$(memory_of low)"
        exits 1 docker update -m 16m low
        has "Minimum memory limit allowed with isolation 'hyperv' is 48MB" "$output"
        has_memory low 128
        docker rm -f low
}
