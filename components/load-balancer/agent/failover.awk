# failover.awk: which of two nodes is active. A pure function of what is on its standard input, a record a line:
#
#   now SECONDS TIME               since 1970, and the same for people
#   node NAME ADDRESS PORT         the two nodes of the release
#   misses NUMBER                  rounds in a row that a dead active may miss; one that is only sick, five times as many
#   each SECONDS                   how often there is a round
#   first NAME                     who is active where nothing was decided before
#   machine NAME ID                which machine a node is on
#   was, state, active, hold, refused    what was decided before, as it was written
#   seen NAME CLASS REASON...      one round of probes; a node that is left out was not looked at
#   hold WHO SECONDS               no failover until then; 0 ends it. `operator` and `up` each have one
#   journal WORDS...               a switchover or a rejoin is under way; as each of the following, for one decision
#   lag SECONDS                    how old the oldest push is that the standby does not have
#   switch NAME BY REASON...       somebody's word: this one is active now
#   arm                            the standby follows the active: there may be a failover again
#   fenced NAME yes|no REASON...   whether the other one can no longer write to this one
#   decide                         say what follows from all that
#
# A failover is there once: the other node becomes active, and stays, until `arm` there is no second. It needs an active
# that is dead or sick for long enough, a standby that is well, and `fenced`, which is asked for by `fence NAME` on the
# standard output. It has to wait while there is a hold or a journal.
#
# `decide` writes the state, nginx's `server` lines, metrics and who is active, as JSON, to the files that -v state=,
# -v servers=, -v metrics= and -v told= name, and to the standard output what it decided, as JSON.

BEGIN {
    rounds_to_rise = 3
    most_rounds = 1000
    each = 1
    misses = 3
    epoch = failovers = armed = joined = 0
    words = "dead sick well"
    codes = split("journal unarmed held standby fence", code, " ")
    lag = ""
}

$1 == "now" { now = $2; time = $3 }
$1 == "misses" && $2 > 0 { misses = $2 + 0 }
$1 == "each" && $2 > 0 { each = $2 + 0 }
$1 == "first" { first = $2 }

$1 == "node" && !($2 in address) {
    order[++count] = $2
    place[$2] = $3 " " $4
    address[$2] = ($3 ~ /:/ ? "[" $3 "]" : $3) ":" $4
    class[$2] = "sick"
    reason[$2] = "not looked at yet"
    since[$2] = now
    wells[$2] = ills[$2] = deads[$2] = looked[$2] = 0
}

$1 == "machine" { machine[$2] = $3 }

# A node that is elsewhere now has no history, and may be another machine, that follows nobody.
$1 == "was" && ($2 in machine) && machine[$2] != $3 { move($2) }
$1 == "state" && ($2 in place) && place[$2] != $3 " " $4 { move($2) }
$1 == "state" && index(" " moved " ", " " $2 " ") { next }

$1 == "state" && ($2 in place) {
    class[$2] = $5; since[$2] = $6
    wells[$2] = $7; ills[$2] = $8; deads[$2] = $9; looked[$2] = $10; reason[$2] = rest(11)
}

$1 == "active" {
    active = $2; epoch = $3 + 0; changed = $4 + 0; changed_time = $5; by = $6
    armed = $7 == "armed"; joined = $8 == "joined"; failovers = $9 + 0; why = rest(10)
    if (moved != "" && joined) { armed = joined = 0; report("unarmed", active, "", moved " is elsewhere or another machine now") }
    moved = ""
}

$1 == "refused" { refused = $2 }
$1 == "hold" && ($2 == "operator" || $2 == "up") { hold($2, $3 + 0) }
$1 == "journal" { journal = rest(2) }
$1 == "lag" { lag = $2 + 0 }
$1 == "seen" && ($2 in place) && index(words, $3) { saw($2, $3, rest(4)) }
$1 == "switch" && ($2 in place) { begin(); change($2, $3, rest(4), "switch") }
$1 == "arm" { begin(); arm() }
$1 == "fenced" { fenced[$2] = $3; fence_reason = rest(4) }
$1 == "decide" { decide() }

function move(node) { if (!index(" " moved " ", " " node " ")) moved = moved (moved == "" ? "" : " ") node }

# What was seen before a longer pause says nothing of now.
function fresh(node) { return now - looked[node] <= 2 * each + 8 }

function saw(node, what, text) {
    if (!fresh(node)) wells[node] = ills[node] = deads[node] = 0
    looked[node] = now
    wells[node] = counted(wells[node], what == "well")
    ills[node] = counted(ills[node], what != "well")
    deads[node] = counted(deads[node], what == "dead")
    if (deads[node] >= misses) become(node, "dead", text)
    else if (wells[node] >= rounds_to_rise) become(node, "well", text)
    else if (ills[node] >= misses && deads[node] == 0) become(node, "sick", text)
    else if (what == class[node]) reason[node] = text
}

function become(node, what, text) {
    reason[node] = text
    if (what == class[node]) return
    class[node] = what
    since[node] = now
    report("class", node, ",\"class\":\"" what "\"", text)
}

