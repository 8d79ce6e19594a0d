#!/bin/sh
# balancer.sh COMMAND: the list of nodes that nginx has, and who is kept out of it. It runs in nginx's container, but for
# `decide`, which the agent runs in its own. Everything that changes something does so under one lock.
#
#   status                    says which node is in rotation, and why
#   drain NODE [SECONDS]      takes a node out, and waits until its requests have ended, for so long at most
#   restore NODE              puts it back, and waits until it gets requests again
#   decide                    reads what was seen, and decides
#   apply                     gives nginx what was decided
#   reload                    reads the release's list, and gives it to nginx, and the rest of the release
#   wait ADDRESS PORT SECONDS waits until no connection to there is open
#   alive                     whether the agent decides, and nginx has what it decided
# shellcheck disable=SC2034,SC2154 # set for what it reads, and by it
set -eu

# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"

reason_field=15
# A killed `up` leaves a node drained for so long.
drained_at_most=900
# What `wait` does when it is not told.
drain_seconds=$(cat "$release/agent/drain-seconds")

# decide: with the records of the standard input. Says `refused REASON` where it refuses.
decide() {
    { before; cat; } | decided decide.awk || return 1
    sed -n 's/^refused //p' "$home/said"
}

# Requests in flight end where they are.
give_nginx() {
    reload_nginx
}

drain() {
    known "$1"
    seconds=${2:-$drain_seconds}
    refused=$(locked change "drain $1 $(($(date +%s) + drained_at_most))") || fail "nginx did not take the change"
    [ -z "$refused" ] || fail "$1 stays in rotation: $refused"
    if [ "$(field "$1" 5)" = dead ]; then
        echo "$1 is dead: it has no requests"
        return 0
    fi
    wait_for_end "$(field "$1" 3)" "$(field "$1" 4)" "$seconds"
    echo "$1 is out of rotation, for $drained_at_most s at most"
}

restore() {
    known "$1"
    locked change "drain $1 0" >/dev/null || fail "nginx did not take the change"
    deadline=$(($(date +%s) + 120))
    while :; do
        if [ "$(field "$1" 6)" = in ] && cmp -s "$home/wanted.conf" "$home/nodes.conf"; then
            echo "$1 is in rotation"
            return 0
        fi
        if [ "$(date +%s)" -ge "$deadline" ]; then break; fi
        sleep 0.5
    done
    decides || fail "$1 is not in rotation: it was $(why "$1") when the agent looked last, and the agent does not run"
    fail "$1 is not in rotation: it is $(why "$1")"
}

status() {
    awk -v now="$(date +%s)" '
        BEGIN { add("NODE ADDRESS CLASS ROTATION SINCE DRAINED WHY") }
        $1 == "state" {
            left = $8 > now ? ($8 - now) "s" : "-"
            row = $2 " " $3 ":" $4 " " $5 " " $6 " " (now - $7) "s " left
            for (i = 15; i <= NF; i++) row = row " " $i
            add(row)
        }
        function add(row,    i) {
            rows++
            words[rows] = split(row, word, " ")
            for (i = 1; i <= words[rows]; i++) cell[rows, i] = word[i]
            for (i = 1; i <= 6; i++) if (length(word[i]) > width[i]) width[i] = length(word[i])
        }
        END {
            for (n = 1; n <= rows; n++) {
                for (i = 1; i <= words[n]; i++) printf i == words[n] ? "%s\n" : "%-" (i <= 6 ? width[i] + 1 : 0) "s ", cell[n, i]
            }
        }
    ' "$home/state"
    reservations
}

usage() {
    echo "usage: harborage-lb status | drain NODE [SECONDS] | restore NODE" >&2
    exit 64
}

command=${1:-}
[ "$#" -eq 0 ] || shift
case "$command:$#" in
    status:0) status ;;
    drain:1 | drain:2) drain "$@" ;;
    restore:1) restore "$@" ;;
    decide:0) locked decide ;;
    apply:0) locked apply ;;
    reload:0) locked reload ;;
    wait:3) wait_for_end "$@" ;;
    alive:0) alive ;;
    *) usage ;;
esac
