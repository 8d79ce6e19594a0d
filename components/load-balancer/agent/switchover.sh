# shellcheck shell=sh disable=SC2034,SC2154 # what failover.sh, which reads this, uses and sets
# switchover.sh: what failover.sh has Harbor do. A switchover and a rejoin are steps in `journal`, one line
# `KIND NUMBER ACTIVE PEER BY STEP...` with the steps that are left. The agent takes one after the other, and goes on where it
# was when it was killed; so each step may be done twice.
#
# Up to `switch` a switchover that fails is undone; from there on it goes on until it is done. A rejoin that fails can be
# begun again.
#
# A Harbor that is read-only refuses every change of its policies and accounts (src/core/middlewares), so the old active has
# to be writable before its replication can be turned off. Until then its account at the new one is off: or what it still
# pushes, by its schedule too, would overwrite what is new there.

# The other node follows the active.
join_steps="check quiet differ robots push"
# It is made the active.
planned_steps="check full readonly drain fence pull compare switch ended turn settle armed"

# Of one call of Harbor's API: seconds, and how often it is tried.
patience=${patience:-20}
tries=${tries:-3}

# The account with which each node writes to the other one.
account=harborage-replication

newline='
'

# tell EVENT NODE TEXT: for who reads the log.
tell() {
    printf '{"time":"%s","event":"%s","node":"%s","reason":"%s"}\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" "$2" \
        "$(printf '%s' "$3" | tr '\n' ' ' | tr -cd 'A-Za-z0-9 _.,:;()/$@-')" | log
}

# harbor NODE WORD...: curl, let into its API.
harbor() (
    to=$(awk -v node="$1" '$1 == "node" && $2 == node { printf "::%s:%s", $3 ~ /:/ ? "[" $3 "]" : $3, $4 }' "$release/agent/nodes")
    shift
    exec curl --disable --config "$release/agent/api.curl" --config "$release/secrets/root/harbor.curl" \
        --connect-to "$to" --noproxy '*' --silent --show-error --max-time "$patience" "$@"
)

# api NODE METHOD PATH [JSON]: the body of the answer, or the number of what was made. Fails with Harbor's own words.
api() (
    node=$1 method=$2 path=$3 body=${4:-} left=$tries
    while :; do
        if [ -n "$body" ]; then set -- --header "Content-Type: application/json" --data "$body"; else set --; fi
        if answer=$(harbor "$node" --request "$method" --write-out '\n%header{location}\n%{http_code}' "$@" \
            "https://$(cat "$release/agent/host")/api/v2.0$path" 2>&1); then
            code=${answer##*"$newline"}
            answer=${answer%"$newline"*}
            location=${answer##*"$newline"}
            answer=${answer%"$newline"*}
        else
            code=000
            answer=${answer%%"$newline"*}
        fi
        case $code in
            2*)
                if [ "$method" = POST ]; then echo "${location##*/}"; else printf '%s\n' "$answer"; fi
                return 0
                ;;
            # Harbor refuses every login for a moment after a wrong one.
            000 | 401 | 429 | 5*) left=$((left - 1)) ;;
            *) left=0 ;;
        esac
        [ "$left" -gt 0 ] || break
        sleep 1
    done
    [ "$code" = 000 ] || answer="$code $(printf '%s' "$answer" | flat 2>/dev/null | sed -n 's/^errors\.0\.message=//p')"
    echo "$node: $method $path: $answer" >&2
    return 1
)

flat() {
    awk -f "$release/agent/json.awk" "$@"
}

# value PATH: of JSON.
value() {
    flat | sed -n "s/^$1=//p"
}

# all NODE PATH: a list, from its first to its last page, as lines `PAGE.PLACE.path=value`.
all() (
    page=1
    while :; do
        lines=$(api "$1" GET "$2$(case $2 in *\?*) echo '&' ;; *) echo '?' ;; esac)page=$page&page_size=100") || return 1
        lines=$(printf '%s\n' "$lines" | flat | sed "s/^/$page./")
        [ -z "$lines" ] || printf '%s\n' "$lines"
        [ "$(printf '%s\n' "$lines" | cut -d . -f 2 | sort -u | wc -l)" -eq 100 ] || return 0
        page=$((page + 1))
    done
)

