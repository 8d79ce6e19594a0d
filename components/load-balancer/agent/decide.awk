# decide.awk: which nodes get requests. A pure function of what is on its standard input, a record a line:
#
#   now SECONDS TIME                   since 1970, and the same for the log
#   node NAME ADDRESS PORT             the nodes of the release, in order
#   state NAME ADDRESS PORT ...        what was decided before, as it was written
#   seen NAME CLASS REASON...          one round of probes; a node that is left out was not looked at
#   drain NAME SECONDS                 take it out until then; 0 puts it back
#   decide                             say what follows from all that
#
# Classes, best last: `dead` does not answer, `sick` answers and is not well, `well`. A node gets worse after two rounds in
# a row that say so, and better after NEED of them: 3, and twice as many each time that it falls within five minutes of
# having come back. Requests go to the nodes of the best class that there is, but for drained ones where there are others.
#
# `decide` writes the state, nginx's `server` lines and metrics to the files that -v state=, -v servers= and -v metrics=
# name, and to the standard output what changed, as JSON, and `refused REASON` for a drain that would leave no node as good.

BEGIN {
    rounds_to_fall = 2
    rounds_to_rise = 3
    most_rounds = 60
    soon = 300
    rank["dead"] = 0
    rank["sick"] = 1
    rank["well"] = 2
}

$1 == "now" { now = $2; time = $3 }

$1 == "node" {
    place = $2 " " $3 " " $4
    order[++count] = place
    place_of[$2] = place
    listed[place] = 1
    name[place] = $2
    address[place] = ($3 ~ /:/ ? "[" $3 "]" : $3) ":" $4
    # It was well when the list was made: `up` puts no other node into it.
    class[place] = "well"
    rotation[place] = "in"
    wells[place] = answers[place] = ills[place] = deads[place] = 0
    need[place] = rounds_to_rise
    returned[place] = drained[place] = 0
    since[place] = now
    reason[place] = "new"
}

# A node that is no longer in the list, or is elsewhere now, is forgotten.
$1 == "state" && (($2 " " $3 " " $4) in listed) {
    place = $2 " " $3 " " $4
    class[place] = $5; rotation[place] = $6; since[place] = $7; drained[place] = $8
    wells[place] = $9; answers[place] = $10; ills[place] = $11; deads[place] = $12
    need[place] = $13; returned[place] = $14; reason[place] = rest(15)
}

$1 == "seen" && ($2 in place_of) && ($3 in rank) { saw(place_of[$2], $3, rest(4)) }

$1 == "drain" && ($2 in place_of) { drain(place_of[$2], $3) }

$1 == "decide" { decide() }

function saw(place, what, why) {
    wells[place] = counted(wells[place], what == "well")
    answers[place] = counted(answers[place], what != "dead")
    ills[place] = counted(ills[place], what != "well")
    deads[place] = counted(deads[place], what == "dead")
    if (deads[place] >= rounds_to_fall) become(place, "dead", why)
    else if (ills[place] >= rounds_to_fall && class[place] == "well") become(place, "sick", why)
    else if (wells[place] >= need[place]) become(place, "well", why)
    else if (answers[place] >= need[place] && class[place] == "dead") become(place, "sick", why)
    else if (what == class[place]) reason[place] = why
}

function become(place, what, why) {
    reason[place] = why
    if (what == class[place]) return
    if (class[place] == "well") damp(place)
    if (what == "well") returned[place] = now
    class[place] = what
    since[place] = now
    report(place, "class", what, why)
}

# A node that was drained was stopped on purpose.
function damp(place) {
    if (returned[place] == 0 || now - returned[place] > soon || drained[place] > now) need[place] = rounds_to_rise
    else need[place] = 2 * need[place] < most_rounds ? 2 * need[place] : most_rounds
}

function drain(place, until,    i, other, others) {
    for (i = 1; i <= count; i++) {
        other = order[i]
        if (other == place || (class[other] == class[place] && drained[other] <= now)) continue
        others = others "; " name[other] " is " (class[other] == class[place] ? "drained" : class[other] " (" reason[other] ")")
        left_out++
    }
    if (until > now && class[place] == best() && left_out == count - 1)
        printf "refused no other node is as good as %s, which is %s%s\n", name[place], class[place], others
    else drained[place] = until
    left_out = 0
}

function best(    i, found) {
    found = "dead"
    for (i = 1; i <= count; i++) if (rank[class[order[i]]] > rank[found]) found = class[order[i]]
    return found
}

function decide(    i, place, top, left, into, before) {
    # A list that could not be read must not empty what nginx has.
    if (count == 0) exit 1
    top = best()
    for (i = 1; i <= count; i++) {
        place = order[i]
        if (drained[place] <= now) drained[place] = 0
        left += class[place] == top && drained[place] == 0
    }
    for (i = 1; i <= count; i++) {
        place = order[i]
        before[place] = rotation[place]
        rotation[place] = class[place] == top && (drained[place] == 0 || left == 0) ? "in" : "out"
        if (rotation[place] == "in") into = into " " name[place]
    }
    for (i = 1; i <= count; i++) {
        place = order[i]
        if (rotation[place] == before[place]) continue
        since[place] = now
        report(place, "rotation", rotation[place], because(place, top), substr(into, 2))
    }
    write()
}

function because(place, top) {
    if (class[place] != top) return class[place] ": " reason[place]
    if (rotation[place] == "out") return "drained"
    if (class[place] != "well") return "no node is well; " reason[place]
    return drained[place] > 0 ? "drained, and no other node is well" : reason[place]
}

function report(place, what, value, why, into) {
    printf "{\"time\":\"%s\",\"event\":\"%s\",\"node\":\"%s\",\"%s\":\"%s\",\"reason\":\"%s\"%s}\n", \
        time, what, name[place], what, value, why, into == "" ? "" : ",\"in\":\"" into "\""
}

function write(    i, place, gauge, in_rotation, classes, drains) {
    printf "" >state
    printf "" >servers
    gauge = "harborage_lb_"
    for (i = 1; i <= count; i++) {
        place = order[i]
        print "state", place, class[place], rotation[place], since[place], drained[place], wells[place], answers[place], \
            ills[place], deads[place], need[place], returned[place], reason[place] >state
        # One request that every node answers with an error must not take all of them out.
        printf "server %s max_fails=3 fail_timeout=5s%s; # %s\n", address[place], rotation[place] == "in" ? "" : " down", name[place] >servers
        in_rotation = in_rotation sprintf("%snode_in_rotation{node=\"%s\"} %d\n", gauge, name[place], rotation[place] == "in")
        classes = classes sprintf("%snode_class{node=\"%s\",class=\"%s\"} 1\n", gauge, name[place], class[place])
        drains = drains sprintf("%snode_drained{node=\"%s\"} %d\n", gauge, name[place], drained[place] > 0)
    }
    printf "# TYPE %snode_in_rotation gauge\n%s# TYPE %snode_class gauge\n%s# TYPE %snode_drained gauge\n%s", \
        gauge, in_rotation, gauge, classes, gauge, drains >metrics
    printf "# TYPE %sdecided_seconds gauge\n%sdecided_seconds %d\n", gauge, gauge, now >metrics
}
