#!/usr/bin/env bats
# load, import, tag, rmi, and archives that are broken or hostile.

setup() {
        load lib
        need client
        work=$BATS_TEST_TMPDIR
        nano=$HULL_IMAGES/hull-nano.tar
}
teardown_file() {
        load lib
        remove_all
}

# How much the store holds: blobs and unpacked layers, and what is half-made.
store() { (cd "$HULL_WORLD/main/root" && find image layers -mindepth 1 -maxdepth 3 -not -name '*.erofs' | sort); }

@test "load: docker-archive and OCI layout, plain, gzip and zstd" {
        local layout how
        for layout in docker oci; do
                for how in gzip zstd; do
                        image_tool derive "$nano" "$work/image.tar" "t/$layout" --layout $layout --compress $how --add "etc/made=$layout $how"
                        exits 0 docker load -i "$work/image.tar"
                        eq "Loaded image: t/$layout:latest" "${lines[-1]}"
                        exits 0 docker run --rm "t/$layout" cat /etc/made
                        eq "$layout $how" "$output"
                done
        done
        docker rmi t/docker t/oci
        docker image prune -f
}

@test "load: the whole archive may be compressed, and come from stdin" {
        image_tool derive "$nano" "$work/image.tar" t/packed --add etc/made=packed
        gzip -k "$work/image.tar"
        exits 0 docker load -i "$work/image.tar.gz"
        eq "Loaded image: t/packed:latest" "$output"
        zstd -q "$work/image.tar"
        eq "Loaded image: t/packed:latest" "$(docker load <"$work/image.tar.zst")"
        docker rmi t/packed
}

@test "a layer hides what lies below, in both isolations" {
        image_tool derive "$nano" "$work/image.tar" t/layers --remove etc/group --add etc/passwd=replaced
        docker load -q -i "$work/image.tar"
        for isolation in process hyperv; do
                [[ $isolation == process ]] || grep -qx hyperv "$HULL_WORLD/features" || continue
                exits 0 docker run --rm --isolation=$isolation t/layers sh -c 'cat /etc/passwd; ls /etc/group 2>/dev/null; ls -d /etc/nsswitch.conf'
                eq "replaced/etc/nsswitch.conf" "$output"
        done
        docker rmi t/layers
}

@test "images and inspect show what was loaded" {
        exits 0 docker images hull/nano
        like 'REPOSITORY +TAG +IMAGE ID +CREATED +SIZE' "${lines[0]}"
        like 'hull/nano +latest +[0-9a-f]{12} .*' "${lines[1]}"
        id=$(docker images -q --no-trunc hull/nano)
        like 'sha256:[0-9a-f]{64}' "$id"
        eq "$id linux amd64 [sh] [hull/nano:latest]" \
                "$(docker image inspect -f '{{.Id}} {{.Os}} {{.Architecture}} {{.Config.Cmd}} {{.RepoTags}}' hull/nano)"
        eq "$id" "$(docker image inspect -f '{{.Id}}' "${id:7:12}")"
        ! real_docker || exits 0 docker history -q hull/nano
}

@test "tag and rmi: names come and go, the image with the last" {
        image_tool derive "$nano" "$work/image.tar" t/first --add etc/made=tagged
        docker load -q -i "$work/image.tar"
        id=$(docker images -q --no-trunc t/first)
        docker tag t/first t/second:v2
        exits 0 docker rmi t/first
        eq "Untagged: t/first:latest" "$output"
        eq "$id" "$(docker images -q --no-trunc t/second)"
        exits 0 docker rmi t/second:v2
        has "Untagged: t/second:v2" "$output"
        has "Deleted: $id" "$output"
        exits 1 docker image inspect "$id"
        has "No such image" "$output"
        exits 1 docker tag nosuch t/x
        has "No such image: nosuch:latest" "$output"
        exits 1 docker tag hull/nano 'Not/Valid'
        has "invalid reference format" "$output"
}

@test "rmi refuses what containers use, in docker's words" {
        image_tool derive "$nano" "$work/image.tar" t/used --add etc/made=used
        docker load -q -i "$work/image.tar"
        id=$(docker images -q t/used)
        docker run -d --name user t/used sleep 1000 >/dev/null
        container=$(identity user | cut -c 1-12)
        exits 1 docker rmi t/used
        has "conflict: unable to remove repository reference \"t/used\" (must force) - container $container is using its referenced image $id" "$output"
        exits 1 docker rmi "$id"
        has "conflict: unable to delete $id (cannot be forced) - image is being used by running container $container" "$output"
        docker stop -t 0 user >/dev/null
        exits 1 docker rmi "$id"
        has "conflict: unable to delete $id (must be forced) - image is being used by stopped container $container" "$output"
        docker rm user >/dev/null
        exits 0 docker rmi t/used
        exits 1 docker rmi nosuch
        has "No such image: nosuch" "$output"
}

