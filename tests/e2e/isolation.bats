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

# --- row 1: nothing else differs (the cases in common/ run in both) ---

# What a program finds around it. Left out is what having a kernel, memory and disks of one's own
# makes different: sizes of folders, the files of /proc and of the control groups.
around() {
        cat <<'SH'
id; pwd; umask; tty; echo "$0 $$ $-"; env | sort
ulimit -n; ulimit -Hn; ulimit -c; ulimit -s; ulimit -v
grep -E '^(Cap|NoNewPrivs|Seccomp:|Sig(Blk|Ign|Cgt)|Groups|Uid|Gid|CoreDumping)' /proc/self/status
for folder in / /dev /run /tmp /home /root; do
        find $folder -mindepth 1 -maxdepth 1 -printf '%p %M %u %g %l\n' | sort
done
awk '$5 !~ "^/sys/fs/cgroup/" { sub(",.*", "", $6); print $5, $6 }' /proc/self/mountinfo | grep -vE '^/proc/(acpi|sysrq-trigger) ' | sort
stat -c '%n %F %a %u %g' /etc/hosts /etc/hostname /etc/resolv.conf /dev/pts /dev/shm /dev/mqueue
hostname; cat /etc/hostname /etc/resolv.conf; wc -l </etc/hosts; cat /proc/1/cmdline | tr '\0' ' ' | wc -c
cat /proc/self/uid_map /proc/self/setgroups /proc/self/oom_score_adj
ls -A /sys/class/net | grep -xE 'lo|eth0'; cat /sys/class/net/eth0/mtu
SH
}

@test "row 1: the same command finds the same in both isolations" {
        need hyperv
        local isolation
        for isolation in process hyperv; do
                docker run --rm --isolation=$isolation --hostname same -e A=b -w /tmp hull/core sh -c "$(around)" \
                        >"$BATS_TEST_TMPDIR/$isolation" 2>&1
                (($(wc -l <"$BATS_TEST_TMPDIR/$isolation") > 60))
        done
        diff -u "$BATS_TEST_TMPDIR/process" "$BATS_TEST_TMPDIR/hyperv" >&2
}

@test "row 1: inspect has the same members in both isolations" {
        need hyperv
        # Where the writable layer is kept is an overlay or a disk; VmEngine is of hyperv alone.
        members() { docker inspect "$1" | jq -cS '[.[0] | del(.GraphDriver.Data, .VmEngine) | paths | map(select(type == "string"))] | unique[]'; }
        diff <(members pbox) <(members hbox) >&2
        eq "$(docker inspect pbox | jq -S '.[0].Config | del(.Hostname, .Cmd)')" "$(docker inspect hbox | jq -S '.[0].Config | del(.Hostname, .Cmd)')"
        eq "$(docker inspect pbox | jq -S '.[0].HostConfig | del(.Isolation)')" "$(docker inspect hbox | jq -S '.[0].HostConfig | del(.Isolation)')"
}

# --- row 1 and row 2: the option ---

@test "row 1: isolation values: any case, default, nothing" {
        local value
        for value in process PROCESS Process; do
                eq process "$(isolation_of --isolation="$value")" "$value"
        done
        for value in default Default DEFAULT ""; do
                eq process "$(isolation_of --isolation="$value")" "'$value'"
        done
        eq process "$(isolation_of)"
}

@test "row 1: isolation values: hyperv and its alias vm, any case" {
        need hyperv
        local value
        for value in hyperv HyperV HYPERV vm VM; do
                eq hyperv "$(isolation_of --isolation="$value")" "$value"
        done
}

@test "row 1: an unknown isolation is refused" {
        local value
        for value in X hyper-v 'process '; do
                exits 125 docker run --rm --isolation="$value" hull/nano true
                has "invalid isolation '$value' on linux" "$output"
        done
}

@test "row 2: info shows the daemon's default isolation" {
        eq process "$(docker info -f '{{.Isolation}}')"
}

@test "row 2: ps --filter isolation tells the two apart" {
        need hyperv
        eq pbox "$(docker ps --filter isolation=process --format '{{.Names}}')"
        eq hbox "$(docker ps --filter isolation=hyperv --format '{{.Names}}')"
        eq hbox "$(docker ps --filter isolation=vm --format '{{.Names}}')"
        exits 1 docker ps --filter isolation=X
}

# --- row 3: where the processes are ---

