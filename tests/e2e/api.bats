#!/usr/bin/env bats
# The API with requests that no client sends. The engine lives on after each.

setup() {
        load lib
}
teardown() {
        load lib
        api GET /_ping
        eq "200 OK" "$status $body" "the engine afterwards"
        remove_all
}

message() { python3 -c 'import json, sys; print(json.loads(sys.argv[1])["message"])' "$body"; }

raw() { # TEXT: bytes to the socket; prints what comes back
        python3 - "${DOCKER_HOST#unix://}" "$1" <<'PYTHON'
import socket, sys
with socket.socket(socket.AF_UNIX) as s:
    s.settimeout(10)
    s.connect(sys.argv[1])
    try:
        s.sendall(sys.argv[2].encode().decode("unicode_escape").encode("latin-1"))
        s.shutdown(socket.SHUT_WR)
        while data := s.recv(65536):
            sys.stdout.write(data.decode("latin-1"))
    except (ConnectionError, TimeoutError) as error:
        print(type(error).__name__)
PYTHON
}

@test "ping says the versions" {
        api GET /_ping --include
        has 200 "$status"
        like '(.|'$'\n'')*[Aa][Pp][Ii]-[Vv]ersion: 1\.50(.|'$'\n'')*' "$body"
        has "ostype: linux" "${body,,}"
        api HEAD /_ping --head
        eq 200 "$status"
}

@test "malformed JSON is 400" {
        local text
        for text in '{"Image":' 'null' '[]' '"text"' '{"Image":"hull/nano"} trailing' $'{"Image":"\xff\xfe"}' '{"Image":7}' \
                '{"Image":"hull/nano","HostConfig":[]}' '{"Image":"hull/nano","Env":"A=1"}' '{"Image":"hull/nano","Cmd":{"a":1}}'; do
                api POST /v1.45/containers/create -H 'Content-Type: application/json' --data-binary "$text"
                eq 400 "$status" "$text"
                [[ -n $(message) ]]
        done
        api POST /v1.45/containers/create
        eq 400 "$status" "no body"
}

@test "JSON that is nested too deeply is 413" {
        python3 -c 'print("{\"Image\":" + "[" * 200000 + "]" * 200000 + "}")' >"$BATS_TEST_TMPDIR/deep"
        api POST /v1.45/containers/create -H 'Content-Type: application/json' --data-binary "@$BATS_TEST_TMPDIR/deep"
        eq 413 "$status"
}

@test "headers that are too large are 431" {
        head -c 400000 /dev/zero | tr '\0' x >"$BATS_TEST_TMPDIR/long"
        printf 'GET /_ping HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n' "$(cat "$BATS_TEST_TMPDIR/long")" >"$BATS_TEST_TMPDIR/request"
        answer=$(timeout 20 socat -t 5 - "UNIX-CONNECT:${DOCKER_HOST#unix://}" <"$BATS_TEST_TMPDIR/request" 2>/dev/null || true)
        has " 431 " "$answer"
        has $'\r\nContent-Type: application/json\r\n' "$answer"
        has '{"message":"request header fields too large"}' "$answer"
}

@test "a body that is too large is 413" {
        head -c 6000000 /dev/zero | tr '\0' ' ' >"$BATS_TEST_TMPDIR/large"
        api POST /v1.45/containers/create -H 'Content-Type: application/json' -H 'Expect:' --data-binary "@$BATS_TEST_TMPDIR/large"
        eq 413 "$status"
        [[ -n $(message) ]]
        # Also when its length is only said, or not said at all.
        has " 413 " "$(raw 'POST /v1.45/containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n')"
        api POST /v1.45/containers/create -H 'Content-Type: application/json' -H 'Expect:' -H 'Transfer-Encoding: chunked' --data-binary "@$BATS_TEST_TMPDIR/large"
        eq 413 "$status"
}

@test "an unknown path is 404 with docker's words" {
        api GET /v1.45/no/such/path
        eq 404 "$status"
        eq "page not found" "$(message)"
        api GET /no-such-path
        eq 404 "$status"
        api GET /v1.45/containers/nosuch/json
        eq "404 No such container: nosuch" "$status $(message)"
}

@test "versions that are too old or too new are 400 with docker's words" {
        api GET /v1.30/containers/json
        eq "400 client version 1.30 is too old. Minimum supported API version is 1.41, please upgrade your client to a newer version" "$status $(message)"
        api GET /v1.99/containers/json
        eq "400 client version 1.99 is too new. Maximum supported API version is 1.50" "$status $(message)"
        local version
        for version in 1.41 1.44 1.50; do
                api GET "/v$version/containers/json"
                eq "200 []" "$status $body" "$version"
        done
        api GET /containers/json
        eq 200 "$status"
}

@test "the docker client of each version works" {
        need docker
        local version
        for version in 1.41 1.43 1.46 1.50; do
                output=$(DOCKER_API_VERSION=$version docker run --rm hull/nano echo "$version")
                eq "$version" "$output"
        done
}

@test "bytes that are no HTTP" {
        local text
        for text in '\x00\xff\xfe\r\n\r\n' 'GET\r\n\r\n' 'GET /_ping HTTP/9.9\r\n\r\n' 'POST /v1.45/containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n' \
                'GET /v1.45/containers/%00/json HTTP/1.1\r\nHost: x\r\n\r\n' 'GET /v1.45/containers/..%2f..%2f/json HTTP/1.1\r\nHost: x\r\n\r\n'; do
                lacks "200 OK" "$(raw "$text")"
        done
}

@test "parameters that are nonsense are 400" {
        docker create --name victim hull/nano true >/dev/null
        local path
        for path in 'GET /v1.45/containers/json?limit=many' 'GET /v1.45/containers/json?filters=nojson' \
                'GET /v1.45/containers/json?filters=%7B%22nosuch%22:%5B%22x%22%5D%7D' 'POST /v1.45/containers/victim/wait?condition=never' \
                'GET /v1.45/containers/victim/logs' 'POST /v1.45/containers/victim/stop?t=soon' \
                'GET /v1.45/events?since=yesterday'; do
                api "${path%% *}" "${path#* }"
                eq 400 "$status" "$path"
        done
}

@test "hundreds of connections that say nothing do not stop the others" {
        python3 - "${DOCKER_HOST#unix://}" <<'PYTHON' &
import socket, sys, select
sockets = []
for _ in range(300):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.send(b"GET /_p")
    sockets.append(s)
print("ready", flush=True)
select.select([], [], [], 20)
PYTHON
        local crowd=$!
        api GET /_ping
        eq 200 "$status"
        api GET /v1.45/containers/json
        eq 200 "$status"
        kill "$crowd"
        wait "$crowd" || true
}

@test "a client that goes away in the middle of an attach leaves nothing" {
        docker run -d --name endless hull/nano sh -c 'while :; do echo y; done' >/dev/null
        local i
        for i in 1 2 3 4 5; do
                timeout -s KILL 0.3 "$HULL_CLIENT" attach --no-stdin endless >/dev/null 2>&1 || true
                timeout -s KILL 0.3 "$HULL_CLIENT" logs -f endless >/dev/null 2>&1 || true
        done
        eq true "$(inspect endless '{{.State.Running}}')"
        pid=$(cat "$HULL_WORLD/main/hulld.pid")
        few_threads() { (($(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 | wc -l) < 16)); }
        eventually 10 few_threads
}
