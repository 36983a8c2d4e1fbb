#!/usr/bin/env bats
# Volumes, bind mounts and tmpfs in a container: what is where, who owns it, what goes away when.

setup_file() {
        load ../lib
        need client
        load_volume_images
}
setup() {
        load ../lib
        common_setup
        work=$BATS_TEST_TMPDIR
}
teardown() {
        load ../lib
        remove_all
        umount -R -l "$HULL_WORLD/below/one two" 2>/dev/null || true
        umount -R -l "$HULL_WORLD"/below/{single,hidden,over} 2>/dev/null || true
        docker volume ls -q | xargs -r timeout 60 "$HULL_CLIENT" volume rm -f >/dev/null
}

# mounts_of NAME MEMBER...: a line for each mount.
mounts_of() {
        docker inspect "$1" | python3 -c '
import json, sys
for mount in json.load(sys.stdin)[0]["Mounts"]:
    print(*(mount.get(name, "-") for name in sys.argv[1:]))' "${@:2}"
}

nano() { drun --rm "$@"; }
mountpoint_of() { docker volume inspect -f '{{.Mountpoint}}' "$1"; }
volumes() { docker volume ls -q | sort | xargs; }

@test "a volume outlives its containers and is shared by them" {
        nano -v shared:/a hull/nano sh -c 'echo first >/a/file'
        eq first "$(nano -v shared:/b hull/nano cat /b/file)"
        eq first "$(cat "$(mountpoint_of shared)/file")"
        box one -v shared:/a
        nano --mount type=volume,source=shared,target=/c hull/nano sh -c 'echo second >/c/file'
        eq second "$(docker exec one cat /a/file)"
        exits 1 nano -v shared:/a:ro hull/nano sh -c 'echo third >/a/file'
        has "Read-only file system" "$output"
        exits 1 nano --mount type=volume,src=shared,dst=/a,readonly hull/nano touch /a/x
        eq "volume shared $(mountpoint_of shared) /a local z True" \
                "$(mounts_of one Type Name Source Destination Driver Mode RW)"
        exits 1 docker volume rm shared
        has "remove shared: volume is in use - [$(identity one)]" "$output"
        docker stop -t 0 one >/dev/null
        exits 1 docker volume rm shared
        docker rm -v one >/dev/null
        eq shared "$(volumes)" "rm -v leaves named volumes"
        exits 0 docker volume rm shared
}

@test "mounts below each other, in whatever order they are named" {
        eq "inner outer" "$(nano -v inner:/a/b -v outer:/a hull/nano sh -c 'echo inner >/a/b/f; echo outer >/a/f; echo $(cat /a/b/f) $(cat /a/f)')"
        eq inner "$(cat "$(mountpoint_of inner)/f")"
        eq outer "$(cat "$(mountpoint_of outer)/f")"
        eq "tmpfs inner" "$(nano --tmpfs /a -v inner:/a/b hull/nano sh -c 'echo $(stat -f -c %T /a) $(cat /a/b/f)')"
}

