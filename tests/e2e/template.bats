#!/usr/bin/env bats
# Utility VMs of QEMU that are made from a template: as fast as it says, and with nothing in common.

# bats file_tags=vm
setup() {
        load lib
        need client
        [[ $HULL_ENGINE =~ ^(kvm|tcg)$ ]] || skip "with --engine kvm or tcg only"
        need hyperv
        export HULL_ISOLATION=hyperv
}
teardown() {
        remove_all
}

templates() { find "$HULL_WORLD/main/root/templates" -name template.json -printf '%h\n'; }
has_template() { [[ -n $(templates) ]]; }
# There is one, whichever test is the first: who starts a container asks for it.
need_template() {
        has_template || drun --rm hull/core true
        eventually 120 has_template
}

# What a container can tell of its kernel's identity.
own=$(
        cat <<'SH'
cat /proc/sys/kernel/random/boot_id
head -c 16 /dev/urandom | od -An -tx1
hostname
cat /sys/class/net/eth0/address
date +%s
SH
)

@test "the second container's VM is made from a template, with nothing of another's in it" {
        need_template
        local now one two
        one=$(drun --rm hull/core sh -c "$own")
        now=$(date +%s)
        two=$(drun --rm hull/core sh -c "$own")
        mapfile -t one <<<"$one"
        mapfile -t two <<<"$two"
        eq 5 "${#one[@]}"
        eq 5 "${#two[@]}"
        local i
        for i in 0 1 2; do
                [[ ${one[i]} != "${two[i]}" ]] || fail "both have ${one[i]}"
        done
        ((one[4] >= now - 5 && one[4] <= now + 1)) || fail "its clock is ${one[4]}, it is $now"
}

@test "a VM from a template has its disks, network and files" {
        need_template
        box one
        eq hull "$(docker exec one sh -c 'echo hull >/file; sync; cat /file')"
        docker exec one ping -c 1 -W 10 "$(docker network inspect -f '{{(index .IPAM.Config 0).Gateway}}' bridge)"
        docker stop -t 0 one
        docker start one
        eq hull "$(docker exec one cat /file)"
        drun --rm --network none hull/nano sh -c 'test ! -e /sys/class/net/eth0'
}

@test "the template is root's, and no VM can write to it" {
        need_template
        local folder pid
        folder=$(templates | head -n 1)
        eq "0 600" "$(stat -c '%u %a' "$folder/memory")"
        eq "0 600" "$(stat -c '%u %a' "$folder/state")"
        box one
        pid=$(hull compute ls --format json | python3 -c '
import json, sys
text = sys.stdin.read()
rows = json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines())
print([row["VmmPid"] for row in rows][0])')
        # Mapped privately (p) and nowhere shared (s).
        has "memfd:hull-template" "$(cat "/proc/$pid/maps")"
        lacks shared "$(awk '/memfd:hull-template/ { print substr($2, 4) == "p" ? "private" : "shared" }' "/proc/$pid/maps")"
        # SEAL, SHRINK, GROW and WRITE
        python3 - "$pid" <<'PY'
import fcntl, os, sys
folder = "/proc/%s/fd" % sys.argv[1]
found = [n for n in os.listdir(folder) if "memfd:hull-template" in os.readlink(folder + "/" + n)]
assert found, "no descriptor of it"
for name in found:
    fd = os.open(folder + "/" + name, os.O_RDWR)
    assert fcntl.fcntl(fd, 1034) & 15 == 15, "not sealed"
    try:
        os.write(fd, b"x")
    except PermissionError:
        continue
    raise SystemExit("it can be written to")
PY
}

@test "a template that is damaged on disk is removed, and one that does not work too" {
        need_template
        local folder
        folder=$(templates | head -n 1)
        # To a running engine the state is a file.
        echo damaged >"$folder/state"
        eq woken "$(drun --rm hull/nano echo woken)"
        [[ ! -e $folder/state ]] || fail "it is still there"
        eq woken "$(drun --rm hull/nano echo woken)"
        eventually 120 has_template
        eq woken "$(drun --rm hull/nano echo woken)"
        # To the next one the memory is, too.
        engine_stop main
        folder=$(templates | head -n 1)
        printf x | dd of="$folder/memory" bs=1 seek=$((64 << 20)) conv=notrunc status=none
        # shellcheck disable=SC2086  # a list of options
        engine_start main $HULL_ENGINE_OPTIONS
        eq woken "$(drun --rm hull/nano echo woken)"
        has "memory is damaged" "$(cat "$HULL_WORLD/main/hulld.log")"
        eventually 120 has_template
}
