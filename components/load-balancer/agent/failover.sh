#!/bin/sh
# failover.sh COMMAND: which of two nodes is active. A release has it as balancer.sh. It runs in nginx's container, but for
# `decide` and `work`, which the agent runs in its own. Everything that changes something does so under one lock.
#
#   status                    says which node is active, since when, and why
#   switch NODE               makes the other node active, without a loss, and waits for the end of it
#   switch NODE now           at once: what only the active has is lost. For an active that does not come back. Puts an end to
#                             what is under way, also where NODE is active already
#   hold SECONDS|off          no failover for so long
#   rejoin                    after a failover: has the other node follow the active again, and waits for the end of it
#   activate NODE [EPOCH]     for `up`: NODE is to be active, and was not when the epoch was EPOCH; an empty one is any
#   change NODE               for `up`: no failover while NODE changes
#   changed NODE              waits until it is well, and ends that
#   decide                    reads what was seen, and decides
#   work                      goes on with a switchover or a rejoin, and measures
#   apply                     gives nginx what was decided
#   reload                    reads the release's list, and gives it to nginx, and the rest of the release
#   wait ADDRESS PORT SECONDS waits until no connection to there is open
#   alive                     whether the agent decides, and nginx has what it decided
# shellcheck disable=SC2034,SC2154 # set for what it reads, and by it
set -eu

# shellcheck source=/dev/null
. "$(dirname "$0")/common.sh"
# shellcheck source=/dev/null
. "$(dirname "$0")/switchover.sh"

reason_field=11
# A killed `up` leaves a hold for so long.
held_at_most=900
# How long requests in flight go on at a node that is no longer active.
end_after=5

# decide: with the records of the standard input. A failover is decided in two: the second time it is known whether the
# old active is kept from writing to the new one.
decide() {
    decide_once || return 1
    to=$(sed -n 's/^fence //p' "$home/said")
    [ -n "$to" ] || return 0
    if reason=$(patience=$((probe_seconds + 1)) tries=1 fence "$to" 2>&1); then answer=yes; else answer=no; fi
    printf 'fenced %s %s %s\n' "$to" "$answer" "$(printf '%s' "$reason" | tr '\n' ' ')" | decide_once
}

decide_once() {
    {
        echo "misses $(cat "$release/agent/misses")"
        echo "each $probe_seconds"
        echo "first $(cat "$release/agent/first")"
        cat "$release/agent/machines"
        before
        [ ! -s "$home/journal" ] || awk '{ print "journal", $1, "to", $4, "at", $6 }' "$home/journal"
        [ ! -s "$home/lag" ] || sed 's/^/lag /' "$home/lag"
        cat
    } | decided failover.awk -v told="$home/active.new" || return 1
    mv "$home/active.new" "$home/active.json"
}

# active_in FILE: the node that a list of nodes has.
active_in() {
    sed -n 's/.* # //p' "$1"
}

# Requests in flight would go on at the old active: after a change of it, and of nothing else, what is left of them ends.
# `ended` tells who is the only one that still gets any.
give_nginx() {
    active=$(active_in "$home/nodes.conf")
    if [ "$active" = "$(cat "$home/ended" 2>/dev/null)" ]; then
        reload_nginx
        return
    fi
    old=$(workers | tr '\n' ' ')
    reload_nginx || return 1
    if [ -z "$old" ]; then
        echo "$active" >"$home/ended"
        return
    fi
    {
        sleep "$end_after"
        end_workers
        # Meanwhile somebody else may have become active.
        [ "$active" != "$(active_in "$home/nodes.conf")" ] || echo "$active" >"$home/ended"
    } </dev/null >/dev/null 2>&1 9>&- &
}

# workers: nginx's own processes; the master has other children as well.
workers() {
    [ -s /run/nginx.pid ] || return 0
    grep -l "^PPid:[[:space:]]*$(cat /run/nginx.pid)\$" /proc/[0-9]*/status 2>/dev/null | while read -r file; do
        if [ "$(cat "${file%/status}/comm" 2>/dev/null)" = nginx ]; then basename "${file%/status}"; fi
    done
}

end_workers() {
    for pid in $(workers); do
        case " $old" in
            *" $pid "*) kill -TERM "$pid" || true ;;
        esac
    done
}

# Without the mark nobody has told yet who is the only one that gets requests.
apply_all() {
    if [ -f "$home/ended" ]; then apply; else apply always; fi
}

# current NUMBER: of the line of the active.
current() {
    awk -v number="$1" '$1 == "active" { print $number }' "$home/state"
}

other() {
    sed -n 's/^node \([^ ]*\) .*/\1/p' "$release/agent/nodes" | grep -vxF -e "$1"
}

