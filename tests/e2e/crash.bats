#!/usr/bin/env bats
# kill -9 of hulld: containers go on, and the next hulld finds them.

setup() {
        load lib
        need client
}
teardown() {
        load lib
        # Whatever a test left: the engine runs again for the next one.
        process_gone "$(cat "$HULL_WORLD/main/hulld.pid")" && restart_engine
        remove_all
}

# shellcheck disable=SC2086  # a list of options
restart_engine() { engine_start main $HULL_ENGINE_OPTIONS; }

isolations() {
        echo process
        ! grep -qx hyperv "$HULL_WORLD/features" || echo hyperv
}

@test "kill -9 of hulld: both kinds go on; logs, exec, attach, stop, wait work afterwards" {
        need hyperv
        local isolation before after name
        for isolation in $(isolations); do
                docker run -d --name "ticking-$isolation" --isolation="$isolation" hull/nano \
                        sh -c 'trap "exit 8" TERM; i=0; while :; do echo tick $i; i=$((i + 1)); usleep 50000; done' >/dev/null
        done
        pids() { hull compute ls --format json | python3 -c '
import json, sys
text = sys.stdin.read()
rows = json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines())
print(sorted((row["Name"], row["WorkerPid"], row["VmmPid"]) for row in rows))'; }
        before=$(pids)
        engine_stop main KILL
        exits 1 docker ps
        restart_engine
        eq "$before" "$(pids)" "workers and VMMs"
        for isolation in $(isolations); do
                name=ticking-$isolation
                is_state "$name" running
                eq "alive" "$(docker exec "$name" echo alive)"
                # The log has no gap: what was written while nobody listened is there.
                count=$(docker logs "$name" | wc -l)
                more() { (($(docker logs "$name" | wc -l) > count + 5)); }
                eventually 20 more
                docker logs "$name" >"$BATS_TEST_TMPDIR/log"
                eq "$(seq -f 'tick %g' 0 $(($(wc -l <"$BATS_TEST_TMPDIR/log") - 1)) | md5sum)" "$(md5sum <"$BATS_TEST_TMPDIR/log")"
                docker wait "$name" >"$BATS_TEST_TMPDIR/code" 3>&- &
                exits 0 docker stop "$name"
                wait $!
                eq 8 "$(cat "$BATS_TEST_TMPDIR/code")"
                eq "exited 8" "$(inspect "$name" '{{.State.Status}} {{.State.ExitCode}}')"
        done
        exits 0 docker start "ticking-process" "ticking-hyperv"
}

@test "an exit while hulld is dead is reported with its code" {
        local isolation ip record
        for isolation in $(isolations); do
                docker run -d --name "leaving-$isolation" --isolation="$isolation" hull/nano \
                        sh -c 'echo up; nc -l -p 9000 >/dev/null; echo last words; exit 37' >/dev/null
                docker run -d --rm --name "removing-$isolation" --isolation="$isolation" hull/nano \
                        sh -c 'nc -l -p 9000 >/dev/null' >/dev/null
        done
        declare -A addresses ids
        for name in $(docker ps --format '{{.Names}}'); do
                addresses[$name]=$(address "$name") ids[$name]=$(identity "$name")
        done
        engine_stop main KILL
        for name in "${!addresses[@]}"; do
                knock() { (exec 9<>"/dev/tcp/${addresses[$name]}/9000") 2>/dev/null; }
                eventually 20 knock
                ended() { [[ -e $HULL_WORLD/main/root/containers/${ids[$name]}/exit.json ]]; }
                eventually 20 ended
        done
        restart_engine
        for isolation in $(isolations); do
                eq "exited 37" "$(inspect "leaving-$isolation" '{{.State.Status}} {{.State.ExitCode}}')"
                eq 37 "$(docker wait "leaving-$isolation")"
                eq $'up\nlast words' "$(docker logs "leaving-$isolation")"
                eventually 10 gone "removing-$isolation"
        done
}

@test "hulld and a worker die together: the container is dead with a reason" {
        docker run -d --name orphan hull/nano sleep 100000 >/dev/null
        pid=$(inspect orphan '{{.State.Pid}}')
        worker=$(cat "$HULL_WORLD/main/state/containers/$(identity orphan)/worker.pid")
        engine_stop main KILL
        kill -KILL "$worker"
        restart_engine
        eventually 10 is_state orphan exited
        eq 137 "$(inspect orphan '{{.State.ExitCode}}')"
        [[ -n $(inspect orphan '{{.State.Error}}') ]]
        eventually 10 process_gone "$pid"
        exits 0 docker start orphan
        is_state orphan running
}

