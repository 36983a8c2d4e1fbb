#!/usr/bin/env bats
# hull vm trace: where the time of a start and of an end went.
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

# phases CONTAINER PART: their names in order.
phases() { hull vm trace --format json "$1" | jq -rs "flatten | map(select(.Part == \"$2\").Phase) | join(\" \")"; }

# Each phase begins where the one before it ended, and they add up to the total.
adds_up() {
        hull vm trace --format json "$1" | jq -es 'flatten | group_by(.Part) | map(
                (map(select(.Phase != "total"))) as $phases | map(select(.Phase == "total"))[0] as $total |
                ($phases | map(.Microseconds) | add) == $total.Microseconds and $phases[-1].At == $total.At and
                all($phases[]; .Microseconds >= 0) and ([$phases[].At] | . == sort)) | all'
}

@test "vm trace: the phases of a start, and of the end" {
        local guest="" power="" cold=()
        if [[ $HULL_ISOLATION == hyperv ]]; then
                guest="vmm kernel init "
                power="power-off "
                # With a share it gets no VM that was booted before.
                cold=(-v "$BATS_TEST_TMPDIR:/mnt:ro")
        fi
        box traced "${cold[@]}"
        eq "layers scratch network config worker client request jail ${guest}link disks create created program running total" \
                "$(phases traced start)"
        eq "" "$(phases traced end)"
        adds_up traced
        docker kill traced >/dev/null
        # The engine's last marks come when everything is given back.
        until [[ $(phases traced end) == *cleaned* ]]; do :; done
        eq "exit ${power}record told gone cleaned total" "$(phases traced end)"
        adds_up traced
        exits 0 hull vm trace traced
        like 'Part +Phase +Where +Ms +At +What' "${lines[0]}"
        eq "${#lines[@]}" "$(($(hull vm trace --format '{{.Phase}}' traced | wc -l) + 1))"
        docker rm traced >/dev/null
}

@test "vm trace: of the last start, and of none" {
        docker create --isolation="$HULL_ISOLATION" --name again hull/nano /bin/true >/dev/null
        exits 1 hull vm trace again
        has "has not been started yet" "$output"
        docker start -a again
        local first
        first=$(hull vm trace --format json again)
        docker start -a again
        [[ $(hull vm trace --format json again) != "$first" ]]
        adds_up again
        docker rm again >/dev/null
        exits 1 hull vm trace again
        has "No such container: again" "$output"
}