# numbered KEY TEXT: the ids of the things whose KEY is TEXT, of a list's lines.
numbered() {
    awk -v key="$1" -v text="$2" '
        { split($0, part, "."); place = part[1] "." part[2]; rest = substr($0, length(place) + 2) }
        rest == key "=" text { found[place] = 1 }
        rest ~ /^id=/ { id[place] = substr(rest, 4) }
        END { for (place in found) print id[place] }
    '
}

# one NODE WHAT NAME PATH: the id of the thing with this name.
one() (
    lines=$(all "$1" "$4") || return 1
    id=$(printf '%s\n' "$lines" | numbered name "$3")
    [ -n "$id" ] || {
        echo "$1 has no $2 $3" >&2
        return 1
    }
    echo "$id"
)

policy() {
    one "$1" "replication policy" "$2" /replication/policies
}

# put NODE PATH KEY JSON: changes one key of a thing that Harbor takes as a whole, where it has to be changed.
put() (
    text=$(api "$1" GET "$2") || return 1
    # Harbor leaves out what is false.
    now=$(printf '%s\n' "$text" | value "$3")
    [ "${now:-false}" != "$4" ] || return 0
    text=$(printf '%s\n' "$text" | flat -v set="$3" -v value="$4") && api "$1" PUT "$2" "$text" >/dev/null
)

# robot NODE true|false: whether the account of the other node is disabled there.
robot() (
    prefix=$(api "$1" GET /configurations) || return 1
    prefix=$(printf '%s\n' "$prefix" | value 'robot_name_prefix\.value')
    id=$(one "$1" account "$prefix$account" /robots) && put "$1" "/robots/$id" disable "$2"
)

# fence NODE: the other one can no longer write to it. Where no change of the active comes after it, it is taken back.
fence() {
    echo "$1" >"$home/fenced" && robot "$1" true
}

# lift: of a failover that did not come, since the agent was killed, or the active was back.
lift() {
    to=$(cat "$home/fenced")
    if [ "$(current 2)" != "$to" ] && [ "$(current 7)" = armed ]; then
        [ "$(field "$(current 2)" 5)" = well ] && robot "$to" false || return 1
        tell lifted "$to" "there was no failover; $(current 2) writes to it again"
    fi
    rm -f "$home/fenced"
}

# enabled NODE POLICY true|false
enabled() (
    id=$(policy "$1" "$2") && put "$1" "/replication/policies/$id" enabled "$3"
)

writable() {
    api "$1" PUT /configurations '{"read_only":false}' >/dev/null
}

# running NODE: what is under way from it to the other one.
running() (
    for name in harborage-push harborage-full; do
        id=$(policy "$1" "$name") || return 1
        lines=$(all "$1" "/replication/executions?policy_id=$id&status=InProgress") || return 1
        printf '%s\n' "$lines" | sed -n 's/^[0-9]*\.[0-9]*\.id=//p'
    done
)

# busy NODE: what of its replication waits or runs. Of executions a read-only Harbor knows no end: it refuses what its own job
# service tells of them (readonlySkippers in src/core/middlewares/middlewares.go).
busy() (
    text=$(api "$1" GET /jobservice/pools/all/workers) || return 1
    printf '%s\n' "$text" | flat | sed -n '/^[0-9]*\.job_name=REPLICATION$/p'
    text=$(api "$1" GET /jobservice/queues) || return 1
    printf '%s\n' "$text" | flat | awk -F '[.=]' '
        $2 == "job_type" && $3 == "REPLICATION" { at = $1 }
        $2 == "count" { count[$1] = $3 }
        END { if (at != "" && count[at] > 0) print "waiting" }
    '
)

# journal FIELD
journal() {
    [ ! -s "$home/journal" ] || cut -d ' ' -f "$1" "$home/journal"
}

