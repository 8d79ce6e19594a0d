# shellcheck shell=sh disable=SC2154 # what balancer.sh and failover.sh set
# common.sh: what balancer.sh and failover.sh both need; they read it. They say what `decide` does, and `give_nginx`, and
# in `reason_field` where a reason begins in the state.

# Both are run as RELEASE/agent/PROGRAM.
release=$(dirname "$(dirname "$0")")
home=${HARBORAGE_BALANCER:-/balancer}
probe_seconds=$(cat "$release/agent/probe-seconds")

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
    cat >>"${HARBORAGE_LOG:-/proc/1/fd/1}" 2>/dev/null || cat >&2
}

# decided PROGRAM [WORD...]: what a program makes of the records of the standard input. Leaves what it says in
# `said`. Where it fails, for example on a full disk, what was there stays.
decided() {
    program=$1
    shift
    {
        date -u '+now %s %Y-%m-%dT%H:%M:%SZ'
        cat "$release/agent/nodes"
        cat
        echo decide
    } | awk -v state="$home/state.new" -v servers="$home/wanted.new" -v metrics="$home/metrics.new" "$@" \
        -f "$release/agent/common.awk" -f "$release/agent/$program" >"$home/said" || return 1
    mv "$home/wanted.new" "$home/wanted.conf" || return 1
    mv "$home/metrics.new" "$home/metrics.prom" || return 1
    mv "$home/state.new" "$home/state" || return 1
    grep '^{' "$home/said" | log || true
}

# before: what was decided, as records.
before() {
    [ ! -s "$home/state" ] || cat "$home/state"
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
    give_nginx
}

# Before nginx has started there is none to tell.
reload_nginx() {
    [ ! -s /run/nginx.pid ] || kill -HUP "$(cat /run/nginx.pid)"
}

# change RECORD: decides with one more record, and applies; says why where it is refused.
change() {
    printf '%s\n' "$1" | decide && apply >&2
}

reload() {
    decide </dev/null >/dev/null && apply always
}

known() {
    grep -q "^node $1 " "$release/agent/nodes" || fail "there is no node $1; there are:$(sed -n 's/^node \([^ ]*\).*/ \1/p' "$release/agent/nodes" | tr -d '\n')"
}

# field NODE NUMBER: of its line in the state.
field() {
    awk -v node="$1" -v number="$2" '$1 == "state" && $2 == node { print $number }' "$home/state"
}

# why NODE: what it is, and the reason.
why() {
    awk -v node="$1" -v from="$reason_field" '
        $1 == "state" && $2 == node { printf "%s", $5; for (i = from; i <= NF; i++) printf "%s%s", i == from ? ": " : " ", $i }
    ' "$home/state"
}

# reservations: what a status has to say of itself.
reservations() {
    if ! decides; then echo "The agent does not run; what is above is what it saw last, and nginx goes on with it."; fi
    cmp -s "$home/wanted.conf" "$home/nodes.conf" || echo "nginx does not have this yet."
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

# Whether the agent has ended a round not long ago.
decides() {
    [ -s "$home/round" ] && [ "$(($(date +%s) - $(cat "$home/round")))" -le "$((probe_seconds * 2 + 13))" ]
}

alive() {
    decides || fail "the agent does not decide"
    [ "$(sed -n 's/^state \([^ ]* [^ ]* [^ ]*\) .*/node \1/p' "$home/state")" = "$(cat "$release/agent/nodes")" ] ||
        fail "the agent has another list of nodes"
    cmp -s "$home/wanted.conf" "$home/nodes.conf" || fail "nginx does not have what the agent decided"
}

