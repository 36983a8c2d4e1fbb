#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2154  # $status and $body are set by lib.bash
# A container's files from outside: cp, diff, export.
# row 13: each case runs in both isolations, and has one outcome.

setup() {
        load ../lib
        common_setup
        here=$BATS_TEST_TMPDIR
}
teardown() {
        # What a test that failed has left would be in the way of the others.
        [[ -n ${BATS_TEST_COMPLETED:-} ]] || remove_all
}
teardown_file() {
        load ../lib
        remove_all
}

inside() { docker exec "$@"; } # inside NAME COMMAND...

# put NAME PATH QUERY: the tar on standard input; sets $status and $body.
put() { api PUT "/containers/$1/archive?path=$2${3:+&$3}" --data-binary @- -H 'Content-Type: application/x-tar'; }

# path_stat NAME PATH: the decoded header.
path_stat() {
        curl --silent --head --max-time 30 --unix-socket "${DOCKER_HOST#unix://}" \
                "http://localhost/containers/$1/archive?path=$2" |
                sed -n 's/^X-Docker-Container-Path-Stat: //ip' | tr -d '\r' | base64 -d
}

# bats test_tags=vm
@test "cp: a file out and in, running and stopped" {
        box cp1
        inside cp1 sh -c 'mkdir /data; echo one >/data/a; chmod 640 /data/a; chown 12:34 /data/a; TZ=UTC touch -d "2001-02-03 04:05:06" /data/a'
        docker cp cp1:/data/a "$here/a"
        eq one "$(cat "$here/a")"
        eq "640 981173106" "$(stat -c '%a %Y' "$here/a")"
        echo two >"$here/b"
        docker cp "$here/b" cp1:/data/
        eq two "$(inside cp1 cat /data/b)"
        docker stop -t 0 cp1 >/dev/null
        docker cp cp1:/data/b "$here/c"
        eq two "$(cat "$here/c")"
        echo three >"$here/d"
        docker cp "$here/d" cp1:/data/renamed
        docker start cp1 >/dev/null
        eq three "$(inside cp1 cat /data/renamed)"
        docker rm -f cp1
}

@test "cp: a container that was never started" {
        docker create --isolation="$HULL_ISOLATION" --name cp2 hull/nano cat /etc/motd.new >/dev/null
        echo hello >"$here/motd"
        docker cp "$here/motd" cp2:/etc/motd.new
        docker cp cp2:/etc/passwd "$here/passwd"
        has root: "$(cat "$here/passwd")"
        eq hello "$(docker start -a cp2)"
        docker rm cp2
}

@test "cp: directories, the slash at the end, and /." {
        box cp3
        inside cp3 mkdir -p /src/sub /dst
        inside cp3 sh -c 'echo x >/src/x; echo y >/src/sub/y'
        docker cp cp3:/src "$here/new"
        eq "new new/sub new/sub/y new/x" "$(cd "$here" && find new | sort | xargs)"
        mkdir "$here/there"
        docker cp cp3:/src "$here/there"
        eq y "$(cat "$here/there/src/sub/y")"
        mkdir "$here/content"
        docker cp cp3:/src/. "$here/content"
        eq "sub x" "$(cd "$here/content" && echo *)"
        docker cp "$here/content" cp3:/dst/renamed
        docker cp "$here/content" cp3:/dst
        docker cp "$here/content/." cp3:/dst
        eq "/dst /dst/content /dst/content/sub /dst/content/sub/y /dst/content/x /dst/renamed /dst/renamed/sub /dst/renamed/sub/y /dst/renamed/x /dst/sub /dst/sub/y /dst/x" \
                "$(inside cp3 find /dst | sort | xargs)"
        docker rm -f cp3
}

