#!/usr/bin/env bats
# The writable layer, and what is left of a container that was removed.
# row 1: each case runs in both isolations, and has one outcome.

setup() {
        load ../lib
        common_setup
}
teardown() {
        # What a test that failed has left would be in the way of the others.
        [[ -n ${BATS_TEST_COMPLETED:-} ]] || remove_all
}
teardown_file() {
        load ../lib
        remove_all
}

# bats test_tags=vm
@test "row 6: files survive stop and start, and kill and start" {
        box writer
        docker exec writer sh -c 'echo mine >/root/note; rm /etc/group; ln -s note /root/link; mkfifo /root/fifo; chmod 4755 /bin/busybox'
        docker stop -t 0 writer >/dev/null
        docker start writer >/dev/null
        eq "mine|mine" "$(docker exec writer sh -c 'echo "$(cat /root/note)|$(cat /root/link)"')"
        exits 0 docker exec writer sh -c 'test ! -e /etc/group && test -p /root/fifo && test -u /bin/busybox'
        docker kill writer >/dev/null
        docker start writer >/dev/null
        eq mine "$(docker exec writer cat /root/note)"
        docker rm -f writer
}

@test "row 6: a file is private, and goes with rm" {
        box writer
        docker exec writer sh -c 'echo mine >/root/note; rm /etc/group'
        box reader
        exits 1 docker exec reader ls /root/note
        exits 0 docker exec reader ls /etc/group
        docker rm -f writer >/dev/null
        box writer
        exits 1 docker exec writer ls /root/note
        docker rm -f writer reader
}

@test "row 6: the image does not change" {
        sum='find / -xdev -type f ! -path "/proc/*" ! -path "/sys/*" ! -path "/dev/*" ! -path "/etc/host*" ! -path "/etc/resolv.conf" -exec sha256sum {} + | sort | sha256sum'
        before=$(drun --rm hull/nano sh -c "$sum")
        drun --rm hull/nano sh -c 'echo changed >>/etc/passwd; rm -rf /home /var; cp /bin/busybox /bin/busybox.new; echo x >/new'
        eq "$before" "$(drun --rm hull/nano sh -c "$sum")"
}

@test "owners, modes, links, sparse files and extended attributes" {
        exits 0 drun --rm hull/core sh -c '
                touch /f && chown 1234:5678 /f && chmod 6751 /f && stat -c "%u:%g %a" /f
                ln /f /hard && stat -c %h /f
                truncate -s 1G /sparse && stat -c "%s %b" /sparse
                mkdir -p /etc/apt.new && mv /etc/apt /etc/apt.old && ls -d /etc/apt.old
                rm -r /usr/share/doc && ls /usr/share/doc 2>/dev/null | wc -l'
        eq "1234:5678 6751 2 1073741824 0 /etc/apt.old 0" "$(xargs <<<"$output")"
}

@test "a deleted directory that is made again is empty" {
        exits 0 drun --rm hull/nano sh -c 'ls -A /home; rm -rf /home && mkdir /home && ls -A /home | wc -l; touch /home/new; ls -A /home'
        eq "app 0 new" "$(xargs <<<"$output")"
}

# What names a container on this host: files, mounts, control groups, sockets, users' names.
traces() { # ID
        {
                grep -- "$1" /proc/self/mountinfo
                find /sys/fs/cgroup "$HULL_WORLD/main/root" "$HULL_WORLD/main/state" -name "*${1:0:32}*"
                find "$HULL_WORLD/main/state/users" -lname "${1:0:32}"
                grep -lsa -- "$1" /proc/[0-9]*/cmdline
                ss -Hxl | grep -- "$1"
        } 2>/dev/null || true
}

# bats test_tags=vm
@test "row 6: rm removes every trace" {
        links=$(ip -o link | cut -d : -f 2)
        box traced -p 127.0.0.1:18081:80
        id=$(identity traced) ip=$(address traced)
        [[ $(ip -o link | cut -d : -f 2) != "$links" ]] || fail "the test sees no interface"
        [[ -n $(traces "$id") ]] || fail "the test sees nothing of a container that runs"
        uid=$(find "$HULL_WORLD/main/state/users/by-uid" -lname "${id:0:32}" -printf %f 2>/dev/null || true)
        if [[ $HULL_ISOLATION == hyperv ]]; then
                ((uid >= HULL_UID_FIRST))
                pgrep -u "$uid" >/dev/null
        fi
        has "$ip" "$(nft list ruleset)"
        docker rm -f traced >/dev/null
        no_traces() { [[ -z $(traces "$id") ]]; }
        eventually 10 no_traces || fail "$(traces "$id")"
        eq "$links" "$(ip -o link | cut -d : -f 2)" "interfaces"
        lacks "$ip" "$(nft list ruleset)"
        [[ -z $uid ]] || eq "" "$(ps -o pid=,stat=,args= -u "$uid" | awk '$2 !~ /^Z/')" "processes of the VM's user"
        eq "" "$(ss -Htln sport = :18081)"
}

@test "a stopped container holds no process, mount, control group or interface" {
        links=$(ip -o link | cut -d : -f 2)
        box halted
        id=$(identity halted)
        docker stop -t 0 halted >/dev/null
        halted_traces() { { grep -- "$id" /proc/self/mountinfo; find /sys/fs/cgroup -name "*$id*"; grep -lsa -- "$id" /proc/[0-9]*/cmdline; } 2>/dev/null || true; }
        clean() { [[ -z $(halted_traces) ]]; }
        eventually 10 clean || fail "$(halted_traces)"
        unplugged() { [[ $(ip -o link | cut -d : -f 2) == "$links" ]]; }
        eventually 10 unplugged
        docker rm halted
}
