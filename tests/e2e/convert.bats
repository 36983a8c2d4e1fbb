#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2154  # $status and $body are set by lib.bash
# row 8: a container converts to the other isolation and back, and all that it holds is the same.

setup() {
        load lib
        need client
        need hyperv
        use main
}
teardown() {
        load lib
        use main
        show_loops
        if process_gone "$(cat "$HULL_WORLD/main/hulld.pid")"; then restart_engine; fi
        remove_all
}
teardown_file() {
        load lib
        use narrow
        [[ ! -S $HULL_WORLD/narrow/hull.sock ]] || remove_all || true
        [[ ! -f $HULL_WORLD/narrow/hulld.pid ]] || engine_stop narrow
        umount "$HULL_WORLD/narrow" 2>/dev/null || true
}

# shellcheck disable=SC2086  # a list of options
restart_engine() { engine_start main $HULL_ENGINE_OPTIONS; }

# The host's way of filling a new disk; without it a VM does. As where there are no loop devices.
hide_loops() { mount --bind /dev/null /dev/loop-control; }
show_loops() { while grep -q ' /dev/loop-control ' /proc/self/mountinfo; do umount /dev/loop-control; done; }
no_loops() { ! losetup --list --noheadings --output BACK-FILE | grep -q "$HULL_WORLD"; }

convert() { hull convert --isolation="$1" "${@:2}" >/dev/null; } # convert ISOLATION OPTION-OR-NAME...
isolation() { inspect "$1" '{{.HostConfig.Isolation}}'; }
other() { if [[ $1 == process ]]; then echo hyperv; else echo process; fi; }
directory() { echo "$HULL_WORLD/main/root/containers/$(identity "$1")"; }
is_layers() { [[ $2 == "$(layers "$1")" ]]; } # the old one goes soon after
layers() { (cd "$(directory "$1")" && find . -maxdepth 1 \( -name upper -o -name scratch.ext4 -o -name convert \) -printf '%f\n' | xargs); }

# listing NAME: everything that layer-tool sees, but for the files that the engine writes.
listing() {
        docker exec -i "$1" perl - list /t /etc /usr/games /usr/share/doc /usr/share/man /usr/share/perl5 <"$HULL_E2E/layer-tool" |
                grep -vE '^/etc/(hosts|hostname|resolv\.conf) '
}

@test "convert: every kind of thing, both ways, twice" {
        local to kernel round
        docker run -d --name kinds --isolation=process --cap-add SYS_ADMIN --cap-add MKNOD --stop-timeout 1 \
                hull/core sleep 100000 >/dev/null
        docker exec -i kinds perl - make <"$HULL_E2E/layer-tool"
        listing kinds >"$BATS_TEST_TMPDIR/before"
        docker diff kinds | sort >"$BATS_TEST_TMPDIR/changes"
        (($(wc -l <"$BATS_TEST_TMPDIR/before") > 150))
        kernel=$(docker exec kinds uname -r)
        for round in 1 2; do
                ((round == 1)) || hide_loops
                for to in hyperv process; do
                        docker stop kinds >/dev/null
                        convert $to kinds
                        eq $to "$(isolation kinds)"
                        docker diff kinds | sort | diff "$BATS_TEST_TMPDIR/changes" -
                        docker start kinds >/dev/null
                        listing kinds | diff "$BATS_TEST_TMPDIR/before" - || fail "round $round, $to"
                        if [[ $to == process ]]; then
                                eq "$kernel" "$(docker exec kinds uname -r)"
                        else
                                lacks "$kernel" "$(docker exec kinds uname -r)"
                        fi
                done
        done
}

@test "convert: what was made in a VM is the same on the host" {
        docker run -d --name made --isolation=hyperv --cap-add SYS_ADMIN --cap-add MKNOD --stop-timeout 1 \
                hull/core sleep 100000 >/dev/null
        docker exec -i made perl - make <"$HULL_E2E/layer-tool"
        listing made >"$BATS_TEST_TMPDIR/before"
        convert process --restart made
        eq "process running" "$(isolation made) $(inspect made '{{.State.Status}}')"
        listing made | diff "$BATS_TEST_TMPDIR/before" -
        eventually 10 is_layers made upper
}