# An agent that has just started has not seen anything yet.
needs_agent() {
    deadline=$(($(date +%s) + 30))
    until decides && [ -s "$home/state" ]; do
        [ "$(date +%s)" -lt "$deadline" ] || fail "the agent does not run; nothing is begun"
        sleep 0.5
    done
}

# begin KIND ACTIVE PEER BY STEP...: writes the journal, which the agent goes on with; says its number.
begin() {
    if [ -s "$home/journal" ]; then return 1; fi
    kind=$1 active=$2
    shift 2
    [ "$(current 2)" = "$active" ] || return 1
    number=$(($(cat "$home/number" 2>/dev/null || echo 0) + 1))
    echo "$number" >"$home/number.new" && mv "$home/number.new" "$home/number" || return 1
    echo "$kind $number $active $*" >"$home/journal.new" && mv "$home/journal.new" "$home/journal" || return 1
    echo "$number"
}

# follow NUMBER: waits until the agent is done with it.
follow() {
    told=
    while :; do
        step=$(journal_of "$1" | cut -d ' ' -f 1)
        if [ -z "$step" ]; then
            result=$(sed -n "s/^$1 //p" "$home/results" 2>/dev/null)
            case $result in
                done*) return 0 ;;
                failed*) fail "${result#failed }" ;;
                # It is written before the journal is gone.
                *) fail "somebody else put an end to it" ;;
            esac
        elif [ "$step" != "$told" ]; then
            told=$step
            echo "$step" >&2
        fi
        decides || fail "the agent does not run; it goes on with $told when it does"
        away=$(away) && fail "$away, and $told waits for it; it goes on when that is back, or harborage-lb switch $(current 2) now puts an end to it"
        sleep 0.3
    done
}

# away: the node without which a switchover that cannot be undone does not go on, once it has been dead for a minute.
away() (
    [ -s "$home/journal" ] || return 1
    read -r kind number active peer by steps <"$home/journal"
    case "$kind $steps " in
        rejoin* | *' switch '*) return 1 ;;
    esac
    for node in "$active" "$peer"; do
        if [ "$(field "$node" 5)" = dead ] && [ "$(($(date +%s) - $(field "$node" 6)))" -ge 60 ]; then
            echo "$node is $(why "$node")"
            return 0
        fi
    done
    return 1
)

# Whatever is under way, to its end, however it ends; as long as there is one to wait for.
attach() {
    while number=$(journal 2) && [ -n "$number" ]; do
        (follow "$number") || { decides && ! away >/dev/null; } || return 0
    done
}

# switch_over NODE BY
switch_over() {
    active=$(other "$1")
    steps=$planned_steps
    [ "$(current 7)" = armed ] || steps="$join_steps ${planned_steps#check }"
    # shellcheck disable=SC2086 # words
    number=$(locked begin switchover "$active" "$1" "$2" $steps) || fail "something else is under way; see harborage-lb status"
    follow "$number"
    echo "$1 is active"
}

# stop_steps: puts an end to what is under way.
stop_steps() {
    locked rm -f "$home/journal"
    # A step that has begun ends.
    exec 8>"$home/worker"
    flock -w 60 8 || fail "a step of what was under way does not end"
}

switch_now() {
    [ "$(field "$1" 5)" = well ] || fail "$1 is not well: it is $(why "$1")"
    stop_steps
    reason=$(fence "$1" 2>&1) || fail "$(current 2) could still write to $1, and overwrite what is new there: $reason"
    locked change "switch $1 operator at once" || fail "nginx did not take the change"
    echo "$1 is active; harborage-lb rejoin has the other one follow it"
}

switch() {
    known "$1"
    needs_agent
    if [ "$(current 2)" = "$1" ]; then
        if [ "${2:-}" = now ] && [ -s "$home/journal" ]; then
            stop_steps
            echo "put an end to what was under way"
        fi
        echo "$1 is active already"
    elif [ "$#" -eq 1 ]; then
        switch_over "$1" operator
    else
        [ "$2" = now ] || usage
        switch_now "$1"
    fi
}

rejoin() {
    needs_agent
    [ "$(current 7)" != armed ] || echo "the other node follows $(current 2) already; it is done once more"
    join operator
}

# join BY
join() {
    active=$(current 2)
    peer=$(other "$active")
    # shellcheck disable=SC2086 # words
    number=$(locked begin rejoin "$active" "$peer" "$1" $join_steps full armed) ||
        fail "something else is under way; see harborage-lb status"
    follow "$number"
    echo "$peer follows $active"
    [ ! -s "$home/rejoin-only-on-$peer.txt" ] ||
        echo "$(wc -l <"$home/rejoin-only-on-$peer.txt") tags of $peer are not or not so on $active: $home/rejoin-only-on-$peer.txt"
}

