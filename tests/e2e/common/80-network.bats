#!/usr/bin/env bats
# The default bridge, and its absence.
# row 1: each case runs in both isolations, and has one outcome.

setup_file() {
        load ../lib
        grep -qx client "$HULL_WORLD/features" || return 0
        [[ $HULL_ISOLATION == process ]] || grep -qx hyperv "$HULL_WORLD/features" || return 0
        drun -d --name web hull/nano sh -c 'mkdir /www; echo "hello from $HOSTNAME" >/www/index.html; exec httpd -f -p 8080 -h /www' >/dev/null
        drun -d --name peer hull/core sleep 100000 >/dev/null
}
setup() {
        load ../lib
        common_setup
}
teardown_file() {
        load ../lib
        remove_all
}

fetch() { curl --silent --fail --max-time 5 "http://$1:8080/"; }

# bats test_tags=vm
@test "row 7: the host connects to a port in the container" {
        eventually 20 fetch "$(address web)"
        eq "hello from $(identity web | cut -c 1-12)" "$(fetch "$(address web)")"
}

# bats test_tags=vm
@test "row 7: containers reach each other, the host and themselves" {
        gateway=$(inspect web '{{.NetworkSettings.Gateway}}')
        exits 0 docker exec peer ping -c 1 -W 5 "$(address web)"
        exits 0 docker exec web ping -c 1 -W 5 "$(address peer)"
        exits 0 docker exec peer ping -c 1 -W 5 "$gateway"
        exits 0 docker exec peer ping -c 1 -W 5 localhost
        exits 0 ping -c 1 -W 5 "$(address peer)"
}

# bats test_tags=vm
@test "the interface is as inspect says" {
        exits 0 docker exec peer ip -o addr show dev eth0
        has "inet $(address peer)/$(inspect peer '{{.NetworkSettings.IPPrefixLen}}') " "$output"
        exits 0 docker exec peer ip -o link show dev eth0
        has "link/ether $(inspect peer '{{.NetworkSettings.MacAddress}}')" "$output"
        exits 0 docker exec peer ip route
        has "default via $(inspect peer '{{.NetworkSettings.Gateway}}') dev eth0" "$output"
        eq "eth0 lo" "$(docker exec peer ls /sys/class/net | grep -vE '^(sit|tunl|gre|erspan|ip6|bond|dummy|ifb|teql|ip_vti)' | xargs)"
}

@test "each container has an address and a MAC of its own" {
        [[ $(address web) != "$(address peer)" ]]
        [[ $(inspect web '{{.NetworkSettings.MacAddress}}') != "$(inspect peer '{{.NetworkSettings.MacAddress}}')" ]]
}

# bats test_tags=vm
@test "4 MiB through TCP in each direction are the same afterwards" {
        head -c 4M /dev/urandom >"$BATS_TEST_TMPDIR/data"
        want=$(sha256sum <"$BATS_TEST_TMPDIR/data" | cut -c 1-64)
        drun -d --name sink hull/nano sh -c 'nc -l -p 9000 | sha256sum; echo end' >/dev/null
        send() { python3 - "$(address sink)" "$BATS_TEST_TMPDIR/data" <<'PYTHON'
import socket, sys
with socket.create_connection((sys.argv[1], 9000), 5) as s:
    s.sendall(open(sys.argv[2], "rb").read())
PYTHON
        }
        eventually 20 send 2>/dev/null
        eventually 20 log_has sink end
        has "$want" "$(docker logs sink)"
        docker rm -f sink
}

@test "--network none has loopback only" {
        exits 0 drun --rm --network none hull/nano sh -c 'ip -o link | wc -l; ip route | wc -l; ping -c 1 127.0.0.1 >/dev/null && echo loopback'
        has "loopback" "$output"
        exits 1 drun --rm --network none hull/nano sh -c 'ls /sys/class/net/eth0'
        docker create --name lonely --network none --isolation="$HULL_ISOLATION" hull/nano true >/dev/null
        docker start lonely >/dev/null
        eq "" "$(address lonely)"
        docker rm -f lonely
}

@test "--network host: the host's in process, refused with the reason in hyperv" {
        if [[ $HULL_ISOLATION == process ]]; then
                bridge=$(docker network inspect bridge -f '{{index .Options "com.docker.network.bridge.name"}}')
                exits 0 drun --rm --network host hull/nano ls -d "/sys/class/net/$bridge"
                exits 0 drun --rm --network host hull/nano hostname
                eq "$(hostname)" "$output"
        else
                exits 125 drun --rm --network host hull/nano true
                has "hyperv" "$output"
                has "network" "$output"
        fi
}

@test "--ip is refused on the default bridge, as docker does" {
        # Without the network's name, docker's client of Debian 12 forgets the address.
        exits 125 drun --rm --network bridge --ip 172.29.0.200 hull/nano true
        has "user specified IP address is supported on user defined networks only" "$output"
}

@test "an unknown network is refused" {
        exits 125 drun --rm --network nosuch hull/nano true
        has "network nosuch not found" "$output"
}

@test "a published port reaches the container from the host" {
        drun -d --name published -p 127.0.0.1:18080:8080 hull/nano sh -c 'mkdir /www; echo published >/www/index.html; exec httpd -f -p 8080 -h /www' >/dev/null
        eventually 20 fetch "$(address published)"
        eq published "$(curl --silent --max-time 5 http://127.0.0.1:18080/)"
        ! real_docker || eq "127.0.0.1:18080" "$(docker port published 8080)"
        docker rm -f published
}

@test "the address is free again after the container" {
        box lease
        lease=$(address lease)
        docker rm -f lease >/dev/null
        lacks "$lease/" "$(docker network inspect bridge)"
}
