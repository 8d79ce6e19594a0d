# shellcheck shell=bash
# preflight.sh apply|delete DIRECTORY CLAIM STACK SYSTEM [KEY=VALUE ...]
# Looks, and changes nothing. Every problem is reported at once. SYSTEM is system=INCARNATION where the machine is going to
# be set up (system.sh), and this-machine=INCARNATION where it is somebody's own. KEY is what is looked at:
#   a number            a TCP port, which is free or STACK's; the value is the setting that chooses it, or what needs it
#   cpus, memory, disk  at least so many, so many MiB, so many GiB free
#   packages=machine    packages will come from where apt on the machine gets them now; stands before docker and compose
#   docker, compose     at least this version
#   root=true           whether this runs as root
#   clock=true          whether the clock is right
#   resolve             a name that has an address here
#   container           a name that no container has, or one of STACK
#   engine              ENGINE:PROJECT, which is the engine that runs there, if any does
#   file                the SHA-256 of a file, which has been checked where `up` runs: for another one all this is done again
main() {
    local action=$1 directory claim=$3 stack=$4 system=$5
    directory=$(expand_home "$2")
    shift 5
    case $action in
        apply) apply "$directory" "$claim" "$stack" "$system" "$@" ;;
        delete) delete "$directory" "${system#*=}" ;;
    esac
}

apply() {
    local directory=$1 claim=$2 stack=$3 system=$4
    shift 4
    problems=()
    if [[ $system == system=* ]]; then
        wait_for_cloud_init 600
        check_distribution
        local foreign
        ! foreign=$(foreign_daemon /etc/docker/daemon.json) || problem "$foreign"
    fi
    check_tools
    check_directory "$directory" "$claim"
    local entry value packages=
    for entry in "$@"; do
        value=${entry#*=}
        case ${entry%%=*} in
            cpus) check_cpus "$value" ;;
            memory) check_memory "$value" ;;
            disk) check_disk "$directory" "$value" "$claim" ;;
            packages) packages=$value ;;
            docker) check_docker "$value" "$system" "$packages" ;;
            compose) check_compose "$value" "$system" "$packages" ;;
            root) check_root ;;
            clock) check_clock "$system" ;;
            resolve) check_name "$value" ;;
            container) check_container "$value" "$stack" ;;
            engine) check_engine "$directory" "${value%%:*}" "${value#*:}" ;;
            file) ;;
            *) check_port "${entry%%=*}" "$value" "$stack" ;;
        esac
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
        rm -rf "${directory:?}/stacks" "$directory/gate" "$directory/balancer" "$directory/images" "$directory/installers" "$directory/incarnation"
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
    for tool in flock tar base64 sha256sum awk df sort nproc getent; do
        command -v "$tool" >/dev/null || problem "the program $tool is missing; install it"
    done
    [[ -r /proc/net/tcp ]] || problem "this is not Linux (there is no /proc/net/tcp); harborage runs registries on Linux machines"
}

# check_engine DIRECTORY ENGINE PROJECT: the new engine's services would get the place and the folder of the old one's, and be
# taken down with them.
check_engine() {
    local current=$1/stacks/$3/current other=
    if [[ -f $current/compose.yaml ]]; then other=distribution; elif [[ -f $current/docker-compose.yml ]]; then other=harbor; fi
    if [[ -n $other && $other != "$2" ]]; then
        problem "the registry here is of engine $other, whose data $2 has no use for; put registry.engine back, or destroy the stack first, or give $2 a stack and a folder of its own (machines.*.directory)"
    fi
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
    if [[ -f $directory/incarnation ]] && ! belongs_to "$directory" "$claim"; then
        problem "$directory belongs to another stack, or to this one with another state; destroy that stack, name another folder (machines.*.directory), or, when its state is lost, remove $directory/incarnation (the data stays)"
    fi
    check_contents "$directory"
}

# Whether some incarnation of this stack's machine has the folder.
belongs_to() {
    [[ -f $1/incarnation && $(<"$1/incarnation") == "$2"-* ]]
}

# The folder gets modes of its own and goes on destroy: it must not be one that others use.
check_contents() {
    local directory=$1 other
    [[ -d $directory && ! -f $directory/incarnation ]] || return 0
    other=$(find "$directory" -mindepth 1 -maxdepth 1 \
        ! -name data ! -name stacks ! -name gate ! -name balancer ! -name images ! -name installers ! -name incoming ! -name 'incarnation*' ! -name lock ! -name lost+found ! -name '.harborage-probe.*' \
        -print -quit 2>/dev/null) || true
    [[ -z $other ]] || problem "$directory holds other things ($other); name a folder of its own (machines.*.directory)"
}