@test "import makes an image of a tar" {
        mkdir -p "$work/root/bin"
        tar -xOf "$nano" "$(tar -tf "$nano" | tail -n 1)" | tar -x -C "$work/root" ./bin
        tar -C "$work/root" -cf "$work/root.tar" .
        exits 0 docker import -c 'CMD ["echo", "imported"]' "$work/root.tar" t/imported:v1
        like 'sha256:[0-9a-f]{64}' "${lines[-1]}"
        exits 0 docker run --rm t/imported:v1
        eq imported "$output"
        docker rmi t/imported:v1
}

@test "image prune removes what has no name" {
        image_tool derive "$nano" "$work/one.tar" t/pruned --add etc/made=one
        image_tool derive "$nano" "$work/two.tar" t/pruned --add etc/made=two
        docker load -q -i "$work/one.tar"
        docker load -q -i "$work/two.tar"
        eq 1 "$(docker images -q --filter dangling=true | wc -l)"
        exits 0 docker image prune -f
        eq 0 "$(docker images -q --filter dangling=true | wc -l)"
        docker rmi t/pruned
}

@test "a missing image: docker's words, exit code 125" {
        exits 125 docker run --rm --pull never hull/nosuch true
        has "No such image: hull/nosuch:latest" "$output"
}

@test "rmi gives the store back" {
        before=$(store)
        image_tool derive "$nano" "$work/image.tar" t/back --add etc/made=back
        docker load -q -i "$work/image.tar"
        [[ $(store) != "$before" ]]
        docker rmi t/back
        back() { [[ $(store) == "$before" ]]; }
        eventually 10 back || fail "$(diff <(echo "$before") <(store))"
}

# --- broken archives ---

@test "a byte of a layer is wrong: the digest is named, nothing stays" {
        before=$(store)
        image_tool derive "$nano" "$work/image.tar" t/broken --random 3000000
        image_tool corrupt "$work/image.tar" "$work/broken.tar"
        digest=$(image_tool largest "$work/image.tar")
        exits 1 docker load -i "$work/broken.tar"
        has "${digest#sha256:}" "$output"
        exits 1 docker image inspect t/broken
        eq "$before" "$(store)"
}

@test "a truncated archive: the digest is named, nothing stays" {
        before=$(store)
        image_tool derive "$nano" "$work/image.tar" t/short --random 3000000 --layout oci --compress gzip
        digest=$(image_tool largest "$work/image.tar")
        size=$(stat -c %s "$work/image.tar")
        head -c $((size / 2)) "$work/image.tar" >"$work/short.tar"
        exits 1 docker load -i "$work/short.tar"
        has "${digest#sha256:}" "$output"
        exits 1 docker image inspect t/short
        eq "$before" "$(store)"
}

@test "what is no archive is refused" {
        before=$(store)
        head -c 100000 /dev/urandom >"$work/noise"
        exits 1 docker load -i "$work/noise"
        : >"$work/empty"
        run docker load -i "$work/empty"
        tar -C "$BATS_TEST_DIRNAME" -cf "$work/other.tar" lib.bash
        exits 1 docker load -i "$work/other.tar"
        eq "$before" "$(store)"
}

# --- hostile archives: they reach nothing outside of the layer ---

@test "hostile layers are refused or contained" {
        local kind before
        mkdir -p "$work/target"
        echo secret >"$work/target/secret"
        for kind in absolute dotdot symlink relative-symlink hardlink hardlink-symlink whiteout; do
                before=$(store)
                image_tool hostile $kind "$work/$kind.tar" "t/hostile-$kind" "$work/target"
                if docker load -i "$work/$kind.tar" >"$work/output" 2>&1; then
                        exits 0 docker rmi "t/hostile-$kind"
                fi
                eq secret "$(ls "$work/target")" "files of the host after $kind"
                eq "secret 1" "$(cat "$work/target/secret") $(stat -c %h "$work/target/secret")" "the host's file after $kind"
                eq "$before" "$(store)" "the store after $kind"
        done
}

@test "an entry that climbs out with .. is refused by name" {
        image_tool hostile dotdot "$work/dotdot.tar" t/dotdot "$work"
        exits 1 docker load -i "$work/dotdot.tar"
        has ".." "$output"
}

@test "a blob whose name climbs out of the archive is refused" {
        mkdir "$work/evil"
        echo '[{"Config":"../../../../etc/passwd","RepoTags":["t/evil:latest"],"Layers":["/etc/shadow"]}]' >"$work/evil/manifest.json"
        tar -C "$work/evil" -cf "$work/evil.tar" manifest.json
        exits 1 docker load -i "$work/evil.tar"
        exits 1 docker image inspect t/evil
}
