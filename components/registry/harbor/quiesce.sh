# shellcheck shell=bash
# quiesce.sh apply|delete DIRECTORY INCARNATION PROJECT VERSION
# Harbor of an older version must not go on beside one that changes the database that they share: it is stopped until its
# own release of VERSION starts. Where the stack file was put back to the version that is here, it is started again.
main() {
    local directory incarnation=$3 project=$4 version=$5 have
    [[ $1 == apply ]] || return 0
    directory=$(expand_home "$2")
    local current=$directory/stacks/$project/current
    same_incarnation "$directory" "$incarnation" || return 0
    [[ -f $current/backup/settings ]] || return 0
    lock_machine "$directory"
    have=$(sed -n 's/^version //p' "$current/backup/settings")
    if [[ $have == "$version" ]]; then
        # Compose starts what was stopped and leaves alone what runs.
        (cd "$current" && docker compose start </dev/null) >/dev/null 2>&1 || fail "Harbor $have cannot be started again; see: docker compose --project-name $project ps --all"
    elif version_at_least "$version" "$have"; then
        say "stopping Harbor $have until $version has taken the database over"
        (cd "$current" && docker compose stop --timeout 60 </dev/null) >/dev/null 2>&1 || fail "Harbor $have cannot be stopped; see: docker compose --project-name $project ps --all"
    fi
}