@test "cp: symbolic links, followed or not" {
        box cp4
        inside cp4 sh -c 'mkdir /real; echo real >/real/file; ln -s /real/file /link; ln -s real /dirlink'
        docker cp cp4:/link "$here/link"
        eq /real/file "$(readlink "$here/link")"
        docker cp -L cp4:/link "$here/followed"
        eq real "$(cat "$here/followed")"
        [[ ! -L $here/followed ]]
        docker cp cp4:/dirlink/. "$here/dir"
        eq real "$(cat "$here/dir/file")"
        echo through >"$here/t"
        docker cp "$here/t" cp4:/dirlink/
        eq through "$(inside cp4 cat /real/t)"
        docker cp "$here/t" cp4:/link
        eq through "$(inside cp4 cat /real/file)"
        ln -s t "$here/local"
        docker cp "$here/local" cp4:/copied
        eq t "$(inside cp4 readlink /copied)"
        docker cp -L "$here/local" cp4:/copied2
        eq through "$(inside cp4 cat /copied2)"
        docker rm -f cp4
}

@test "cp: what is not there, and what does not fit" {
        box cp5
        inside cp5 sh -c 'mkdir /dir; echo f >/file'
        echo f >"$here/f"
        mkdir "$here/d"
        exits 1 docker cp cp5:/missing "$here/x"
        has "ould not find the file /missing in container cp5" "$output"
        exits 1 docker cp "$here/f" cp5:/no/such/ # in the client's words
        like '.*(ould not find the file|no such directory).*' "${output//$'\n'/ }"
        exits 1 docker cp "$here/d" cp5:/file
        exits 1 docker cp nobody:/etc "$here/x"
        has "o such container: nobody" "$output"
        api HEAD "/containers/cp5/archive?path=/missing" --head
        eq 404 "$status"
        api GET "/containers/cp5/archive"
        eq 400 "$status"
        api GET "/containers/cp5/archive?path=/missing"
        eq 404 "$status"
        has '"message":"Could not find the file /missing in container cp5"' "${body//: /:}"
        put cp5 /missing < <(tar -C "$here" -cf - f)
        eq 404 "$status"
        put cp5 /file < <(tar -C "$here" -cf - f)
        eq 400 "$status"
        has "extraction point is not a directory" "$body"
        mkdir "$here/t" "$here/t/file"
        touch "$here/t/dir"
        put cp5 / noOverwriteDirNonDir=1 < <(tar -C "$here/t" -cf - file)
        has "cannot overwrite non-directory" "$body"
        put cp5 / noOverwriteDirNonDir=1 < <(tar -C "$here/t" -cf - dir)
        has "cannot overwrite directory" "$body"
        docker rm -f cp5
}

@test "cp: the stat of a path" {
        box cp6
        inside cp6 sh -c 'echo 12345 >/f; chmod 4711 /f; ln -s f /l; TZ=UTC touch -d "2001-02-03 04:05:06" /f'
        has '"name":"f"' "$(path_stat cp6 /f | tr -d ' ')"
        has '"size":6' "$(path_stat cp6 /f | tr -d ' ')"
        has '"mtime":"2001-02-03T04:05:06Z"' "$(path_stat cp6 /f | tr -d ' ')"
        has "\"mode\":$((0711 | 1 << 23))" "$(path_stat cp6 /f | tr -d ' ')"
        has '"linkTarget":"/f"' "$(path_stat cp6 /l | tr -d ' ')"
        has "\"mode\":$((0777 | 1 << 27))" "$(path_stat cp6 /l | tr -d ' ')"
        docker rm -f cp6
}

# bats test_tags=vm
@test "cp: as a stream, through standard input and output" {
        box cp7
        inside cp7 sh -c 'mkdir -p /s/t; echo deep >/s/t/f'
        docker cp cp7:/s - | tar -C "$here" -xf -
        eq deep "$(cat "$here/s/t/f")"
        tar -C "$here" -cf - s | docker cp - cp7:/tmp
        eq deep "$(inside cp7 cat /tmp/s/t/f)"
        tar -C "$here" -czf - s | docker cp - cp7:/home
        eq deep "$(inside cp7 cat /home/s/t/f)"
        put cp7 /root </dev/null
        eq 200 "$status"
        put cp7 /root < <(head -c 5000 /dev/urandom)
        eq 400 "$status"
        docker rm -f cp7
}

