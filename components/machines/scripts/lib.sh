# shellcheck shell=bash
# Shared by every script that runs on a machine. A script defines main; the program appends the call, with the data that
# belongs to it as main's standard input (so nothing that a command reads by accident is the script itself).
set -euo pipefail
umask 077

fail() {
    printf 'harborage: %s\n' "$*" >&2
    exit 1
}

say() {
    printf '%s\n' "$*"
}

# The folder that the stack file names, with ~ for the home of the user that runs this.
expand_home() {
    # shellcheck disable=SC2088 # a tilde as the stack file writes it, not for the shell
    case $1 in
        '~/'*) printf '%s/%s\n' "$HOME" "${1#'~/'}" ;;
        *) printf '%s\n' "$1" ;;
    esac
}

# One script at a time changes a machine, also when an earlier program was killed and its script goes on.
lock_machine() {
    local directory=$1
    exec 9>"$directory/lock"
    flock --wait 600 9 || fail "another run has been changing this machine for 10 minutes (it holds $directory/lock); wait for it or end it: fuser -v $directory/lock"
}

# Whether the folder belongs to this incarnation of the machine. What an older incarnation declared must not touch a newer one.
# The mark is CLAIM-GENERATION: the claim is the stack's, the generation counts up when the machine is set up again.
same_incarnation() {
    local directory=$1 incarnation=$2
    [[ -f $directory/incarnation && $(<"$directory/incarnation") == "$incarnation" ]]
}

docker_answers() {
    command -v docker >/dev/null && docker info >/dev/null 2>&1
}

compose_answers() {
    command -v docker >/dev/null && docker compose version --short >/dev/null 2>&1
}

# version_at_least HAVE WANT
version_at_least() {
    [[ $(printf '%s\n%s\n' "${1#v}" "$2" | sort --version-sort | head -n 1) == "$2" ]]
}

os_release() {
    # shellcheck source=/dev/null
    (. /etc/os-release 2>/dev/null && printf '%s %s\n' "${ID:-unknown}" "${VERSION_ID:-0}") || printf 'unknown 0\n'
}

# The distribution's own package with the compose plugin; nothing where there is none (Debian before 13).
compose_package() {
    local id version
    read -r id version < <(os_release)
    case $id in
        ubuntu) printf 'docker-compose-v2\n' ;;
        debian) [[ ${version%%.*} -lt 13 ]] || printf 'docker-compose\n' ;;
    esac
}

# Whether this user may install packages on a distribution that we know.
can_install() {
    local id
    read -r id _ < <(os_release)
    [[ $EUID -eq 0 && ($id == debian || $id == ubuntu) ]] && command -v apt-get >/dev/null
}

# The user that services run as when they need no root: an unprivileged one, or the user itself where that is not root.
service_user() {
    if [[ $EUID -eq 0 ]]; then printf '10000:10000\n'; else printf '%s:%s\n' "$(id -u)" "$(id -g)"; fi
}

# take_down PROJECT: removes the containers and networks of a compose project.
take_down() {
    docker_answers || fail "Docker does not answer, so the services of $1 cannot be taken down; start it and run again"
    docker compose --project-name "$1" down --remove-orphans --timeout 30 </dev/null 2>&1 | tail -n 20 >&2
}

# Removes folders that have nothing left in them but the lock, in the order given.
remove_empty() {
    local folder
    for folder in "$@"; do
        if [[ -d $folder && -z $(find "$folder" -mindepth 1 -maxdepth 1 ! -name lock -print -quit) ]]; then
            rm -rf "$folder"
        fi
    done
}
