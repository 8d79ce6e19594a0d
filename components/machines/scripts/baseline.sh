# shellcheck shell=bash
# baseline.sh apply|delete DIRECTORY INCARNATION
# Claims the folder for this incarnation and makes sure that Docker and its compose plugin answer.
main() {
    local action=$1 directory incarnation=$3
    directory=$(expand_home "$2")
    case $action in
        apply) apply "$directory" "$incarnation" ;;
        delete) delete "$directory" "$incarnation" ;;
    esac
}

apply() {
    local directory=$1 incarnation=$2
    mkdir -p "$directory"
    # Containers that do not run as root look up their files below it.
    chmod 0711 "$directory"
    lock_machine "$directory"
    # Written whole or not at all: an empty one would belong to nobody.
    printf '%s\n' "$incarnation" >"$directory/incarnation.new"
    mv "$directory/incarnation.new" "$directory/incarnation"
    # Services of this machine tell each other here what they refuse for a while.
    mkdir -p "$directory/gate"
    chown "$(service_user)" "$directory/gate"
    chmod 0755 "$directory/gate"
    ensure_docker
    ensure_compose
    say "Docker $(docker version --format '{{.Server.Version}}'), compose $(docker compose version --short)"
}

ensure_docker() {
    ! docker_answers || return 0
    can_install || fail "Docker does not answer; start it and run again"
    if ! command -v dockerd >/dev/null; then
        say "installing Docker"
        install_packages docker.io
        hash -r
    fi
    docker_answers || start_docker
}

ensure_compose() {
    ! compose_answers || return 0
    local package
    package=$(compose_package)
    [[ -n $package ]] || fail "the plugin docker compose is missing; install docker-compose-plugin from Docker's own repository"
    say "installing the compose plugin"
    install_packages "$package"
    compose_answers || fail "the package $package is installed, but docker compose does not answer"
}

install_packages() {
    local log
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get -o DPkg::Lock::Timeout=300 update && apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "$@"; } >"$log" 2>&1 9>&- </dev/null; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        fail "apt-get could not install $*"
    fi
    rm -f "$log"
}

# systemd where it runs, else the init script, else by hand. The daemon must not hold the lock nor our output.
start_docker() {
    say "starting Docker"
    if [[ -d /run/systemd/system ]]; then
        systemctl enable --now docker </dev/null
    elif ! { service docker start >/dev/null 2>&1 9>&- </dev/null && wait_for_docker 20; }; then
        say "no service manager starts Docker here: it runs until the machine stops"
        rm -f /var/run/docker.pid
        setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null 9>&- &
    fi
    wait_for_docker 60 || fail "Docker was started but does not answer: $(tail -n 5 /var/log/dockerd.log 2>/dev/null || journalctl --unit docker --lines 5 --no-pager 2>/dev/null)"
}

wait_for_docker() {
    local left=$1
    until docker_answers; do
        ((left-- > 0)) || return 1
        sleep 1
    done
}

# Docker stays: others may use it. The folder goes when nothing is left in it; kept data keeps it.
delete() {
    local directory=$1 incarnation=$2
    same_incarnation "$directory" "$incarnation" || return 0
    lock_machine "$directory"
    # Another generation takes this one's place before its projects are deleted, and they leave what is not theirs alone.
    local project
    for project in "$directory"/stacks/*; do
        [[ ! -d $project ]] || take_down "${project##*/}"
    done
    rm -rf "${directory:?}/stacks" "$directory/gate" "$directory/images" "$directory/incarnation"
    remove_empty "$directory/data" "$directory"
}
