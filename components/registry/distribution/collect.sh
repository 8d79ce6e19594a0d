#!/bin/sh
# collect.sh schedule | wait | now
# Garbage collection that no push can be hurt by: the load balancer refuses new uploads while the running ones end, then
# every write, and pulls go on. The flags in /gate are what the load balancer looks at. In the environment: METRICS, the
# counters of every node (URLs with spaces); QUIET_SECONDS, how long a write may be under way that no node counts yet;
# ASKED, where there are several nodes: a file that remembers those that were taken out.
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

# writes_of URL: those that a node is serving right now.
writes_of() {
    wget -q -T 3 -O - "$1" | awk '
        /^registry_http_in_flight_requests\{handler="(blob_upload|blob_upload_chunk|manifest)"\}/ { sum += $2; seen = 1 }
        END { if (!seen) exit 1; print sum + 0 }
    '
}

# Writes that the registry is serving right now, on all nodes; or the URL of a node that cannot be seen.
writes_in_flight() {
    sum=0
    for url in $METRICS; do
        number=$(writes_of "$url") || { echo "$url"; return 1; }
        sum=$((sum + number))
    done
    # What was taken out may have a write to end, until it is gone.
    for url in $(taken_out); do
        number=$(writes_of "$url") || continue
        sum=$((sum + number))
    done
    echo "$sum"
}

taken_out() {
    if [ -f "${ASKED:-}" ]; then
        while read -r each; do
            case " $METRICS " in
                *" $each "*) ;;
                *) echo "$each" ;;
            esac
        done <"$ASKED"
    fi
}

# remember FILE...: the nodes of now, and those in the files.
remember() {
    if [ -n "${ASKED:-}" ]; then
        # shellcheck disable=SC2086 # the URLs are words of their own
        { printf '%s\n' $METRICS; cat "$@" /dev/null; } | sort -u >"$ASKED.new"
        mv "$ASKED.new" "$ASKED"
    fi
}

# wait_until_quiet SECONDS DEADLINE WHY: no write has been in flight for so long; else says why not in `why`.
wait_until_quiet() {
    quiet=0
    while [ "$quiet" -lt "$1" ]; do
        why=$3
        if [ "$(date +%s)" -ge "$2" ]; then return 1; fi
        writes=$(writes_in_flight) || { why="$writes does not answer, so its writes cannot be seen"; return 1; }
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
    if ! wait_until_quiet 5 $((start + DRAIN_SECONDS)) "uploads went on for $DRAIN_SECONDS s"; then
        log "put off: $why"
        return 75
    fi
    : >/gate/writes-closed
    if ! wait_until_quiet "$QUIET_SECONDS" $(($(date +%s) + QUIET_SECONDS + 60)) "a write did not end"; then
        log "put off: $why"
        return 75
    fi
    set -- garbage-collect
    if [ "$DELETE_UNTAGGED" = true ]; then set -- "$@" --delete-untagged; fi
    # shellcheck source=SCRIPTDIR/config.sh
    . "$release/registry/config.sh"
    write_config /tmp/config.yml
    if registry "$@" /tmp/config.yml >/tmp/collect.log 2>&1; then
        log "$(grep -m 1 'eligible for deletion' /tmp/collect.log || echo 'nothing to collect'), $(($(date +%s) - start)) s"
        remember
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
        if [ -f "${ASKED:-}" ]; then remember "$ASKED"; else remember; fi
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
