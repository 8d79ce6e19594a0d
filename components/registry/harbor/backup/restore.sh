#!/usr/bin/env bash
# restore.sh list | restore.sh NAME|FOLDER [--yes] [--no-backup]
# Puts a backup's database in the place of the one that Harbor has, and starts the release that this script is in. Without
# Pulumi: on the machine, as root. What fails, or is cut off and called again, begins with the database of before.
set -euo pipefail
RELEASE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=components/registry/harbor/backup/machine.sh
. "$RELEASE/backup/machine.sh"

readonly usage="usage: sudo bash $RELEASE/restore.sh list
       sudo bash $RELEASE/restore.sh NAME|FOLDER [--yes] [--no-backup]

  list         the names of the backups, oldest first
  NAME         a backup from this list; FOLDER (with a / in it): one that lies elsewhere
  --yes        do not ask
  --no-backup  an external database: do not back it up first"

PROJECT=$(environment "$RELEASE" COMPOSE_PROJECT_NAME)
database=$(setting "$RELEASE" database)

main() {
    local wanted='' yes=false backup_first=true word
    for word in "$@"; do
        case $word in
            --yes) yes=true ;;
            --no-backup) backup_first=false ;;
            -*) usage ;;
            *)
                [[ -z $wanted ]] || usage
                wanted=$word
                ;;
        esac
    done
    [[ -n $wanted ]] || usage
    [[ $EUID -eq 0 ]] || fail "only root can do this; use sudo"
    if [[ $wanted == list ]]; then
        in_container '' list
        return
    fi
    exec 9>"$(environment "$RELEASE" HARBORAGE_DIRECTORY)/lock"
    flock --nonblock 9 || fail "an up or another restore is changing this machine; wait for its end"

    # What is fetched has keys in it.
    if [[ $(setting "$RELEASE" destination) == s3 ]]; then trap 'rm -rf "$(setting "$RELEASE" folder)/fetched"' EXIT; fi
    local folder
    check_images
    folder=$(find_backup "$wanted") || exit 1
    check "$folder"
    confirm "$folder" "$yes"
    take_back_cut_off
    replace "$folder" "$backup_first"
}

usage() {
    printf '%s\n' "$usage" >&2
    exit 64
}

# in_container OPTIONS MODE...: backup.sh in a container of its own. OPTIONS are words of docker compose run.
in_container() {
    local options=()
    read -r -a options <<<"$1"
    shift
    compose "$RELEASE" --progress quiet run --rm --no-deps -T "${options[@]}" backup "$@"
}