@test "convert: name, id, address, labels, log, policy, environment and mounts stay; an event tells" {
        local before from=process to since
        mkdir "$BATS_TEST_TMPDIR/bound"
        docker run -d --name stays --isolation=$from --label colour=blue --restart unless-stopped -e KEY=value \
                --stop-timeout 1 --tmpfs /scratch -v "$BATS_TEST_TMPDIR/bound:/bound" -v stays-volume:/volume -m 96m \
                hull/nano sh -c 'echo started; echo x >>/count; echo y >>/volume/count; exec sleep 100000' >/dev/null
        eventually 10 log_has stays started
        view() { inspect stays '{{.Name}} {{.Id}} {{.Config.Labels}} {{.HostConfig.RestartPolicy}} {{.Config.Env}} {{.Mounts}} {{.NetworkSettings.IPAddress}} {{.HostConfig.Memory}} {{.HostConfig.Tmpfs}} {{.State.Status}}'; }
        before=$(view)
        for to in hyperv process; do
                since=$(date +%s.%N)
                convert $to --restart stays
                eq "$before" "$(view)"
                eq $to "$(isolation stays)"
                eq "kill die stop update start" "$(docker events --since "$since" --until "$(date +%s.%N)" --filter container=stays --format '{{.Action}}' | uniq | xargs)"
                eq "$from $to" "$(docker events --since "$since" --until "$(date +%s.%N)" --filter event=update --format '{{index .Actor.Attributes "oldIsolation"}} {{.Actor.Attributes.isolation}}')"
                from=$to
        done
        eventually 10 test "$(docker logs stays | wc -l)" = 3
        eq "x x x" "$(docker exec stays cat /count | xargs)"
        eq "y y y" "$(docker exec stays cat /volume/count | xargs)"
        docker rm -f stays >/dev/null
        docker volume rm stays-volume >/dev/null
}

@test "convert: a layer with nothing in it, and one that was never made" {
        local to
        docker create --name new --isolation=process hull/nano uname -r >/dev/null
        for to in hyperv process hyperv; do
                convert $to new
                eq $to "$(isolation new)"
        done
        eventually 10 is_layers new ""
        lacks "$(uname -r)" "$(docker start -a new)"
        convert process new
        eq "$(uname -r)" "$(docker start -a new)"
        # The same again changes nothing, and is no error.
        exits 0 hull convert --isolation=process new
        exits 0 hull convert --isolation=PROCESS --restart new
}

@test "convert: what cannot be is refused before anything is touched" {
        local before name
        box runs
        exits 1 hull convert --isolation=hyperv runs
        has "it is running: stop it before, or convert it with a restart" "$output"
        api POST /containers/runs/update -H 'Content-Type: application/json' -d '{"Isolation": "hyperv"}'
        eq 409 "$status"
        api POST /containers/runs/update -H 'Content-Type: application/json' -d '{"Isolation": "other"}'
        eq 400 "$status"
        has "invalid isolation 'other' on linux" "$body"
        exits 1 hull convert --isolation=hyperv nobody
        has "No such container: nobody" "$output"
        before=$(inspect runs '{{.State.Pid}} {{.State.StartedAt}}')
        docker create --name c-device --device /dev/null:/dev/nothing hull/nano true >/dev/null
        docker create --name c-pid --pid host hull/nano true >/dev/null
        docker create --name c-network --network host hull/nano true >/dev/null
        docker create --name c-memory -m 8m hull/nano true >/dev/null
        for name in c-device c-pid c-network c-memory; do
                exits 1 hull convert --isolation=hyperv --restart $name
                eq process "$(isolation $name)"
                # In create's words, whichever options they are about.
                like ".*isolation 'hyperv': (device '/dev/null' belongs to|a container with isolation 'hyperv' has a kernel of its own|Minimum memory limit).*" "${output//$'\n'/ }"
        done
        eq "$before" "$(inspect runs '{{.State.Pid}} {{.State.StartedAt}}')"
        exits 1 hull convert runs
        has "--isolation=process or --isolation=hyperv must be given" "$output"
}

