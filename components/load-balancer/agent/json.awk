# json.awk: JSON as `path=value` lines, for example `0.tags.1.name=v2`; a list's places count from 0. Strings lose their
# quotes and the escapes of printable signs and keep the others, so that each value is one line. What is empty gives none.
#
#   -v names=1               each line begins with the name of its file and a space; a file holds one document
#   -v set=KEY -v value=JSON writes the document itself instead, with that value of a key of its outermost object
#
# Ends with 1 where a document is not whole.

BEGIN { quote = "\"" }

FNR == 1 && NR > 1 { read(); text = "" }

{ text = text $0 " "; file = FILENAME }

END {
    if (NR > 0) read()
    exit broken || NR == 0
}

function read(    part, pieces, i, string, back) {
    depth = seen = done = 0
    out = literal = ""
    prefix[0] = ""
    kind[0] = ""
    # Every second piece is inside quotes, but for those that a backslash made part of a string.
    pieces = split(text, part, quote)
    for (i = 1; i <= pieces; i += 2) {
        outside(part[i])
        if (i == pieces) break
        string = part[i + 1]
        while (match(string, /\\+$/) && RLENGTH % 2 == 1 && i + 1 < pieces) {
            i++
            string = string quote part[i + 1]
        }
        if (i + 1 >= pieces) { broken = 1; return }
        if (kind[depth] == "{" && is_key[depth]) { key[depth] = string; out = set == "" ? "" : out quote string quote }
        else found(string, quote string quote)
    }
    if (depth != 0 || !seen) broken = 1
    else if (set != "") print out
}

function outside(piece,    i, sign) {
    for (i = 1; i <= length(piece); i++) {
        sign = substr(piece, i, 1)
        if (index(" \t\r", sign)) continue
        if (!index("{}[],:", sign)) { literal = literal sign; continue }
        end_literal()
        if (sign == "{" || sign == "[") {
            seen = 1
            prefix[depth + 1] = depth == 0 ? "" : prefix[depth] name() "."
            depth++
            kind[depth] = sign
            is_key[depth] = sign == "{"
            place[depth] = filled[depth] = 0
        } else if (sign == "," && depth > 0) {
            place[depth]++
            is_key[depth] = kind[depth] == "{"
        } else if (sign == ":") is_key[depth] = 0
        else if (depth > 0) {
            if (depth == 1 && sign == "}" && set != "" && !done)
                out = out (filled[1] ? "," : "") quote set quote ":" value
            depth--
            if (depth > 0) filled[depth] = 1
        } else broken = 1
        if (set != "") out = out sign
    }
    end_literal()
}

function end_literal() {
    if (literal != "" && literal !~ /^(true|false|null|-?[0-9][-+.0-9eE]*)$/) broken = 1
    if (literal != "") found(literal, literal)
    literal = ""
}

function name() { return kind[depth] == "[" ? place[depth] : plain(key[depth]) }

function found(content, raw) {
    seen = filled[depth] = 1
    if (set == "") print (names ? file " " : "") prefix[depth] (depth == 0 ? "" : name()) "=" plain(content)
    else if (depth == 1 && kind[1] == "{" && key[1] == set) { out = out value; done = 1 }
    else out = out raw
}

function plain(string,    i, result) {
    while (i = index(string, "\\")) {
        result = result substr(string, 1, i - 1)
        string = substr(string, i)
        if (string ~ /^\\["\\\/]/) { result = result substr(string, 2, 1); string = substr(string, 3) }
        else if (string ~ /^\\u0026/) { result = result "&"; string = substr(string, 7) }
        else if (string ~ /^\\u003[cC]/) { result = result "<"; string = substr(string, 7) }
        else if (string ~ /^\\u003[eE]/) { result = result ">"; string = substr(string, 7) }
        else { result = result "\\"; string = substr(string, 2) }
    }
    return result string
}
