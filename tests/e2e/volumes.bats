#!/usr/bin/env bats
# Volumes as the engine has them (in a container: common/92-volumes.bats): what is where, who owns it, what goes away when.

setup_file() {
        load lib
        need client
        load_volume_images
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

@test "links in the image lead nowhere else" {
        nano -v jumped:/jump t/data true
        eq text "$(cat "$(mountpoint_of jumped)/program")" "a link inside the image"
        nano -v escaped:/escape t/data true
        # /etc of the image, and not the host's.
        eq "$(nano t/data ls -A /etc | sort | xargs)" "$(ls -A "$(mountpoint_of escaped)" | sort | xargs)"
        nano -v climbed:/data/up/../x t/data true
        eq "" "$(awk '{ print $5 }' /proc/self/mountinfo | grep "$HULL_WORLD.*/rootfs" || true)"
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