# Nothing is touched before all that is needed to start is there.
check_images() {
    local image note kept directory missing=()
    for image in $(compose "$RELEASE" config --images); do
        docker image inspect "$image" >/dev/null 2>&1 || missing+=("$image")
    done
    if ((${#missing[@]} == 0)); then return; fi
    directory=$(environment "$RELEASE" HARBORAGE_DIRECTORY)
    for note in "$directory"/installers/*/images "$directory"/images/*; do
        [[ -f $note ]] || continue
        kept=$(head -n 1 "$note")
        [[ -f $kept ]] || continue
        say "loading $kept: images of Harbor $version are gone"
        docker load --quiet --input "$kept" >/dev/null </dev/null || true
    done
    for image in "${missing[@]}"; do
        docker image inspect "$image" >/dev/null 2>&1 ||
            fail "the image $image is gone; load it from Harbor's offline installer of $version (docker load --input harbor.v$version.tar.gz) and run this again"
    done
}

# find_backup NAME|FOLDER: prints the folder with it.
find_backup() {
    local wanted=$1 folder
    if [[ $wanted == */* ]]; then
        [[ -d $wanted ]] || fail "there is no folder $wanted"
        (cd "$wanted" && pwd -P)
        return
    fi
    [[ $wanted =~ $backup_name ]] || fail "$wanted is not the name of a backup; see: sudo bash $RELEASE/restore.sh list"
    folder=$(setting "$RELEASE" folder)
    if [[ $(setting "$RELEASE" destination) == s3 ]]; then
        rm -rf "$folder/fetched"
        mkdir -p "$folder/fetched/$wanted"
        in_container '' fetch "$wanted" "/backups/fetched/$wanted" >&2 || fail "$wanted cannot be fetched from $(place "$RELEASE")"
        folder=$folder/fetched
    fi
    [[ -d $folder/$wanted ]] || fail "there is no backup $wanted in $folder; see: sudo bash $RELEASE/restore.sh list"
    printf '%s\n' "$folder/$wanted"
}

# check FOLDER: whether the backup is whole, and this release can read it.
check() {
    local folder=$1 wrong of
    wrong=$(check_backup "$folder") || fail "$wrong"
    of=$(value_of "$folder/manifest" version)
    if older "$version" "$of"; then
        fail "the backup is of Harbor $of, and this release is Harbor $version, which cannot read it; bring up $of first (the version in the stack file)"
    fi
    # What other registries' passwords are encrypted with: without it they would be gone, and nothing would say so.
    if ! cmp -s "$folder/secretkey" "$data/secret/keys/secretkey"; then
        fail "the backup was made with another secret key than $data/secret/keys/secretkey. If it is another stack's, it is not for this one. If this machine takes the place of one that is lost, set the secret that registry.secrets.secretKey names to what is in $folder/secretkey, run up, and run this again"
    fi
}

confirm() {
    local folder=$1 yes=$2 answer
    say "backup    $(value_of "$folder/manifest" stamp) of $(value_of "$folder/manifest" stack)/$(value_of "$folder/manifest" node), Harbor $(value_of "$folder/manifest" version)"
    say "into      $PROJECT on $(hostname), Harbor $version"
    say "All that changed in Harbor since then is lost: projects, users, settings, and what it knows of images that were pushed or deleted. It is not reachable meanwhile."
    if [[ $yes == true ]]; then return; fi
    [[ -t 0 ]] || fail "nothing was done; add --yes to go on without being asked"
    read -r -p 'Go on? (yes) ' answer
    [[ $answer == yes ]] || fail "nothing was done"
}

stop_all() {
    take_down "$PROJECT" 60 || fail "the services of $PROJECT cannot be stopped; see above"
}

# --- The files of Harbor's own database, in their folder or volume ---
# They are moved within it, by a container that has it: the same for a folder and for a volume. A name that ends with
# .partial is one from which or to which a move was cut off.

# in_data SERVICE CODE [ARGUMENT]: bash in a container that has the folders or volumes of a service that does not run. Not
# by `compose run`: its log would go to a container that does not run either.
in_data() {
    local service=$1 code=$2 argument=${3:-} container image
    quietly compose "$RELEASE" create "$service"
    container=$(compose "$RELEASE" ps --all --quiet "$service")
    image=$(docker inspect --format '{{.Config.Image}}' "$container")
    docker run --rm --pull never --network none --log-driver none --volumes-from "$container" \
        --entrypoint /bin/bash "$image" -euc "shopt -s nullglob; $code" bash "$argument" </dev/null
}

in_database() {
    in_data postgresql "cd /var/lib/postgresql/data; $1" "$2"
}

# put_aside STAMP
put_aside() {
    # shellcheck disable=SC2016 # for the shell in the container
    in_database 'mkdir -p "before-restore-$1.partial"
        for path in pg[0-9]*; do mv "$path" "before-restore-$1.partial/"; done
        mv "before-restore-$1.partial" "before-restore-$1"' "$1"
}

# put_back STAMP: whatever there is of it. While the name is whole, what is beside it is the new database.
put_back() {
    # shellcheck disable=SC2016 # for the shell in the container
    in_database 'if [[ -d before-restore-$1 ]]; then
            rm -rf pg[0-9]*
            mv "before-restore-$1" "before-restore-$1.partial"
        fi
        for path in "before-restore-$1.partial"/*; do mv "$path" ./; done
        if [[ -d before-restore-$1.partial ]]; then rmdir "before-restore-$1.partial"; fi' "$1"
}

# drop_old STAMP: what earlier restores have put aside.
drop_old() {
    # shellcheck disable=SC2016 # for the shell in the container
    in_database 'for path in before-restore-*; do
            if [[ $path != "before-restore-$1" ]]; then rm -rf "$path"; fi
        done' "$1"
}

# A restore that was cut off: as if it had not begun.
take_back_cut_off() {
    if [[ ! -f $restore_file ]]; then return; fi
    say "an earlier restore was cut off"
    stop_all
    if [[ $database == bundled ]]; then put_back "$(value_of "$restore_file" stamp)" || fail "the database of before cannot be put back; see above"; fi
    rm -f "$restore_file"
}

# --- Restoring ---

replace() {
    local folder=$1 backup_first=$2 stamp before='' safety='' was_running=false
    stamp=$(date -u +%Y%m%dT%H%M%SZ)
    if [[ -L $stack_folder/current ]]; then before=$stack_folder/$(readlink "$stack_folder/current"); fi
    if [[ -n $(docker ps --quiet --filter "label=com.docker.compose.project=$PROJECT" --filter label=com.docker.compose.service=core) ]]; then was_running=true; fi
    if [[ $database == external ]]; then
        stop_all
        refuse_others "$before" "$was_running"
    fi
    if [[ $database == external && $backup_first == true ]]; then
        safety=$(in_container '' now before-restore) || fail "$(not_backed_up "$before" "$was_running")"
        say "backed up what there was: $safety"
    fi
    say "stopping Harbor"
    stop_all
    write "$restore_file" "backup $1
stamp $stamp
release $RELEASE"
    if [[ $database == bundled ]]; then
        put_aside "$stamp" || give_up "$stamp" "$before" "$was_running" "the database cannot be put aside"
        quietly compose "$RELEASE" up --detach postgresql || give_up "$stamp" "$before" "$was_running" "the database does not start"
    fi
    in_container "--volume $folder:/restore:ro" restore /restore ||
        give_up "$stamp" "$before" "$was_running" "the backup cannot be restored"
    # Sessions, cached answers and queued jobs are of another database now; the job service makes its schedules again.
    if [[ $(setting "$RELEASE" redis) == bundled ]]; then
        in_data redis 'rm -rf /var/lib/redis/*' ||
            give_up "$stamp" "$before" "$was_running" "Redis cannot be emptied"
    fi
    say "starting Harbor $version"
    start "$RELEASE" || {
        report
        if [[ $database == external ]]; then
            fail "the backup was restored, but Harbor $version did not become healthy; see above${safety:+. What there was before: $(restore_command "$RELEASE" "$safety")}"
        fi
        give_up "$stamp" "$before" "$was_running" "Harbor $version did not become healthy with the restored database"
    }
    write "$recorded_file" "$version"
    rm -f "$upgrade_file" "$restore_file"
    if [[ $database == bundled ]]; then drop_old "$stamp" || true; fi
    say "restored; Harbor $version runs. Its version in the stack file must be $version, or the next up changes it."
    if [[ $database == bundled ]]; then
        say "The database of before is kept beside the new one: before-restore-$stamp in $data/database, or in its volume."
    else
        say "What the database held before is in the backup ${safety:-that you have}."
    fi
    if [[ $(setting "$RELEASE" redis) != bundled ]]; then
        say "Redis is not this machine's and was left alone: empty Harbor's databases in it (FLUSHDB) if jobs or logins look odd."
    fi
}

# refuse_others RELEASE WAS_RUNNING: Harbor on other nodes would write into the database meanwhile.
refuse_others() {
    local others
    # Where it cannot be asked, it cannot be restored either.
    others=$(in_container '' others) || return 0
    if [[ -z $others ]]; then return; fi
    if [[ $2 == true ]]; then start "$1" >&2 || true; fi
    fail "the database is still used from $others; it was left alone. Stop Harbor there (sudo docker compose --project-name $PROJECT stop), run this again, and then run up or start Harbor there"
}

# not_backed_up RELEASE WAS_RUNNING
not_backed_up() {
    if [[ $2 == true ]]; then start "$1" >&2 || true; fi
    printf 'the database cannot be backed up first, so it was left alone; --no-backup goes on without\n'
}

# give_up STAMP RELEASE WAS_RUNNING WHY: the database of before, and what ran before.
give_up() {
    local stamp=$1 before=$2 was_running=$3 why=$4
    stop_all
    if [[ $database == bundled ]]; then
        put_back "$stamp" || fail "$why. The database of before cannot be put back either (see above); run this again"
        stop_all
    fi
    rm -f "$restore_file"
    [[ -z $before ]] || make_current "$before"
    if [[ $was_running == true && -n $before ]]; then
        start "$before" || fail "$why. The database of before is back in its place, but Harbor did not become healthy with it"
        fail "$why. The database of before is back in its place, and Harbor runs with it"
    fi
    fail "$why. The database of before is back in its place; Harbor did not run before and does not run now"
}

make_current() {
    ln -sfn "releases/${1##*/}" "$stack_folder/current.new"
    mv -T "$stack_folder/current.new" "$stack_folder/current"
}

