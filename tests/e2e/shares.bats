#!/usr/bin/env bats
# What a utility VM shares with the host, seen from outside and by a guest that is not to be trusted.

setup() {
        load lib
        need client
        need hyperv
        work=$BATS_TEST_TMPDIR
        mkdir "$work/first" "$work/second"
        echo secret >"$work/secret"
}
teardown() {
        load lib
        remove_all
}

# The process in whose jail the shares are: the VMM, or QEMU's file server.
sharer_of() { # NAME
        local vmm
        vmm=$(hull compute ls --format json | jq -rs --arg name "$1" 'flatten | map(select(.Name == $name))[0].VmmPid')
        server_of "$vmm" || echo "$vmm"
}

# bats test_tags=vm
@test "in the VM's jail are the named directories, read-only where they are to be, and no others" {
        local pid
        docker run -d --isolation=hyperv --name one -v "$work/first:/a" -v "$work/second:/b:ro" \
                -v "$work/secret:/etc/secret:ro" hull/nano sleep 100000 >/dev/null
        pid=$(sharer_of one)
        # A file server's own root directory is /shares.
        sed -E 's,^(([^ ]+ ){4})/shares/,\1/,' "/proc/$pid/mountinfo" >"$work/mounts"
        eq "$work/first /N rw
$work/second /N ro
$work/secret /N/file ro" "$(awk '$5 ~ /^\/[0-9]/ { split($6, o, ","); sub(/[0-9]/, "N", $5); print $4, $5, o[1] }' "$work/mounts" | sort)"
        eq 3 "$(grep -cE ' /[0-9](/file)? .*nosuid,nodev.*nosymfollow,idmapped' "$work/mounts")"
}

@test "a guest that mounts all it can see sees its shares; a link in one leads nowhere" {
        ln -s /etc "$work/first/etc"
        ln -s "$work/secret" "$work/first/absolute"
        ln -s ../secret "$work/first/climbing"
        docker run -d --isolation=hyperv --privileged --name one -v "$work/first:/a" \
                -v "$work/second:/b:ro" hull/nano sleep 100000 >/dev/null
        docker exec one sh -c 'mkdir /m && mount -t hostfs all /m -o /'
        eq "dev disks hull-vm run shares" "$(docker exec one ls /m | xargs)"
        eq "0 1" "$(docker exec one ls /m/shares | xargs)"
        eq "null" "$(docker exec one ls /m/dev | xargs)"
        exits 1 docker exec one cat /a/absolute
        exits 1 docker exec one cat /a/climbing
        exits 1 docker exec one cat /m/shares/0/climbing /m/shares/1/climbing
        exits 1 docker exec one cat /m/shares/../../secret
        # Not written, either, whatever the guest thinks of its own mount.
        exits 1 docker exec one sh -c 'mount -o remount,rw /b; touch /b/x'
        docker exec one touch /m/shares/0/x /m/shares/1/x && fail "both can be written" || true
        exits 1 docker exec one touch /m/shares/x
        exits 1 docker exec one touch /m/x
        exits 1 docker exec one mknod /a/node c 1 3
        rm -f "$work/first/x"
        eq "absolute climbing etc" "$(ls -A "$work/first" | xargs)"
        eq "" "$(ls -A "$work/second")"
}

@test "what no VM can be given is refused, and says what to do" {
        mkfifo "$work/fifo"
        exits 125 docker run --rm --isolation=hyperv -v "$work/fifo:/a" hull/nano true
        has "is a FIFO, which connects programs of one kernel only" "$output"
        exits 125 docker run --rm --isolation=hyperv -v /dev/null:/a hull/nano true
        has "'/dev/null' is a device of the host" "$output"
}

@test "a socket's server sees the worker; a datagram socket is refused; a flood of connections is bounded" {
        local server
        "$HULL_E2E/socket-server" "$work/who" who >/dev/null 2>&1 </dev/null 3>&- &
        server=$!
        eventually 10 test -S "$work/who"
        docker run -d --isolation=hyperv --name one -v "$work/who:/run/who" hull/core sleep 100000 >/dev/null
        eq "0 hull-worker" "$(docker exec one perl -MIO::Socket::UNIX -e 'print IO::Socket::UNIX->new(Peer => "/run/who")->getline')"
        # 150 that stay: 100 are served, the rest wait until there is room.
        eq "150 0 hull-worker" "$(docker exec one perl -MIO::Socket::UNIX -e '
                for (1 .. 150) { push @s, IO::Socket::UNIX->new(Peer => "/run/who", Blocking => 1) or die $! }
                my $n = 0; while (my $s = shift @s) { $last = $s->getline; $n++; close $s }
                print "$n $last"')"
        kill "$server"
        python3 -c 'import socket, sys, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); time.sleep(60)' "$work/log" 3>&- &
        server=$!
        eventually 10 test -S "$work/log"
        exits 125 docker run --rm --isolation=hyperv -v "$work/log:/dev/log" hull/nano true
        has "is a datagram socket; only stream sockets reach into a utility VM" "$output"
        kill "$server"
}
