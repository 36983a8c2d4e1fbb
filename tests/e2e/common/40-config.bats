#!/usr/bin/env bats
# What a container's process finds: user, directory, environment, files, file systems, limits.
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

@test "environment: the image's PATH, HOSTNAME, HOME, and -e" {
        exits 0 drun --rm -e COLOUR=blue -e EMPTY= --hostname web1 hull/nano sh -c 'echo "$COLOUR|$EMPTY|$HOSTNAME|$HOME|$PATH"'
        eq "blue||web1|/root|/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$output"
}

@test "--env-file" {
        printf 'ONE=1\n# comment\nTWO=two words\n' >"$BATS_TEST_TMPDIR/env"
        exits 0 drun --rm --env-file "$BATS_TEST_TMPDIR/env" hull/nano sh -c 'echo "$ONE|$TWO"'
        eq "1|two words" "$output"
}

@test "a user by name is looked up inside the image, with its groups and home" {
        exits 0 drun --rm -u app hull/nano sh -c 'echo "$(id -u):$(id -g):$(id -G):$HOME"; touch ~/mine'
        eq "1000:1000:1000 29:/home/app" "$output"
}

@test "a user by number, with a group by number and by name" {
        exits 0 drun --rm -u 1234:5678 hull/nano sh -c 'echo "$(id -u):$(id -g)"'
        eq "1234:5678" "$output"
        exits 0 drun --rm -u app:staff hull/nano sh -c 'echo "$(id -u):$(id -g)"'
        eq "1000:50" "$output"
}

@test "--group-add by name and number" {
        exits 0 drun --rm --group-add audio --group-add 777 hull/nano id -G
        eq "0 29 777" "$output"
}

@test "a user or group that the image does not know: docker's words" {
        exits 125 drun --rm -u nosuch hull/nano true
        has "unable to find user nosuch: no matching entries in passwd file" "$output"
        exits 125 drun --rm -u app:nosuch hull/nano true
        has "unable to find group nosuch: no matching entries in group file" "$output"
}

@test "--workdir is made if it is not there" {
        exits 0 drun --rm -w /made/up hull/nano pwd
        eq /made/up "$output"
        exits 125 drun --rm -w relative hull/nano pwd
        has "relative" "$output"
}

@test "hostname, hosts and resolv.conf" {
        exits 0 drun --rm --name naming --hostname web1 --add-host db:10.1.2.3 --dns 192.0.2.1 --dns-search example.org \
                --dns-option ndots:2 --dns-opt timeout:3 hull/nano sh -c 'hostname; cat /etc/hostname; grep web1 /etc/hosts; cat /etc/hosts /etc/resolv.conf'
        eq web1 "${lines[0]}"
        eq web1 "${lines[1]}"
        like '[0-9.]+[[:space:]]+web1' "${lines[2]}"
        like '(.|'$'\n'')*10.1.2.3[[:space:]]+db(.|'$'\n'')*' "$output"
        has $'127.0.0.1\tlocalhost' "$output"
        has "nameserver 192.0.2.1" "$output"
        has "search example.org" "$output"
        like '(.|'$'\n'')*options ndots:2 timeout:3(.|'$'\n'')*' "$output"
}

@test "the hostname is the short id unless it is given" {
        box named
        eq "$(identity named | cut -c 1-12)" "$(docker exec named hostname)"
        docker rm -f named
}

@test "the root is writable, or read-only with --read-only" {
        exits 0 drun --rm hull/nano sh -c 'echo data >/file && cat /file'
        eq data "$output"
        exits 1 drun --rm --read-only hull/nano touch /file
        has "Read-only file system" "$output"
        exits 0 drun --rm --read-only --tmpfs /tmp hull/nano touch /tmp/file
}

@test "--tmpfs with options" {
        exits 1 drun --rm --tmpfs /scratch:size=1m,mode=1777 hull/nano sh -c 'grep " /scratch tmpfs " /proc/mounts; stat -c %a /scratch; dd if=/dev/zero of=/scratch/x bs=1M count=2 2>&1'
        has "size=1024k" "$output"
        has 1777 "$output"
        has "No space left on device" "$output"
}

@test "--shm-size is that of /dev/shm" {
        exits 0 drun --rm --shm-size 8m hull/nano sh -c 'df -k /dev/shm | tail -n 1 | awk "{ print \$2 }"'
        eq 8192 "$output"
        exits 0 drun --rm hull/nano sh -c 'df -k /dev/shm | tail -n 1 | awk "{ print \$2 }"'
        eq 65536 "$output"
}

@test "/dev has docker's devices and no others" {
        exits 0 drun --rm hull/nano ls /dev
        eq "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero" "$(xargs <<<"$output")"
        exits 0 drun --rm hull/nano sh -c 'echo x >/dev/null && head -c 1 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c'
        eq "1 4" "$(xargs <<<"$output")"
}

@test "--ulimit" {
        exits 0 drun --rm --ulimit nofile=123:456 --ulimit core=0 hull/nano sh -c 'ulimit -n; ulimit -Hn; ulimit -c'
        eq "123 456 0" "$(xargs <<<"$output")"
        # Without it, the daemon's, and an exec has the same.
        limits='ulimit -n; ulimit -Hn; ulimit -c; ulimit -Hc'
        daemon=$(sed -nE 's/^Max (open files|core file size) +([^ ]+) +([^ ]+) .*/\2 \3/p' "/proc/$(cat "$HULL_WORLD/main/hulld.pid")/limits" | tac | xargs)
        box limited
        eq "$daemon" "$(docker exec limited sh -c "$limits" | xargs)"
        eq "$daemon" "$(drun --rm hull/nano sh -c "$limits" | xargs)"
        docker rm -f limited
}

@test "--sysctl" {
        exits 0 drun --rm --sysctl net.ipv4.ip_default_ttl=77 --sysctl kernel.msgmax=4096 hull/nano \
                cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax
        eq "77 4096" "$(xargs <<<"$output")"
}

@test "pid 1 is the command; the container sees its own processes only" {
        exits 0 drun --rm hull/nano sh -c 'echo $$; ls -d /proc/[0-9]* | wc -l'
        eq 1 "${lines[0]}"
        ((lines[1] <= 4)) || fail "$output"
}

@test "--init: pid 1 is an init, exit code passes" {
        exits 11 drun --rm --init hull/nano sh -c '[ $$ -ne 1 ] && exit 11'
}

@test "labels, and what else inspect shows of the configuration" {
        docker create --name shown --isolation="$HULL_ISOLATION" -l role=test -e A=1 -w /tmp -u app --hostname h1 hull/nano echo hi >/dev/null
        eq "test|/tmp|app|h1|hull/nano|[echo hi]|$HULL_ISOLATION|created|false" \
                "$(inspect shown '{{.Config.Labels.role}}|{{.Config.WorkingDir}}|{{.Config.User}}|{{.Config.Hostname}}|{{.Config.Image}}|{{.Config.Cmd}}|{{.HostConfig.Isolation}}|{{.State.Status}}|{{.State.Running}}')"
        docker rm shown
}
