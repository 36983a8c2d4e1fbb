#!/usr/bin/env bats
# A full disk, a guest that sends garbage, storms.

setup() {
        load lib
        need client
        use main
}
teardown_file() {
        load lib
        local name
        for name in full garbage; do
                [[ -f $HULL_WORLD/$name/hulld.pid ]] || continue
                use "$name"
                remove_all || true
                engine_stop "$name"
        done
        umount "$HULL_WORLD/full" 2>/dev/null || true
        use main
        remove_all
}

@test "a full disk during load: a clear error, a consistent store, and room again" {
        mkdir -p "$HULL_WORLD/full"
        mount -t tmpfs -o size=64m,mode=711 none "$HULL_WORLD/full"
        engine_start full --bridge none
        use full
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        before=$(cd "$HULL_WORLD/full/root" && find image layers -mindepth 1 -maxdepth 3 | sort)
        exits 1 docker load -q -i "$HULL_IMAGES/hull-core.tar"
        has "no space left on device" "${output,,}"
        eq "hull/nano" "$(docker images --format '{{.Repository}}')"
        eq "$before" "$(cd "$HULL_WORLD/full/root" && find image layers -mindepth 1 -maxdepth 3 | sort)"
        (($(df -m --output=avail "$HULL_WORLD/full" | tail -n 1) > 40))
        exits 0 docker run --rm --network none hull/nano echo fine
        eq fine "$output"
}

@test "a full disk while a container writes is the container's error, not the engine's" {
        [[ -S $HULL_WORLD/full/hull.sock ]] || skip "the engine on the small disk did not start"
        use full
        docker run -d --name filler --network none hull/nano sleep 1000 >/dev/null
        exits 1 docker exec filler sh -c 'cat /dev/zero >/fill'
        has "No space left on device" "$output"
        exits 0 docker ps
        # Nothing can be made now, and it says why.
        run docker run --rm --network none hull/nano true
        docker exec filler rm /fill
        exits 0 docker run --rm --network none hull/nano true
        docker rm -f filler
}

@test "a guest that sends garbage: its VM is ended with the reason, the host is fine" {
        need compiler
        # A guest kernel that answers the probe, and turns once it is to make a container.
        cat >"$BATS_TEST_TMPDIR/guest.c" <<'C'
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(int fd, const void *data, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = write(fd, (const char *)data + done, length - done);
        if (n <= 0)
            _exit(0);
        done += (size_t)n;
    }
}

int main(int argc, char **argv)
{
    static const char hello[] = "{\"hello\":{\"protocol\":1,\"program\":\"guest\"}}";
    unsigned char head[8] = {1, 0, 0, sizeof(hello) - 1};
    static char seen[1 << 20];
    size_t length = 0;
    int fd = -1;

    for (int i = 1; i < argc; i++)
        if (sscanf(argv[i], "ssl0=fd:%d", &fd) == 1)
            break;
    if (fd < 0)
        return 1;
    say(fd, head, sizeof(head));
    say(fd, hello, sizeof(hello) - 1);
    for (;;) {
        ssize_t n = read(fd, seen + length, sizeof(seen) - length - 1);
        if (n <= 0)
            return 0;
        length += (size_t)n;
        if (memmem(seen, length, "\"create\"", 8))
            break;
    }
    for (;;) {
        unsigned char noise[4096];
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (unsigned char)rand();
        say(fd, noise, sizeof(noise));
    }
}
C
        cc -static -O1 -o "$HULL_WORLD/garbage-guest" "$BATS_TEST_TMPDIR/guest.c"
        engine_start garbage --bridge none --uml-kernel "$HULL_WORLD/garbage-guest" --vm-engine uml \
                --vm-uid-range $((HULL_UID_FIRST + 64 * 65536)):7
        use garbage
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        exits 125 docker run --name noisy --network none --isolation=hyperv hull/nano true
        has "guest" "$output"
        [[ -n $(inspect noisy '{{.State.Error}}') ]]
        eq false "$(inspect noisy '{{.State.Running}}')"
        # Its VMM is gone, and the engine serves.
        eq "" "$(pgrep -u "$((HULL_UID_FIRST + 64 * 65536))" || true)"
        exits 0 docker run --rm --network none hull/nano echo fine
        docker rm noisy
}

