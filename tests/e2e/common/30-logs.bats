#!/usr/bin/env bats
# docker logs, and the files behind it.
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

@test "logs: both streams, apart" {
        drun --name both hull/nano sh -c 'echo one; echo two >&2; echo three' >/dev/null 2>&1
        run --separate-stderr docker logs both
        eq $'one\nthree' "$output"
        eq two "$stderr"
        docker rm both
}

@test "logs: --tail, -t, --since, --until" {
        drun --name lines hull/nano sh -c 'for i in 1 2 3 4 5; do echo line $i; usleep 20000; done' >/dev/null
        eq $'line 4\nline 5' "$(docker logs --tail 2 lines)"
        eq "" "$(docker logs --tail 0 lines)"
        stamped=$(docker logs -t lines)
        eq 5 "$(grep -cE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{9}Z line [1-5]$' <<<"$stamped")"
        third=$(awk '/line 3/ { print $1 }' <<<"$stamped")
        eq $'line 3\nline 4\nline 5' "$(docker logs --since "$third" lines)"
        eq $'line 1\nline 2\nline 3' "$(docker logs --until "$third" lines)"
        docker rm lines
}

# bats test_tags=vm
@test "logs -f follows to the end, and ends with the container" {
        drun -di --name followed hull/nano sh -c 'echo first; read x; echo second' >/dev/null
        docker logs -f followed >"$BATS_TEST_TMPDIR/log" 3>&- &
        local follower=$!
        eventually 10 grep -q first "$BATS_TEST_TMPDIR/log"
        echo | docker attach followed >/dev/null
        wait "$follower"
        eq $'first\nsecond' "$(cat "$BATS_TEST_TMPDIR/log")"
        docker rm followed
}

@test "logs of a line without end and of a long line" {
        drun --name odd hull/nano sh -c 'head -c 40000 /dev/zero | tr "\0" x; echo; printf tail' >/dev/null
        docker logs odd >"$BATS_TEST_TMPDIR/log"
        eq 40005 "$(stat -c %s "$BATS_TEST_TMPDIR/log")"
        eq tail "$(tail -n 1 "$BATS_TEST_TMPDIR/log")"
        docker rm odd
}

@test "logs of a container with a terminal are raw" {
        drun -dt --name raw hull/nano echo on a terminal >/dev/null
        docker wait raw >/dev/null
        eq $'on a terminal\r' "$(docker logs raw)"
        docker rm raw
}

@test "the log is docker's json-file" {
        drun --name filed hull/nano sh -c 'printf "a\"b\\\\c\n"' >/dev/null
        path=$(inspect filed '{{.LogPath}}')
        eq "$(identity filed)-json.log" "${path##*/}"
        eq $'a"b\\c\n|stdout' "$(python3 -c '
import json, sys
row = json.loads(open(sys.argv[1]).read())
print(row["log"] + "|" + row["stream"])' "$path")"
        docker rm filed
        [[ ! -e $path ]]
}

@test "max-size and max-file rotate; the newest lines stay readable" {
        drun --name rotated --log-opt max-size=10k --log-opt max-file=3 hull/nano \
                sh -c 'for i in $(seq 2000); do echo "line number $i"; done' >/dev/null
        path=$(inspect rotated '{{.LogPath}}')
        eq 3 "$(ls "${path%/*}" | grep -c -- '-json.log')"
        for file in "$path" "$path.1" "$path.2"; do
                (($(stat -c %s "$file") <= 10 * 1024 + 256)) || fail "$file is too large"
        done
        docker logs rotated >"$BATS_TEST_TMPDIR/log"
        eq "line number 2000" "$(tail -n 1 "$BATS_TEST_TMPDIR/log")"
        # What is there has no gap.
        first=$(head -n 1 "$BATS_TEST_TMPDIR/log" | tr -dc 0-9)
        eq "$(seq "$first" 2000 | md5sum)" "$(tr -dc '0-9\n' <"$BATS_TEST_TMPDIR/log" | md5sum)"
        ((first > 1))
        docker rm rotated
}

@test "--log-driver none keeps nothing, and logs says so" {
        drun --name unlogged --log-driver none hull/nano echo lost >/dev/null
        exits 1 docker logs unlogged
        has "configured logging driver does not support reading" "$output"
        docker rm unlogged
}

@test "an unknown log driver or option is refused" {
        exits 125 drun --rm --log-driver carrier-pigeon hull/nano true
        has "carrier-pigeon" "$output"
        exits 125 drun --rm --log-opt max-size=much hull/nano true
        has "max-size" "$output"
}
