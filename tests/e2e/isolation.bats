#!/usr/bin/env bats
# One image, one command, two isolations: what differs, and what must not.

setup_file() {
        load lib
        grep -qx client "$HULL_WORLD/features" || return 0
        docker run -d --name pbox --isolation=process hull/core ping -i 1.23 localhost >/dev/null
        if grep -qx hyperv "$HULL_WORLD/features"; then
                docker run -d --name hbox --isolation=hyperv hull/core ping -i 1.37 localhost >/dev/null
        fi
}
setup() {
        load lib
        need client
}
teardown_file() {
        load lib
        remove_all
}

compute() { # NAME FIELD
        hull compute ls --format json | python3 -c '
import json, sys
text = sys.stdin.read()
rows = json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines())
print([row[sys.argv[2]] for row in rows if row["Name"] == sys.argv[1]][0])' "$1" "$2"
}

isolation_of() { # OPTION...: the resolved isolation of a container created with these options
        local id
        id=$(docker create "$@" hull/nano true)
        inspect "$id" '{{.HostConfig.Isolation}}'
        docker rm "$id" >/dev/null
}

# --- row 1 and 2: the option ---

@test "isolation values: any case, default, nothing" {
        local value
        for value in process PROCESS Process; do
                eq process "$(isolation_of --isolation="$value")" "$value"
        done
        for value in default Default DEFAULT ""; do
                eq process "$(isolation_of --isolation="$value")" "'$value'"
        done
        eq process "$(isolation_of)"
}

@test "isolation values: hyperv and its alias vm, any case" {
        need hyperv
        local value
        for value in hyperv HyperV HYPERV vm VM; do
                eq hyperv "$(isolation_of --isolation="$value")" "$value"
        done
}

@test "an unknown isolation is refused" {
        local value
        for value in X hyper-v 'process '; do
                exits 125 docker run --rm --isolation="$value" hull/nano true
                has "invalid isolation '$value' on linux" "$output"
        done
}

@test "info shows the daemon's default isolation" {
        eq process "$(docker info -f '{{.Isolation}}')"
}

@test "ps --filter isolation tells the two apart" {
        need hyperv
        eq pbox "$(docker ps --filter isolation=process --format '{{.Names}}')"
        eq hbox "$(docker ps --filter isolation=hyperv --format '{{.Names}}')"
        eq hbox "$(docker ps --filter isolation=vm --format '{{.Names}}')"
        exits 1 docker ps --filter isolation=X
}

# --- row 3: where the processes are ---

@test "process: docker top and the host's ps show the same pid" {
        pid=$(docker top pbox -o pid,args | awk '/ping -i 1.23/ { print $1 }')
        eq "$(inspect pbox '{{.State.Pid}}')" "$pid"
        eq "ping -i 1.23 localhost" "$(ps -o args= -p "$pid")"
}

@test "hyperv: docker top shows the process, the host has none" {
        need hyperv
        has "ping -i 1.37 localhost" "$(docker top hbox)"
        eq "" "$(ps -eo args= | grep -x 'ping -i 1.37 localhost' || true)"
}

@test "hyperv: the VMM runs under a user named after the container" {
        need hyperv
        id=$(identity hbox)
        vmm=$(compute hbox VmmPid)
        exits 0 env LD_LIBRARY_PATH="$HULL_NSS_PATH" ps -o user:36= -p "$vmm"
        eq "${id:0:32}" "$(xargs <<<"$output")"
        uid=$(ps -o uid= -p "$vmm")
        eq "${uid// /}" "$(LD_LIBRARY_PATH=$HULL_NSS_PATH getent passwd "${id:0:32}" | cut -d : -f 3)"
        # It can do nothing that its user cannot.
        eq "0000000000000000 0000000000000000 1" "$(awk '/^Cap(Eff|Bnd)|^NoNewPrivs/ { print $2 }' "/proc/$vmm/status" | xargs)"
}

