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
set -eu

release=/etc/harborage/current
home=/balancer
# A killed `up` leaves a node drained for so long.
drained_at_most=900
# What `wait` does when it is not told.
drain_seconds=$(cat "$release/agent/drain-seconds")

fail() {
    printf 'harborage-lb: %s\n' "$*" >&2
    exit 1
}

# locked COMMAND...
locked() {
    (
        flock -w 30 9 || fail "another process holds $home/lock"
        "$@"
    ) 9>"$home/lock"
}

# log: what is decided is told where nginx or the agent logs, whoever it was that asked.
log() {
    cat >/proc/1/fd/1 2>/dev/null || cat >&2
}

# decide: with the records of the standard input. Says `refused REASON` where it refuses. Where it fails, for example on a
# full disk, what was there stays.
decide() {
    {
        date -u '+now %s %Y-%m-%dT%H:%M:%SZ'
        cat "$release/agent/nodes"
        [ ! -s "$home/state" ] || cat "$home/state"
        cat
        echo decide
    } | awk -v state="$home/state.new" -v servers="$home/wanted.new" -v metrics="$home/metrics.new" \
        -f "$release/agent/decide.awk" >"$home/said" || return 1
    mv "$home/wanted.new" "$home/wanted.conf" || return 1
    mv "$home/metrics.new" "$home/metrics.prom" || return 1
    mv "$home/state.new" "$home/state" || return 1
    grep '^{' "$home/said" | log || true
    sed -n 's/^refused //p' "$home/said"
}

# apply [always]: nginx reads the configuration with the new list before it gets it.
apply() {
    [ -s "$home/wanted.conf" ] || decide </dev/null || return 1
    if [ "${1:-}" != always ] && cmp -s "$home/wanted.conf" "$home/nodes.conf"; then return 0; fi
    sed "s#$home/nodes.conf#$home/wanted.conf#" "$release/nginx.conf" >/tmp/wanted-nginx.conf || return 1
    if ! nginx -t -q -c /tmp/wanted-nginx.conf; then
        echo "nginx refuses the list of nodes; it keeps the one that it has" >&2
        return 1
    fi
    cp "$home/wanted.conf" "$home/nodes.conf.new" || return 1
    mv "$home/nodes.conf.new" "$home/nodes.conf" || return 1
    # Before nginx has started there is none to tell.
    [ ! -s /run/nginx.pid ] || kill -HUP "$(cat /run/nginx.pid)"
}

# change RECORD: decides with one more record, and applies; says why where it is refused.
change() {
    printf '%s\n' "$1" | decide && apply >&2
}

reload() {
    decide </dev/null >/dev/null && apply always
}

# field NODE NUMBER: of its line in the state.
field() {
    awk -v node="$1" -v number="$2" '$1 == "state" && $2 == node { print $number }' "$home/state"
}

known() {
    grep -q "^node $1 " "$release/agent/nodes" || fail "there is no node $1; there are:$(sed -n 's/^node \([^ ]*\).*/ \1/p' "$release/agent/nodes" | tr -d '\n')"
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

why() {
    awk -v node="$1" '$1 == "state" && $2 == node { printf "%s", $5; for (i = 15; i <= NF; i++) printf "%s%s", i == 15 ? ": " : " ", $i }' "$home/state"
}

# connections ADDRESS PORT: how many this machine has there, or is opening. Of an IPv6 address only the port is looked at.
connections() {
    address=$(getent ahostsv4 "$1" | awk 'NR == 1 { print $1 }') || true
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v address="${address:-$1}" -v port="$2" '
        BEGIN {
            want = sprintf(":%04X", port)
            n = split(address, part, ".")
            if (n == 4) want = sprintf("%02X%02X%02X%02X", part[4], part[3], part[2], part[1]) want
        }
        ($4 == "01" || $4 == "02") && substr($3, length($3) - length(want) + 1) == want { count++ }
        END { print count + 0 }
    '
}

# Requests end, and with them the connections of nginx that was there before; it closes idle ones itself.
wait_for_end() {
    deadline=$(($(date +%s) + $3))
    while open=$(connections "$1" "$2") && [ "$open" -gt 0 ]; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            echo "$open connections to $1:$2 are still open after $3 s" >&2
            return 0
        fi
        sleep 0.5
    done
}

# Whether the agent has ended a round in the last seconds.
decides() {
    [ -s "$home/round" ] && [ "$(($(date +%s) - $(cat "$home/round")))" -le 15 ]
}

alive() {
    decides || fail "the agent does not decide"
    [ "$(sed -n 's/^state \([^ ]* [^ ]* [^ ]*\) .*/node \1/p' "$home/state")" = "$(cat "$release/agent/nodes")" ] ||
        fail "the agent has another list of nodes"
    cmp -s "$home/wanted.conf" "$home/nodes.conf" || fail "nginx does not have what the agent decided"
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
    if ! decides; then echo "The agent does not run; what is above is what it saw last, and nginx goes on with it."; fi
    cmp -s "$home/wanted.conf" "$home/nodes.conf" || echo "nginx does not have this yet."
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
