#!/usr/bin/env bats
# The last file: nothing of any container of this run is left on the host.

# bats file_tags=vm

setup() {
        load lib
        need client
        use main
        remove_all
}

# Of the users of the VMs in the pool.
pool_names() { ls "$HULL_WORLD/main/state/pool" 2>/dev/null | cut -c 1-32; }

@test "no container is left, and each that was made is known here" {
        eq "" "$(docker ps -aq)"
        (($(grep -cE '^[0-9a-f]{64}$' "$HULL_WORLD/ids") > 0))
}

@test "no control group of any container" {
        left() { find /sys/fs/cgroup -type d -path '*/hull/*' -printf '%f\n' 2>/dev/null | cut -c 1-64 | sort -u | comm -12 - <(sort -u "$HULL_WORLD/ids"); }
        none() { [[ -z $(left) ]]; }
        eventually 10 none || fail "$(left)"
}

@test "no mount of any container" {
        lacks "/containers/" "$(awk '{ print $5 }' /proc/self/mountinfo | grep "^$HULL_WORLD" || true)"
}

@test "no process of any container: worker, VMM or its own" {
        # The VMs that wait for containers to come are none of these.
        left() {
                local pool
                pool=$(for name in $(pool_names); do readlink "$HULL_WORLD/main/state/users/by-name/$name"; done | xargs)
                grep -lsaf <(sort -u "$HULL_WORLD/ids") /proc/[0-9]*/cmdline
                awk -v first="$HULL_UID_FIRST" -v pool=" $pool " '/^Uid:/ && $2 >= first && $2 < first + 128 * 65536 &&
                        !index(pool, " " $2 " ") { print FILENAME }' /proc/[0-9]*/status
        } 2>/dev/null
        none() { [[ -z $(left) ]]; }
        eventually 10 none || fail "$(left)"
}

@test "no interface but the bridge, no address, no rule for a container" {
        bridge=$(docker network inspect bridge -f '{{index .Options "com.docker.network.bridge.name"}}')
        eq "$bridge lo" "$(ip -o link | awk -F ': ' '{ sub("@.*", "", $2); print $2 }' | grep -vE '^(sit|tunl|gre|gretap|erspan|ip6tnl|ip6gre|ip_vti|ip6_vti|bond|dummy|teql|ifb)[0-9]*$' | sort | xargs)"
        lacks elements "$(nft list ruleset)"
        eq "{}" "$(docker network inspect bridge -f '{{json .Containers}}')"
}

@test "no folder, socket or user of any container" {
        eq "" "$(ls -A "$HULL_WORLD/main/root/containers" "$HULL_WORLD/main/state/containers" | grep -E '^[0-9a-f]{64}' || true)"
        left() { find "$HULL_WORLD/main/state/users" -type l 2>/dev/null | grep -vE "by-uid/|$(pool_names | xargs | tr ' ' '|')"; }
        none() { [[ -z $(left) && $(find "$HULL_WORLD/main/state/users/by-uid" -type l 2>/dev/null | wc -l) == $(pool_names | wc -l) ]]; }
        eventually 10 none || fail "$(left)"
}

@test "the base images are whole" {
        for image in nano core; do
                exits 0 docker run --rm "hull/$image" true
        done
}

@test "hulld has few open files and threads after all this" {
        pid=$(cat "$HULL_WORLD/main/hulld.pid")
        few() { (($(ls "/proc/$pid/fd" | wc -l) < 64 && $(ls "/proc/$pid/task" | wc -l) < 16)); }
        eventually 20 few || fail "$(ls -l "/proc/$pid/fd")"
}
