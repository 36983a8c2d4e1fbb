#!/usr/bin/env bats
# The warm pool: utility VMs that are booted before their container is known.


setup() {
        load lib
        need client
        use main
        [[ $BATS_TEST_DESCRIPTION == *"(QEMU)"* ]] || need_uml
}
teardown() {
        load lib
        use main
        # What a test that failed has left would be in the way of the others.
        [[ -n ${BATS_TEST_COMPLETED:-} ]] || remove_all
}
teardown_file() {
        load lib
        use main
        remove_all
        ! [[ -e $HULL_WORLD/pooled/hulld.pid ]] || engine_stop pooled
}

has_template() { compgen -G "$HULL_WORLD/pooled/root/templates/*/template.json" >/dev/null; }
need_uml() {
        need hyperv-uml
        [[ $(hull vm probe --format json | jq -rs 'flatten | map(select(.Works))[0].Engine') == uml ]] || skip "another engine is chosen"
}
world() { echo "$HULL_WORLD/${1:-main}"; }
ready() { [[ $(docker info -f '{{.DriverStatus}}') == *"[VM pool ${1:-1} of ${2:-1} ready]"* ]]; }
vbox() { docker run -d --isolation=hyperv "$@" hull/nano sleep 100000 >/dev/null; }
# Of the VMs in the pool of an engine: what was named at their start.
pool_ids() { ls "$(world "$1")/state/pool"; }
pool_worker() { cat "$(world "$1")/state/pool/$2/worker.pid"; }
pool_vmm() { cat "/sys/fs/cgroup/memory/hull/$1-vm/cgroup.procs" "/sys/fs/cgroup/hull/$1-vm/cgroup.procs" 2>/dev/null | head -n 1; }
has_vm() { [[ -n $(pool_vmm "$1") ]]; }
row() { hull compute ls --format json | jq -rs "flatten | map(select(.Name == \"$1\"))[0].$2"; } # row NAME MEMBER

# An engine of its own with a pool of SIZE.
start_pooled() {
        # shellcheck disable=SC2086  # a list of options
        engine_start pooled $HULL_ENGINE_OPTIONS --vm-uid-range $((HULL_UID_FIRST + 112 * 65536)):15 --bridge none --vm-pool "$1"
        use pooled
}

@test "pool: a start takes the VM that is ready, and another one follows" {
        eventually 20 ready
        local id worker
        id=$(pool_ids)
        worker=$(pool_worker main "$id")
        vbox --name taken
        eq "$worker" "$(row taken WorkerPid)"
        eq "layers scratch network config adopt worker client request plug disks create created program running total" \
                "$(hull vm trace --format json taken | jq -rs 'flatten | map(.Phase) | join(" ")')"
        eventually 20 ready
        [[ $(pool_ids) != "$id" ]]
        eq "" "$(docker ps -q --filter name=pool)"
        docker rm -f taken
}

@test "pool: a VM that was booted in the background runs as any other" {
        local id vmm
        eventually 20 ready
        id=$(pool_ids)
        vmm=$(pool_vmm "$id")
        eq 0 "$(ps -L -o ni= -p "$vmm" | sort -u | xargs)"
        eq "" "$(grep -Lx '1024\|100' /sys/fs/cgroup/{cpu/,}hull/"$id"-vm/cpu.{shares,weight} 2>/dev/null || true)"
}

@test "pool: what reads a stopped container's layer takes the VM that is ready" {
        local id worker
        docker run --name still --isolation=hyperv hull/nano sh -c 'echo here >/f'
        eventually 20 ready
        id=$(pool_ids)
        worker=$(pool_worker main "$id")
        eq here "$(docker cp still:/f - | tar -xO)"
        eq "$worker" "$(cat "$(world)/state/files/$(identity still)/worker.pid")"
        eventually 20 ready
        id=$(pool_ids)
        hull convert --isolation=process still >/dev/null
        lacks "$id" "$(pool_ids)"
        eq here "$(docker cp still:/f - | tar -xO)"
        docker rm still
}

@test "pool: the VM bears the container's name on the host, and no other" {
        eventually 20 ready
        local id worker vmm pooled
        pooled=$(pool_ids)
        worker=$(pool_worker main "$pooled")
        vbox --name named
        id=$(identity named)
        vmm=$(row named VmmPid)
        eq "hull-worker $(world)/root/containers/$id" "$(tr '\0' ' ' <"/proc/$worker/cmdline" | xargs)"
        has "hull-worker $(world)/root/containers/$id" "$(ps -o args= -p "$worker")"
        exits 0 env LD_LIBRARY_PATH="$HULL_NSS_PATH" ps -o user:36= -p "$vmm"
        eq "${id:0:32}" "$(xargs <<<"$output")"
        has "/hull/$id-vm" "$(cat "/proc/$vmm/cgroup")"
        lacks "$pooled" "$(cat "/proc/$vmm/cgroup"; find /sys/fs/cgroup -name "*$pooled*"; find "$(world)/state" "$(world)/root/containers" -name "*${pooled:0:32}*")"
        eq "$worker" "$(cat "$(world)/state/containers/$id/worker.pid")"
        # Nothing that a VM without shares has not.
        eq "0000000000000000 0000000000000000 1" "$(awk '/^Cap(Eff|Bnd)|^NoNewPrivs/ { print $2 }' "/proc/$vmm/status" | xargs)"
        [[ -e $(world)/root/containers/$id/console.log ]]
        exits 0 hull vm console named
        docker rm -f named
}

