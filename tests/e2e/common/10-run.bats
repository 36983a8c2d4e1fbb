#!/usr/bin/env bats
# docker run: exit codes, streams, terminals.
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

# bats test_tags=vm
@test "run prints what the command prints" {
        exits 0 drun --rm hull/nano echo hello world
        eq "hello world" "$output"
}

@test "stdout and stderr stay apart" {
        run --separate-stderr drun --rm hull/nano sh -c 'echo out; echo err >&2'
        eq 0 "$status"
        eq out "$output"
        eq err "$stderr"
}

@test "the image's command runs when none is given" {
        exits 0 bash -c "echo 'echo from the shell' | timeout 60 '$HULL_CLIENT' run -i --rm --isolation=$HULL_ISOLATION hull/nano"
        eq "from the shell" "$output"
}

@test "exit code of the command is that of docker run" {
        exits 0 drun --rm hull/nano true
        exits 1 drun --rm hull/nano false
        exits 3 drun --rm hull/nano sh -c 'exit 3'
        exits 255 drun --rm hull/nano sh -c 'exit 255'
}

@test "a command that ends by a signal has 128 and its number as exit code" {
        exits 137 drun --rm --init hull/nano sh -c 'kill -KILL $$'
        exits 143 drun --rm --init hull/nano sh -c 'kill -TERM $$'
}

@test "a command that is not in the image: 127 and docker's words" {
        exits 127 drun --rm hull/nano no-such-command
        has 'exec: "no-such-command": executable file not found in $PATH' "$output"
        exits 127 drun --rm hull/nano /no/such/file
        has 'exec: "/no/such/file": stat /no/such/file: no such file or directory' "$output"
}

@test "a command that may not be executed: 126 and docker's words" {
        exits 126 drun --rm hull/nano /etc/passwd
        has 'exec: "/etc/passwd": permission denied' "$output"
        if old_docker; then exits 125 drun --rm hull/nano /etc; else exits 126 drun --rm hull/nano /etc; fi
        has 'is a directory' "$output"
}

# bats test_tags=vm
@test "a container that could not start does not stay behind with --rm" {
        exits 127 drun --rm --name stillborn hull/nano no-such-command
        gone stillborn
}

# bats test_tags=vm
@test "stdin is half-closed: cat ends with its input" {
        output=$(echo x | drun -i --rm hull/nano cat)
        eq x "$output"
}

@test "without -i stdin is empty" {
        output=$(echo unread | drun --rm hull/nano cat)
        eq "" "$output"
}

@test "output goes on after stdin was closed" {
        output=$(echo x | drun -i --rm hull/nano sh -c 'cat >/dev/null; echo after')
        eq after "$output"
}

@test "streams are binary-safe in both directions" {
        head -c 3000001 /dev/urandom >"$BATS_TEST_TMPDIR/data"
        want=$(sha256sum <"$BATS_TEST_TMPDIR/data")
        eq "$want" "$(drun -i --rm hull/nano sha256sum <"$BATS_TEST_TMPDIR/data")" "to the container"
        eq "$want" "$(drun -i --rm --log-driver none hull/nano cat <"$BATS_TEST_TMPDIR/data" | sha256sum)" "and back"
}

@test "1 GiB of output arrives whole, and the worker's memory is bounded" {
        mkfifo "$BATS_TEST_TMPDIR/pipe"
        LIMIT=120 drun --name big --log-driver none hull/nano sh -c 'dd if=/dev/zero bs=64k count=16384 2>/dev/null | cat; exec sleep 1000' \
                >"$BATS_TEST_TMPDIR/pipe" 3>&- &
        timeout 100 cmp -n $((1 << 30)) "$BATS_TEST_TMPDIR/pipe" /dev/zero
        worker=$(hull compute ls --format json | python3 -c '
import json, sys
text = sys.stdin.read()
rows = json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines())
print([row["WorkerPid"] for row in rows if row["Name"] == "big"][0])')
        peak=$(awk '/^VmHWM:/ { print $2 }' "/proc/$worker/status")
        docker rm -f big >/dev/null
        ((peak < 48 * 1024)) || fail "the worker's memory grew to $peak KiB"
}

