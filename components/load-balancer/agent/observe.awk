# observe.awk: what one round of probes says of each node. Reads `answer NAME PROBE STATUS EXIT`, with the HTTP status and
# curl's exit code, and the bodies that curl wrote to DIRECTORY/NAME.PROBE (-v directory=); writes `seen NAME CLASS REASON`.
# -v essential= names the parts of Harbor without which a node is sick, others are told only; without it all are essential.

BEGIN { some = split(essential, names, " "); for (i = 1; i <= some; i++) needed[names[i]] = 1 }

$1 == "answer" {
    if (!($2 in answered)) { order[++count] = $2; answered[$2] = 0 }
    # A status without the rest of the answer is none.
    if ($4 + 0 > 0 && $5 == 0) { answered[$2]++; wrong = trouble($2, $3, $4 + 0) }
    else wrong = $3 " gives no answer"
    if (wrong != "") reasons[$2] = reasons[$2] (reasons[$2] == "" ? "" : "; ") wrong
}

END {
    for (i = 1; i <= count; i++) {
        node = order[i]
        print "seen", node, !answered[node] ? "dead" : reasons[node] == "" ? "well" : "sick", \
            !answered[node] ? "no answer" : reasons[node] != "" ? reasons[node] : "well" notes[node]
    }
}

function trouble(node, probe, status,    text) {
    # It asks for a password, so it is there, and so is its storage.
    if (probe == "v2") return status == 401 ? "" : "/v2/ gives " status
    if (status != 200) return probe " gives " status
    text = body(node "." probe)
    if (probe == "token") return text ~ /"token"[ \t]*:[ \t]*"./ ? "" : "no token"
    return ill(node, text)
}

# Harbor answers 200 whatever its health is; each component says its own.
function ill(node, text,    parts, n, i, part, who, found) {
    n = split(text, parts, /[{}]/)
    for (i = 1; i <= n; i++) {
        if (parts[i] !~ /"name"[ \t]*:/) continue
        part = value(parts[i], "name")
        who = who part
        if (value(parts[i], "status") == "healthy") continue
        if (some && !(part in needed)) notes[node] = notes[node] "; " part " unhealthy"
        else found = found (found == "" ? "" : ", ") part
    }
    if (found != "") return found " unhealthy"
    return who == "" ? "its health cannot be read" : ""
}

function value(text, key) {
    if (!match(text, "\"" key "\"[ \t]*:[ \t]*\"[^\"]*\"")) return ""
    text = substr(text, RSTART, RLENGTH)
    sub(/"$/, "", text)
    sub(/^.*"/, "", text)
    return text
}

function body(file,    text, line) {
    while ((getline line <(directory "/" file)) > 0) text = text " " line
    close(directory "/" file)
    return text
}
