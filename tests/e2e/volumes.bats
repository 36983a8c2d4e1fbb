#!/usr/bin/env bats
# Volumes, bind mounts and tmpfs: what is where, who owns it, what goes away when.

setup_file() {
        load lib
        need client
        image_tool derive "$HULL_IMAGES/hull-nano.tar" "$BATS_FILE_TMPDIR/data.tar" t/data \
                --owned "data/=1234:5678:1750:" --owned "data/program=1234:5678:4755:text" \
                --owned "data/below/=0:7:2775:" --owned "data/below/file=9:9:600:deep" \
                --link "data/out=/etc/passwd" --link "data/up=../../../../../etc" \
                --link "jump=/data" --link "escape=../../../../../../etc" --add "single=file"
        image_tool derive "$HULL_IMAGES/hull-nano.tar" "$BATS_FILE_TMPDIR/declared.tar" t/declared \
                --owned "data/=1234:5678:1750:" --owned "data/program=1234:5678:4755:text" --volume /data
        hull load -q -i "$BATS_FILE_TMPDIR/data.tar" >/dev/null
        hull load -q -i "$BATS_FILE_TMPDIR/declared.tar" >/dev/null
}
setup() {
        load lib
        need client
        work=$BATS_TEST_TMPDIR
}
teardown() {
        load lib
        remove_all
        docker volume ls -q | xargs -r timeout 60 "$HULL_CLIENT" volume rm -f >/dev/null
}

# mounts_of NAME MEMBER...: a line for each mount.
mounts_of() {
        docker inspect "$1" | python3 -c '
import json, sys
for mount in json.load(sys.stdin)[0]["Mounts"]:
    print(*(mount.get(name, "-") for name in sys.argv[1:]))' "${@:2}"
}

nano() { docker run --rm --isolation=process "$@"; }
mountpoint_of() { docker volume inspect -f '{{.Mountpoint}}' "$1"; }
volumes() { docker volume ls -q | sort | xargs; }

@test "volume create, ls, inspect, rm: as docker's" {
        eq one "$(docker volume create one)"
        eq one "$(docker volume create one)" "created again"
        eq two "$(docker volume create --label a=b --label c two)"
        like '[0-9a-f]{64}' "$(docker volume create)"
        eq "local local two" "$(docker volume inspect -f '{{.Driver}} {{.Scope}} {{.Name}}' two)"
        eq '{"a":"b","c":""}' "$(docker volume inspect -f '{{json .Labels}}' two)"
        like '[0-9T:-]+Z' "$(docker volume inspect -f '{{.CreatedAt}}' two)"
        eq "$HULL_WORLD/main/root/volumes/one/_data" "$(mountpoint_of one)"
        eq "755 0 0" "$(stat -c '%a %u %g' "$(mountpoint_of one)")"
        eq "700" "$(stat -c %a "$HULL_WORLD/main/root/volumes")"
        eq two "$(docker volume ls -q --filter label=a=b)"
        eq "one two" "$(docker volume ls -q --filter name=o | grep -v '.\{64\}' | sort | xargs)"
        eq 3 "$(docker volume ls -q --filter driver=local | wc -l)"
        exits 1 docker volume ls --filter nonsense=x
        has "invalid filter 'nonsense'" "$output"
        eq one "$(docker volume rm one)"
        exits 1 docker volume inspect one
        exits 1 docker volume rm one
        has "get one: no such volume" "$output"
        api DELETE "/volumes/one?force=1"
        eq 204 "$status"
        [[ ! -e $HULL_WORLD/main/root/volumes/one ]]
}