@test "a guest kernel that never answers: an error in time, with the console's words" {
        need compiler
        printf '%s\n' '#include <stdio.h>' '#include <unistd.h>' 'int main(void) { puts("I shall never boot"); fflush(stdout); pause(); }' >"$BATS_TEST_TMPDIR/mute.c"
        cc -static -o "$HULL_WORLD/mute-guest" "$BATS_TEST_TMPDIR/mute.c"
        engine_start mute --bridge none --uml-kernel "$HULL_WORLD/mute-guest" --vm-engine uml \
                --vm-uid-range $((HULL_UID_FIRST + 72 * 65536)):7
        use mute
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        LIMIT=50 exits 125 docker run --rm --network none --isolation=hyperv hull/nano true
        has "isolation 'hyperv' is not available: uml: " "$output"
        engine_stop mute
        eq "" "$(pgrep -u "$((HULL_UID_FIRST + 72 * 65536))" || true)"
}

@test "a fork bomb in a container is stopped by its limit, and rm ends it" {
        docker run -d --name bomb --pids-limit 50 hull/nano sh -c 'f() { f | f & }; f; exec sleep 1000' >/dev/null
        exits 0 docker ps
        exits 0 docker rm -f bomb
}

@test "a container that writes without end to a log with a limit keeps the limit" {
        docker run -d --name chatty --log-opt max-size=100k --log-opt max-file=2 hull/nano yes >/dev/null
        path=$(inspect chatty '{{.LogPath}}')
        eventually 20 test -e "$path.1"
        docker rm -f chatty >/dev/null
        [[ ! -e $path.1 ]]
}

@test "more VMs than memory: a start is refused with the numbers, and nothing else suffers" {
        need hyperv
        # Limits of one VM and not of two: 176 MiB on whatever host this is.
        # shellcheck disable=SC2086  # a list of options
        engine_start narrow $HULL_ENGINE_OPTIONS --vm-uid-range $((HULL_UID_FIRST + 128 * 65536)):7 --bridge none \
                --vm-memory-overcommit "$(awk '/^MemTotal/ { printf "%.4f", 176 * 1024 / $2 }' /proc/meminfo)"
        use narrow
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        docker run -d --name fits -m 96m --network none --isolation=hyperv hull/nano sleep 1000 >/dev/null
        exits 125 docker run --name toomuch -m 96m --network none --isolation=hyperv hull/nano true
        has "not enough memory for another utility VM: with its limit of 96 MiB the limits of 2 utility VMs would be 192 MiB in sum" "$output"
        has "$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB" "$output"
        has "not enough memory" "$(inspect toomuch '{{.State.Error}}')"
        exits 0 docker run --rm -m 96m --network none --isolation=process hull/nano true
        exits 0 docker exec fits true
        docker rm -f fits
        exits 0 docker start -a toomuch
        # One that has its VM from the pool, and waits for its start, counts as well.
        if [[ $(docker info -f '{{.DriverStatus}}') == *"of 1 ready"* ]]; then
                local attached
                pool_is_ready() { [[ $(docker info -f '{{.DriverStatus}}') == *"[VM pool 1 of 1 ready]"* ]]; }
                eventually 20 pool_is_ready
                docker create --name waits -m 96m --network none --isolation=hyperv hull/nano true >/dev/null
                curl -s --max-time 20 --unix-socket "$HULL_WORLD/narrow/hull.sock" -X POST -H 'Connection: Upgrade' -H 'Upgrade: tcp' \
                        "http://localhost/containers/waits/attach?stream=1&stdout=1" >/dev/null 3>&- &
                attached=$!
                eventually 10 test -s "$HULL_WORLD/narrow/state/containers/$(identity waits)/worker.pid"
                exits 125 docker run --rm -m 96m --network none --isolation=hyperv hull/nano true
                has "the limits of 2 utility VMs would be 192 MiB in sum" "$output"
                exits 0 docker start -a waits
                wait "$attached" || true
                exits 0 docker run --rm -m 96m --network none --isolation=hyperv hull/nano true
                docker rm waits
        fi
        docker rm toomuch
        engine_stop narrow
}
