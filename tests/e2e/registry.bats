#!/usr/bin/env bats
# docker pull: Debian's docker-registry, and one that lies as it is told to.

setup_file() {
        load lib
        command -v docker-registry >/dev/null || return 0
        start_registry 5000 plain ''
        # crypt(3) makes what htpasswd -B would.
        # shellcheck disable=SC2016
        perl -e 'print "alice:", crypt("wonder land", "\$2y\$05\$abcdefghijklmnopqrstuu"), "\n"' >"$BATS_FILE_TMPDIR/htpasswd"
        start_registry 5001 closed "auth: {htpasswd: {realm: test, path: $BATS_FILE_TMPDIR/htpasswd}}"
        image_tool derive "$HULL_IMAGES/hull-nano.tar" "$BATS_FILE_TMPDIR/image.tar" t/pulled --add etc/made=pulled
        image_tool push "$BATS_FILE_TMPDIR/image.tar" http://127.0.0.1:5000 t/pulled v1 >"$BATS_FILE_TMPDIR/digest"
        image_tool push "$BATS_FILE_TMPDIR/image.tar" http://127.0.0.1:5001 t/pulled v1 --auth 'alice:wonder land' >/dev/null
}
setup() {
        load lib
        need client
}
teardown() {
        local image
        for pid in "$BATS_TEST_TMPDIR"/*.pid; do
                [[ ! -f $pid ]] || kill "$(cat "$pid")" 2>/dev/null || true
        done
        for image in $(docker images --format '{{.Repository}}:{{.Tag}}' | grep -E '^(127|localhost)' || true); do
                docker rmi -f "$image" >/dev/null
        done
        rm -f "$DOCKER_CONFIG/config.json"
}
teardown_file() {
        for pid in "$BATS_FILE_TMPDIR"/*.pid; do
                [[ ! -f $pid ]] || kill "$(cat "$pid")" 2>/dev/null || true
        done
}

start_registry() { # PORT NAME MORE
        local folder=$BATS_FILE_TMPDIR
        mkdir -p "$folder/$2"
        cat >"$folder/$2.yml" <<TEXT
version: 0.1
log: {accesslog: {disabled: true}, level: error}
storage: {filesystem: {rootdirectory: $folder/$2}}
http: {addr: "127.0.0.1:$1"}
$3
TEXT
        docker-registry serve "$folder/$2.yml" >"$folder/$2.log" 2>&1 </dev/null 3>&- 4>&- &
        echo $! >"$folder/$2.pid"
        answers() { curl --silent --max-time 5 -o /dev/null "http://127.0.0.1:$1/v2/"; }
        eventually 20 answers "$1"
}

# Sets $port to that of a registry in a mode: lying MODE.
lying() {
        "$HULL_E2E/image-tool" serve "$HULL_IMAGES/hull-nano.tar" t/liar "$BATS_TEST_TMPDIR/port" "$BATS_TEST_TMPDIR/requests" --mode "$1" \
                >/dev/null 2>&1 </dev/null 3>&- 4>&- &
        echo $! >"$BATS_TEST_TMPDIR/liar.pid"
        eventually 20 test -s "$BATS_TEST_TMPDIR/port"
        port=$(cat "$BATS_TEST_TMPDIR/port")
}

blobs() { (cd "$HULL_WORLD/main/root" && find image layers -mindepth 1 -maxdepth 3 -not -name '*.erofs' | sort); }

@test "pull, with docker's progress lines; the digest; up to date the second time" {
        need registry
        exits 0 docker pull 127.0.0.1:5000/t/pulled:v1
        has "v1: Pulling from t/pulled" "$output"
        has "Pull complete" "$output"
        has "Digest: $(cat "$BATS_FILE_TMPDIR/digest")" "$output"
        has "Status: Downloaded newer image for 127.0.0.1:5000/t/pulled:v1" "$output"
        exits 0 docker run --rm 127.0.0.1:5000/t/pulled:v1 cat /etc/made
        eq pulled "$output"
        exits 0 docker pull 127.0.0.1:5000/t/pulled:v1
        has "Status: Image is up to date for 127.0.0.1:5000/t/pulled:v1" "$output"
}

@test "run pulls what is missing" {
        need registry
        exits 0 docker run --rm 127.0.0.1:5000/t/pulled:v1 cat /etc/made
        has "Unable to find image '127.0.0.1:5000/t/pulled:v1' locally" "$output"
        eq pulled "${lines[-1]}"
}

@test "pull by digest" {
        need registry
        digest=$(cat "$BATS_FILE_TMPDIR/digest")
        exits 0 docker pull "127.0.0.1:5000/t/pulled@$digest"
        exits 0 docker run --rm "127.0.0.1:5000/t/pulled@$digest" true
        docker rmi "127.0.0.1:5000/t/pulled@$digest"
        exits 1 docker pull "127.0.0.1:5000/t/pulled@sha256:$(printf '0%.0s' {1..64})"
        has "not found" "$output"
}

@test "a tag or repository that is not there: docker's words" {
        need registry
        exits 1 docker pull 127.0.0.1:5000/t/pulled:nosuch
        has "manifest for 127.0.0.1:5000/t/pulled:nosuch not found: manifest unknown" "$output"
        exits 1 docker pull 127.0.0.1:5000/t/nosuch
        has "not found" "$output"
        exits 125 docker run --rm 127.0.0.1:5000/t/nosuch true
}

@test "basic auth: refused without, granted with the right password" {
        need registry
        LIMIT=20 exits 1 docker pull 127.0.0.1:5001/t/pulled:v1
        has "no basic auth credentials" "$output"
        printf '{"auths":{"127.0.0.1:5001":{"auth":"%s"}}}' "$(printf 'alice:wrong' | base64)" >"$DOCKER_CONFIG/config.json"
        LIMIT=20 exits 1 docker pull 127.0.0.1:5001/t/pulled:v1
        printf '{"auths":{"127.0.0.1:5001":{"auth":"%s"}}}' "$(printf 'alice:wonder land' | base64)" >"$DOCKER_CONFIG/config.json"
        exits 0 docker pull 127.0.0.1:5001/t/pulled:v1
        exits 0 docker run --rm 127.0.0.1:5001/t/pulled:v1 cat /etc/made
        eq pulled "$output"
}

login() { # HOST USER PASSWORD
        docker login --username "$2" --password-stdin "$1" <<<"$3"
}

@test "login: refused with a wrong password; with the right one a private image can be pulled" {
        need registry
        need docker
        [[ $HULL_CLIENT == docker ]] || skip "hull has no login"
        LIMIT=20 exits 1 login 127.0.0.1:5001 alice wrong
        has "login attempt to http://127.0.0.1:5001/v2/ failed with status: 401 Unauthorized" "$output"
        LIMIT=20 exits 1 docker pull 127.0.0.1:5001/t/pulled:v1
        exits 0 login 127.0.0.1:5001 alice 'wonder land'
        has "Login Succeeded" "$output"
        exits 0 docker pull 127.0.0.1:5001/t/pulled:v1
        exits 0 docker run --rm 127.0.0.1:5001/t/pulled:v1 cat /etc/made
        eq pulled "$output"
}

@test "POST /auth: docker's answers" {
        need registry
        api POST /v1.45/auth -H 'Content-Type: application/json' \
                --data '{"username":"alice","password":"wonder land","serveraddress":"127.0.0.1:5001"}'
        eq 200 "$status"
        eq '{"IdentityToken": "", "Status": "Login Succeeded"}' \
                "$(python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)))' <<<"$body")"
        api POST /v1.45/auth -H 'Content-Type: application/json' \
                --data '{"username":"alice","password":"wrong","serveraddress":"127.0.0.1:5001"}'
        eq 401 "$status"
        api POST /v1.45/auth -H 'Content-Type: application/json' \
                --data '{"username":"alice","password":"x","serveraddress":"127.0.0.1:9"}'
        eq 503 "$status"
}

@test "a manifest list, and a token" {
        lying token
        exits 0 docker pull "127.0.0.1:$port/t/liar"
        exits 0 docker run --rm "127.0.0.1:$port/t/liar" echo fine
        eq fine "$output"
}

@test "a layer that does not match its digest: the digest is named, nothing stays" {
        lying corrupt
        before=$(blobs)
        exits 1 docker pull "127.0.0.1:$port/t/liar"
        like '(.|'$'\n'')*sha256:[0-9a-f]{64}(.|'$'\n'')*' "$output"
        exits 1 docker image inspect "127.0.0.1:$port/t/liar"
        eq "$before" "$(blobs)"
}

@test "a layer that ends too early is an error, not an image" {
        lying short
        before=$(blobs)
        LIMIT=120 exits 1 docker pull "127.0.0.1:$port/t/liar"
        exits 1 docker image inspect "127.0.0.1:$port/t/liar"
        eq "$before" "$(blobs)"
}

@test "a connection that breaks is resumed where it broke" {
        lying drop
        LIMIT=120 exits 0 docker pull "127.0.0.1:$port/t/liar"
        like '(.|'$'\n'')*bytes=[1-9][0-9]*-(.|'$'\n'')*' "$(cat "$BATS_TEST_TMPDIR/requests")"
        exits 0 docker run --rm "127.0.0.1:$port/t/liar" true
}

@test "nobody listens: a clear error" {
        exits 1 docker pull 127.0.0.1:9/t/nothing
        has "127.0.0.1" "$output"
}

@test "--registry-mirror is asked first for Docker Hub's images" {
        need registry
        engine_start mirrored --bridge none --registry-mirror http://127.0.0.1:5000
        use mirrored
        exits 0 docker pull t/pulled:v1
        exits 0 docker run --rm --network none t/pulled:v1 cat /etc/made
        eq pulled "$output"
        engine_stop mirrored
}
