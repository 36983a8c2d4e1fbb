#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2154  # $status and $body are set by lib.bash
# Containers do not wait for each other, nor impatient users for patient ones; restart policies,
# sizes, and a worker that is none.

setup() {
        load lib
        need client
        use main
}
teardown() {
        remove_all
}
teardown_file() {
        load lib
        local name
        open_gate
        for name in slow mute; do
                [[ -f $HULL_WORLD/$name/hulld.pid ]] || continue
                use "$name"
                remove_all || true
                engine_stop "$name"
        done
}

# Lets the worker go on that waits at the gate of the first test.
open_gate() {
        local gate=$BATS_FILE_TMPDIR/gate
        [[ ! -p $gate ]] || echo go 1<>"$gate"
}

# stubborn NAME: ignores SIGTERM, and says that it came.
stubborn() {
        docker run -d --name "$1" hull/nano sh -c 'trap "echo heard" TERM; echo up; while :; do sleep 0.1; done' >/dev/null
        eventually 20 log_has "$1" up
}

# patient NAME: a stop with much patience waits for it; $stopper is its process.
patient() {
        LIMIT=100 docker stop -t 60 "$1" >/dev/null 2>&1 3>&- &
        stopper=$!
        eventually 20 log_has "$1" heard
}

restarts() { (($(inspect "$1" '{{.RestartCount}}') >= $2)); } # restarts NAME COUNT

@test "a container that is slow to start delays no other one's restarts" {
        local gate=$BATS_FILE_TMPDIR/gate
        mkfifo "$gate"
        # A worker that waits at the gate when its container is told to.
        cat >"$BATS_TEST_TMPDIR/worker" <<TEXT
#!/bin/sh
[ ! -e "\$1/slow" ] || read -r line <"$gate"
exec "$HULL_BUILD/programs/hull-worker" "\$@"
TEXT
        chmod +x "$BATS_TEST_TMPDIR/worker"
        engine_start slow --bridge none --worker "$BATS_TEST_TMPDIR/worker"
        use slow
        docker load -q -i "$HULL_IMAGES/hull-nano.tar" >/dev/null
        docker run -d --name slow --network none --restart always hull/nano sleep 100000 >/dev/null
        pid=$(inspect slow '{{.State.Pid}}')
        touch "$HULL_WORLD/slow/root/containers/$(identity slow)/slow"
        kill -KILL "$pid"
        eventually 20 is_state slow restarting
        for name in first second third; do
                docker run -d --name "$name" --network none --restart always hull/nano true >/dev/null
        done
        for name in first second third; do
                eventually 20 restarts "$name" 3
        done
        is_state slow restarting
        rm "$HULL_WORLD/slow/root/containers/$(identity slow)/slow"
        open_gate
        eventually 20 is_state slow running
        use main
}

@test "stop -t 0 while another stop waits" {
        stubborn deaf
        patient deaf
        LIMIT=20 exits 0 docker stop -t 0 deaf
        eq 137 "$(inspect deaf '{{.State.ExitCode}}')"
        wait "$stopper"
}

@test "kill and pause while a stop waits" {
        stubborn deaf
        patient deaf
        LIMIT=20 exits 0 docker pause deaf
        LIMIT=20 exits 0 docker unpause deaf
        LIMIT=20 exits 0 docker kill deaf
        wait "$stopper"
        is_state deaf exited
}

@test "rm -f while a stop waits" {
        stubborn deaf
        patient deaf
        LIMIT=20 exits 0 docker rm -f deaf
        wait "$stopper" || true
        gone deaf
}

@test "restart -t 0 while a stop waits: it runs again" {
        stubborn deaf
        patient deaf
        LIMIT=20 exits 0 docker restart -t 0 deaf
        wait "$stopper"
        is_state deaf running
        eventually 20 log_has deaf up
}