# bats test_tags=vm
@test "cp: a large file is the same, both ways" {
        box cp8
        head -c 200M /dev/urandom >"$here/big"
        LIMIT=300 docker cp "$here/big" cp8:/big
        sum=$(sha256sum <"$here/big")
        rm "$here/big"
        eq "$sum" "$(LIMIT=300 inside cp8 sh -c 'sha256sum </big')"
        LIMIT=300 docker cp cp8:/big "$here/back"
        eq "$sum" "$(sha256sum <"$here/back")"
        docker rm -f cp8
}

@test "cp: owners, and the container's user with -a" {
        drun -d --name cp9 --user 33:33 hull/nano sleep 100000 >/dev/null
        echo f >"$here/f"
        chown 4321:8765 "$here/f"
        docker cp "$here/f" cp9:/tmp/kept
        docker cp -a "$here/f" cp9:/tmp/own
        eq "4321:8765 33:33" "$(inside cp9 stat -c %u:%g /tmp/kept /tmp/own | xargs)"
        docker rm -f cp9
}

@test "cp: nothing climbs out of the container" {
        box cp10
        inside cp10 sh -c 'ln -s / /out; ln -s /etc/hostname.outside /dangling'
        marker=hull-escape-$RANDOM
        python3 - "$marker" >"$here/evil.tar" <<'EOF'
import io, sys, tarfile
out = tarfile.open(fileobj=sys.stdout.buffer, mode="w|")
def add(name, **kw):
    member = tarfile.TarInfo(name)
    for key, value in kw.items():
        setattr(member, key, value)
    data = b"evil"
    member.size = 0 if kw else len(data)
    out.addfile(member, None if kw else io.BytesIO(data))
add("link", type=tarfile.SYMTYPE, linkname="../../../../../../tmp")
add("link/" + sys.argv[1])
add("out/tmp/" + sys.argv[1] + "2")
out.close()
EOF
        put cp10 / <"$here/evil.tar"
        eq 200 "$status" "$body"
        [[ ! -e /tmp/$marker && ! -e /tmp/${marker}2 ]]
        eq "evilevil" "$(inside cp10 cat "/tmp/$marker" "/tmp/${marker}2")"
        for name in ../climb a/../../climb; do
                python3 -c 'import sys, tarfile; out = tarfile.open(fileobj=sys.stdout.buffer, mode="w|"); out.addfile(tarfile.TarInfo(sys.argv[1])); out.close()' "$name" >"$here/climb.tar"
                put cp10 /tmp <"$here/climb.tar"
                ((status >= 400)) || fail "$name: $status"
        done
        exits 1 inside cp10 ls /climb
        inside cp10 ln -s /proc/self/root/../../../../etc/shadow /shadow
        docker cp -L cp10:/shadow "$here/shadow" 2>/dev/null || true
        [[ ! -e $here/shadow ]] || eq "$(inside cp10 cat /etc/shadow)" "$(cat "$here/shadow")"
        docker rm -f cp10
}

@test "cp: fifos and devices go along, sockets do not" {
        box cp11
        inside cp11 sh -c 'mkdir /special; mkfifo /special/fifo; mknod /special/null c 1 3; echo x >/special/file'
        docker cp cp11:/special - >"$here/s.tar"
        eq "d p - c" "$(tar -tf "$here/s.tar" --verbose | sort -k 6 | cut -c 1 | xargs)"
        put cp11 /tmp <"$here/s.tar"
        eq 200 "$status"
        exits 0 inside cp11 sh -c 'test -p /tmp/special/fifo && test -c /tmp/special/null'
        docker rm -f cp11
}

@test "cp: a read-only root refuses" {
        box cp12 --read-only
        echo f >"$here/f"
        exits 1 docker cp "$here/f" cp12:/
        has "container rootfs is marked read-only" "$output"
        docker cp cp12:/etc/passwd "$here/passwd"
        docker rm -f cp12
}

