#!/bin/sh
# agent.sh: looks at the nodes every probe-seconds, has it decided which of them get requests, and asks nginx's container to
# apply what is new. While it does not run, nginx goes on with what it has.
set -eu

release=/etc/harborage/current
home=/balancer
seen=/tmp/seen

running=$(readlink "$release")
probe_seconds=$(cat "$release/agent/probe-seconds")
# Where one node is active, nothing else of Harbor is a reason to take another.
essential=
[ ! -f "$release/agent/failover.awk" ] || essential="core database redis registry"
asked=
again=0
trap 'exit 0' TERM INT

# Its container is not made anew when a release brings a new agent.
follow() {
    [ "$(readlink "$release")" = "$running" ] || exec sh "$release/agent/agent.sh"
}

# What curl cannot say of a node counts for nothing; it says of each that it gave no answer.
look() {
    rm -rf "$seen"
    mkdir "$seen"
    timeout "$((probe_seconds + 4))" curl --disable --config "$release/agent/probes.curl" >"$seen/answers" 2>/dev/null || true
    awk -v directory="$seen" -v essential="$essential" -f "$release/agent/observe.awk" "$seen/answers"
}

# ask: wakes nginx's container when it has not got what was decided; again when it still has not after a while.
ask() {
    if cmp -s "$home/wanted.conf" "$home/nodes.conf" || [ ! -p "$home/wake" ]; then return 0; fi
    now=$(date +%s)
    wanted=$(cat "$home/wanted.conf")
    if [ "$wanted" = "$asked" ] && [ "$now" -lt "$again" ]; then return 0; fi
    asked=$wanted
    again=$((now + 10))
    (printf '\n' 1<>"$home/wake")
}

while :; do
    sleep "$probe_seconds" &
    next=$!
    follow
    if look | sh "$release/agent/balancer.sh" decide; then
        # Whoever reads it finds a number at any time. In a process of its own: while this one's output is somewhere else,
        # what others log by way of it would go there.
        (date +%s >"$home/round.new") && mv "$home/round.new" "$home/round"
    fi
    ask
    # What takes longer than a round; a second one ends at once while one is under way.
    [ ! -f "$release/agent/switchover.sh" ] || sh "$release/agent/balancer.sh" work &
    wait "$next" || true
done