@test "names and options that cannot be are refused in docker's words" {
        local name
        exits 1 docker volume create ..x
        has 'create ..x: "..x" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path' "$output"
        exits 1 docker volume create x
        has "volume name is too short, names should be at least two alphanumeric characters" "$output"
        for name in .. . a/b '../../x' "$(printf 'a%.0s' {1..256})"; do
                api POST /volumes/create -H 'Content-Type: application/json' -d "{\"Name\":\"$name\"}"
                eq 400 "$status" "$name"
        done
        exits 1 docker volume create -d nonsense xx
        has 'error looking up volume plugin nonsense: plugin "nonsense" not found' "$output"
        exits 1 docker volume create -o nonsense=1 xx
        has 'create xx: invalid option: "nonsense"' "$output"
        exits 1 docker volume create -o type=tmpfs xx
        has 'create xx: missing required option: "device"' "$output"
        exits 125 nano -v x/y:/a hull/nano true
        has "create x/y" "$output"
        eq "" "$(volumes)"
}

@test "mounts that cannot be are refused in docker's words" {
        exits 125 nano --mount type=bind,source=/nonsense,target=/a hull/nano true
        has 'invalid mount config for type "bind": bind source path does not exist: /nonsense' "$output"
        exits 125 nano --mount type=bind,source=nonsense,target=/a hull/nano true
        exits 125 nano -v here:a hull/nano true
        has "invalid volume specification: 'here:a': invalid mount config for type \"volume\": invalid mount path: 'a' mount path must be absolute" "$output"
        exits 125 nano -v here:/ hull/nano true
        has "destination can't be '/'" "$output"
        exits 125 nano -v here:/a:nonsense hull/nano true
        has "invalid mode: nonsense" "$output"
        exits 125 nano -v here:/a:ro,rw hull/nano true
        exits 125 nano -v one:/a -v two:/a hull/nano true
        has "Duplicate mount point: /a" "$output"
        exits 125 nano -v one:/a --tmpfs /a hull/nano true
        exits 125 nano --volumes-from nobody hull/nano true
        has "No such container: nobody" "$output"
        exits 125 nano -v data:/single t/data true
        has "cannot mount volume over existing file, file exists /single" "$output"
        eq "" "$(docker ps -aq)"
}

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
        docker create --isolation=process --name later -v early:/data t/data true >/dev/null
        eq text "$(cat "$(mountpoint_of early)/program")"
        nano -v nothing:/not/there t/data true
        eq "" "$(ls -A "$(mountpoint_of nothing)")"
}

@test "links in the image lead nowhere else" {
        nano -v jumped:/jump t/data true
        eq text "$(cat "$(mountpoint_of jumped)/program")" "a link inside the image"
        nano -v escaped:/escape t/data true
        # /etc of the image, and not the host's.
        eq "$(nano t/data ls -A /etc | sort | xargs)" "$(ls -A "$(mountpoint_of escaped)" | sort | xargs)"
        nano -v climbed:/data/up/../x t/data true
        eq "" "$(awk '{ print $5 }' /proc/self/mountinfo | grep "$HULL_WORLD.*/rootfs" || true)"
}

@test "anonymous volumes: of the image and of -v /path; rm -v and --rm take them away" {
        local anonymous
        docker run -d --isolation=process --name one -v /plain t/declared sleep 1000 >/dev/null
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
        docker create --isolation=process --name two t/declared >/dev/null
        anonymous=$(docker volume ls -q)
        docker rm -v two >/dev/null
        exits 1 docker volume inspect "$anonymous"
        # A mount of one's own is there instead.
        nano -v named:/data t/declared true
        eq named "$(volumes)"
}