activate() {
    known "$1"
    needs_agent
    attach
    ! away=$(away) || fail "$away; $(journal 1) cannot go on without it, see harborage-lb status"
    [ "$(current 8)" = joined ] || join up
    if [ "$(current 2)" = "$1" ]; then
        echo "$1 is active"
        return 0
    fi
    [ "$(current 3)" = "${2:-$(current 3)}" ] ||
        fail "$(current 2) is active since $(current 5), epoch $(current 3), and not $2: somebody has decided otherwise"
    switch_over "$1" up
}

hold() {
    case $1 in
        off) until=0 ;;
        '' | *[!0-9]*) usage ;;
        *) until=$(($(date +%s) + $1)) ;;
    esac
    locked change "hold operator $until" || fail "nginx did not take the change"
    # An `up` that was killed has left one.
    [ "$until" -gt 0 ] || locked change "hold up 0" || fail "nginx did not take the change"
    if [ "$until" -gt 0 ]; then echo "no failover for $1 s"; else echo "failovers are not held"; fi
}

change_node() {
    known "$1"
    attach
    locked change "hold up $(($(date +%s) + held_at_most))" || fail "nginx did not take the change"
    echo "no failover for $held_at_most s at most"
}

changed_node() {
    known "$1"
    begun=$(date +%s)
    # What was seen before the change says nothing.
    until [ "$(field "$1" 5)" = well ] && [ "$(field "$1" 7)" -ge 3 ] && [ "$(field "$1" 10)" -gt "$((begun + 2))" ]; do
        if [ "$(date +%s)" -ge "$((begun + 120))" ]; then
            decides || fail "$1 was $(why "$1") when the agent looked last, and the agent does not run"
            fail "$1 is not well: it is $(why "$1")"
        fi
        sleep 0.5
    done
    locked change "hold up 0" || fail "nginx did not take the change"
    echo "$1 is well"
}

status() {
    awk -v now="$(date +%s)" '
        $1 == "state" { row[++rows] = $0 }
        $1 == "active" { active = $2; epoch = $3; at = $5; by = $6; armed = $7; joined = $8; for (i = 10; i <= NF; i++) why = why " " $i }
        $1 == "hold" && $3 > now { held = held sprintf("No failover for %d s: %s.\n", $3 - now, $2 == "up" ? "an up changes a node" : "hold") }
        END {
            printf "%-16s %-24s %-8s %-6s %-10s %s\n", "NODE", "ADDRESS", "ROLE", "CLASS", "SINCE", "WHY"
            for (n = 1; n <= rows; n++) {
                words = split(row[n], word, " ")
                text = ""
                for (i = 11; i <= words; i++) text = text (i > 11 ? " " : "") word[i]
                printf "%-16s %-24s %-8s %-6s %-10s %s\n", word[2], word[3] ":" word[4], word[2] == active ? "active" : "standby", word[5], (now - word[6]) "s", text
            }
            printf "%s is active since %s, epoch %d, by %s:%s\n", active, at, epoch, by, why
            if (armed == "armed") print "There will be a failover when it dies."
            else if (joined == "joined") print "There will be no failover until `harborage-lb rejoin` has run."
            else print "There will be no failover until the other node follows it."
            printf "%s", held
        }
    ' "$home/state"
    [ ! -s "$home/lag" ] || echo "The oldest push that the standby does not have is $(cat "$home/lag") s old."
    [ ! -s "$home/journal" ] || echo "Under way: $(awk '{ printf "%s, %s -> %s, at %s", $1, $3, $4, $6 }' "$home/journal")"
    [ ! -s "$home/results" ] || echo "The last one: $(tail -n 1 "$home/results" | cut -d ' ' -f 2-)"
    reservations
}

usage() {
    echo "usage: harborage-lb status | switch NODE [now] | hold SECONDS|off | rejoin" >&2
    exit 64
}

command=${1:-}
[ "$#" -eq 0 ] || shift
case "$command:$#" in
    status:0) status ;;
    switch:1 | switch:2) switch "$@" ;;
    hold:1) hold "$@" ;;
    rejoin:0) rejoin ;;
    activate:1 | activate:2) activate "$@" ;;
    change:1) change_node "$@" ;;
    changed:1) changed_node "$@" ;;
    decide:0) locked decide ;;
    work:0) work ;;
    apply:0) locked apply_all ;;
    reload:0) locked reload ;;
    wait:3) wait_for_end "$@" ;;
    alive:0) alive ;;
    *) usage ;;
esac