@test "a restart policy acts after a signal, but not after the stop signal" {
        # The first run ends by any signal; the second says that there is one.
        local run='test ! -e /ran || echo again; touch /ran; trap "exit 3" TERM USR1; echo up; while :; do sleep 0.1; done'
        docker run -d --name policy --restart always --stop-signal TERM hull/nano sh -c "$run" >/dev/null
        eventually 20 log_has policy up
        exits 0 docker kill -s USR1 policy
        eventually 20 log_has policy again
        exits 0 docker kill -s TERM policy
        eq 3 "$(docker wait policy)"
        is_state policy exited
        exits 0 docker start policy
        is_state policy running
        exits 0 docker stop -t 5 policy
        is_state policy exited
        eq 0 "$(inspect policy '{{.RestartCount}}')"
}

@test "a stop or restart with a signal that is none leaves the restart policy as it was" {
        docker run -d --name policy --restart always hull/nano \
                sh -c 'test ! -e /ran || echo again; touch /ran; trap "exit 3" USR1; echo up; while :; do sleep 0.1; done' >/dev/null
        eventually 20 log_has policy up
        for operation in stop restart; do
                api POST "/v1.45/containers/policy/$operation?signal=NONSENSE"
                eq 400 "$status"
                has "Invalid signal: NONSENSE" "$body"
        done
        exits 0 docker exec policy kill -USR1 1
        eventually 20 log_has policy again
}

@test "unless-stopped: any signal counts as a stop" {
        docker run -d --name policy --restart unless-stopped --stop-signal TERM hull/nano \
                sh -c 'trap "exit 3" USR1; echo up; while :; do sleep 0.1; done' >/dev/null
        eventually 20 log_has policy up
        exits 0 docker kill -s USR1 policy
        eq 3 "$(docker wait policy)"
        is_state policy exited
}

# sizes NAME: sets $writable and $whole.
sizes() {
        api GET "/v1.45/containers/$1/json?size=1"
        eq 200 "$status"
        read -r writable whole < <(python3 -c '
import json, sys
document = json.load(sys.stdin)
print(document["SizeRw"], document["SizeRootFs"])' <<<"$body")
}

@test "sizes: the writable layer, and with the image's" {
        image=$(docker image inspect -f '{{.Size}}' hull/nano)
        docker run --name sized hull/nano sh -c 'head -c 1000000 /dev/zero >/made'
        sizes sized
        eq 1000000 "$writable"
        eq $((image + 1000000)) "$whole"
        api GET "/v1.45/containers/json?all=1&size=1"
        eq "$writable $whole" "$(python3 -c '
import json, sys
entry = json.load(sys.stdin)[0]
print(entry["SizeRw"], entry["SizeRootFs"])' <<<"$body")"
        like '1MB \(virtual [0-9.]+MB\)' "$(docker ps -as --format '{{.Size}}')"
        api GET "/v1.45/containers/json?all=1"
        lacks SizeRw "$body"
}

# bats test_tags=vm
@test "sizes: of a VM's disk what is written, and not what an empty one has" {
        need hyperv
        docker run --isolation=hyperv --name little hull/nano true
        sizes little
        ((writable < 4000000)) || fail "an unused disk: $writable"
        docker run --isolation=hyperv --name much hull/nano sh -c 'head -c 20000000 /dev/urandom >/made'
        sizes much
        ((writable > 19000000 && writable < 40000000)) || fail "20 MB written: $writable"
}

@test "a worker that nobody can speak to is ended" {
        # Says that it is ready, and listens nowhere.
        cat >"$BATS_TEST_TMPDIR/worker" <<TEXT
#!/bin/sh
tail -f /dev/null >/dev/null 2>&1 4>&- &
echo \$! >"$BATS_TEST_TMPDIR/mute.pid"
printf 'READY %s\n' \$! >&4
TEXT
        chmod +x "$BATS_TEST_TMPDIR/worker"
        engine_start mute --bridge none --worker "$BATS_TEST_TMPDIR/worker"
        use mute
        docker load -q -i "$HULL_IMAGES/hull-nano.tar" >/dev/null
        docker create --name silent --network none hull/nano true >/dev/null
        exits 1 docker start silent
        eventually 10 process_gone "$(cat "$BATS_TEST_TMPDIR/mute.pid")"
        is_state silent created
        use main
}