@test "convert: with a restart policy, paused, --rm; and several at once" {
        local name
        docker run -d --name c-policy --restart always --stop-timeout 0 hull/nano sleep 100000 >/dev/null
        docker run -d --name c-paused --stop-timeout 0 hull/nano sleep 100000 >/dev/null
        docker run -d --rm --name c-rm --stop-timeout 0 hull/nano sh -c 'echo here >/f; exec sleep 100000' >/dev/null
        docker pause c-paused >/dev/null
        exits 0 hull convert --isolation=hyperv --restart c-policy c-paused c-rm
        for name in c-policy c-paused c-rm; do
                eq "running hyperv" "$(inspect $name '{{.State.Status}} {{.HostConfig.Isolation}}')"
                lacks "$(uname -r)" "$(docker exec $name uname -r)"
        done
        eq 0 "$(inspect c-policy '{{.RestartCount}}')"
        eq here "$(docker exec c-rm cat /f)"
        # A VM that goes with its end is killed; what it has not written must come along all the same.
        name=$(docker exec c-rm sh -c 'dd if=/dev/urandom of=/g bs=1M count=8 2>/dev/null; md5sum /g')
        exits 0 hull convert --isolation=process --restart c-rm
        eq "running process" "$(inspect c-rm '{{.State.Status}} {{.HostConfig.Isolation}}')"
        eq "$name" "$(docker exec c-rm md5sum /g)"
}

@test "convert: what one has left does not end a VM that runs when hulld starts" {
        box left --isolation=hyperv
        docker exec left touch /dev/shm/same
        mkdir "$(directory left)/convert" "$(directory left)/upper"
        engine_stop main KILL
        restart_engine
        eq running "$(inspect left '{{.State.Status}}')"
        docker exec left test -e /dev/shm/same
        eq scratch.ext4 "$(layers left)"
}

@test "convert: rm -f ends one that is under way" {
        local pid_file
        docker run --name long hull/nano dd if=/dev/zero of=/d bs=1M count=200
        pid_file=$HULL_WORLD/main/state/files/$(identity long)/worker.pid
        hide_loops
        hull convert --isolation=hyperv long >/dev/null 2>&1 3>&- &
        eventually 10 test -s "$pid_file"
        docker rm -f long >/dev/null
        ! wait $!
        exits 1 docker inspect long
        [[ ! -e $pid_file ]]
}

@test "convert: where the host cannot use its loop device a VM fills the disk, and the log tells" {
        local device
        docker run --name unlooped hull/nano sh -c 'if [ -e /f ]; then cat /f; else echo kept >/f; fi'
        device=$(losetup --find)
        mount --bind /dev/null "$device"
        exits 0 hull convert --isolation=hyperv unlooped
        umount "$device"
        has "a utility VM fills its disk, for the host does not: cannot make" "$(cat "$HULL_WORLD/main/hulld.log")"
        eq kept "$(docker start -a unlooped)"
}

@test "convert: together with an update, through the API" {
        docker create --name both hull/nano true >/dev/null
        api POST /containers/both/update -H 'Content-Type: application/json' -d '{"Isolation": "hyperv", "Memory": 100663296, "MemorySwap": -1}'
        eq 200 "$status"
        eq "hyperv $((96 << 20))" "$(inspect both '{{.HostConfig.Isolation}} {{.HostConfig.Memory}}')"
        api POST /containers/both/update -H 'Content-Type: application/json' -d '{"Isolation": "process", "CpuRealtimePeriod": 1000}'
        eq 400 "$status"
        eq hyperv "$(isolation both)"
        # Neither, when either cannot be.
        api POST /containers/both/update -H 'Content-Type: application/json' -d '{"Isolation": "process", "NanoCpus": 1000000000}'
        eq 200 "$status"
        api POST /containers/both/update -H 'Content-Type: application/json' -d '{"Isolation": "hyperv", "CpuPeriod": 100000}'
        eq 409 "$status"
        eq process "$(isolation both)"
}

@test "convert: what does not fit leaves the container as it was, running again" {
        docker run -d --name large --storage-opt size=32m --stop-timeout 0 hull/nano \
                sh -c 'test -e /data || dd if=/dev/urandom of=/data bs=1M count=48 2>/dev/null; touch /ready; exec sleep 100000' >/dev/null
        eventually 20 docker exec large test -e /ready
        sum=$(docker exec large md5sum /data)
        exits 1 hull convert --isolation=hyperv --restart large
        has "No space left on device" "$output"
        eq "running process" "$(inspect large '{{.State.Status}} {{.HostConfig.Isolation}}')"
        eq "$sum" "$(docker exec large md5sum /data)"
        eq upper "$(layers large)"
}