# start RELEASE: makes it the current one and waits until it is healthy.
start() {
    local release=$1
    make_current "$release"
    # Not --wait: Harbor's job service ends until core answers, is started again, and --wait would not wait for that.
    quietly compose "$release" up --detach --remove-orphans || return 1
    wait_until_healthy || return 1
    if [[ -f $release/hooks/health.sh ]]; then
        RELEASE=$release PROJECT=$PROJECT PREVIOUS='' bash "$release/hooks/health.sh" </dev/null || return 1
    fi
}

wait_until_healthy() {
    local end=$((SECONDS + 300))
    while [[ -n $(unwell) ]]; do
        if ((SECONDS >= end)); then return 1; fi
        sleep 2
    done
}

# The containers that do not run, or are not healthy.
unwell() {
    local container state
    for container in $(docker ps --all --quiet --filter "label=com.docker.compose.project=$PROJECT" --filter label=com.docker.compose.oneoff=False); do
        state=$(docker inspect --format '{{.State.Status}} {{with .State.Health}}{{.Status}}{{end}}' "$container")
        if [[ $state != 'running '* || $state == *unhealthy || $state == *starting ]]; then printf '%s\n' "$container"; fi
    done
}

# The last lines of what is not well.
report() {
    local container
    for container in $(unwell); do
        docker inspect --format '--- the last lines of {{.Name}} ({{.State.Status}}):' "$container" >&2
        docker logs --tail 30 "$container" 2>&1 | sed 's/^/    /' >&2
    done
}

main "$@"
