#!/usr/bin/env bats
# A guest that attacks (tests/hostile), with hulld and its clients behind the worker: what it says
# about its processes, files and changes, and what it does not say. tests/hostile/test-hostile-guest.c
# has the attacks on the worker itself.

setup_file() {
        load lib
        guest=$HULL_BUILD/tests/hostile/hostile-guest
        [[ -x $guest ]] || return 0
        engine_start hostile --bridge none --uml-kernel "$guest" --vm-engine uml --vm-pool 0 \
                --vm-uid-range $((HULL_UID_FIRST + 104 * 65536)):7
        use hostile
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        docker run -d --name bystander --network none hull/nano sleep 100000
}
setup() {
        load lib
        need client
        [[ -f $HULL_WORLD/hostile/hulld.pid ]] || skip "needs tests/hostile/hostile-guest"
        use hostile
        hulld=$(cat "$HULL_WORLD/hostile/hulld.pid")
}
teardown_file() {
        load lib
        [[ -f $HULL_WORLD/hostile/hulld.pid ]] || return 0
        use hostile
        remove_all
        engine_stop hostile
}

attack() { docker run -d --name "$1" --network none --isolation=hyperv hull/nano "$1" >/dev/null; }
memory() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; } # KiB
# No byte that a terminal would obey.
harmless() { ! LC_ALL=C grep -q $'[\x01-\x08\x0b-\x1f\x7f]' <<<"$1" || fail "control characters in: $(cat -v <<<"$1")"; }

@test "hostile: an end with the reason in State.Error, and without control characters" {
        exits 125 docker run --name wild --network none --isolation=hyperv hull/nano answer_error_wild
        has "first" "$output"
        harmless "$output"
        harmless "$(inspect wild '{{.State.Error}}')"
        attack data_never_opened
        eventually 10 is_state data_never_opened exited
        has "broke the protocol" "$(inspect data_never_opened '{{.State.Error}}')"
        eq 137 "$(inspect data_never_opened '{{.State.ExitCode}}')"
        docker rm wild data_never_opened >/dev/null
}

@test "hostile: floods stay in their worker" {
        local name before
        before=$(memory "$hulld")
        for name in log_flood console_flood ended_flood credit_flood; do
                attack $name
        done
        eq alive "$(docker exec bystander echo alive)"
        exits 0 docker ps
        for name in log_flood console_flood ended_flood credit_flood; do
                is_state $name running
                (($(memory "$(cat "$HULL_WORLD/hostile/state/containers/$(identity $name)/worker.pid")") < 24 * 1024))
                (($(stat -c %s "$HULL_WORLD/hostile/root/containers/$(identity $name)/console.log") <= 256 * 1024))
                docker rm -f $name >/dev/null
        done
        (($(memory "$hulld") < before + 16 * 1024)) || fail "hulld: $before KiB before, $(memory "$hulld") after"
}

@test "hostile: process lists" {
        attack processes_wild
        exits 0 docker top processes_wild
        harmless "$output"
        attack processes_many
        exits 0 docker top processes_many
        attack processes_too_many
        exits 1 docker top processes_too_many
        eventually 10 is_state processes_too_many exited
        (($(memory "$hulld") < 128 * 1024))
        docker rm -f processes_wild processes_many processes_too_many >/dev/null
}

@test "hostile: lies about files" {
        local name
        for name in stat_negative stat_name_climbs stat_long_target; do
                attack $name
                mkdir "$BATS_TEST_TMPDIR/$name"
                exits 1 docker cp $name:/x "$BATS_TEST_TMPDIR/$name/x"
                eq "" "$(find "$BATS_TEST_TMPDIR/$name" -mindepth 1)"
                docker rm -f $name >/dev/null
        done
        for name in changes_garbage changes_no_nul; do
                attack $name
                exits 1 docker diff $name
                has "wrong list of changes" "$output"
                docker rm -f $name >/dev/null
        done
}

@test "hostile: archives that climb" {
        local name client
        for name in archive_climbs archive_size archive_pax archive_garbage; do
                attack $name
                for client in docker hull; do
                        folder=$BATS_TEST_TMPDIR/$name-$client
                        mkdir -p "$folder/in" "$folder/target"
                        echo untouched >"$folder/target/secret"
                        LIMIT=20 run $client cp $name:/x "$folder/in"
                        eq "$folder/target/secret" "$(find "$folder/target" -mindepth 1)"
                        eq untouched "$(cat "$folder/target/secret")"
                        eq 1 "$(stat -c %h "$folder/target/secret")"
                        [[ ! -e /tmp/hull-hostile-absolute ]]
                        eq "" "$(find "$folder" -type b -o -type c)"
                done
                docker rm -f $name >/dev/null
        done
}

@test "hostile: a guest that does not obey SIGKILL is ended, and a silent one can be removed" {
        attack signal_silent
        LIMIT=20 exits 0 docker kill signal_silent
        eventually 5 is_state signal_silent exited
        has "SIGKILL" "$(inspect signal_silent '{{.State.Error}}')"
        attack silent_running
        exits 0 docker rm -f silent_running
        docker rm signal_silent >/dev/null
        eq "" "$(pgrep -u "$((HULL_UID_FIRST + 104 * 65536))" || true)"
        eq alive "$(docker exec bystander echo alive)"
}