@test "convert: a full disk of the host leaves the container as it was" {
        mkdir -p "$HULL_WORLD/narrow"
        mount -t tmpfs -o size=150m,mode=711 none "$HULL_WORLD/narrow"
        # shellcheck disable=SC2086  # a list of options
        engine_start narrow ${HULL_ENGINE_OPTIONS/$HULL_UID_FIRST:63/$((HULL_UID_FIRST + 64 * 65536)):8} --bridge none
        use narrow
        docker load -q -i "$HULL_IMAGES/hull-nano.tar" >/dev/null
        for from in process hyperv; do
                docker run --name $from --isolation=$from --network none hull/nano dd if=/dev/urandom of=/data bs=1M count=50
                [[ $from == process ]] || docker rm process >/dev/null
                head -c 30M /dev/zero >"$HULL_WORLD/narrow/filler"
                exits 1 hull convert --isolation="$(other $from)" $from
                has "no space is left" "${output,,}"
                eq $from "$(isolation $from)"
                rm "$HULL_WORLD/narrow/filler"
                docker cp $from:/data "$BATS_TEST_TMPDIR/data"
                eq $((50 << 20)) "$(stat -c %s "$BATS_TEST_TMPDIR/data")"
                [[ ! -e $HULL_WORLD/narrow/root/containers/$(identity $from)/convert ]]
        done
}

# whole NAME SUM: it is of one isolation, has one layer, and that has everything.
whole() {
        local expected=upper
        [[ $(isolation "$1") == process ]] || expected=scratch.ext4
        eventually 10 is_layers "$1" "$expected"
        eq "$2" "$(docker start -a "$1")"
}


@test "convert: kill -9 of hulld at any step leaves the container whole in one of the two" {
        local i sum seen=""
        docker run --name target hull/nano sh -c 'if [ ! -d /d ]; then mkdir /d; for i in 1 2 3; do dd if=/dev/urandom of=/d/$i bs=1M count=8 2>/dev/null; ln -s $i /d/l$i; done; rm /etc/passwd; fi; ls -l /etc /d/l* | wc -l; cat /d/? | md5sum; ls -d /etc/passwd 2>&1' >"$BATS_TEST_TMPDIR/sum" || true
        sum=$(docker start -a target || true)
        eq "$(cat "$BATS_TEST_TMPDIR/sum")" "$sum"
        # Six moments of the time that it takes out of a VM, which is the longer, and some after it.
        convert hyperv target
        local begin=${EPOCHREALTIME/./} step
        convert process target
        step=$(((${EPOCHREALTIME/./} - begin) / 6))
        for i in {0..7}; do
                hull convert --isolation="$(other "$(isolation target)")" target >/dev/null 2>&1 3>&- &
                read -rt "$(printf '%d.%06d' $((i * step / 1000000)) $((i * step % 1000000)))" <> <(:) || true
                engine_stop main KILL
                wait $! || true
                restart_engine
                whole target "$sum"
                seen="$seen $(isolation target)"
        done
        has process "$seen"
        has hyperv "$seen"
        eventually 10 no_loops
}

@test "convert: kill -9 of the worker or the VM leaves the container as it was, or converted" {
        local i sum from victim worker pid
        docker run --name victim hull/nano sh -c '[ -f /d ] || dd if=/dev/urandom of=/d bs=1M count=24 2>/dev/null; md5sum /d' >"$BATS_TEST_TMPDIR/sum"
        sum=$(cat "$BATS_TEST_TMPDIR/sum")
        victim=$(identity victim)
        for i in 1 2 3 4 5 6; do
                ((i < 4)) || hide_loops
                from=$(isolation victim)
                hull convert --isolation="$(other "$from")" victim >/dev/null 2>&1 3>&- &
                pid_file=$HULL_WORLD/main/state/files/$victim/worker.pid
                eventually 10 test -s "$pid_file"
                worker=$(cat "$pid_file")
                read -rt "0.$((i * 2))" <> <(:) || true
                if ((i % 2)); then
                        kill -KILL "$worker" 2>/dev/null || true
                else
                        pid=$(pgrep -P "$worker" | head -n 1)
                        [[ -z $pid ]] || kill -KILL "$pid" 2>/dev/null || true
                fi
                wait $! || true
                show_loops
                whole victim "$sum"
        done
        eventually 10 no_loops
}