@test "the image's content goes into an empty volume, whole, once" {
        local got
        nano -v full:/data t/data true
        got=$(mountpoint_of full)
        eq "$(printf '%s\n' ' d 1750 1234 5678' 'below d 2775 0 7' 'below/file f 600 9 9' 'out l 777 0 0 /etc/passwd' 'program f 4755 1234 5678' 'up l 777 0 0 ../../../../../etc')" \
                "$(cd "$got" && find . -printf '%P %y %m %U %G %l\n' | sed 's/ $//' | sort)"
        eq text "$(cat "$got/program")"
        eq 1000000000 "$(stat -c %Y "$got/program")"
        eq 1000000000 "$(stat -c %Y "$got")"
        if getfattr -n user.made "$HULL_WORLD/main/root/layers"/*/fs/data/program >/dev/null 2>&1; then
                eq here "$(getfattr --only-values -n user.made "$got/program" 2>/dev/null)"
        fi
        # What is not empty stays as it is.
        rm "$got/program"
        nano -v full:/data t/data true
        [[ ! -e $got/program ]]
        nano -v empty:/data:nocopy t/data sh -c '[ -z "$(ls -A /data)" ]'
        nano --mount type=volume,src=empty,dst=/data,volume-nocopy t/data sh -c '[ -z "$(ls -A /data)" ]'
        # At creation already.
        docker create --isolation="$HULL_ISOLATION" --name later -v early:/data t/data true >/dev/null
        eq text "$(cat "$(mountpoint_of early)/program")"
        nano -v nothing:/not/there t/data true
        eq "" "$(ls -A "$(mountpoint_of nothing)")"
}

@test "anonymous volumes: of the image and of -v /path; rm -v and --rm take them away" {
        local anonymous
        drun -d --name one -v /plain t/declared sleep 1000 >/dev/null
        eq 2 "$(docker volume ls -q | wc -l)"
        like '[0-9a-f]{64}' "$(docker volume ls -q | head -n 1)"
        eq "/data /plain" "$(mounts_of one Destination | sort | xargs)"
        eq 1234 "$(docker exec one stat -c %u /data)"
        docker exec one touch /data/mine
        eq mine "$(nano --volumes-from one hull/nano ls /data | grep mine)"
        eq 2 "$(docker volume ls -q | wc -l)" "those of another container stay"
        exits 1 nano --volumes-from one:ro hull/nano touch /data/x
        docker rm -f one >/dev/null
        eq 2 "$(docker volume ls -q | wc -l)" "rm without -v"
        eq 2 "$(docker volume ls -q --filter dangling=true | wc -l)"
        docker volume ls -q | xargs timeout 60 "$HULL_CLIENT" volume rm >/dev/null
        nano t/declared touch /data/x
        eventually 5 eq "" "$(volumes)"
        docker create --isolation="$HULL_ISOLATION" --name two t/declared >/dev/null
        anonymous=$(docker volume ls -q)
        docker rm -v two >/dev/null
        exits 1 docker volume inspect "$anonymous"
        # A mount of one's own is there instead.
        nano -v named:/data t/declared true
        eq named "$(volumes)"
}

@test "driver options: mounted while it is used, and only then" {
        local place
        mounted() { awk '{ print $5 }' /proc/self/mountinfo | grep -qx "$place"; }
        unmounted() { ! mounted; }
        docker volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,uid=55,noexec fast >/dev/null
        place=$(mountpoint_of fast)
        unmounted || fail "still mounted"
        box one -v fast:/a
        mounted || fail "not mounted"
        eq 55 "$(docker exec one stat -c %u /a)"
        exits 1 docker exec one dd if=/dev/zero of=/a/x bs=1M count=2
        box two -v fast:/b
        docker exec one sh -c 'rm /a/x; echo x >/a/y'
        eq x "$(docker exec two cat /b/y)"
        docker rm -f one >/dev/null
        mounted || fail "not mounted"
        docker rm -f two >/dev/null
        unmounted || fail "still mounted"
        mkdir "$work/here"
        echo there >"$work/here/file"
        docker volume create -o type=none -o device="$work/here" -o o=bind,ro link >/dev/null
        eq there "$(nano -v link:/a hull/nano cat /a/file)"
        exits 1 nano -v link:/a hull/nano touch /a/x
        eventually 5 eq 0 "$(grep -c "/link/_data" /proc/self/mountinfo)"
        docker volume create -o type=none -o device=/nonsense -o o=bind broken >/dev/null
        exits 125 nano -v broken:/a hull/nano true
        has "failed to mount local volume: mount /nonsense:" "$output"
        eq there "$(nano --mount "type=volume,src=made,dst=/a,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=$work/here,volume-label=x=y" hull/nano cat /a/file)"
        eq y "$(docker volume inspect -f '{{.Labels.x}}' made)"
}

@test "bind mounts: -v makes what is missing, --mount does not; tmpfs" {
        nano -v "$work/new/dir:/a" hull/nano touch /a/made
        [[ -e $work/new/dir/made ]]
        exits 1 nano -v "$work/new/dir:/a:ro" hull/nano touch /a/x
        eq made "$(nano --mount "type=bind,src=$work/new/dir,dst=/a" hull/nano ls /a)"
        echo content >"$work/file"
        eq content "$(nano -v "$work/file:/etc/file" hull/nano cat /etc/file)"
        eq "tmpfs 1777" "$(nano --mount type=tmpfs,dst=/a,tmpfs-size=1m,tmpfs-mode=1777 hull/nano sh -c 'echo $(stat -f -c %T /a) $(stat -c %a /a)')"
}

# bats test_tags=vm
@test "who owns what: the same ids and modes on both sides" {
        local d=$work/owned
        mkdir "$d" && chmod 755 "$d"
        box one -v "$d:/a"
        install -o 1234 -g 5678 -m 640 /dev/null "$d/from-host"
        eq "640 1234 5678" "$(docker exec one stat -c '%a %u %g' /a/from-host)"
        docker exec one sh -c 'umask 077; touch /a/root; mkdir /a/dir; chown 33:44 /a/dir; chmod 2775 /a/dir
                ln -s nowhere /a/link; mkfifo /a/fifo; touch /a/suid; chmod 4755 /a/suid; ln /a/suid /a/hard'
        docker exec -u 33:44 one sh -c 'echo mine >/a/dir/file'
        eq "600 0 0" "$(stat -c '%a %u %g' "$d/root")"
        eq "2775 33 44" "$(stat -c '%a %u %g' "$d/dir")"
        eq "644 33 44" "$(stat -c '%a %u %g' "$d/dir/file")"
        eq "nowhere fifo 4755 2" "$(readlink "$d/link") $(stat -c %F "$d/fifo") $(stat -c '%a %h' "$d/suid")"
        exits 1 docker exec -u 1000 one cat /a/root
        exits 1 docker exec -u 1000 one touch /a/new
}

# bats test_tags=vm
@test "a share shows what happens on the other side at once" {
        local d=$work/both i
        mkdir "$d"
        box one -v "$d:/a" -v "$d:/b"
        for i in 1 2 3; do
                echo "host $i" >"$d/file"
                eq "host $i" "$(docker exec one cat /a/file)"
                docker exec one sh -c "echo box $i >>/a/file"
                eq "host $i box $i" "$(xargs <"$d/file")"
                eq "host $i box $i" "$(docker exec one cat /b/file | xargs)"
        done
        mkdir "$d/sub"
        docker exec one touch /a/sub/inner
        rm "$d/sub/inner" "$d/file"
        eq "" "$(docker exec one sh -c 'cat /a/file 2>/dev/null; ls /a/sub')"
        docker exec one rmdir /a/sub
        [[ ! -e $d/sub ]]
        # What was written and not read back is there when the container has ended.
        nano -v "$d:/a" hull/nano sh -c 'echo last >/a/last; exec 3>/a/open; echo open >&3; kill -9 $$' || true
        eq "last open" "$(cat "$d/last" "$d/open" | xargs)"
}

# bats test_tags=vm
@test "what is mounted below a directory of the host is there, too" {
        local d=$HULL_WORLD/below
        mkdir -p "$d/one two"
        mount -t tmpfs tmpfs "$d/one two"
        mkdir "$d/one two/three"
        mount -t tmpfs tmpfs "$d/one two/three"
        touch "$d/one two/first" "$d/one two/three/second"
        eq "first three second" "$(nano -v "$d:/a" hull/nano sh -c 'ls -A "/a/one two" "/a/one two/three" | grep -v :; echo x >"/a/one two/three/made"; chown 5:6 "/a/one two/three/made"' | xargs)"
        eq "x 5 6" "$(cat "$d/one two/three/made") $(stat -c '%u %g' "$d/one two/three/made")"
        if [[ $HULL_ISOLATION == hyperv ]]; then
                # Read-only as a whole, which docker's old way in process isolation is not.
                exits 1 nano -v "$d:/a:ro" hull/nano touch "/a/one two/three/x"
        fi
        umount -R "$d/one two"
        rm -r --one-file-system "$d"
}

@test "what is mounted below and cannot be id-mapped is not there, which State.Error says; nothing else is missing" {
        local d=$HULL_WORLD/below
        mkdir -p "$d/over" "$d/hidden" "$d/side/lower" "$d/side/upper" "$d/side/work"
        echo below >"$d/hidden/file"
        echo file >"$d/single"
        echo secret >"$d/side/lower/secret"
        mkdir "$d/side/lower/deep"
        mount -t overlay -o "lowerdir=$d/side/lower,upperdir=$d/side/upper,workdir=$d/side/work" over "$d/over"
        mount -t tmpfs tmpfs "$d/over/deep"
        mount --bind "$d/over" "$d/hidden"
        mount --bind "$d/over/secret" "$d/single"
        box one -v "$d:/a"
        # Some day it can be.
        if [[ $(inspect one '{{.State.Error}}') == "" ]]; then
                eq "secret secret secret" "$(docker exec one cat /a/over/secret /a/hidden/secret /a/single | xargs)"
        else
                eq "" "$(docker exec one sh -c 'ls -A /a/over /a/hidden; cat /a/single' | grep -v : | xargs)"
                eq "root 555 root 555 root 444" "$(docker exec one stat -c '%U %a' /a/over /a/hidden /a/single | xargs)"
                exits 1 docker exec one touch /a/over/x
                exits 1 docker exec one sh -c 'echo x >/a/single'
                has "its file system, overlay, has no id-mapped mounts on this kernel: in its place is nothing" "$(inspect one '{{.State.Error}}')"
        fi
        eq lower "$(docker exec one ls /a/side/ | head -1)"
        # Nothing of the host's is held by it.
        umount "$d/single" "$d/hidden" "$d/over/deep" "$d/over"
        docker rm -f one >/dev/null
        rm -r --one-file-system "$d"
}

@test "a whole host, read-only" {
        box one -v /:/host:ro
        eq "$(cat /etc/passwd)" "$(docker exec one cat /host/etc/passwd)"
        exits 1 docker exec one touch /host/x
}

@test "a single file: its content, and not what takes its name" {
        local f=$work/single
        echo one >"$f"
        box one -v "$f:/etc/single" -v "$f:/deep/er/read:ro"
        eq one "$(docker exec one cat /etc/single)"
        echo two >>"$f"
        # Asked about it, a VM's kernel looks again at what it has of a file that is a mount.
        look() { docker exec one sh -c "stat $1 >/dev/null; cat $1" | xargs; }
        eq "one two" "$(look /etc/single)"
        docker exec one sh -c 'echo three >>/etc/single'
        eq "one two three" "$(xargs <"$f")"
        eq "one two three" "$(look /deep/er/read)"
        exits 1 docker exec one sh -c 'echo x >>/deep/er/read'
        echo other >"$f.new"
        mv "$f.new" "$f"
        eq "one two three" "$(docker exec one cat /etc/single | xargs)"
        docker restart -t 0 one >/dev/null
        eq other "$(docker exec one cat /etc/single)"
}

@test "a directory that vanished fails the start, in words that say which" {
        mkdir "$work/gone"
        docker create --isolation="$HULL_ISOLATION" --name one \
                --mount "type=bind,src=$work/gone,dst=/a" hull/nano true >/dev/null
        rmdir "$work/gone"
        exits 1 docker start -a one
        has "$work/gone" "$output"
        mkdir "$work/gone"
        exits 0 docker start -a one
}

@test "docker cp reaches a volume, running or not" {
        box one -v store:/a -v "$work:/w"
        echo running >"$work/in"
        docker cp "$work/in" one:/a/first
        eq running "$(cat "$(mountpoint_of store)/first")"
        docker stop -t 0 one >/dev/null
        echo stopped >"$work/in"
        docker cp "$work/in" one:/a/second
        eq stopped "$(cat "$(mountpoint_of store)/second")"
        docker cp one:/a/first "$work/out"
        eq running "$(cat "$work/out")"
        eq "" "$(docker diff one | grep -E '^. /a/' || true)"
}