@test "pool: a container's VM is its alone: boot id, random numbers, clock, memory, host name, address" {
        local box
        for box in one two three; do
                eventually 20 ready
                vbox --name $box --hostname "host-$box" -m $((96 + ${#box}))m
        done
        distinct() { (($(for box in one two three; do docker exec $box sh -c "$1"; done | sort -u | wc -l) == 3)); }
        distinct 'cat /proc/sys/kernel/random/boot_id'
        distinct 'head -c 16 /dev/urandom | md5sum'
        distinct 'cat /proc/sys/kernel/random/uuid'
        distinct 'hostname'
        distinct 'ip -o -4 address show eth0'
        distinct 'cat /sys/class/net/eth0/address'
        for box in one two three; do
                eq "host-$box" "$(docker exec $box hostname)"
                eq "$(address $box)" "$(docker exec $box ip -o -4 address show eth0 | sed -E 's|.* inet ([^/]*)/.*|\1|')"
                seconds=$(docker exec $box date +%s)
                ((seconds >= $(date +%s) - 2 && seconds <= $(date +%s) + 2))
                memory=$(docker exec $box awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
                ((memory >= 94 + ${#box} && memory <= 97 + ${#box})) || fail "$memory"
        done
        docker exec one ping -c 1 -W 5 "$(address two)"
        docker rm -f one two three
}

@test "pool: two at once, with one VM ready" {
        eventually 20 ready
        docker run --rm --isolation=hyperv hull/nano echo first >"$BATS_TEST_TMPDIR/first" 3>&- &
        docker run --rm --isolation=hyperv hull/nano echo second >"$BATS_TEST_TMPDIR/second" 3>&- &
        wait
        eq "first second" "$(cat "$BATS_TEST_TMPDIR/first" "$BATS_TEST_TMPDIR/second" | xargs)"
}

@test "pool: a container that stops and starts again has its files, and another VM" {
        eventually 20 ready
        vbox --name again
        docker exec again sh -c 'echo kept >/kept; cat /proc/sys/kernel/random/boot_id >/id'
        docker stop -t 0 again >/dev/null
        eventually 20 ready
        docker start again >/dev/null
        eq kept "$(docker exec again cat /kept)"
        [[ $(docker exec again cat /id) != $(docker exec again cat /proc/sys/kernel/random/boot_id) ]]
        docker rm -f again
}

@test "pool: a VM that ends while it waits is replaced" {
        eventually 20 ready
        local id
        id=$(pool_ids)
        kill -KILL "$(pool_vmm "$id")"
        # For a moment both are true of the old one: it is counted, and has no folder any more.
        other() { [[ $(pool_ids) =~ ^[0-9a-f]{64}$ && $(pool_ids) != "$id" ]] && ready; }
        eventually 20 other
        eq "" "$(find /sys/fs/cgroup -name "*$id*" 2>/dev/null)"
        # And one whose worker ends.
        id=$(pool_ids)
        kill -KILL "$(pool_worker main "$id")"
        eventually 20 other
        eq "" "$(find /sys/fs/cgroup -name "*$id*" 2>/dev/null)"
        eq "hi" "$(docker run --rm --isolation=hyperv hull/nano echo hi)"
}

@test "pool: a VM that is lost between attach and start costs time only" {
        eventually 20 ready
        docker create --name waiting --isolation=hyperv hull/nano sleep 100000 >/dev/null
        local id
        id=$(identity waiting)
        curl --silent --max-time 20 --unix-socket "${DOCKER_HOST#unix://}" -X POST -H 'Connection: Upgrade' -H 'Upgrade: tcp' \
                "http://localhost/containers/waiting/attach?stream=1&stdout=1" >/dev/null 3>&- &
        local attached=$!
        eventually 20 has_vm "$id"
        kill -KILL "$(pool_vmm "$id")"
        docker start waiting >/dev/null
        eq alive "$(docker exec waiting echo alive)"
        has "lost" "$(cat "$(world)/root/containers/$id/worker.log")"
        kill "$attached"
        docker rm -f waiting
}

@test "pool: docker cp into a container between attach and start" {
        eventually 20 ready
        docker create --name copied --isolation=hyperv hull/nano sleep 100000 >/dev/null
        curl --silent --max-time 20 --unix-socket "${DOCKER_HOST#unix://}" -X POST -H 'Connection: Upgrade' -H 'Upgrade: tcp' \
                "http://localhost/containers/copied/attach?stream=1&stdout=1" >/dev/null 3>&- &
        local attached=$!
        eventually 20 has_vm "$(identity copied)"
        echo text >"$BATS_TEST_TMPDIR/file"
        docker cp "$BATS_TEST_TMPDIR/file" copied:/file
        docker start copied >/dev/null
        eq text "$(docker exec copied cat /file)"
        kill "$attached"
        docker rm -f copied
}

@test "pool: kill -9 of hulld leaves nothing of it, and the next one fills it again" {
        start_pooled 2
        eventually 20 ready 2 2
        local ids
        ids=$(pool_ids pooled)
        engine_stop pooled KILL
        nothing() {
                ! pgrep -f -- "hull-worker $HULL_WORLD/pooled" >/dev/null || return 1
                [[ -z $(for id in $ids; do find /sys/fs/cgroup -name "*$id*" 2>/dev/null; done) ]]
        }
        eventually 20 nothing
        eq "" "$(awk -v first=$((HULL_UID_FIRST + 112 * 65536)) '/^Uid:/ && $2 >= first && $2 < first + 16 * 65536 { print FILENAME }' /proc/[0-9]*/status 2>/dev/null)"
        start_pooled 2
        eventually 20 ready 2 2
        for id in $ids; do lacks "$id" "$(pool_ids pooled)"; done
        engine_stop pooled
}

@test "pool: the end of hulld is the end of its pool: no process, group, user, folder" {
        start_pooled 2
        eventually 20 ready 2 2
        local ids
        ids=$(pool_ids pooled)
        engine_stop pooled
        ! pgrep -f -- "hull-worker $HULL_WORLD/pooled" || fail "a worker"
        eq "" "$(awk -v first=$((HULL_UID_FIRST + 112 * 65536)) '/^Uid:/ && $2 >= first && $2 < first + 16 * 65536 { print FILENAME }' /proc/[0-9]*/status 2>/dev/null)"
        eq "" "$(for id in $ids; do find /sys/fs/cgroup -name "*$id*" 2>/dev/null; done)"
        eq "" "$(find "$HULL_WORLD/pooled/state/users" -type l; ls "$HULL_WORLD/pooled/state/pool")"
        lacks "$HULL_WORLD/pooled" "$(cat /proc/self/mountinfo)"
}

# bats test_tags=vm
@test "pool: a VM that waits was made from a template and is given disks and a network (QEMU)" {
        [[ $HULL_ENGINE =~ ^(kvm|tcg)$ ]] || skip "with --engine kvm or tcg only"
        need hyperv
        local id worker bridge=hullpq
        # shellcheck disable=SC2086  # a list of options
        engine_start pooled $HULL_ENGINE_OPTIONS --vm-uid-range $((HULL_UID_FIRST + 112 * 65536)):15 --vm-pool 1 --bridge $bridge --bip 172.31.203.1/24
        use pooled
        docker load -q -i "$HULL_IMAGES/hull-core.tar"
        eventually 120 ready
        eventually 120 has_template
        # The first was booted, because there was no template; whoever takes it has it replaced.
        eq first "$(docker run --rm --isolation=hyperv hull/core echo first)"
        eventually 60 ready
        id=$(pool_ids pooled)
        worker=$(pool_worker pooled "$id")
        has "memfd:hull-template" "$(cat "/proc/$(pool_vmm "$id")/maps")"
        docker run -d --name second --hostname second --isolation=hyperv -m 512m hull/core sleep 100000
        [[ $(row second WorkerPid) != "$worker" ]] || fail "its memory cannot be changed"
        docker run -d --name third --hostname third --isolation=hyperv hull/core sleep 100000
        eq "$worker" "$(row third WorkerPid)"
        eq "third written" "$(docker exec third sh -c 'echo written >/file; sync; echo $(hostname) $(cat /file)')"
        docker exec third ping -c 1 -W 10 172.31.203.1
        id=$(identity third)
        has "/hull/$id-vm" "$(cat "/proc/$(row third VmmPid)/cgroup")"
        docker rm -f second third
        engine_stop pooled
        # What a bridge is made of stays when its engine ends.
        ip link del $bridge
        while read -r _ family table; do
                nft delete table "$family" "$table"
        done < <(nft list tables | grep $bridge)
}

@test "pool: --vm-pool 0: none, and containers boot their own" {
        start_pooled 0
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        ready 0 0
        eq hi "$(docker run --rm --isolation=hyperv --network none hull/nano echo hi)"
        eq "" "$(pool_ids pooled)"
        engine_stop pooled
}

@test "pool: a size that is none is refused" {
        for size in -1 x 65 1.5 ''; do
                exits 1 timeout 20 "$HULL_BUILD/programs/hulld" --vm-pool "$size" -H "unix://$BATS_TEST_TMPDIR/x.sock" --root "$BATS_TEST_TMPDIR/root" --state "$BATS_TEST_TMPDIR/state"
                has "invalid value for --vm-pool: \"$size\"" "$output"
        done
}
