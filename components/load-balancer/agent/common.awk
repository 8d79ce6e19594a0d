# common.awk: what decide.awk and failover.awk both need; awk reads it before them. They say `most_rounds`.

# rest FROM: the words of a record from there on.
function rest(from,    i, text) {
    for (i = from; i <= NF; i++) text = text (i > from ? " " : "") $i
    # It becomes part of JSON.
    gsub(/[^A-Za-z0-9 _.,:;()\/-]/, "?", text)
    return substr(text, 1, 200)
}

# Rounds in a row, each counted up to what is ever asked for.
function counted(so_far, goes_on) {
    return !goes_on ? 0 : so_far < most_rounds ? so_far + 1 : most_rounds
}