# journal_of NUMBER: the steps that are left of it.
journal_of() {
    awk -v number="$1" '$2 == number { for (i = 6; i <= NF; i++) printf "%s%s", $i, i < NF ? " " : "\n" }' "$home/journal" 2>/dev/null || true
}

# going: whether there is still a sense in waiting.
going() {
    [ -n "$(journal_of "$number")" ] || {
        echo "somebody put an end to it" >&2
        return 1
    }
    for node in "$active" "$peer"; do
        [ "$(field "$node" 5)" != dead ] || {
            echo "$node is dead: $(why "$node")" >&2
            return 1
        }
    done
}

# run NODE POLICY: to its end.
run() {
    id=$(policy "$1" "$2") && execution=$(api "$1" POST /replication/executions "{\"policy_id\":$id}") || return 1
    while going; do
        text=$(api "$1" GET "/replication/executions/$execution") || return 1
        case $(printf '%s\n' "$text" | value status) in
            Succeed) return 0 ;;
            Failed | Stopped)
                echo "$1: $2 did not succeed: $(printf '%s\n' "$text" | flat | sed -n 's/^\(status_text\|failed\|stopped\|total\)=/\1 /p' | tr '\n' ' ')" >&2
                return 1
                ;;
        esac
        sleep 1
    done
    return 1
}

# until_idle NODE SECONDS
until_idle() {
    deadline=$(($(date +%s) + $2))
    while going; do
        left=$(busy "$1") || return 1
        [ -n "$left" ] || return 0
        if [ "$(date +%s)" -ge "$deadline" ]; then
            echo "$1 still replicates after $2 s" >&2
            return 1
        fi
        sleep 1
    done
    return 1
}

# quiet NODE: it no longer writes to the other one, and may be written to.
quiet() {
    writable "$1" && enabled "$1" harborage-push false && enabled "$1" harborage-full false && left=$(running "$1") || return 1
    # Some may have ended, and not be known to have.
    for execution in $left; do api "$1" PUT "/replication/executions/$execution" >/dev/null 2>&1 || true; done
    until_idle "$1" 60
}

# push NODE: it writes to the other one.
push() {
    enabled "$1" harborage-push true && enabled "$1" harborage-full true
}