# Permission bits do not tell all: of root, of network file systems, of folders that nobody may change.
writable() {
    local probe
    probe=$(mktemp "$1/.harborage-probe.XXXXXX" 2>/dev/null) && rm -f "$probe"
}

# nproc counts those that a control group or an affinity leaves to us. Quotas do not count: with one, services are slow, but
# they run. The settings are OpenMP's, which nproc obeys.
check_cpus() {
    local cpus
    cpus=$(OMP_NUM_THREADS='' OMP_THREAD_LIMIT='' nproc)
    ((cpus >= $1)) || problem "this machine has $cpus CPUs; expected at least $1; give it more, or name another machine (topology)"
}

# A machine that is a container itself has its limit at the root of the control groups that it sees; the limits of our own
# group are not those of services.
check_memory() {
    local memory limit
    memory=$(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)
    for limit in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
        limit=$(cat "$limit" 2>/dev/null) || continue
        if [[ $limit != max ]] && ((limit / 1048576 < memory)); then memory=$((limit / 1048576)); fi
    done
    ((memory >= $1)) || problem "this machine has $memory MiB of memory; expected at least $1 MiB; give it more, or name another machine (topology)"
}

# What runs here already may have filled the disk itself: an update needs room for its images alone.
readonly update_gib=5

check_disk() {
    local minimum=$2 place
    if ((minimum > update_gib)) && belongs_to "$1" "$3"; then minimum=$update_gib; fi
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

# check_version WHAT VERSION WANTED REMEDY: one that is not known is no problem.
check_version() {
    [[ -z $2 ]] || version_at_least "$2" "$3" || problem "$1 is $2; expected $3 or newer; $4"
}

# candidate PACKAGE...: the version, as its authors write it, of the first of them that apt knows; nothing where it knows
# none, as before its first update.
candidate() {
    local package version
    for package in "$@"; do
        # Without its caches, which it would write.
        version=$(LC_ALL=C apt-cache -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= policy "$package" 2>/dev/null </dev/null |
            awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }') || true
        if [[ -n $version ]]; then
            upstream_version "$version"
            return
        fi
    done
}

readonly newer_docker="upgrade it, with its services stopped (docs.docker.com/engine/install)"
readonly newer_package="take Docker's own repository (docs.docker.com/engine/install; baseline.packages.sources where the machine is reached by SSH)"

check_docker() {
    local want=$1 system=$2 packages=$3 id
    read -r id _ < <(os_release)
    if docker_answers; then
        check_version Docker "$(docker version --format '{{.Server.Version}}')" "$want" "$newer_docker"
    elif can_install && command -v dockerd >/dev/null; then
        check_version Docker "$(dockerd --version 2>/dev/null | sed -n 's/^Docker version \([^, ]*\).*/\1/p')" "$want" "$newer_docker"
    elif can_install; then
        # As system.sh and lib.sh choose it.
        local from=(docker.io)
        [[ $system != system=* ]] || from=(docker-ce docker.io)
        [[ $packages != machine ]] || check_version "apt's newest Docker" "$(candidate "${from[@]}")" "$want" "$newer_package"
    elif command -v dockerd >/dev/null || [[ -S /var/run/docker.sock ]]; then
        problem "Docker is there but does not answer $(id -un): $(docker_refusal); start it (systemctl start docker), or add the user to the group docker and log in again"
    else
        problem "Docker is missing, and $(id -un) cannot install it here ($id); install Docker Engine $want or newer with the compose plugin, or run as root on Debian or Ubuntu"
    fi
}

check_compose() {
    local want=$1 system=$2 packages=$3 package
    # What is wrong with Docker has been said.
    docker_answers || can_install || return 0
    package=$(compose_package)
    if compose_answers; then
        check_version "docker compose" "$(docker compose version --short)" "$want" \
            "upgrade it (docs.docker.com/compose/install/linux), or, where the machine is reached by SSH, name the program (baseline.docker.composePlugin)"
    elif can_install && [[ -n $package ]]; then
        [[ $packages != machine ]] || check_version "apt's newest docker compose" "$(candidate "$package")" "$want" "$newer_package"
    elif [[ $system != system=* ]]; then
        problem "the plugin docker compose is missing, and $(os_release) has no package of it; install docker-compose-plugin from Docker's own repository (docs.docker.com/engine/install)"
    elif [[ $packages == machine && -n $(candidate docker.io) && -z $(candidate docker-ce) ]]; then
        # docker-ce would bring it.
        problem "the plugin docker compose is missing, and $(os_release) has no package of it; name the program (baseline.docker.composePlugin), or Docker's own repository (baseline.packages.sources)"
    fi
}

check_root() {
    ((EUID == 0)) || problem "this runs as $(id -un); expected root, because the registry's files belong to several users; run up as root, or name a machine that is reached by SSH (topology)"
}

# Tokens fail where clocks differ. Without a network there is only the system's own age to compare with; a time service
# knows more. Where the machine is set up, chrony comes with that and is waited for.
check_clock() {
    local system=$1 made=0
    made=$(stat --dereference --format %Y /etc/os-release 2>/dev/null) || true
    if (($(date +%s) < made)); then
        problem "the clock says $(date --utc '+%F %R') UTC, but this system was made on $(date --utc --date "@$made" +%F); set it (date --utc --set 'YYYY-MM-DD HH:MM')"
    elif [[ $system != system=* ]]; then
        check_time_service
    fi
}

check_time_service() {
    local state offset leap
    if state=$(chronyc -c -n tracking 2>/dev/null </dev/null); then
        IFS=, read -r _ _ _ _ offset _ _ _ _ _ _ _ _ leap <<<"$state"
        if [[ $leap == 'Not synchronised' ]]; then
            problem "the clock is not in sync, and a registry's tokens fail by that; give chrony servers that answer (/etc/chrony/chrony.conf). It sees: $(chrony_sources)"
        elif awk -v offset="$offset" 'BEGIN { exit !(offset * offset > 0.25) }'; then
            problem "the clock is off by ${offset#-} s; expected less than 0.5 s; let chrony set it at once (chronyc makestep)"
        fi
    elif state=$(timeout 10 ntpq -n -c rv 2>/dev/null </dev/null) && [[ $state == *leap_* ]]; then
        [[ $state != *leap_alarm* ]] ||
            problem "the clock is not in sync, and a registry's tokens fail by that; give ntpd servers that answer (ntp.conf). It sees: $(timeout 10 ntpq -n -p 2>&1 </dev/null | tail -n +3 | one_line)"
    else
        state=$(timedatectl show 2>/dev/null </dev/null) || true
        case $state in
            *NTPSynchronized=yes*) ;;
            *NTP=yes*) problem "the clock is not in sync, and a registry's tokens fail by that; name servers that answer (/etc/systemd/timesyncd.conf), and see timedatectl timesync-status" ;;
            *) say "nothing here tells whether the clock is in sync; a registry's tokens fail when it is not" ;;
        esac
    fi
}