@test "cp: volumes are reached, running and stopped, and read-only ones are not written" {
        [[ $HULL_ISOLATION == process ]] || skip "a utility VM shares no directory with the host yet"
        mkdir "$here/rw" "$here/ro"
        box cp13 -v "$here/rw:/rw" -v "$here/ro:/ro:ro"
        for state in running stopped; do
                echo $state >"$here/f"
                docker cp "$here/f" cp13:/rw/$state
                eq $state "$(cat "$here/rw/$state")"
                exits 1 docker cp "$here/f" cp13:/ro/f
                has "mounted volume is marked read-only" "$output"
                docker cp cp13:/rw "$here/out-$state"
                eq $state "$(cat "$here/out-$state/$state")"
                docker stop -t 0 cp13 >/dev/null
        done
        docker rm -f cp13
}

@test "cp: a paused container" {
        box cp14
        api POST /containers/cp14/pause
        eq 204 "$status"
        echo f >"$here/f"
        docker cp "$here/f" cp14:/tmp/f
        docker cp cp14:/tmp/f "$here/g"
        api POST /containers/cp14/unpause
        eq f "$(cat "$here/g")"
        docker rm -f cp14
}

# bats test_tags=vm
@test "diff: added, changed and deleted, running and stopped" {
        box diff1
        inside diff1 sh -c 'echo n >/new; mkdir /home/d; echo x >>/etc/passwd; rm /etc/group'
        wanted=$'A /home/d\nA /new\nC /etc\nC /etc/passwd\nC /home\nD /etc/group'
        eq "$wanted" "$(docker diff diff1 | sort)"
        docker stop -t 0 diff1 >/dev/null
        eq "$wanted" "$(docker diff diff1 | sort)"
        docker rm -f diff1
        docker create --isolation="$HULL_ISOLATION" --name diff2 hull/nano true >/dev/null
        eq "" "$(docker diff diff2)"
        docker rm diff2
        exits 1 docker diff nobody
        has "o such container: nobody" "$output"
}

# bats test_tags=vm
@test "export: the container's tree, running and stopped" {
        box export1
        inside export1 sh -c 'echo mine >/mine; mkdir /empty; rm /etc/group; ln -s mine /link'
        wanted=$(inside export1 find / -xdev ! -path / ! -path '/dev/*' ! -path '/proc/*' ! -path '/sys/*' | sed 's|^/||' | sort)
        docker export export1 >"$here/running.tar"
        docker stop -t 0 export1 >/dev/null
        docker export -o "$here/stopped.tar" export1
        for tar in running stopped; do
                eq "$wanted" "$(tar -tf "$here/$tar.tar" | sed 's|/$||; s|^\./||' | grep -vE '^$|^(dev|proc|sys)/' | sort)"
                eq mine "$(tar -xOf "$here/$tar.tar" mine)"
        done
        docker rm -f export1
}

@test "start and rm beside a transfer, and nothing is left" {
        docker create --isolation="$HULL_ISOLATION" --name busy hull/nano sleep 100000 >/dev/null
        docker cp busy:/etc/passwd "$here/p" &
        docker cp busy:/etc "$here/etc" &
        docker start busy >/dev/null
        wait
        eq true "$(inspect busy '{{.State.Running}}')"
        docker cp busy:/etc/passwd "$here/q"
        id=$(identity busy)
        docker rm -f busy >/dev/null
        docker create --isolation="$HULL_ISOLATION" --name busy hull/nano true >/dev/null
        docker cp busy:/etc/passwd "$here/r"
        id2=$(identity busy)
        docker rm busy >/dev/null
        for left in "$id" "$id2"; do
                # A worker's last act is to tell the engine that all is done.
                no_process() { [[ -z $(pgrep -f -- "$left") ]]; }
                eventually 10 no_process
                [[ -z $(find "$HULL_WORLD" -name "$left*" -path '*/containers/*') ]]
                [[ -z $(find "$HULL_WORLD" -name "$left*" -path '*/files/*') ]]
                ! grep -q "$left" /proc/self/mountinfo
        done
}
