#!/usr/bin/env bats
# Capabilities, seccomp, masked paths: equal in effect to docker's.
# row 1: each case runs in both isolations, and has one outcome.

setup_file() {
        load ../lib
        grep -qx client "$HULL_WORLD/features" || return 0
        [[ $HULL_ISOLATION == process ]] || grep -qx hyperv "$HULL_WORLD/features" || return 0
        drun -d --name plain hull/core sleep 100000 >/dev/null
        drun -d --name open --security-opt seccomp=unconfined hull/core sleep 100000 >/dev/null
}
setup() {
        load ../lib
        common_setup
}
teardown_file() {
        load ../lib
        remove_all
}

# masks OPTION...: CapEff of a container with these options.
effective() { drun --rm "$@" hull/nano awk '/^CapEff/ { print $2 }' /proc/self/status; }

@test "the default capabilities are docker's" {
        eq $'CapInh 0000000000000000\nCapPrm 00000000a80425fb\nCapEff 00000000a80425fb\nCapBnd 00000000a80425fb\nCapAmb 0000000000000000' \
                "$(docker exec plain awk '/^Cap/ { sub(":", "", $1); print $1, $2 }' /proc/self/status)"
}

@test "a user that is not root has no capabilities, but the bounding set" {
        eq $'CapEff 0000000000000000\nCapBnd 00000000a80425fb' \
                "$(docker exec -u 1000 plain awk '/^Cap(Eff|Bnd)/ { sub(":", "", $1); print $1, $2 }' /proc/self/status)"
}

@test "--cap-add and --cap-drop" {
        eq 00000000a80435fb "$(effective --cap-add NET_ADMIN)"
        eq 00000000a80435fb "$(effective --cap-add CAP_NET_ADMIN)"
        eq 0000000000000000 "$(effective --cap-drop ALL)"
        eq 0000000000000001 "$(effective --cap-drop ALL --cap-add CHOWN)"
        eq 00000000a80425fa "$(effective --cap-drop CHOWN)"
        exits 125 drun --rm --cap-add NOSUCH hull/nano true
        has 'NOSUCH' "$output"
}

@test "--privileged has what the kernel it runs on can give" {
        full=$(effective --privileged)
        if [[ $HULL_ISOLATION == process ]]; then
                eq "$(awk '/^CapBnd/ { print $2 }' /proc/self/status)" "$full"
        else
                last=$(drun --rm hull/nano cat /proc/sys/kernel/cap_last_cap)
                eq "$(printf '%016x' $(((1 << (last + 1)) - 1)))" "$full"
        fi
}

@test "--privileged may mount, others may not" {
        exits 0 drun --rm --privileged hull/nano sh -c 'mkdir /m && mount -t tmpfs none /m && grep -c " /m tmpfs" /proc/mounts'
        exits 32 docker exec plain mount -t tmpfs none /mnt
        has "permission denied" "$output"
}

@test "--privileged has the devices of the kernel it runs on, and /sys and cgroup to write to" {
        # shellcheck disable=SC2016 # for the container
        script='
                [ -c /dev/kmsg ] && [ -c /dev/mem -o -c /dev/tty0 -o -c /dev/ptmx ] || echo nodes
                head -c 1 /dev/null || echo null
                dd if=/dev/zero of=/dev/full count=1 2>/dev/null && echo full
                [ "$(ls -l /dev | grep -c "^[bc]")" -gt 7 ] || echo few
                for m in /sys /sys/fs/cgroup; do
                        awk -v m=$m "\$2 == m && \$4 !~ /^rw/ { print m, \$4 }" /proc/mounts
                done'
        exits 0 drun --rm --privileged hull/core sh -c "$script"
        eq "" "$output"
        # its own devpts and no others
        eq "/dev/pts devpts" "$(drun --rm --privileged hull/core awk '$3 == "devpts" { print $2, $3 }' /proc/mounts)"
        exits 0 docker exec plain sh -c '[ ! -e /dev/kmsg ]'
}

@test "no_new_privs only when asked for" {
        eq 0 "$(docker exec plain awk '/^NoNewPrivs/ { print $2 }' /proc/self/status)"
        eq 1 "$(drun --rm --security-opt no-new-privileges hull/nano awk '/^NoNewPrivs/ { print $2 }' /proc/self/status)"
}

@test "seccomp: a filter by default, none with unconfined or --privileged" {
        eq 2 "$(docker exec plain awk '/^Seccomp:/ { print $2 }' /proc/self/status)"
        eq 0 "$(docker exec open awk '/^Seccomp:/ { print $2 }' /proc/self/status)"
        eq 0 "$(drun --rm --privileged hull/nano awk '/^Seccomp:/ { print $2 }' /proc/self/status)"
}