@test "prune: anonymous ones, all of them, by label; what is used stays" {
        docker volume create --label keep=1 kept >/dev/null
        docker volume create plain >/dev/null
        docker volume create used >/dev/null
        docker volume create >/dev/null
        docker create --isolation=process --name one -v used:/a hull/nano >/dev/null
        api POST "/v1.50/volumes/prune"
        eq 200 "$status"
        eq "kept plain used" "$(volumes)"
        api POST "/v1.50/volumes/prune?filters=%7B%22all%22%3A%5B%22true%22%5D%2C%22label%21%22%3A%5B%22keep%22%5D%7D"
        eq 200 "$status"
        has '"VolumesDeleted":["plain"]' "$body"
        api POST "/v1.41/volumes/prune"
        eq used "$(volumes)"
        api POST "/v1.50/volumes/prune?filters=%7B%22all%22%3A%5B%22x%22%5D%7D"
        eq 400 "$status"
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
        eq "tmpfs 55" "$(docker exec one sh -c 'echo $(stat -f -c %T /a) $(stat -c %u /a)')"
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

@test "events of a volume; its place in system df" {
        local since
        since=$(date +%s.%N)
        nano -v told:/a:ro hull/nano true
        docker volume rm told >/dev/null
        docker events --since "$since" --until "$(date +%s.%N)" --filter type=volume \
                --format '{{json .}}' >"$work/events"
        eq "create told local mount told local unmount told local destroy told local" "$(python3 -c '
import json, sys
for line in sys.stdin:
    event = json.loads(line)
    print(event["Action"], event["Actor"]["ID"], event["Actor"]["Attributes"]["driver"])' <"$work/events" | xargs)"
        has '"destination":"/a"' "$(cat "$work/events")"
        docker volume create sized >/dev/null
        head -c 5000 /dev/zero >"$(mountpoint_of sized)/file"
        api GET /system/df
        eq "sized 5000 0" "$(python3 -c 'import json, sys; v = json.load(sys.stdin)["Volumes"][0]; print(v["Name"], v["UsageData"]["Size"], v["UsageData"]["RefCount"])' <<<"$body")"
}

@test "a utility VM shares nothing with the host: refused, whatever it is called" {
        need hyperv
        local option
        for option in "-v one:/a" "-v /etc:/a" "-v /a" "--mount type=volume,src=one,dst=/a" \
                "--mount type=bind,src=/etc,dst=/a"; do
                # shellcheck disable=SC2086  # an option and its value
                exits 125 docker run --rm --isolation=hyperv $option hull/nano true
                has "a container with isolation 'hyperv' shares no directory with the host" "$output"
        done
        eq "" "$(volumes)"
}

@test "kill -9 of hulld between any two steps: volumes and containers fit each other afterwards" {
        local i name
        # shellcheck disable=SC2086  # a list of options
        for i in 1 2 3 4 5 6; do
                (for name in a b c d; do
                        docker create --isolation=process -v "named$i$name:/data" -v /plain t/data true
                        docker volume rm "named$((i - 1))$name"
                done) >/dev/null 2>&1 3>&- &
                read -rt "0.0$((i * 13))" <> <(:) || true
                engine_stop main KILL
                wait $!
                engine_start main $HULL_ENGINE_OPTIONS
        done
        for name in $(docker ps -aq); do
                for volume in $(mounts_of "$name" Name); do
                        [[ -d $(mountpoint_of "$volume") ]] || fail "$name has no $volume"
                done
                exits 0 docker start -a "$name"
        done
        for name in $(docker volume ls -q); do
                # All of the image's content, or none of it.
                like "0|6" "$(find "$(mountpoint_of "$name")" | tail -n +2 | wc -l | sed 's/^5$/6/')"
        done
        eq "$(volumes)" "$(ls "$HULL_WORLD/main/root/volumes" | sort | xargs)"
        eq "" "$(awk '{ print $5 }' /proc/self/mountinfo | grep -E "$HULL_WORLD.*(rootfs|_data)" || true)"
}

@test "containers go on with their volumes when hulld is killed" {
        local place
        docker volume create -o type=tmpfs -o device=tmpfs fast >/dev/null
        place=$(mountpoint_of fast)
        box one -v fast:/a
        docker exec one touch /a/file
        engine_stop main KILL
        # shellcheck disable=SC2086  # a list of options
        engine_start main $HULL_ENGINE_OPTIONS
        eq /a/file "$(docker exec one ls /a/file)"
        eq file "$(nano -v fast:/b hull/nano ls /b)"
        docker rm -f one >/dev/null
        eq 0 "$(grep -c "$place" /proc/self/mountinfo)"
}
