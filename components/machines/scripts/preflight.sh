# shellcheck shell=bash
# preflight.sh apply|delete DIRECTORY CLAIM MINIMUM_FREE_GIB STACK SYSTEM [PORT=PURPOSE ...]
# Looks, and changes nothing. Every problem is reported at once. SYSTEM is system=INCARNATION where the machine is going to
# be set up (system.sh), and this-machine=INCARNATION where it is somebody's own.
main() {
    local action=$1 directory claim=$3 minimum=$4 stack=$5 system=$6
    directory=$(expand_home "$2")
    shift 6
    case $action in
        apply) apply "$directory" "$claim" "$minimum" "$stack" "$system" "$@" ;;
        delete) delete "$directory" "${system#*=}" ;;
    esac
}

apply() {
    local directory=$1 claim=$2 minimum=$3 stack=$4 system=$5
    shift 5
    problems=()
    if [[ $system == system=* ]]; then
        wait_for_cloud_init 600
        check_distribution
        local foreign
        ! foreign=$(foreign_daemon /etc/docker/daemon.json) || problem "$foreign"
    fi
    check_tools
    check_directory "$directory" "$claim"
    check_disk "$directory" "$minimum"
    check_docker "$system"
    local entry
    for entry in "$@"; do
        check_port "${entry%%=*}" "${entry#*=}" "$stack"
    done
    if ((${#problems[@]} > 0)); then
        printf 'harborage: %s is not ready, and nothing on it was changed:\n' "$(hostname)" >&2
        printf '  - %s\n' "${problems[@]}" >&2
        exit 1
    fi
}

# The first to be there is the last to go. What an `up` had only begun when it was killed is in no state, so nothing else
# deletes it; the marks in the folder tell whose it is.
delete() {
    local directory=$1 incarnation=$2 mark
    [[ -d $directory ]] || return 0
    lock_machine "$directory"
    if same_incarnation "$directory" "$incarnation"; then
        rm -rf "${directory:?}/stacks" "$directory/gate" "$directory/images" "$directory/installers" "$directory/incarnation"
    fi
    rm -f "$directory/incarnation.new"
    for mark in "$directory"/data/*.claim; do
        if [[ -f $mark && $(<"$mark") == "$incarnation" ]]; then
            rm -f "$mark"
            [[ ! -d ${mark%.claim} ]] || rmdir --ignore-fail-on-non-empty "${mark%.claim}"
        fi
    done
    remove_empty "$directory/data" "$directory"
}

problem() {
    problems+=("$*")
}

# What system.sh knows its way around in.
check_distribution() {
    local id version
    read -r id version < <(os_release)
    case $id-${version%%.*} in
        debian-12 | debian-13 | ubuntu-22 | ubuntu-24) ;;
        *) problem "this is $id $version; expected Debian 12 or 13, or Ubuntu 22.04 or 24.04" ;;
    esac
}

check_tools() {
    local tool
    for tool in flock tar base64 sha256sum awk df sort; do
        command -v "$tool" >/dev/null || problem "the program $tool is missing; install it"
    done
    [[ -r /proc/net/tcp ]] || problem "this is not Linux (there is no /proc/net/tcp); harborage runs registries on Linux machines"
}

# The nearest folder of the path that exists.
existing_part() {
    local path=$1
    while [[ ! -e $path ]]; do path=$(dirname "$path"); done
    printf '%s\n' "$path"
}

check_directory() {
    local directory=$1 claim=$2 existing
    existing=$(existing_part "$directory")
    if [[ ! -d $existing ]]; then
        problem "$existing is not a folder; expected a place for $directory (machines.*.directory)"
    elif ! writable "$existing"; then
        problem "$(id -un) cannot write to $existing; give it to this user, or name another folder (machines.*.directory)"
    fi
    if [[ -f $directory/incarnation && $(<"$directory/incarnation") != "$claim"-* ]]; then
        problem "$directory belongs to another stack, or to this one with another state; destroy that stack, name another folder (machines.*.directory), or, when its state is lost, remove $directory/incarnation (the data stays)"
    fi
    check_contents "$directory"
}

# The folder gets modes of its own and goes on destroy: it must not be one that others use.
check_contents() {
    local directory=$1 other
    [[ -d $directory && ! -f $directory/incarnation ]] || return 0
    other=$(find "$directory" -mindepth 1 -maxdepth 1 \
        ! -name data ! -name stacks ! -name gate ! -name images ! -name installers ! -name incoming ! -name 'incarnation*' ! -name lock ! -name lost+found ! -name '.harborage-probe.*' \
        -print -quit 2>/dev/null) || true
    [[ -z $other ]] || problem "$directory holds other things ($other); name a folder of its own (machines.*.directory)"
}

# Permission bits do not tell all: of root, of network file systems, of folders that nobody may change.
writable() {
    local probe
    probe=$(mktemp "$1/.harborage-probe.XXXXXX" 2>/dev/null) && rm -f "$probe"
}

check_disk() {
    local minimum=$2 place
    for place in "$1" /var/lib/docker; do
        place=$(existing_part "$place")
        local free
        free=$(df --output=avail --block-size=1M "$place" | tail -n 1)
        if ((free < minimum * 1024)); then
            problem "$place has $((free / 1024)).$((free % 1024 * 10 / 1024)) GiB free; expected at least $minimum GiB (machines.*.minimumFreeDiskGiB)"
        fi
    done
}

# Why the daemon does not answer, in one line.
docker_refusal() {
    local output
    output=$(docker info 2>&1) || true
    grep -m 1 -iE 'permission|cannot|error' <<<"$output" || printf 'no reason given\n'
}

check_docker() {
    local version id
    read -r id _ < <(os_release)
    if docker_answers; then
        version=$(docker version --format '{{.Server.Version}}')
        version_at_least "$version" 20.10 || problem "Docker is $version; expected 20.10 or newer"
    elif can_install; then
        :
    elif command -v dockerd >/dev/null || [[ -S /var/run/docker.sock ]]; then
        problem "Docker is there but does not answer $(id -un): $(docker_refusal); start it (systemctl start docker), or add the user to the group docker and log in again"
        return
    else
        problem "Docker is missing, and $(id -un) cannot install it here ($id); install Docker Engine 20.10 or newer with the compose plugin, or run as root on Debian or Ubuntu"
        return
    fi
    if compose_answers; then
        version=$(docker compose version --short)
        version_at_least "$version" 2.17 || problem "docker compose is $version; expected 2.17 or newer"
    elif [[ $1 != system=* ]] && { ! can_install || [[ -z $(compose_package) ]]; }; then
        problem "the plugin docker compose is missing, and $(os_release) has no package of it; install docker-compose-plugin from Docker's own repository (docs.docker.com/engine/install)"
    fi
}

# Hexadecimal, as /proc/net/tcp writes it; 0A is LISTEN.
listener_inode() {
    local port
    port=$(printf '%04X' "$1")
    awk -v port="$port" '$4 == "0A" && substr($2, length($2) - 3) == port { print $10; exit }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

process_of_inode() {
    local link
    link=$(find /proc/[0-9]*/fd -lname "socket:\\[$1\\]" -print -quit 2>/dev/null) || true
    [[ -z $link ]] || cut -d / -f 3 <<<"$link"
}

# Whether a container of this stack holds the port: published, or as a process of its own on the machine's network.
held_by_stack() {
    local port=$1 pid=$2 stack=$3 container pids
    docker_answers || return 1
    [[ -z $(docker ps --quiet --filter "label=harborage.stack=$stack" --filter "publish=$port") ]] || return 0
    [[ -n $pid ]] || return 1
    for container in $(docker ps --quiet --filter "label=harborage.stack=$stack"); do
        # Not as a pipe: grep ends at the first match, and docker would be killed by the closed pipe now and then.
        pids=$(docker top "$container" -o pid 2>/dev/null) || continue
        ! grep -qx " *$pid" <<<"$pids" || return 0
    done
    return 1
}

check_port() {
    local port=$1 purpose=$2 stack=$3 inode pid holder
    inode=$(listener_inode "$port")
    [[ -n $inode ]] || return 0
    pid=$(process_of_inode "$inode")
    ! held_by_stack "$port" "$pid" "$stack" || return 0
    if [[ -n $pid ]]; then
        holder="$(tr -d '\0' <"/proc/$pid/comm") (pid $pid)"
    else
        holder="a process of another user (find it with: sudo ss -ltnp 'sport = :$port')"
    fi
    problem "port $port is taken by $holder; stop it, or choose another port ($purpose)"
}