@test "kernel release and boot id: the host's in process, others in hyperv" {
        need hyperv
        kernel='uname -r; cat /proc/sys/kernel/random/boot_id'
        host=$(sh -c "$kernel")
        eq "$host" "$(docker exec pbox sh -c "$kernel")"
        guest=$(docker exec hbox sh -c "$kernel")
        [[ ${guest%$'\n'*} != "${host%$'\n'*}" && ${guest#*$'\n'} != "${host#*$'\n'}" ]] || fail "$guest"
        # A utility VM is one container's alone.
        docker run -d --name hbox2 --isolation=hyperv hull/nano sleep 1000 >/dev/null
        [[ $(docker exec hbox2 cat /proc/sys/kernel/random/boot_id) != "${guest#*$'\n'}" ]]
        docker rm -f hbox2
}

# --- row 4 and 5: what the host can reach ---

@test "the host reaches into a process container, and not into a hyperv one" {
        need hyperv
        docker exec pbox touch /marker-process
        docker exec hbox touch /marker-hyperv
        ls /proc/[0-9]*/root/marker-process >/dev/null 2>&1 || ls /proc/[0-9]*/root/marker-process 2>/dev/null | grep -q marker
        eq "" "$(ls -d /proc/[0-9]*/root/marker-hyperv 2>/dev/null)"
        # Nor is it in a file that the host could read as such.
        eq "" "$(find "$HULL_WORLD/main" -name marker-hyperv)"
}

@test "process: a signal from the host ends the container" {
        docker run -d --name signalled --isolation=process hull/core sleep 1000 >/dev/null
        kill -KILL "$(inspect signalled '{{.State.Pid}}')"
        eq 137 "$(docker wait signalled)"
        docker rm signalled
}

@test "the root is in the host's mount table in process, and not in hyperv" {
        need hyperv
        has "$(identity pbox)" "$(cat /proc/self/mountinfo)"
        lacks "$(identity hbox)" "$(cat /proc/self/mountinfo)"
}

@test "hyperv: what is there on the host is a VMM process and disk files" {
        need hyperv
        folder=$HULL_WORLD/main/root/containers/$(identity hbox)
        [[ -f $folder/scratch.ext4 ]]
        [[ ! -d $folder/upper || -z $(ls -A "$folder/upper") ]]
        # Sparse, and of the VM's user alone.
        (($(stat -c '%s' "$folder/scratch.ext4") == 20 << 30))
        (($(stat -c '%b * %B' "$folder/scratch.ext4") < 64 << 20))
        like '[0-9]00' "$(stat -c %a "$folder/scratch.ext4")"
}

# --- row 7: one network ---

@test "a process and a hyperv container ping each other, and share a bridge" {
        need hyperv
        exits 0 docker exec pbox ping -c 1 -W 5 "$(address hbox)"
        exits 0 docker exec hbox ping -c 1 -W 5 "$(address pbox)"
        exits 0 ping -c 1 -W 5 "$(address pbox)"
        exits 0 ping -c 1 -W 5 "$(address hbox)"
        eq "hbox pbox" "$(docker network inspect bridge -f '{{range .Containers}}{{.Name}} {{end}}' | xargs -n 1 | sort | xargs)"
}

# --- compute systems ---

@test "compute ls shows both, their workers and the VMM" {
        need hyperv
        exits 0 hull compute ls -o wide
        like 'Id +Name +Owner +Type +Isolation +Engine +WorkerPid +VmmPid +User +Memory +Uptime' "${lines[0]}"
        for name in pbox hbox; do
                worker=$(compute "$name" WorkerPid)
                has hull-worker "$(ps -o args= -p "$worker")"
        done
        eq "process hyperv" "$(compute pbox Isolation) $(compute hbox Isolation)"
        exits 0 hull compute ls
        like 'Id +Name +Owner +Type' "${lines[0]}"
        has "$(identity hbox | cut -c 1-12)" "$output"
}

@test "hyperv: -m is the guest's memory; more processors than the engine has are warned of" {
        need hyperv
        total=$(docker run --rm --isolation=hyperv -m 512m hull/nano awk '/^MemTotal/ { print $2 }' /proc/meminfo)
        # Within 1 %.
        ((total * 100 <= 512 * 1024 * 101 && total * 100 >= 512 * 1024 * 99)) || fail "MemTotal $total KiB"
        need hyperv-uml
        exits 0 docker create --name two --isolation=hyperv --cpus 2 hull/nano true
        has WARNING "$output"
        docker rm two
}

# --- row 14: no engine ---

@test "no engine: hyperv is not available, each engine with its reason, exit code 125" {
        engine_start lame --bridge none --uml-kernel /nonexistent --x86-kernel /nonexistent --qemu /nonexistent
        use lame
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        exits 125 docker run --rm --isolation=hyperv hull/nano true
        like "(.|"$'\n'")*isolation 'hyperv' is not available: kvm: [^;]+; uml: [^;]+; tcg: [^;]+(.|"$'\n'")*" "$output"
        # Refused when it is made, and nothing of it stays.
        exits 1 docker create --isolation=hyperv hull/nano true
        has "isolation 'hyperv' is not available: " "$output"
        eq "" "$(docker ps -aq)"
        # What does not need it goes on.
        exits 0 docker run --rm --network none hull/nano echo fine
        engine_stop lame
}

@test "no engine, and hyperv is the default: never a silent downgrade" {
        engine_start lame --bridge none --uml-kernel /nonexistent --x86-kernel /nonexistent --qemu /nonexistent --exec-opt isolation=hyperv
        use lame
        eq hyperv "$(docker info -f '{{.Isolation}}')"
        exits 125 docker run --rm hull/nano true
        has "isolation 'hyperv' is not available: " "$output"
        exits 125 docker run --rm --isolation=default hull/nano true
        exits 0 docker run --rm --isolation=process --network none hull/nano true
        engine_stop lame
}

@test "an engine asked for by name that does not work is an error" {
        engine_start lame --bridge none --uml-kernel /nonexistent --exec-opt vm.engine=uml
        use lame
        exits 125 docker run --rm --isolation=vm hull/nano true
        like "(.|"$'\n'")*isolation 'hyperv' is not available: uml: (.|"$'\n'")*" "$output"
        engine_stop lame
}

@test "--exec-opt isolation=hyperv is the default of a daemon" {
        need hyperv
        # shellcheck disable=SC2086  # a list of options
        engine_start other $HULL_ENGINE_OPTIONS --vm-uid-range $((HULL_UID_FIRST + 1024)):16 --bridge none --exec-opt isolation=hyperv
        use other
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        eq hyperv "$(docker info -f '{{.Isolation}}')"
        eq hyperv "$(isolation_of)"
        eq hyperv "$(isolation_of --isolation=default)"
        eq process "$(isolation_of --isolation=process)"
        exits 0 docker run --rm --network none hull/nano uname -r
        [[ $output != "$(uname -r)" ]]
        engine_stop other
}

@test "an unknown default isolation stops the daemon with the reason" {
        exits 1 timeout 20 "$HULL_BUILD/programs/hulld" -H "unix://$BATS_TEST_TMPDIR/s" --root "$BATS_TEST_TMPDIR/r" \
                --state "$BATS_TEST_TMPDIR/t" --exec-opt isolation=bogus
        has "bogus" "$output"
}

# --- row 15: foreign images ---

@test "an image for another architecture: says which it is and which is needed" {
        image_tool derive "$HULL_IMAGES/hull-nano.tar" "$BATS_TEST_TMPDIR/arm.tar" foreign/arm --architecture arm64
        docker load -q -i "$BATS_TEST_TMPDIR/arm.tar"
        for isolation in process hyperv; do
                exits 125 docker run --rm --isolation=$isolation foreign/arm true
                has "linux/arm64" "$output"
                has "linux/amd64" "$output"
        done
        docker rmi foreign/arm
}

@test "an image for another operating system: says which it is and which is needed" {
        image_tool derive "$HULL_IMAGES/hull-nano.tar" "$BATS_TEST_TMPDIR/win.tar" foreign/windows --os windows
        run docker load -q -i "$BATS_TEST_TMPDIR/win.tar"
        if ((status == 0)); then
                exits 125 docker run --rm foreign/windows true
                docker rmi foreign/windows
        fi
        has "windows" "$output"
        has "linux" "$output"
}

# --- row 16: the guest dies ---

@test "the VMM is killed: 137, State.Error says why, the console can be read, others go on" {
        need hyperv
        docker run -d --name victim --isolation=hyperv --privileged hull/core \
                sh -c 'mknod /kmsg c 1 11; echo "<0>last words of the guest" >/kmsg; echo up; exec sleep 1000' >/dev/null
        eventually 20 log_has victim up
        kill -KILL "$(compute victim VmmPid)"
        eq 137 "$(docker wait victim)"
        eq exited "$(inspect victim '{{.State.Status}}')"
        has "killed by signal 9" "$(inspect victim '{{.State.Error}}')"
        has "last words of the guest" "$(hull vm console victim)"
        eq true "$(inspect hbox '{{.State.Running}}')"
        # It starts again, with its files.
        docker start victim >/dev/null
        is_state victim running
        docker rm -f victim
}

@test "the guest's kernel panics: 137 with a reason" {
        need hyperv
        docker run -d --name panicking --isolation=hyperv --privileged hull/core \
                sh -c 'echo c >/proc/sysrq-trigger; exec sleep 1000' >/dev/null
        eq 137 "$(LIMIT=30 docker wait panicking)"
        has panic "$(inspect panicking '{{.State.Error}}')"
        has panic "$(hull vm console panicking)"
        docker rm panicking
}

@test "vm console of a process container says that it has none" {
        exits 1 hull vm console pbox
        has "pbox" "$output"
}