# errno CONTAINER NUMBER ARGUMENT...: what a system call says, made by its number.
errno() { docker exec "$1" perl -e 'my @a = map { $_ + 0 } @ARGV; my $r = syscall(shift @a, @a); print $r == -1 ? $! + 0 : 0' -- "${@:2}"; }

@test "seccomp: system calls that docker's profile denies are denied with its error" {
        [[ $(uname -m) == x86_64 ]] || skip "the numbers are x86_64's"
        local -A denied=([keyctl]=250 [add_key]=248 [bpf]=321 [mount]=165 [umount2]=166 [reboot]=169 [kexec_load]=246
                [userfaultfd]=323 [unshare]=272 [setns]=308 [open_by_handle_at]=304 [init_module]=175
                [perf_event_open]=298 [swapon]=167 [io_uring_setup]=425 [pivot_root]=155 [settimeofday]=164)
        local name wrong=
        for name in "${!denied[@]}"; do
                got=$(errno plain "${denied[$name]}" 0 0 0 0 0)
                [[ $got == 1 ]] || wrong+=" $name=$got"
        done
        eq "" "$wrong" "calls that did not fail with EPERM"
}

@test "seccomp: clone3 says ENOSYS, personality is filtered by its argument" {
        [[ $(uname -m) == x86_64 ]] || skip "the numbers are x86_64's"
        eq 38 "$(errno plain 435 0 0)"
        eq 1 "$(errno plain 135 $((0x0040000)))"
        eq 0 "$(errno open 135 $((0x0040000)))"
        eq 0 "$(errno plain 135 8)"
}

@test "seccomp: a capability opens the calls that need it" {
        [[ $(uname -m) == x86_64 ]] || skip "the numbers are x86_64's"
        exits 0 drun --rm --cap-add SYS_ADMIN hull/core unshare --mount true
        exits 1 docker exec plain unshare --mount true
        has "Operation not permitted" "$output"
}

@test "seccomp: a profile of one's own" {
        printf '%s' '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}' >"$BATS_TEST_TMPDIR/profile.json"
        exits 1 drun --rm --security-opt "seccomp=$BATS_TEST_TMPDIR/profile.json" hull/nano mkdir /directory
        has "Operation not permitted" "$output"
        exits 0 drun --rm --security-opt "seccomp=$BATS_TEST_TMPDIR/profile.json" hull/nano touch /file
}

@test "masked paths show nothing" {
        exits 0 docker exec plain sh -c '
                for p in /proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list \
                        /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do
                        if [ -d $p ]; then
                                [ -z "$(ls -A $p)" ] || echo "$p"
                        elif [ -e $p ]; then
                                [ "$(head -c 1 $p | wc -c)" = 0 ] || echo "$p"
                        fi
                done'
        eq "" "$output"
}

@test "kernel settings are read-only, but with --privileged" {
        exits 0 docker exec plain sh -c '
                for p in /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger /sys; do
                        [ ! -e $p ] || grep -qE "^[^ ]+ $p [^ ]+ ro[, ]" /proc/mounts || echo "$p"
                done'
        eq "" "$output"
        run docker exec plain sh -c 'echo 1 >/proc/sys/vm/drop_caches'
        has "Read-only file system" "$output"
        exits 0 drun --rm --privileged hull/nano sh -c 'test -w /proc/sys/vm/drop_caches && echo x >/dev/null'
}

@test "devices that are not the container's cannot be opened" {
        run docker exec plain sh -c 'mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem'
        has "Operation not permitted" "$output"
}

@test "--device-cgroup-rule allows devices that need not be there" {
        real_docker || skip "hull has no such option"
        # ENXIO instead of EPERM: the device does not exist, but might be opened.
        open='mknod /tmp/d b 259 77 && head -c 1 /tmp/d'
        run drun --rm --network none hull/nano sh -c "$open"
        has "Operation not permitted" "$output"
        run drun --rm --network none --device-cgroup-rule 'b 259:* r' hull/nano sh -c "$open"
        has "No such device" "$output"
        run drun --rm --network none --device-cgroup-rule 'b 259:77 w' hull/nano sh -c "$open"
        has "Operation not permitted" "$output"
        api POST "/v1.45/containers/create?name=odd" -H 'Content-Type: application/json' \
                -d '{"Image":"hull/nano","Cmd":["true"],"HostConfig":{"DeviceCgroupRules":["b 259 r"]}}'
        run docker start odd
        has "invalid device cgroup rule format: 'b 259 r'" "$output"
}