# inventory NODE FILE: everything that it has, as `REPOSITORY TAG DIGEST`; the tag of what has none, and of what is attached to
# something, is `-`.
inventory() (
    lines=$(all "$1" /repositories) || return 1
    : >"$2"
    printf '%s\n' "$lines" | sed -n 's/^[0-9]*\.[0-9]*\.name=\(.*\)/\1 1/p' >"$work/pages"
    while [ -s "$work/pages" ]; do
        rm -rf "$work/batch"
        mkdir "$work/batch"
        head -n 200 "$work/pages" >"$work/batch.pages"
        sed 1,200d "$work/pages" >"$work/pages.left"
        # A name inside a path has its slashes escaped twice.
        awk -v api="https://$(cat "$release/agent/host")/api/v2.0" -v folder="$work/batch" '{
            slash = index($1, "/")
            name = substr($1, slash + 1)
            gsub("/", "%252F", name)
            printf "url = \"%s/projects/%s/repositories/%s/artifacts?with_tag=true&with_accessory=true&page=%d&page_size=100\"\noutput = \"%s/%d\"\n",
                api, substr($1, 1, slash - 1), name, $2, folder, NR
        }' "$work/batch.pages" >"$work/batch.curl"
        codes=$(harbor "$1" --no-progress-meter --parallel --parallel-max 8 --header "X-Is-Resource-Name: true" \
            --write-out '%{http_code}\n' --config "$work/batch.curl" 2>/dev/null) || true
        if [ "$(printf '%s\n' "$codes" | sort -u)" != 200 ]; then
            echo "$1: what it has cannot be listed: $(printf '%s\n' "$codes" | grep -vx -m 1 200)" >&2
            return 1
        fi
        flat -v names=1 "$work"/batch/* >"$work/lines" || return 1
        awk -v pages="$work/pages.left" -v list="$2" '
            FILENAME == ARGV[1] { repository[FNR] = $1; page[FNR] = $2; next }
            {
                file = $1; sub(/.*\//, "", file)
                line = substr($0, length($1) + 2)
                split(line, part, ".")
                place = file "." part[1]
                if (!(place in of)) { of[place] = file; artifacts[file]++ }
                sub(/^[0-9]+\./, "", line)
                if (line ~ /^digest=/) digest[place] = substr(line, 8)
                else if (line ~ /^tags\.[0-9]+\.name=/) { sub(/^[^=]*=/, "", line); tagged[++count] = place " " line; named[place] = 1 }
                else if (line ~ /^accessories\.[0-9]+\.digest=/) { sub(/^[^=]*=/, "", line); print repository[file], "-", line >>list }
            }
            END {
                for (i = 1; i <= count; i++) { split(tagged[i], word, " "); print repository[of[word[1]]], word[2], digest[word[1]] >>list }
                for (place in digest) if (!(place in named)) print repository[of[place]], "-", digest[place] >>list
                for (file in artifacts) if (artifacts[file] >= 100) print repository[file], page[file] + 1 >>pages
            }
        ' "$work/batch.pages" "$work/lines" || return 1
        mv "$work/pages.left" "$work/pages"
    done
)

# only_on NODE OTHER: what NODE has and OTHER does not have so.
only_on() {
    inventory "$1" "$work/$1" && inventory "$2" "$work/$2" && beyond "$1" "$2"
}

# beyond NODE OTHER: the same of the inventories that were made last.
beyond() {
    awk 'FILENAME == ARGV[1] { there[$0] = 1; next } !($0 in there)' "$work/$2" "$work/$1"
}

# tags: of an inventory.
tags() {
    awk '$2 != "-"' "$@"
}

# The steps. Each fails with a reason.

# The agent may just have begun to look.
step_check() {
    deadline=$(($(date +%s) + 30))
    for node in "$active" "$peer"; do
        until [ "$(field "$node" 5)" = well ]; do
            if [ "$(date +%s)" -ge "$deadline" ]; then
                echo "$node is not well: it is $(why "$node")" >&2
                return 1
            fi
            sleep 0.5
        done
        for name in push full pull; do policy "$node" "harborage-$name" >/dev/null || return 1; done
    done
}

step_quiet() { quiet "$peer"; }

# An `up` has a node follow that it has just set up. Where that has what the active never had, the stack file is wrong about who
# is to be active, or a failover is forgotten with the load balancer that made it; a person has to say. A tag that is older
# there is no loss: the active has its image.
step_differ() {
    only_on "$peer" "$active" >"$work/only" && tags "$work/only" >"$home/differ.new" &&
        mv "$home/differ.new" "$home/rejoin-only-on-$peer.txt" || return 1
    if [ "$kind $by" = "rejoin up" ]; then
        awk 'FILENAME == ARGV[1] { there[$1 " " $3] = 1; next } !(($1 " " $3) in there)' "$work/$active" "$work/$peer" >"$work/lost"
        [ ! -s "$work/lost" ] || {
            echo "$peer has images that $active does not have, $(wc -l <"$work/lost") of them, for example $(sed 's/ .* / /; s/ /@/; 1q' "$work/lost"); harborage-lb switch $peer now makes it the active one, harborage-lb rejoin has it follow $active all the same" >&2
            return 1
        }
    fi
    count=$(wc -l <"$home/rejoin-only-on-$peer.txt")
    [ "$count" -eq 0 ] ||
        tell differ "$peer" "$count tags are not or not so on $active: rejoin-only-on-$peer.txt; $active overwrites those that it has"
}

step_robots() { robot "$active" false && robot "$peer" false; }

step_push() { push "$active"; }

step_full() { run "$active" harborage-full; }

step_readonly() {
    echo "$active $peer $(current 3)" >"$home/undo"
    api "$active" PUT /configurations '{"read_only":true}' >/dev/null
}

# What Harbor had begun to take has been taken when it is asked; and what it took is on its way to the other node.
step_drain() {
    sleep 5
    deadline=$(($(date +%s) + 30))
    until [ "$(harbor "$active" --request POST --header "Content-Type: application/json" --data '{"policy_id":0}' --output /dev/null \
        --write-out '%{http_code}' "https://$(cat "$release/agent/host")/api/v2.0/replication/executions" 2>/dev/null)" = 403 ]; do
        if ! going; then return 1; fi
        if [ "$(date +%s)" -ge "$deadline" ]; then
            echo "$active does not refuse to be written to" >&2
            return 1
        fi
        sleep 1
    done
    until_idle "$active" 600
}

# Its schedule may have begun something meanwhile.
step_fence() { robot "$peer" true && until_idle "$active" 600; }

# It looks at everything that the active has, one after the other, while nobody can push: seldom is anything missing.
step_pull() {
    only_on "$active" "$peer" >"$work/missing" || return 1
    [ ! -s "$work/missing" ] || run "$peer" harborage-pull
}

step_compare() {
    only_on "$active" "$peer" >"$work/only" && tags "$work/only" >"$work/missing" || return 1
    [ ! -s "$work/missing" ] || {
        echo "$peer does not have $(wc -l <"$work/missing") of $(tags "$work/$active" | wc -l) tags as $active has them, for example $(head -n 3 "$work/missing" | cut -d ' ' -f 1,2 | tr ' \n' ': ')" >&2
        return 1
    }
    # What was deleted while the other node was away is there still: the replication tells of a deletion once.
    beyond "$peer" "$active" | tags >"$home/beyond.new" && mv "$home/beyond.new" "$home/switchover-only-on-$peer.txt" || return 1
    count=$(wc -l <"$home/switchover-only-on-$peer.txt")
    [ "$count" -eq 0 ] || tell differ "$peer" "$count tags are not on $active, and will be there again: switchover-only-on-$peer.txt"
}

step_switch() { echo "switch $peer $by planned" | locked decide; }

# Of the old active nothing in flight is left; nginx's container tells.
step_ended() {
    deadline=$(($(date +%s) + 30))
    until [ "$(cat "$home/ended" 2>/dev/null)" = "$peer" ] && cmp -s "$home/wanted.conf" "$home/nodes.conf"; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            echo "nginx does not tell that it sends nothing to $active any more" >&2
            return 1
        fi
        sleep 0.5
    done
}

# The account of the old one is on again when it does not push any more.
step_turn() {
    robot "$peer" true && quiet "$active" && rm -f "$home/undo" && robot "$peer" false && robot "$active" false && push "$peer"
}

# What was pushed since the switch, while nothing was replicated.
step_settle() { run "$peer" harborage-full; }

step_armed() { echo arm | locked decide; }

# What the agent does of all that.

# work: nothing where it is under way.
work() {
    (if flock -n 7; then measure; fi) 7>"$home/measuring" &
    (if flock -n 8; then tend; fi) 8>"$home/worker"
    wait
}

tend() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    [ -s "$home/state" ] || return 0
    while [ -s "$home/journal" ]; do
        read -r kind number active peer by step steps <"$home/journal"
        "step_$step" 2>"$work/why" || {
            failed
            return
        }
        rm -f "$home/stuck"
        # Whoever put an end to it did so while it was waited for.
        locked advance || return
    done
    keep
}

advance() {
    [ -n "$(journal_of "$number")" ] || return 1
    if [ -z "$steps" ]; then
        finish "done"
    else
        tell step "$peer" "$kind: $step is done"
        echo "$kind $number $active $peer $by $steps" >"$home/journal.new" && mv "$home/journal.new" "$home/journal"
    fi
}

finish() {
    {
        tail -n 20 "$home/results" 2>/dev/null || true
        echo "$number $1 $kind to $peer${2:+: $2}"
    } >"$home/results.new" && mv "$home/results.new" "$home/results" && rm -f "$home/journal"
    tell "$kind" "$peer" "$1${2:+: $2}"
}

failed() {
    reason="$step: $(tail -n 1 "$work/why")"
    case "$kind $step $steps " in
        rejoin* | *' switch '*)
            # The step `switch` itself may have been taken.
            if [ "$step" != switch ]; then
                [ ! -s "$home/undo" ] || (patience=5 tries=1 undo) || tell undo "$active" "it stays read-only until it answers"
                locked abandon "$reason"
                return
            fi
            ;;
    esac
    # The agent comes again.
    if [ "$reason" != "$(cat "$home/stuck" 2>/dev/null)" ]; then
        echo "$reason" >"$home/stuck"
        tell stuck "$peer" "$kind: $reason; it is tried again"
    fi
}

abandon() {
    [ -z "$(journal_of "$number")" ] || finish failed "$1"
}

# undo: what a switchover that did not get to its switch has left behind.
undo() {
    read -r was to during <"$home/undo" && writable "$was" || return 1
    # Who is active now has to stay fenced.
    if [ "$(current 3)" = "$during" ]; then robot "$to" false || return 1; fi
    rm -f "$home/undo"
}

# due FILE SECONDS: whether it is time again.
due() {
    last=$(cat "$home/$1" 2>/dev/null) || true
    [ "$(($(date +%s) - ${last:-0}))" -ge "$2" ] || return 1
    date +%s >"$home/$1.new" && mv "$home/$1.new" "$home/$1"
}

# keep: an `up` or somebody may have enabled the account of the old active, which still has what was before the failover.
keep() {
    if [ -s "$home/undo" ]; then (patience=5 tries=1 undo) 2>/dev/null || true; fi
    if [ -s "$home/fenced" ] && due lifted 5; then (patience=2 tries=1 locked lift) 2>/dev/null || true; fi
    if [ "$(current 7):$(current 8)" = unarmed:joined ] && due guarded 15; then
        (patience=5 tries=1 robot "$(current 2)" true) 2>/dev/null || true
    fi
}

# measure: how old the oldest push is that the standby does not have: no run of `harborage-push` has brought it there, nor
# one of `harborage-full` that began later.
measure() {
    due measured 15 && [ -s "$home/state" ] || return 0
    if [ "$(current 7)" = armed ] && age=$(patience=5 tries=1 lag "$(current 2)" 2>/dev/null); then
        echo "$age" >"$home/lag.new" && mv "$home/lag.new" "$home/lag"
    else
        rm -f "$home/lag"
    fi
}

# lag NODE: in seconds.
lag() (
    id=$(policy "$1" harborage-full) || return 1
    text=$(api "$1" GET "/replication/executions?policy_id=$id&status=Succeed&sort=-start_time&page_size=1") || return 1
    covered=$(printf '%s\n' "$text" | value '0\.start_time')
    id=$(policy "$1" harborage-push) || return 1
    oldest=""
    page=1
    while [ "$page" -le 10 ]; do
        text=$(api "$1" GET "/replication/executions?policy_id=$id&sort=-start_time&page=$page&page_size=100") || return 1
        found=$(printf '%s\n' "$text" | flat | awk -v covered="$covered" '
            { split($0, part, "."); place = part[1]; sub(/^[0-9]+\./, "") }
            !(place in seen) { seen[place] = 1; count++ }
            /^start_time=/ { at[place] = substr($0, 12) }
            /^status=Succeed$/ { good[place] = 1 }
            END {
                for (place in at) {
                    if (at[place] <= covered) { end = 1; continue }
                    if (!(place in good) && (oldest == "" || at[place] < oldest)) oldest = at[place]
                }
                print oldest == "" ? "-" : oldest, end || count < 100 ? "end" : "more"
            }
        ')
        [ "${found%% *}" = - ] || oldest=${found%% *}
        [ "${found#* }" = more ] || break
        page=$((page + 1))
    done
    if [ -z "$oldest" ]; then
        echo 0
        return
    fi
    # BusyBox knows no fractions and zones.
    oldest=$(printf '%s' "$oldest" | sed 's/T/ /; s/[.Z].*//')
    echo $(($(date +%s) - $(date -u -d "$oldest" +%s)))
)
