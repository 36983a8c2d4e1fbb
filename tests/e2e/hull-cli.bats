#!/usr/bin/env bats
# The hull command: docker's verbs with docker's answers, and its own.

setup() {
        load lib
}
teardown_file() {
        load lib
        remove_all
}

rows() { python3 -c '
import json, sys
text = sys.stdin.read()
rows = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
for row in rows:
    print(*[row[key] for key in sys.argv[1:]], sep="|")' "$@"; }

# same ARGUMENT...: hull says what docker says.
same() { eq "$(docker "$@" 2>&1)" "$(hull "$@" 2>&1)" "hull $*"; }

@test "run, with streams and exit codes" {
        exits 0 hull run --rm hull/nano echo hi
        eq hi "$output"
        exits 3 hull run --rm hull/nano sh -c 'exit 3'
        exits 127 hull run --rm hull/nano no-such-command
        has 'exec: "no-such-command": executable file not found in $PATH' "$output"
        exits 126 hull run --rm hull/nano /etc/passwd
        exits 125 hull run --rm --isolation=X hull/nano true
        has "invalid isolation 'X' on linux" "$output"
        exits 125 hull run --no-such-option hull/nano true
        eq x "$(echo x | hull run -i --rm hull/nano cat)"
}

@test "run -it with a terminal and resize" {
        exits 4 pty --size 30x90 --expect '# ' --send 'stty size\n' --expect '30 90' --resize 41x101 \
                --send 'until [ "$(stty size)" = "41 101" ]; do :; done; echo re''sized\n' --expect resized --send 'exit 4\n' -- \
                "$HULL" run --rm -it hull/nano sh
}

@test "run --isolation=hyperv" {
        need hyperv
        exits 0 hull run --rm --isolation=hyperv hull/nano uname -r
        [[ $output != "$(uname -r)" ]]
}

@test "the life of a container" {
        id=$(hull create --name clied hull/nano sleep 1000)
        eq "$id" "$(identity clied)"
        exits 0 hull start clied
        exits 0 hull exec clied echo inside
        eq inside "$output"
        has "sleep 1000" "$(hull top clied)"
        exits 0 hull rename clied renamed
        exits 0 hull restart -t 0 renamed
        exits 0 hull kill renamed
        eq 137 "$(hull wait renamed)"
        exits 0 hull rm renamed
        exits 1 hull rm renamed
        has "No such container: renamed" "$output"
}

@test "parity with docker" {
        need docker
        docker create --name parity -l a=b hull/nano echo one two >/dev/null
        docker run --name parity2 hull/nano sh -c 'echo out; echo err >&2; exit 3' >/dev/null 2>&1 || true
        same ps -aq
        same ps -a --format '{{.ID}} {{.Names}} {{.Image}} {{.Command}} {{.State}} {{.Labels}}'
        same ps -a --filter exited=3 --format '{{.Names}}'
        same images -q
        same images --format '{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}'
        same logs parity2
        same inspect -f '{{.Id}} {{.State.ExitCode}} {{.HostConfig.Isolation}}' parity2
        same inspect -f '{{json .Config.Cmd}}' parity
        same wait parity2
        same start no-such
        same stop no-such
        old_docker || same exec no-such true
        same version -f '{{.Server.Version}}'
        same info -f '{{.Isolation}} {{.Driver}}'
        same image inspect -f '{{.Id}} {{.RepoTags}}' hull/nano
        same network ls --format '{{.Name}} {{.Driver}}'
        docker rm parity parity2
}

@test "tables have docker's heads" {
        need docker
        docker create --name headed hull/nano true >/dev/null
        for command in "ps -a" images "network ls"; do
                # shellcheck disable=SC2086  # words
                eq "$(docker $command | head -n 1 | xargs)" "$(hull $command | head -n 1 | xargs)" "$command"
        done
        docker rm headed
}

@test "--format json can be read by programs" {
        hull create --name jsoned hull/nano true >/dev/null
        eq "jsoned|hull/nano" "$(hull ps -a --filter name=jsoned --format json | rows Names Image)"
        has "hull/nano|latest" "$(hull images --format json | rows Repository Tag)"
        hull info --format json | python3 -m json.tool >/dev/null
        hull version --format json | python3 -m json.tool >/dev/null
        hull inspect jsoned | python3 -m json.tool >/dev/null
        hull rm jsoned
}

@test "compute ls, compute kill" {
        hull run -d --name computed hull/nano sleep 1000 >/dev/null
        eq "computed|process" "$(hull compute ls --format json | rows Name Isolation)"
        exits 0 hull compute ls
        like 'Id +Name +Owner +Type *' "${lines[0]}"
        exits 0 hull compute ls -o wide
        like 'Id +Name +Owner +Type +Isolation +Engine +WorkerPid +VmmPid +User +Memory +Uptime *' "${lines[0]}"
        exits 0 hull compute kill "$(identity computed)"
        eq 137 "$(hull wait computed)"
        hull rm computed
        eq "" "$(hull compute ls -q)"
}

@test "vm probe names each engine and why" {
        exits 0 hull vm probe
        for engine in kvm uml tcg; do
                has "$engine" "$output"
        done
        eq "kvm tcg uml" "$(hull vm probe --format json | rows Engine | sort | xargs)"
        eq 0 "$(hull vm probe --format json | rows Reason | grep -c '^$')"
}

@test "vm console" {
        need hyperv
        hull run -d --name consoled --isolation=hyperv hull/nano sleep 1000 >/dev/null
        exits 0 hull vm console consoled
        hull rm -f consoled
        exits 1 hull vm console nosuch
        has "No such container: nosuch" "$output"
}

@test "help for each command, and for mistakes" {
        exits 0 hull help
        has "Usage:" "$output"
        local command
        for command in run create start stop kill restart wait attach logs top exec inspect ps rename update rm prune images pull load import \
                tag rmi info version events "compute ls" "vm console" "vm probe" "vm trace"; do
                # shellcheck disable=SC2086  # words
                exits 0 hull $command --help
                has "Usage:" "$output"
                has "hull $command" "$output"
        done
        run hull nosuch
        ((status != 0))
        has "nosuch" "$output"
        run hull run
        ((status != 0))
}

@test "no engine at the socket: a clear error" {
        DOCKER_HOST=unix://$BATS_TEST_TMPDIR/none exits 1 hull ps
        has "$BATS_TEST_TMPDIR/none" "$output"
}
