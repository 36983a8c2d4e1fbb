#!/usr/bin/env bats
# docker exec and docker top.
# row 1: each case runs in both isolations, and has one outcome.

# bats file_tags=vm

setup_file() {
        load ../lib
        grep -qx client "$HULL_WORLD/features" || return 0
        [[ $HULL_ISOLATION == process ]] || grep -qx hyperv "$HULL_WORLD/features" || return 0
        box execbox -e FROM_CONTAINER=yes -w /tmp
}
setup() {
        load ../lib
        common_setup
}
teardown_file() {
        load ../lib
        remove_all
}

@test "exec runs in the container, with its environment and directory" {
        exits 0 docker exec execbox sh -c 'echo "$FROM_CONTAINER $(pwd) $(cat /proc/1/comm)"'
        eq "yes /tmp sleep" "$output"
}

@test "exec: exit codes" {
        exits 0 docker exec execbox true
        exits 3 docker exec execbox sh -c 'exit 3'
        exits 137 docker exec execbox sh -c 'kill -KILL $$'
}

@test "exec: a command that is not there is 127, one that may not be executed 126" {
        exits 127 docker exec execbox no-such-command
        has 'exec: "no-such-command": executable file not found in $PATH' "$output"
        exits 126 docker exec execbox /etc/passwd
        has 'permission denied' "$output"
        exits 126 docker exec -u nobody-here execbox true
        has 'unable to find user nobody-here: no matching entries in passwd file' "$output"
        exits 126 docker exec -w /etc/passwd execbox true
        has 'chdir to cwd ("/etc/passwd") set in config.json failed: not a directory' "$output"
        eq true "$(inspect execbox '{{.State.Running}}')"
}

@test "exec -u, -w and -e" {
        exits 0 docker exec -u app -w / -e COLOUR=blue execbox sh -c 'echo "$(id -un) $(id -gn) $(pwd) $COLOUR"'
        eq "app app / blue" "$output"
        exits 0 docker exec -u 1234:50 execbox sh -c 'echo "$(id -u) $(id -g)"'
        eq "1234 50" "$output"
}

@test "exec -i: stdin is half-closed, streams are binary-safe" {
        head -c 1000001 /dev/urandom >"$BATS_TEST_TMPDIR/data"
        eq "$(sha256sum <"$BATS_TEST_TMPDIR/data")" "$(docker exec -i execbox cat <"$BATS_TEST_TMPDIR/data" | sha256sum)"
}

@test "exec: stdout and stderr stay apart" {
        run --separate-stderr docker exec execbox sh -c 'echo out; echo err >&2'
        eq out "$output"
        eq err "$stderr"
}

@test "exec -it has a terminal that follows a resize" {
        exits 6 pty --size 29x91 --expect 'ready' --send 'until [ "$(stty size)" = "29 91" ]; do :; done; stty size\n' --expect '29 91\r' \
                --resize 40x120 --send 'until [ "$(stty size)" = "40 120" ]; do :; done; echo re''sized\n' \
                --expect resized --send 'exit 6\n' -- "$HULL_CLIENT" exec -it execbox sh -c 'echo ready; exec sh'
}

@test "several execs at once keep their streams apart" {
        local i
        local -a clients=()
        for i in 1 2 3 4 5 6; do
                docker exec execbox sh -c "for n in \$(seq 200); do echo $i; done; exit $i" >"$BATS_TEST_TMPDIR/$i" 3>&- &
                clients[i]=$!
        done
        for i in 1 2 3 4 5 6; do
                wait "${clients[i]}" && status=0 || status=$?
                eq "$i" "$status" "exit code of exec $i"
                eq "200 $i" "$(sort "$BATS_TEST_TMPDIR/$i" | uniq -c | xargs)" "output of exec $i"
        done
}

@test "exec -d runs without a client" {
        docker exec -d execbox sh -c 'echo done >/tmp/detached'
        eventually 10 docker exec execbox test -s /tmp/detached
        eq done "$(docker exec execbox cat /tmp/detached)"
}

@test "exec --privileged has all capabilities the container's kernel side gives" {
        plain=$(docker exec execbox awk '/^CapEff/ { print $2 }' /proc/self/status)
        eq 00000000a80425fb "$plain"
        full=$(docker exec --privileged execbox awk '/^CapEff/ { print $2 }' /proc/self/status)
        ((16#$full & 1 << 21)) || fail "no CAP_SYS_ADMIN in $full"
}

@test "exec in a container that does not run is refused" {
        docker create --name idle --isolation="$HULL_ISOLATION" hull/nano true >/dev/null
        exits 1 docker exec idle true
        has "is not running" "$output"
        docker rm idle
}

@test "exec ends with its container" {
        box doomed
        docker exec doomed sleep 1000 3>&- &
        local client=$!
        eventually 10 top_has doomed 'sleep 1000$'
        docker kill doomed >/dev/null
        wait "$client" && status=0 || status=$?
        eq 137 "$status"
        docker rm doomed
}

top_has() { docker top "$1" | grep -qE "$2"; } # NAME REGEX

@test "top lists the processes, with docker's columns and with ps options" {
        exits 0 docker top execbox
        like 'UID +PID +PPID +C +STIME +TTY +TIME +CMD' "${lines[0]}"
        has "sleep 100000" "$output"
        exits 0 docker top execbox -o pid,comm
        like 'PID +COMMAND' "${lines[0]}"
        like '[0-9]+ +sleep' "${lines[1]}"
}

@test "what an exec started in the background is adopted, and reaped with --init" {
        box adopting --init
        docker exec adopting sh -c 'sleep 0.01 & exit 0'
        no_zombie() { [[ $(docker exec adopting ps -o stat,comm) != *Z* && $(docker exec adopting ps -o args) != *'sleep 0.01'* ]]; }
        eventually 10 no_zombie
        lacks "sleep 100000" "$(docker exec adopting sh -c 'tr "\0" " " </proc/1/cmdline | cut -c 1-13')"
        docker rm -f adopting
}
