#!/usr/bin/env bats
# Writable layers of utility VMs that go wrong: a full disk below them, damage in them, and guests
# that attack through hulld.

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
        local name
        for name in small hostile; do
                [[ -f $HULL_WORLD/$name/hulld.pid ]] || continue
                use "$name"
                remove_all || true
                engine_stop "$name"
        done
        umount "$HULL_WORLD/small" 2>/dev/null || true
}

layer_of() { echo "$HULL_WORLD/main/root/containers/$(identity "$1")/scratch.ext4"; }

# Writes 64 KiB of noise at an offset, as a bad disk would.
scribble() { dd if=/dev/urandom of="$1" bs=4096 seek="$(($2 / 4096))" count="${3:-16}" conv=notrunc status=none; }

@test "a VM that was killed: the journal is replayed, and nothing of what was synced is lost" {
        docker run -d --name killed --isolation=hyperv --network none hull/nano sleep 100000 >/dev/null
        docker exec killed sh -c 'i=0; while [ $i -lt 200 ]; do echo $i >/made-$i; i=$((i + 1)); done; sync; echo late >/late'
        vmm=$(hull compute ls --format json | python3 -c '
import json, sys
text = sys.stdin.read()
rows = json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines())
print([row["VmmPid"] for row in rows if row["Name"] == "killed"][0])')
        kill -KILL "$vmm"
        eventually 20 is_state killed exited
        docker start killed >/dev/null
        eq 200 "$(docker exec killed sh -c 'ls / | grep -c made-')"
        eq 199 "$(docker exec killed cat /made-199)"
        eq "" "$(inspect killed '{{.State.Error}}')"
        docker rm -f killed >/dev/null
}

@test "a superblock that is gone: a start and a copy fail with the reason, and the host never mounts it" {
        docker create --name headless --isolation=hyperv --network none hull/nano true >/dev/null
        echo kept >"$BATS_TEST_TMPDIR/kept"
        docker cp "$BATS_TEST_TMPDIR/kept" headless:/kept
        docker start -a headless
        layer=$(layer_of headless)
        eventually 10 files_are_free headless
        scribble "$layer" 0 1
        before=$(wc -l </proc/self/mountinfo)
        exits 1 docker start headless
        has "file system is damaged" "$output"
        has "file system is damaged" "$(inspect headless '{{.State.Error}}')"
        exits 1 docker cp headless:/kept -
        has "damaged" "$output"
        exits 1 hull convert --isolation=process headless
        has "file system is damaged" "$output"
        eq "$before" "$(wc -l </proc/self/mountinfo)"
        exits 0 docker run --rm --isolation=hyperv --network none hull/nano echo fine
        exits 0 docker rm headless
}

files_are_free() { [[ ! -e $HULL_WORLD/main/state/files/$(identity "$1")/worker.sock ]]; }

@test "damage inside: it is found, nothing is written to it any more, and inspect says so" {
        docker run -d --name bruised --isolation=hyperv --network none hull/nano \
                sh -c 'mkdir /many; i=0; while [ $i -lt 300 ]; do echo $i >/many/$i; i=$((i + 1)); done; sync; echo made; sleep 100000' >/dev/null
        eventually 20 log_has bruised made
        docker stop -t 0 bruised >/dev/null
        # The inodes of the directory and of its first files.
        layer=$(layer_of bruised)
        block=$(debugfs -R 'imap /upper/many' "$layer" 2>/dev/null | sed -n 's/.*located at block \([0-9]*\),.*/\1/p')
        scribble "$layer" $((block * 4096)) 1
        docker start bruised >/dev/null || true
        docker exec bruised sh -c 'ls -lR / >/dev/null 2>&1; cat /many/* >/dev/null 2>&1; echo x >/new' || true
        docker stop -t 0 bruised >/dev/null || true
        has "damaged" "$(inspect bruised '{{.State.Error}}')"
        # A copy of it would be no better, and would not say so.
        exits 1 hull convert --isolation=process bruised
        has "file system of the writable layer is damaged" "$output"
        eq hyperv "$(inspect bruised '{{.HostConfig.Isolation}}')"
        # The next start says so at once.
        docker start bruised >/dev/null || true
        has "damaged" "$(inspect bruised '{{.State.Error}}')"
        exits 0 docker ps
        docker rm -f bruised >/dev/null
}

@test "a full disk below a writable layer: the guest's error, told when it ends, and nobody else's" {
        mkdir -p "$HULL_WORLD/small"
        mount -t tmpfs -o size=90m,mode=711 none "$HULL_WORLD/small"
        # shellcheck disable=SC2086  # a list of options
        engine_start small $HULL_ENGINE_OPTIONS --vm-uid-range $((HULL_UID_FIRST + 80 * 65536)):7 --bridge none --vm-pool 0
        use small
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        docker run -d --name other --isolation=hyperv --network none hull/nano sleep 100000 >/dev/null
        docker run -d --name filler --isolation=hyperv --network none hull/nano sh -c 'echo kept >/kept; sync; sleep 100000' >/dev/null
        run docker exec filler sh -c 'dd if=/dev/zero of=/fill bs=1M count=200 conv=fsync; sync; echo over'
        has over "$output"
        has "No space left on device" "$output"
        # The engine and the other container go on.
        exits 0 docker ps
        eq alive "$(docker exec other echo alive)"
        docker rm -f other >/dev/null
        LIMIT=90 docker stop -t 1 filler >/dev/null
        like "the (disk|file system) of the writable layer .*" "$(inspect filler '{{.State.Error}}')"
        # There is room again, and what it wrote before is there.
        mount -o remount,size=400m "$HULL_WORLD/small"
        eq kept "$(docker cp filler:/kept - | tar -xO)"
        docker rm filler >/dev/null
        exits 0 docker run --rm --isolation=hyperv --network none hull/nano echo fine
}
