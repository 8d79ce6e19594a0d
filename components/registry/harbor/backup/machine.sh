# shellcheck shell=bash disable=SC2034 # who reads this uses the names
# What restore.sh and the hooks of a release share. They run on the machine, as root, with a release's folder in RELEASE.
set -euo pipefail
umask 077

fail() {
    printf 'harborage: %s\n' "$*" >&2
    exit 1
}

say() {
    printf '%s\n' "$*"
}

# shellcheck source=components/registry/harbor/backup/manifest.sh
. "$RELEASE/backup/manifest.sh"

# setting RELEASE NAME
setting() {
    local value
    value=$(value_of "$1/backup/settings" "$2")
    # shellcheck disable=SC2088 # a tilde as the stack file writes it, not for the shell
    case $value in
        '~/'*) printf '%s/%s\n' "$(environment "$1" HARBORAGE_HOME)" "${value#'~/'}" ;;
        *) printf '%s\n' "$value" ;;
    esac
}

# environment RELEASE NAME: a variable of the folder's compose project.
environment() {
    sed -n "s/^$2=//p" "$1/.env"
}

# compose RELEASE ARGUMENT...
compose() {
    local folder=$1
    shift
    (cd "$folder" && docker compose "$@" </dev/null)
}

# take_down: takes all containers of the project away, with the volumes without a name that its images ask for, which
# compose would hand on and never remove.
take_down() {
    local volumes
    mapfile -t volumes < <(docker ps --all --quiet --filter "label=com.docker.compose.project=$PROJECT" </dev/null |
        xargs --no-run-if-empty docker inspect --format '{{range .Mounts}}{{println .Name}}{{end}}' | grep -xE '[0-9a-f]{64}')
    quietly docker compose --project-name "$PROJECT" down --remove-orphans --timeout 60 || return 1
    ((${#volumes[@]} == 0)) || docker volume rm "${volumes[@]}" >/dev/null 2>&1 </dev/null || true
}

# quietly COMMAND...: shows what it says only when it fails.
quietly() {
    local said status=0
    said=$("$@" 2>&1 </dev/null) || status=$?
    if ((status != 0)); then printf '%s\n' "$said" | tail -n 20 >&2; fi
    return "$status"
}

# older VERSION VERSION: whether the first is the older one.
older() {
    [[ $1 != "$2" && $(printf '%s\n%s\n' "$1" "$2" | sort --version-sort | head -n 1) == "$1" ]]
}

# write FILE TEXT: whole or not at all, also when the power fails.
write() {
    printf '%s\n' "$2" >"$1.new"
    sync "$1.new"
    mv "$1.new" "$1"
    sync "${1%/*}"
}

version=$(setting "$RELEASE" version)
data=$(setting "$RELEASE" data)
stack_folder=${RELEASE%/releases/*}

# The version of Harbor that was last healthy on the data.
recorded_file=$data/harborage-version
# There from before an upgrade stops the old version until the new one is healthy: from, to, backup, place, release.
upgrade_file=$data/harborage-upgrade
# There while a restore is under way: backup, stamp.
restore_file=$data/harborage-restore
# Somebody has moved the data to where the next release looks for it. Counts once.
moved_file=$data/harborage-moved
# The releases that are left in their place beside the current one, a name on each line.
keep_file=$stack_folder/keep

# place RELEASE: where its backups are, in words.
place() {
    if [[ $(setting "$1" destination) == s3 ]]; then
        printf '%s/%s\n' "$(setting "$1" s3-endpoint)" "$(setting "$1" s3-bucket)/$(setting "$1" s3-prefix)"
    else
        setting "$1" folder
    fi
}

# restore_command RELEASE NAME
restore_command() {
    printf 'sudo bash %s/restore.sh %s\n' "$1" "$2"
}

# release_of VERSION: the newest release of it that is still on the machine.
release_of() {
    local folder newest=
    for folder in "$stack_folder"/releases/*; do
        if [[ -f $folder/backup/settings && $(setting "$folder" version) == "$1" && (-z $newest || $folder -nt $newest) ]]; then newest=$folder; fi
    done
    printf '%s\n' "$newest"
}
