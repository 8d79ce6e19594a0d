#!/usr/bin/env bash
# The last word before a release takes the place of the one that runs: RELEASE, PREVIOUS (empty where nothing runs) and
# PROJECT are folders and a name. An older Harbor is refused: it cannot read the data. A newer one finds a backup of the
# database, made by the old version's own programs after its last write, and nothing of the old version running.
set -euo pipefail
# shellcheck source=components/registry/harbor/backup/machine.sh
. "$RELEASE/backup/machine.sh"

main() {
    local recorded=
    refuse_half_restored
    refuse_moved
    if [[ -f $recorded_file ]]; then
        recorded=$(<"$recorded_file")
    elif [[ -n $PREVIOUS && -f $PREVIOUS/backup/settings ]]; then
        recorded=$(setting "$PREVIOUS" version)
    fi
    if [[ -z $recorded ]]; then return; fi
    if older "$version" "$recorded"; then refuse_older "$recorded"; fi
    if [[ $version == "$recorded" ]]; then
        refuse_half_upgraded
        return
    fi
    upgrade "$recorded"
}

refuse_half_restored() {
    if [[ ! -f $restore_file ]]; then return; fi
    local backup
    backup=$(value_of "$restore_file" backup)
    fail "a restore of $backup was cut off, and the database is not whole; first end it: $(restore_command "$(value_of "$restore_file" release)" "$backup")"
}

# Harbor would start in another place without what is there, and be healthy.
refuse_moved() {
    local before now
    if [[ -z $PREVIOUS || -f $moved_file ]]; then return; fi
    before=$(setting "$PREVIOUS" state)
    now=$(setting "$RELEASE" state)
    if [[ -z $before || $before == "$now" ]]; then return; fi
    fail "Harbor's state was in $before and would be in $now, where it may find nothing. Put the stack file back, or move what is there, say so by: sudo touch $moved_file, and run up again"
}

refuse_older() {
    local recorded=$1 old
    old=$(release_of "$version")
    printf 'harborage: the data in %s is of Harbor %s; Harbor %s cannot read it. Nothing was changed.\n' "$data" "$recorded" "$version" >&2
    if [[ -n $old ]]; then
        fail "to go back to $version, restore a backup that was made by it, in $(place "$RELEASE") (what has changed since is lost), then run up again: $(restore_command "$old" NAME), where NAME is one of: sudo bash $old/restore.sh list"
    fi
    fail "put the version in the stack file back to $recorded; how to go back to $version without a release of it on this machine: docs/backup.md"
}

# The version in the stack file was put back, but the database may have been changed by the newer one.
refuse_half_upgraded() {
    # Where it is to this version, it was healthy, and the note was only not taken away any more.
    if [[ ! -f $upgrade_file || $(value_of "$upgrade_file" to) == "$version" ]]; then return; fi
    # The first node is asked first: it has let this one go on.
    if [[ $(value_of "$upgrade_file" backup) == - ]]; then return; fi
    fail "the upgrade to $(value_of "$upgrade_file" to) has begun to change the database; to go back to $version, first restore its backup: $(restore_command "$(value_of "$upgrade_file" release)" "$(value_of "$upgrade_file" backup)")"
}

upgrade() {
    local from=$1 old name
    if [[ $(setting "$RELEASE" nodes) == other ]]; then
        # The first of the nodes has backed up the database that they share, and migrated it.
        note "$from" - - -
    elif [[ -f $upgrade_file ]]; then
        # An earlier try has failed: the database may be half-way, and the backup is of before.
        name=$(value_of "$upgrade_file" backup)
        say "the upgrade from $from to $version is tried again; the backup of before is $name in $(value_of "$upgrade_file" place)"
        note "$from" "$name" "$(value_of "$upgrade_file" place)" "$(value_of "$upgrade_file" release)"
    else
        old=$PREVIOUS
        if [[ -z $old || $(setting "$old" version) != "$from" ]]; then old=$(release_of "$from"); fi
        [[ -n $old ]] || fail "the data in $data is of Harbor $from, and no release of it is on this machine to back it up with; bring up $from first, then $version"
        name=$(back_up "$old") || exit 1
        printf '%s\n' "${old##*/}" >"$keep_file"
        note "$from" "$name" "$(place "$old")" "$old"
    fi
    say "stopping Harbor $from"
    take_down "$PROJECT" 60 || fail "Harbor $from cannot be stopped; see above"
}

# note FROM BACKUP PLACE RELEASE
note() {
    write "$upgrade_file" "from $1
to $version
backup $2
place $3
release $4"
}

# back_up RELEASE: prints the backup's name. What writes is stopped first, so that nothing is lost on the way back.
back_up() {
    local old=$1 service running=() name
    for service in $(compose "$old" ps --services --status running); do
        case $service in
            log | postgresql | redis | backup) ;;
            *) running+=("$service") ;;
        esac
    done
    say "backing up Harbor $(setting "$old" version) before the upgrade to $version" >&2
    if stop_writers && refuse_others && name=$(compose "$old" --progress quiet run --rm --no-deps -T backup now "upgrade-to-$version") && [[ $name =~ $backup_name ]]; then
        printf '%s\n' "$name"
        return
    fi
    if ((${#running[@]} > 0)); then quietly compose "$old" start "${running[@]}" || true; fi
    printf 'harborage: the backup before the upgrade failed, so there is no upgrade; Harbor %s runs on\n' "$(setting "$old" version)" >&2
    return 1
}

# Of back_up: stops what is in `running`, and has the database running.
stop_writers() {
    if ((${#running[@]} > 0)); then quietly compose "$old" stop --timeout 60 "${running[@]}" || return 1; fi
    if [[ $(setting "$old" database) == bundled ]]; then quietly compose "$old" up --detach postgresql; fi
}

# Of back_up: an old Harbor that goes on elsewhere would write into a database that is changed under it.
refuse_others() {
    local others
    if [[ $(setting "$RELEASE" nodes) == only ]]; then return; fi
    others=$(compose "$old" --progress quiet run --rm --no-deps -T backup others 2>/dev/null) || others=
    if [[ -z $others ]]; then return; fi
    printf 'harborage: the database is still used from %s; stop Harbor there, then run up again\n' "$others" >&2
    return 1
}

main
