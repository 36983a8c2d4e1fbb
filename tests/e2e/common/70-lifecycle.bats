#!/usr/bin/env bats
# create, start, stop, kill, restart, rename, rm, prune, wait, ps, events.
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

# A container that says when it is ready for signals: waiter NAME TRAP OPTION...
waiter() {
        local name=$1 trap=$2
        shift 2
        drun -d --name "$name" "$@" hull/nano sh -c "$trap; echo ready; while :; do sleep 0.05; done" >/dev/null
        eventually 20 log_has "$name" ready
}

# bats test_tags=vm
@test "create, start, stop, start again, rm" {
        id=$(docker create --name cycle --isolation="$HULL_ISOLATION" hull/nano sh -c 'trap "exit 0" TERM; echo up; while :; do sleep 0.05; done')
        like '[0-9a-f]{64}' "$id"
        is_state cycle created
        exits 0 docker start cycle
        eq cycle "$output"
        eventually 20 log_has cycle up
        exits 0 docker start cycle
        exits 0 docker stop cycle
        eq "exited 0 false" "$(inspect cycle '{{.State.Status}} {{.State.ExitCode}} {{.State.Running}}')"
        exits 0 docker stop cycle
        docker start cycle >/dev/null
        two_ups() { [[ $(docker logs cycle) == $'up\nup' ]]; }
        eventually 20 two_ups
        docker rm -f cycle
        gone cycle
}

@test "stop sends the stop signal, and kills after the time-out" {
        waiter polite 'trap "exit 42" USR1' --stop-signal USR1
        docker stop polite >/dev/null
        eq 42 "$(inspect polite '{{.State.ExitCode}}')"
        waiter stubborn 'trap "" TERM'
        start=$EPOCHREALTIME
        docker stop -t 1 stubborn >/dev/null
        took=$((${EPOCHREALTIME/./} - ${start/./}))
        eq 137 "$(inspect stubborn '{{.State.ExitCode}}')"
        ((took >= 1000000 && took < 6000000)) || fail "took $took us"
        docker rm polite stubborn
}

# bats test_tags=vm
@test "kill with a signal by name and number" {
        waiter signalled 'trap "echo got hup" HUP; trap "exit 21" USR2'
        docker kill -s HUP signalled >/dev/null
        eventually 10 log_has signalled "got hup"
        docker kill -s 12 signalled >/dev/null
        eq 21 "$(docker wait signalled)"
        exits 1 docker kill signalled
        has "is not running" "$output"
        exits 1 docker kill -s NOSUCH signalled
        docker rm signalled
}

@test "restart" {
        waiter again 'trap "exit 0" TERM'
        before=$(inspect again '{{.State.StartedAt}}')
        docker restart again >/dev/null
        after=$(inspect again '{{.State.StartedAt}}')
        [[ $before < $after ]] || fail "$before, $after"
        is_state again running
        docker rm -f again
}

@test "restart of a container that goes with its end: its files stay" {
        box passing --rm
        inside() { docker exec passing "$@"; }
        inside sh -c 'echo kept >/kept'
        docker restart -t 0 passing >/dev/null
        eq kept "$(inside cat /kept)"
        docker stop -t 0 passing >/dev/null
        eventually 10 gone passing
}

@test "a restart policy restarts, as often as it says" {
        drun -d --name tries --restart on-failure:2 hull/nano sh -c 'echo try; exit 5' >/dev/null
        tried() { [[ $(inspect tries '{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}') == "exited 2 5" ]]; }
        eventually 30 tried
        eq $'try\ntry\ntry' "$(docker logs tries)"
        docker rm tries
}

@test "wait answers each exit with its code" {
        drun -di --name awaited hull/nano sh -c 'read x; exit 33' >/dev/null
        docker wait awaited >"$BATS_TEST_TMPDIR/code" 3>&- &
        local waiting=$!
        echo | docker attach awaited >/dev/null || true
        wait "$waiting"
        eq 33 "$(cat "$BATS_TEST_TMPDIR/code")"
        eq 33 "$(docker wait awaited)"
        docker rm awaited
}

@test "names: unique, renamed, valid, invented" {
        docker create --name first --isolation="$HULL_ISOLATION" hull/nano true >/dev/null
        exits 125 drun --name first hull/nano true
        has "Conflict. The container name \"/first\" is already in use by container \"$(identity first)\"" "$output"
        docker rename first second
        gone first
        exits 1 docker rename second 'not/valid'
        has "Invalid container name" "$output"
        id=$(docker create --isolation="$HULL_ISOLATION" hull/nano true)
        like '/[a-z0-9]+_[a-z0-9]+' "$(inspect "$id" '{{.Name}}')"
        docker rm second "${id:0:12}"
        exits 1 docker inspect second
        exits 1 docker start no-such-container
        has "No such container: no-such-container" "$output"
}