check_name() {
    getent ahosts "$1" >/dev/null </dev/null ||
        problem "the name $1 has no address on this machine (publicName); give it one in DNS, or here in /etc/hosts: ADDRESS $1"
}

# Its compose file gives the registry's containers fixed names.
check_container() {
    local name=$1 stack=$2 found owner
    # Where Docker does not answer yet, nobody can tell.
    found=$(docker container inspect --format '{{.Config.Image}} {{index .Config.Labels "harborage.stack"}}' "$name" 2>/dev/null </dev/null) || return 0
    owner=${found#* }
    [[ $owner == "$stack" ]] ||
        problem "there is a container $name (image ${found%% *}${owner:+, of the stack $owner}), and the registry needs that name; remove it (docker stop $name; docker rm $name), or rename it (docker rename $name OTHER)"
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

# The container that publishes a port.
publisher() {
    docker ps --filter "publish=$1" --format '{{.Names}} (image {{.Image}})' 2>/dev/null </dev/null | awk 'NR == 1'
}

check_port() {
    local port=$1 purpose=$2 stack=$3 inode pid holder='' container remedy
    inode=$(listener_inode "$port")
    [[ -n $inode ]] || return 0
    pid=$(process_of_inode "$inode")
    ! held_by_stack "$port" "$pid" "$stack" || return 0
    [[ -z $pid ]] || holder="$(tr -d '\0' <"/proc/$pid/comm") (pid $pid)"
    # Docker's processes listen for containers, and one that is not shown to us may be Docker's.
    if [[ -z $holder || $holder == docker* ]] && container=$(publisher "$port") && [[ -n $container ]]; then
        holder="the container $container"
    elif [[ -z $holder ]]; then
        holder="a process of another user (find it with: sudo ss -ltnp 'sport = :$port')"
    fi
    # Where no setting chooses the port, the purpose is what needs it.
    remedy="stop it, or choose another port ($purpose)"
    [[ $purpose =~ ^[A-Za-z]+(\.[A-Za-z]+)+$ ]] || remedy="stop it: the port is needed for $purpose"
    problem "port $port is taken by $holder; $remedy"
}