@test "the worker dies: 137 with a reason, and its VMM or processes with it" {
        local isolation
        for isolation in $(isolations); do
                docker run -d --name "lost-$isolation" --isolation="$isolation" hull/nano sleep 100000 >/dev/null
                id=$(identity "lost-$isolation")
                kill -KILL "$(cat "$HULL_WORLD/main/state/containers/$id/worker.pid")"
                eventually 20 is_state "lost-$isolation" exited
                eq 137 "$(inspect "lost-$isolation" '{{.State.ExitCode}}')"
                [[ -n $(inspect "lost-$isolation" '{{.State.Error}}') ]]
                swept() { [[ -z $(find /sys/fs/cgroup -name "*$id*" 2>/dev/null) ]] && ! grep -q "$id" /proc/self/mountinfo; }
                eventually 10 swept
        done
}

@test "SIGTERM ends hulld in order; containers go on" {
        docker run -d --name staying hull/nano sleep 100000 >/dev/null
        pid=$(inspect staying '{{.State.Pid}}')
        engine_stop main TERM
        ! process_gone "$pid"
        restart_engine
        is_state staying running
        eq "$pid" "$(inspect staying '{{.State.Pid}}')"
}

@test "a second hulld on the same root is refused" {
        exits 1 timeout 20 "$HULL_BUILD/programs/hulld" -H "unix://$BATS_TEST_TMPDIR/second.sock" --root "$HULL_WORLD/main/root" \
                --state "$HULL_WORLD/main/state" --config "$HULL_WORLD/main/hulld.json"
        has "$HULL_WORLD/main/root" "$output"
        exits 0 docker ps
}

@test "kill -9 in the middle of a load: the store is consistent, and the load works again" {
        image_tool derive "$HULL_IMAGES/hull-nano.tar" "$BATS_TEST_TMPDIR/image.tar" t/interrupted --random 80000000 --add etc/made=again
        docker load -q -i "$BATS_TEST_TMPDIR/image.tar" >/dev/null 2>&1 3>&- &
        local loader=$!
        # As soon as there is something to be left behind.
        half() { [[ -n $(find "$HULL_WORLD/main/root" -newer "$BATS_TEST_TMPDIR/image.tar" -type f -size +1M -print -quit) ]]; }
        eventually 20 half
        engine_stop main KILL
        wait "$loader" || true
        restart_engine
        run docker image inspect t/interrupted
        exits 0 docker load -q -i "$BATS_TEST_TMPDIR/image.tar"
        eq again "$(docker run --rm t/interrupted cat /etc/made)"
        docker rmi t/interrupted
}

@test "what an update has set outlives hulld, in inspect and in what holds" {
        local isolation name
        for isolation in $(isolations); do
                name=updated-$isolation
                docker run -d --name "$name" --isolation="$isolation" -m 128m hull/nano sleep 100000 >/dev/null
                docker update -m 192m --pids-limit 60 --restart unless-stopped "$name" >/dev/null
        done
        engine_stop main KILL
        restart_engine
        for isolation in $(isolations); do
                name=updated-$isolation
                is_state "$name" running
                eq "$((192 << 20)) 60 unless-stopped" "$(inspect "$name" '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}}')"
                docker restart -t 0 "$name" >/dev/null
                eq $((192 << 20)) "$(docker exec "$name" sh -c 'cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes')"
                docker rm -f "$name"
        done
}

@test "kill -9 of hulld beside a transfer of files: the container starts with them" {
        local isolation name
        for isolation in $(isolations); do
                name=files-$isolation
                docker create --name "$name" --isolation="$isolation" hull/nano cat /note >/dev/null
                echo kept >"$BATS_TEST_TMPDIR/note"
                docker cp "$BATS_TEST_TMPDIR/note" "$name:/note"
                # One that goes on for as long as its input is open.
                mkfifo "$BATS_TEST_TMPDIR/$name"
                exec 4<>"$BATS_TEST_TMPDIR/$name"
                docker cp - "$name:/" <&4 >/dev/null 2>&1 3>&- &
                engine_stop main KILL
                restart_engine
                exec 4>&-
                eq kept "$(docker start -a "$name")"
                eq kept "$(docker cp "$name:/note" - | tar -xO)"
                docker rm "$name" >/dev/null
        done
}