function hold(who, until) { held[who] = until }

function held_until() { return held["up"] > held["operator"] ? held["up"] + 0 : held["operator"] + 0 }

function other(node) { return node == order[1] ? order[2] : order[1] }

# begin: somebody is active, also where nothing was decided before, or about other nodes.
function begin() {
    # A list that could not be read must not change anything.
    if (count != 2) exit 1
    if (active in place) return
    joined = 0
    change(first in place ? first : order[1], "new", active == "" ? "new" : active " is no longer a node", "new")
}

function change(node, who, text, event) {
    if (node == active) return
    active = node
    epoch++
    by = who
    why = text
    armed = 0
    changed = now
    changed_time = time
    report(event, node, "", text)
}

function arm() {
    if (armed) return
    armed = joined = 1
    report("armed", active, "", "the standby follows it")
}

# ill: why the active cannot go on; nothing where it can.
function ill(node) {
    if (!fresh(node)) return ""
    if (deads[node] >= misses) return "dead: " reason[node]
    return ills[node] >= 5 * misses ? "sick: " reason[node] : ""
}

function decide(    to, trouble, against, text, i) {
    begin()
    for (i in held) if (held[i] <= now) held[i] = 0
    to = other(active)
    trouble = ill(active)
    if (trouble == "") refused = ""
    else {
        if (journal != "") { against = "journal"; text = journal " is under way" }
        else if (!armed) { against = "unarmed"; text = "there was one, or none was ever prepared; rejoin has to be run" }
        else if (held_until() > 0) { against = "held"; text = "it is held for " (held_until() - now) " s" }
        else if (wells[to] < rounds_to_rise || !fresh(to)) { against = "standby"; text = to " is " class[to] ": " reason[to] }
        else if (fenced[to] == "no") { against = "fence"; text = active " could still write to " to ": " fence_reason }
        else if (fenced[to] == "yes") {
            failovers++
            change(to, "agent", active " is " trouble, "failover")
            refused = ""
        } else print "fence", to
        if (against != "" && against != refused) {
            report("refused", active, ",\"refused\":\"" against "\"", active " is " trouble "; no failover: " text)
            refused = against
        }
    }
    write()
    journal = lag = ""
    for (i in fenced) delete fenced[i]
}

function report(event, node, more, text) {
    printf "{\"time\":\"%s\",\"event\":\"%s\",\"node\":\"%s\"%s,\"active\":\"%s\",\"epoch\":%d,\"reason\":\"%s\"}\n", \
        time, event, node, more, active, epoch, text
}

function metric(name, label, number) { gauges = gauges "harborage_lb_" name label " " number "\n" }

function type(name, what) { gauges = gauges "# TYPE harborage_lb_" name " " what "\n" }

function write(    i, node) {
    printf "" >state
    printf "" >servers
    gauges = ""
    for (i = 1; i <= count; i++) {
        node = order[i]
        if (node in machine) print "was", node, machine[node] >state
        print "state", node, place[node], class[node], since[node], wells[node], ills[node], deads[node], looked[node], reason[node] >state
        # The only one: beside a second that is `down`, nginx gives up when the node closes a connection that was kept.
        if (node == active) printf "server %s; # %s\n", address[node], node >servers
    }
    print "active", active, epoch, changed, changed_time, by, armed ? "armed" : "unarmed", joined ? "joined" : "new", failovers, why >state
    for (i in held) if (held[i] > 0) print "hold", i, held[i] >state
    if (refused != "") print "refused", refused >state

    printf "{\"active\":\"%s\",\"epoch\":%d,\"since\":\"%s\",\"by\":\"%s\",\"reason\":\"%s\",\"armed\":%s,\"joined\":%s,\"heldUntil\":%d,\"journal\":\"%s\",\"failovers\":%d}\n", \
        active, epoch, changed_time, by, why, armed ? "true" : "false", joined ? "true" : "false", held_until(), journal, failovers >told

    type("node_active", "gauge")
    for (i = 1; i <= count; i++) metric("node_active", "{node=\"" order[i] "\"}", active == order[i])
    type("node_class", "gauge")
    for (i = 1; i <= count; i++) metric("node_class", "{node=\"" order[i] "\",class=\"" class[order[i]] "\"}", 1)
    type("failover_refused", "gauge")
    for (i = 1; i <= codes; i++) metric("failover_refused", "{reason=\"" code[i] "\"}", refused == code[i])
    type("epoch", "gauge"); metric("epoch", "", epoch)
    type("armed", "gauge"); metric("armed", "", armed)
    type("held", "gauge"); metric("held", "", held_until() > 0)
    type("failovers_total", "counter"); metric("failovers_total", "", failovers)
    if (lag != "") { type("replication_lag_seconds", "gauge"); metric("replication_lag_seconds", "", lag) }
    type("decided_seconds", "gauge"); metric("decided_seconds", "", now)
    printf "%s", gauges >metrics
}