# bats test_tags=vm
@test "a terminal has its size, and follows a resize" {
        exits 0 pty --size 31x97 --expect 'ready' --send 'until [ "$(stty size)" = "31 97" ]; do :; done; stty size\n' --expect '31 97\r' \
                --resize 33x111 --send 'until [ "$(stty size)" = "33 111" ]; do :; done; echo re''sized\n' \
                --expect 'resized' --send 'exit 0\n' -- \
                "$HULL_CLIENT" run --rm -it --isolation="$HULL_ISOLATION" hull/nano sh -c 'echo ready; exec sh'
}

# bats test_tags=vm
@test "a terminal: control-C interrupts, exit code passes" {
        exits 5 pty --expect 'ready' --send '\x03' --expect 'caught' -- \
                "$HULL_CLIENT" run --rm -it --isolation="$HULL_ISOLATION" hull/nano \
                sh -c 'trap "echo caught; exit 5" INT; echo ready; while :; do sleep 0.1; done'
}

@test "a terminal is /dev/console and a tty, TERM is set" {
        exits 0 pty -- "$HULL_CLIENT" run --rm -it --isolation="$HULL_ISOLATION" hull/nano sh -c 'tty; echo "$TERM"; test -c /dev/console'
        has /dev/pts/0 "$output"
        has xterm "$output"
}

@test "control-C at a client without terminal reaches the container" {
        drun --name interrupted hull/nano sh -c 'trap "exit 9" INT; echo ready; while :; do sleep 0.1; done' >/dev/null 3>&- &
        local client=$!
        eventually 20 log_has interrupted ready
        # `docker` is a function: the client is a child of timeout, which passes signals on.
        kill -INT "$(pgrep -P "$client" timeout || echo "$client")"
        wait "$client" || true
        eventually 10 is_state interrupted exited
        eq 9 "$(inspect interrupted '{{.State.ExitCode}}')"
        docker rm interrupted
}

@test "a detached container goes on without its client" {
        id=$(drun -d --name detached hull/nano sh -c 'echo alive; exec sleep 1000')
        like '[0-9a-f]{64}' "$id"
        eventually 10 log_has detached alive
        eq true "$(inspect detached '{{.State.Running}}')"
        docker rm -f detached
}

@test "--cidfile holds the id" {
        drun -d --name withfile --cidfile "$BATS_TEST_TMPDIR/cid" hull/nano true
        eq "$(identity withfile)" "$(cat "$BATS_TEST_TMPDIR/cid")"
        docker rm -f withfile
}

@test "--entrypoint replaces the image's" {
        exits 0 drun --rm --entrypoint /bin/echo hull/nano one two
        eq "one two" "$output"
}

# bats test_tags=vm
@test "attach passes both directions; the detach keys leave it running" {
        drun -dit --name attached hull/nano sh >/dev/null
        exits 1 pty --send 'echo m$((1+1))k\n' --expect m2k --send '\x10\x11' -- "$HULL_CLIENT" attach attached
        has "read escape sequence" "$output"
        eq true "$(inspect attached '{{.State.Running}}')"
        exits 1 pty --send 'echo n$((2+2))k\n' --expect n4k --send '\x18' -- "$HULL_CLIENT" attach --detach-keys ctrl-x attached
        eq true "$(inspect attached '{{.State.Running}}')"
        exits 7 pty --send 'exit 7\n' -- "$HULL_CLIENT" attach attached
        docker rm -f attached
}

# bats test_tags=vm
@test "start -a -i attaches to a created container" {
        docker create -i --name created --isolation="$HULL_ISOLATION" hull/nano sh -c 'read line; echo "got $line"; exit 4' >/dev/null
        output=$(echo something | docker start -ai created) && status=0 || status=$?
        eq 4 "$status"
        eq "got something" "$output"
        docker rm created
}

@test "two clients attached to one container both see its output" {
        drun -di --name shared hull/nano sh -c 'while ! read -t 1 x; do echo tick; done; echo "both see $x"' >/dev/null
        docker attach --no-stdin shared >"$BATS_TEST_TMPDIR/second" 3>&- &
        local second=$!
        # A tick says that the second client is there.
        eventually 10 grep -q tick "$BATS_TEST_TMPDIR/second"
        output=$(echo this | docker attach shared | tail -n 1)
        wait "$second"
        eq "both see this" "$output"
        eq "both see this" "$(tail -n 1 "$BATS_TEST_TMPDIR/second")"
        docker rm shared
}
