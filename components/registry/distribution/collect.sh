#!/bin/sh
# collect.sh schedule | wait | now
# Garbage collection that no push can be hurt by: the load balancer refuses new uploads while the running ones end, then
# every write, and pulls go on. The flags in /gate are what the load balancer looks at.
set -eu

release=/etc/harborage/current

log() {
    printf '%s collect: %s\n' "$(date -u '+%Y-%m-%dT%H:%M:%SZ')" "$*"
}

open_gate() {
    rm -rf /gate/uploads-closed /gate/writes-closed /gate/collecting
}

# in_list NUMBER NUMBERS...
in_list() {
    number=$1
    shift
    for each in "$@"; do
        if [ "$each" -eq "$number" ]; then return 0; fi
    done
    return 1
}

# matches FIELD NUMBER: whether the schedule has the number.
matches() {
    # shellcheck disable=SC2046 # the numbers are words of their own
    in_list "$2" $(sed -n "s/^$1 //p" "$release/registry/schedule")
}

due() {
    # shellcheck disable=SC2046 # the numbers are words of their own
    set -- $(date -u '+%M %H %d %m %w')
    matches minutes "$1" && matches hours "$2" && matches months "$4" || return 1
    if [ "$EITHER_DAY" = true ]; then
        matches days "$3" || matches weekdays "$5"
    else
        matches days "$3" && matches weekdays "$5"
    fi
}

# Writes that the registry is serving right now.
writes_in_flight() {
    wget -q -O - "$METRICS" | awk '
        /^registry_http_in_flight_requests\{handler="(blob_upload|blob_upload_chunk|manifest)"\}/ { sum += $2; seen = 1 }
        END { if (!seen) exit 1; print sum + 0 }
    '
}

# wait_until_quiet SECONDS DEADLINE: no write has been in flight for so long.
wait_until_quiet() {
    quiet=0
    while [ "$quiet" -lt "$1" ]; do
        if [ "$(date +%s)" -ge "$2" ]; then return 1; fi
        writes=$(writes_in_flight) || { log "the registry's metrics do not answer"; return 1; }
        if [ "$writes" -eq 0 ]; then quiet=$((quiet + 1)); else quiet=0; fi
        sleep 1
    done
}

collect() {
    # The registry makes the folder with the first push, and fails to collect where it is missing; a bucket has no folders.
    if [ -n "${IMAGES:-}" ] && [ ! -d "$IMAGES/docker/registry/v2/repositories" ]; then
        log "nothing to collect: nothing was ever pushed"
        return 0
    fi
    if ! mkdir /gate/collecting 2>/dev/null; then
        log "a collection is running already"
        return 75
    fi
    trap 'open_gate' EXIT
    trap 'exit 143' TERM INT
    start=$(date +%s)
    : >/gate/uploads-closed
    if ! wait_until_quiet 5 $((start + DRAIN_SECONDS)); then
        log "put off: uploads went on for $DRAIN_SECONDS s"
        return 75
    fi
    : >/gate/writes-closed
    if ! wait_until_quiet 3 $(($(date +%s) + 60)); then
        log "put off: a write did not end"
        return 75
    fi
    set -- garbage-collect
    if [ "$DELETE_UNTAGGED" = true ]; then set -- "$@" --delete-untagged; fi
    # shellcheck source=SCRIPTDIR/config.sh
    . "$release/registry/config.sh"
    write_config /tmp/config.yml
    if registry "$@" /tmp/config.yml >/tmp/collect.log 2>&1; then
        log "$(grep -m 1 'eligible for deletion' /tmp/collect.log || echo 'nothing to collect'), $(($(date +%s) - start)) s"
    else
        log "failed: $(tail -n 5 /tmp/collect.log)"
        return 1
    fi
}

case ${1:-} in
    now)
        collect
        ;;
    schedule | wait)
        # A collection that was cut off left the gate closed; none is running now.
        open_gate
        trap 'exit 0' TERM INT
        while :; do
            sleep $((60 - $(date +%s) % 60)) &
            wait $!
            if [ "$1" = schedule ] && due; then
                # A child of its own: its traps and its end are not this loop's.
                "$0" now || true &
                wait $! || true
            fi
        done
        ;;
    *)
        echo "usage: collect.sh schedule | wait | now" >&2
        exit 64
        ;;
esac
