#!/usr/bin/env bats
# A unix socket of the host that a container mounts.

setup() {
        load ../lib
        common_setup
        work=$BATS_TEST_TMPDIR
        servers=()
        # Sends its input and at the same time takes what comes.
        cat >"$work/client" <<'PERL'
use IO::Socket::UNIX;
$SIG{PIPE} = sub { print "EPIPE"; exit 3 };
my $s = IO::Socket::UNIX->new(Peer => shift) or die "connect: $!\n";
my ($data, $child) = ('', fork);
if (!$child) {
    while (sysread(STDIN, $data, 65536)) { syswrite($s, $data) == length $data or exit 4 }
    shutdown($s, 1);
    exit 0;
}
while (sysread($s, $data, 65536)) { syswrite(STDOUT, $data) }
waitpid($child, 0);
exit $? >> 8;
PERL
}
teardown() {
        load ../lib
        ((${#servers[@]} == 0)) || kill "${servers[@]}"
        remove_all
}

# server NAME MODE [COUNT]: listens on $work/NAME.
server() {
        "$HULL_E2E/socket-server" "$work/$1" "${@:2}" >"$work/$1.out" 2>&1 </dev/null 3>&- &
        servers+=($!)
        eventually 10 test -S "$work/$1"
}

# client NAME: within the container `one`, which has $work as /w; the socket is /run/NAME.
client() { docker exec -i one perl /w/client "/run/$1"; }

core() {
        drun -d --name one -v "$work/client:/w/client:ro" "$@" hull/core sleep 100000 >/dev/null
}

@test "bytes go both ways, several at once, and either side may finish first" {
        server echo echo
        server whole whole
        server close close
        core -v "$work/echo:/run/echo" -v "$work/whole:/run/whole:ro" --mount "type=bind,src=$work/close,dst=/run/close"
        eq "helloend" "$(printf hello | client echo)"
        eq "end" "$(client echo </dev/null)"
        # 4 MiB each way at the same time, and as much in one.
        head -c 4194304 /dev/urandom >"$work/data"
        eq "$( (cat "$work/data"; printf end) | sha256sum)" "$(client echo <"$work/data" | sha256sum)"
        eq "4194304 $(sha256sum "$work/data" | cut -d ' ' -f 1)" "$(client whole <"$work/data")"
        # Many at once.
        eq "$(seq 20 | sed 's/$/ end/')" "$(docker exec one sh -c 'for i in $(seq 20); do (echo $i | perl /w/client /run/echo >/tmp/$i) & done; wait
                for i in $(seq 20); do echo $(cat /tmp/$i); done')"
        eq bye "$(client close </dev/null)"
        # Who writes to somebody who has gone is told.
        like '(bye)?(EPIPE)?(bye)?' "$(docker exec one sh -c 'yes | perl /w/client /run/close' || true)"
}

# bats test_tags=vm
@test "the socket keeps owner and mode; what a program wrote before its end arrives" {
        server whole whole
        chown 1234:5678 "$work/whole"
        chmod 620 "$work/whole"
        core -v "$work/whole:/run/whole"
        eq "620 1234 5678 socket" "$(docker exec one stat -c '%a %u %g %F' /run/whole)"
        exits 13 docker exec -u 99 one perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Peer => "/run/whole") or exit($!{EACCES} ? 13 : 1)'
        drun --rm -v "$work/whole:/run/whole" hull/core perl -MIO::Socket::UNIX -e '
                $s = IO::Socket::UNIX->new(Peer => "/run/whole"); syswrite($s, "x" x 100000)'
        eventually 5 grep -qx 100000 "$work/whole.out"
}

@test "a server that is not there, and one that comes again" {
        server gone close
        core -v "$work/gone:/run/gone"
        eq bye "$(client gone </dev/null)"
        kill "${servers[0]}"
        wait "${servers[0]}" || true
        servers=()
        lacks bye "$(client gone </dev/null 2>&1 || true)"
        rm "$work/gone"
        server gone close
        # The mount is of the old socket, until the container is started again.
        docker restart -t 0 one >/dev/null
        eq bye "$(client gone </dev/null)"
}