@test "rm refuses what runs, and -f does not" {
        box busy
        exits 1 docker rm busy
        has "container is running: stop the container before removing or force remove" "$output"
        exits 0 docker rm -f busy
        gone busy
}

@test "--rm removes it after its end, with detach too" {
        drun -d --rm --name fleeting hull/nano true >/dev/null
        eventually 10 gone fleeting
}

@test "inspect of the state" {
        exits 6 drun --name stated hull/nano sh -c 'exit 6'
        eq "exited|false|false|6|0||" "$(inspect stated '{{.State.Status}}|{{.State.Running}}|{{.State.OOMKilled}}|{{.State.ExitCode}}|{{.State.Pid}}|{{.State.Error}}|')"
        like '20[0-9-]+T[0-9:]+\.[0-9]+Z' "$(inspect stated '{{.State.StartedAt}}')"
        like '20[0-9-]+T[0-9:]+\.[0-9]+Z' "$(inspect stated '{{.State.FinishedAt}}')"
        docker rm stated
}

@test "ps: columns and filters" {
        docker create --name psa --isolation="$HULL_ISOLATION" -l group=x hull/nano true >/dev/null
        box psb -l group=x
        drun --name psc -l group=y hull/nano sh -c 'exit 3' || true
        names() { docker ps -a --format '{{.Names}}' "$@" | sort | xargs; }
        eq "psa psb psc" "$(names)"
        eq "psb" "$(docker ps --format '{{.Names}}')"
        eq "psa psb" "$(names --filter label=group=x)"
        eq "psc" "$(names --filter exited=3)"
        eq "psa" "$(names --filter status=created)"
        eq "psc" "$(names --filter name=^psc$)"
        eq "psb" "$(names --filter "id=$(identity psb | cut -c 1-12)")"
        eq "psa psb psc" "$(names --filter ancestor=hull/nano)"
        eq "psa psb psc" "$(names --filter "isolation=$HULL_ISOLATION")"
        other=hyperv
        [[ $HULL_ISOLATION != hyperv ]] || other=process
        eq "" "$(names --filter "isolation=$other")"
        eq "psc" "$(names -n 1)"
        exits 0 docker ps -a
        like 'CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +PORTS +NAMES' "${lines[0]}"
        has 'Exited (3)' "$output"
        docker rm -f psa psb psc
}

@test "prune removes what is stopped" {
        drun --name pruned -l prune=me hull/nano true
        box kept -l prune=me
        exits 0 docker container prune -f --filter label=prune=me
        has "Deleted Containers:" "$output"
        gone pruned
        is_state kept running
        docker rm -f kept
}

@test "events: the life of a container in order" {
        since=$(date +%s.%N)
        drun --name eventful hull/nano sh -c 'exit 2' || true
        docker rm eventful
        eq "create attach start die destroy" \
                "$(docker events --since "$since" --until "$(date +%s.%N)" --filter type=container --filter container=eventful --format '{{.Action}}' | xargs)"
        eq "2" "$(docker events --since "$since" --until "$(date +%s.%N)" --filter event=die --filter container=eventful --format '{{.Actor.Attributes.exitCode}}')"
        eq "connect disconnect" \
                "$(docker events --since "$since" --until "$(date +%s.%N)" --filter type=network --format '{{.Action}}' | xargs)"
}

@test "events arrive while they happen" {
        docker events --filter container=live --filter event=die --format '{{.Actor.Attributes.exitCode}}' >"$BATS_TEST_TMPDIR/events" 3>&- &
        local listener=$!
        # The client says nothing when it listens: containers come until it has seen one.
        seen() {
                drun --rm --name live hull/nano sh -c 'exit 4' || true
                [[ -s $BATS_TEST_TMPDIR/events ]]
        }
        eventually 20 seen
        kill "$listener"
        eq 4 "$(head -n 1 "$BATS_TEST_TMPDIR/events")"
}

@test "many at once" {
        local i
        for i in 1 2 3 4 5 6; do
                drun --rm --name "many$i" hull/nano sh -c "echo $i" >"$BATS_TEST_TMPDIR/$i" 3>&- &
        done
        wait
        eq "1 2 3 4 5 6" "$(cat "$BATS_TEST_TMPDIR"/[1-6] | xargs)"
        eq "" "$(docker ps -aq --filter name=many)"
}