@test "row 3: process: docker top and the host's ps show the same pid" {
        pid=$(docker top pbox -o pid,args | awk '/ping -i 1.23/ { print $1 }')
        eq "$(inspect pbox '{{.State.Pid}}')" "$pid"
        eq "ping -i 1.23 localhost" "$(ps -o args= -p "$pid")"
}

# bats test_tags=vm
@test "row 3: hyperv: docker top shows the process, the host has none" {
        need hyperv
        has "ping -i 1.37 localhost" "$(docker top hbox)"
        # The pid is one of the guest's kernel: here that number, if taken at all, is another's.
        pid=$(docker top hbox -o pid,args | awk '/ping -i 1.37/ { print $1 }')
        eq "$(inspect hbox '{{.State.Pid}}')" "$pid"
        lacks ping "$(cat "/proc/$pid/cmdline" 2>/dev/null)"
        eq "" "$(ps -eo args= | grep -x 'ping -i 1.37 localhost' || true)"
}

# bats test_tags=vm
@test "row 3: hyperv: the VMM runs under a user named after the container" {
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

# bats test_tags=vm
@test "row 3: kernel release and boot id: the host's in process, others in hyperv" {
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

# bats test_tags=vm
@test "row 3: hyperv: the engine is the one asked for, or the first that works" {
        need hyperv
        expected=${HULL_ENGINE:-$(hull vm probe --format json | jq -rs 'flatten | map(select(.Works))[0].Engine')}
        eq "$expected" "$(compute hbox Engine)"
}

# --- row 4 and 5: what the host can reach ---

# bats test_tags=vm
@test "row 4: the host reaches into a process container, and not into a hyperv one" {
        need hyperv
        docker exec pbox touch /marker-process
        docker exec hbox touch /marker-hyperv
        ls /proc/[0-9]*/root/marker-process >/dev/null 2>&1 || ls /proc/[0-9]*/root/marker-process 2>/dev/null | grep -q marker
        eq "" "$(ls -d /proc/[0-9]*/root/marker-hyperv 2>/dev/null)"
        # Nor is it in a file that the host could read as such.
        eq "" "$(find "$HULL_WORLD/main" -name marker-hyperv)"
}

@test "row 4: processes can be found, read, signalled and traced from the host in process, in hyperv there is none" {
        need hyperv
        local box mark
        marked() { grep -lsaz "^HULL_MARK=$1\$" /proc/[0-9]*/environ | cut -d / -f 3; }
        for box in pbox hbox; do
                docker exec -d -e "HULL_MARK=$box" $box sleep 4242
                sleeps() { docker top $box -o pid,args | grep -q ' sleep 4242$'; }
                eventually 10 sleeps
        done
        mark=$(marked pbox)
        eq "sleep 4242" "$(ps -o args= -p "$mark")"
        python3 - "$mark" <<'PYTHON'
import ctypes, os, sys
pid = int(sys.argv[1])
os.kill(pid, 0)
PTRACE_SEIZE = 0x4206
assert ctypes.CDLL(None, use_errno=True).ptrace(PTRACE_SEIZE, pid, None, None) == 0
assert open(f"/proc/{pid}/mem", "rb")
PYTHON
        eq "" "$(marked hbox)"
        eq "" "$(grep -lsaxz '[4]242' /proc/[0-9]*/cmdline | grep -v "/$mark/" || true)"
}

@test "row 4: session ids are the host's in process, and mean nothing on the host in hyperv" {
        need hyperv
        sid=$(docker top pbox -o pid,sid,args | awk '/ping -i 1.23/ { print $2 }')
        has "ping -i 1.23 localhost" "$(ps -o args= -s "$sid")"
        sid=$(docker top hbox -o pid,sid,args | awk '/ping -i 1.37/ { print $2 }')
        like '[0-9]+' "$sid"
        lacks "ping" "$(ps -o args= -s "$sid")"
        # And the other way round.
        exits 1 docker exec hbox sh -c "kill -0 $(compute hbox WorkerPid)"
}

@test "row 4: process: a signal from the host ends the container" {
        docker run -d --name signalled --isolation=process hull/core sleep 1000 >/dev/null
        kill -KILL "$(inspect signalled '{{.State.Pid}}')"
        eq 137 "$(docker wait signalled)"
        docker rm signalled
}

@test "row 5: the root is in the host's mount table in process, and not in hyperv" {
        need hyperv
        has "$(identity pbox)" "$(cat /proc/self/mountinfo)"
        lacks "$(identity hbox)" "$(cat /proc/self/mountinfo)"
}

@test "row 5: hyperv: what is there on the host is a VMM process and disk files" {
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

# bats test_tags=vm
@test "row 7: a process and a hyperv container ping each other, and share a bridge" {
        need hyperv
        exits 0 docker exec pbox ping -c 1 -W 5 "$(address hbox)"
        exits 0 docker exec hbox ping -c 1 -W 5 "$(address pbox)"
        exits 0 ping -c 1 -W 5 "$(address pbox)"
        exits 0 ping -c 1 -W 5 "$(address hbox)"
        eq "hbox pbox" "$(docker network inspect bridge -f '{{json .Containers}}' | jq -r '.[].Name' | sort | xargs)"
}

@test "row 7: --icc=false closes the network to other containers, of either isolation" {
        need hyperv
        # shellcheck disable=SC2086  # a list of options
        engine_start closed $HULL_ENGINE_OPTIONS --vm-uid-range $((HULL_UID_FIRST + 80 * 65536)):15 --bridge hullicc --bip 172.31.201.1/24 --icc=false
        use closed
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        eq false "$(docker network inspect bridge -f '{{index .Options "com.docker.network.bridge.enable_icc"}}')"
        docker run -d --name cp --isolation=process hull/nano sleep 1000 >/dev/null
        docker run -d --name ch --isolation=hyperv hull/nano sleep 1000 >/dev/null
        docker run -d --name cp2 --isolation=process hull/nano sleep 1000 >/dev/null
        exits 1 docker exec cp ping -c 1 -W 1 "$(address ch)"
        exits 1 docker exec ch ping -c 1 -W 1 "$(address cp)"
        exits 1 docker exec cp ping -c 1 -W 1 "$(address cp2)"
        # It is no dead network.
        exits 0 ping -c 1 -W 5 "$(address cp)"
        exits 0 ping -c 1 -W 5 "$(address ch)"
        exits 0 docker exec ch ping -c 1 -W 5 172.31.201.1
        docker rm -f cp ch cp2
        engine_stop closed
        # What a bridge is made of stays when its engine ends.
        ip link del hullicc
        while read -r _ family table; do
                nft delete table "$family" "$table"
        done < <(nft list tables | grep hullicc)
}

# --- compute systems ---

@test "row 3: compute ls shows both, their workers and the VMM" {
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

@test "row 7: hyperv: the VM's network socket reaches its own link, and none of the host's" {
        need hyperv-uml
        [[ $(compute hbox Engine) == uml ]] || skip "another engine is chosen"
        local source id vmm worker
        # With a share it is booted for the container, without it comes from the pool.
        for source in "" "$BATS_TEST_TMPDIR"; do
                docker run -d --name fenced --isolation=hyperv ${source:+-v "$source:/mnt"} hull/nano sleep 1000 >/dev/null
                id=$(identity fenced) vmm=$(compute fenced VmmPid) worker=$(compute fenced WorkerPid)
                # packet(7): who has such a socket may send by any interface of the namespace it was made in.
                python3 - "$vmm" "$worker" <<'PYTHON'
import ctypes, fcntl, os, socket, sys
vmm, worker = int(sys.argv[1]), int(sys.argv[2])
SYS_pidfd_getfd, SIOCGSKNS, VM_FD_NIC = 438, 0x894C, 5
taken = ctypes.CDLL(None, use_errno=True).syscall(SYS_pidfd_getfd, os.pidfd_open(vmm), VM_FD_NIC, 0)
assert taken >= 0, os.strerror(ctypes.get_errno())
assert socket.socket(fileno=os.dup(taken)).family == socket.AF_PACKET
space = os.fstat(fcntl.ioctl(taken, SIOCGSKNS)).st_ino
assert space == os.stat(f"/proc/{worker}/ns/net").st_ino
assert space != os.stat("/proc/self/ns/net").st_ino
PYTHON
                eq "hp${id:0:10} lo" "$(nsenter -t "$worker" -n ip -o link | awk -F ': ' '{ sub("@.*", "", $2); print $2 }' | grep -E '^(hp|hv|lo|eth|hull)' | sort | xargs)"
                lacks "hp${id:0:10}" "$(ip -o link)"
                docker exec fenced ping -c 1 -W 5 "$(docker network inspect bridge -f '{{(index .IPAM.Config 0).Gateway}}')"
                docker rm -f fenced >/dev/null
        done
}

# --- row 14: no engine ---

@test "row 14: no engine: hyperv is not available, each engine with its reason, exit code 125" {
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

@test "row 14: no engine, and hyperv is the default: never a silent downgrade" {
        engine_start lame --bridge none --uml-kernel /nonexistent --x86-kernel /nonexistent --qemu /nonexistent --exec-opt isolation=hyperv
        use lame
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        eq hyperv "$(docker info -f '{{.Isolation}}')"
        exits 125 docker run --rm hull/nano true
        has "isolation 'hyperv' is not available: " "$output"
        exits 125 docker run --rm --isolation=default hull/nano true
        exits 0 docker run --rm --isolation=process --network none hull/nano true
        engine_stop lame
}

@test "row 14: the engine is lost after create: start says so, and never falls back" {
        need hyperv
        # shellcheck disable=SC2086  # a list of options
        engine_start losing $HULL_ENGINE_OPTIONS --vm-uid-range $((HULL_UID_FIRST + 96 * 65536)):15 --bridge none
        use losing
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        docker create --name stranded --network none --isolation=hyperv hull/nano sleep 1000 >/dev/null
        engine_stop losing
        engine_start losing --vm-uid-range $((HULL_UID_FIRST + 96 * 65536)):15 --bridge none --uml-kernel /nonexistent --x86-kernel /nonexistent
        exits 1 docker start stranded
        has /nonexistent "$output"
        eq "false hyperv" "$(inspect stranded '{{.State.Running}} {{.HostConfig.Isolation}}')"
        docker rm stranded
        engine_stop losing
}

@test "row 14: an engine asked for by name that does not work is an error" {
        engine_start lame --bridge none --uml-kernel /nonexistent --exec-opt vm.engine=uml
        use lame
        docker load -q -i "$HULL_IMAGES/hull-nano.tar"
        exits 125 docker run --rm --isolation=vm hull/nano true
        like "(.|"$'\n'")*isolation 'hyperv' is not available: uml: (.|"$'\n'")*" "$output"
        engine_stop lame
}

@test "row 2: --exec-opt isolation=hyperv is the default of a daemon" {
        need hyperv
        # shellcheck disable=SC2086  # a list of options
        engine_start other $HULL_ENGINE_OPTIONS --vm-uid-range $((HULL_UID_FIRST + 112 * 65536)):15 --bridge none --exec-opt isolation=hyperv
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

@test "row 15: an image for another architecture: says which it is and which is needed" {
        image_tool derive "$HULL_IMAGES/hull-nano.tar" "$BATS_TEST_TMPDIR/arm.tar" foreign/arm --architecture arm64
        docker load -q -i "$BATS_TEST_TMPDIR/arm.tar"
        for isolation in process hyperv; do
                exits 125 docker run --rm --isolation=$isolation foreign/arm true
                has "linux/arm64" "$output"
                has "linux/amd64" "$output"
        done
        docker rmi foreign/arm
}

@test "row 15: an image for another operating system: says which it is and which is needed" {
        image_tool derive "$HULL_IMAGES/hull-nano.tar" "$BATS_TEST_TMPDIR/win.tar" foreign/windows --os windows
        run docker load -q -i "$BATS_TEST_TMPDIR/win.tar"
        if ((status == 0)); then
                exits 125 docker run --rm --isolation=hyperv foreign/windows true
                has "windows" "$output"
                exits 125 docker run --rm --isolation=process foreign/windows true
                docker rmi foreign/windows
        fi
        has "windows" "$output"
        has "linux" "$output"
}

# --- row 16: the guest dies ---

# bats test_tags=vm
@test "row 16: the VMM is killed: 137, State.Error says why, the console can be read, others go on" {
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

# bats test_tags=vm
@test "row 16: the guest's kernel panics: 137 with a reason" {
        need hyperv
        docker run -d --name panicking --isolation=hyperv --privileged hull/core \
                sh -c 'echo c >/proc/sysrq-trigger; exec sleep 1000' >/dev/null
        eq 137 "$(LIMIT=30 docker wait panicking)"
        has panic "$(inspect panicking '{{.State.Error}}')"
        has panic "$(hull vm console panicking)"
        docker rm panicking
}

@test "row 16: vm console of a process container says that it has none" {
        exits 1 hull vm console pbox
        has "pbox" "$output"
}
