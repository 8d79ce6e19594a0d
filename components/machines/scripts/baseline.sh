# shellcheck shell=bash
# baseline.sh apply|delete DIRECTORY INCARNATION DOCKER_VERSION COMPOSE_VERSION
# Claims the folder for this incarnation and makes sure that Docker and its compose plugin answer, at these versions or newer.
main() {
    local action=$1 directory incarnation=$3
    directory=$(expand_home "$2")
    case $action in
        apply) apply "$directory" "$incarnation" "$4" "$5" ;;
        delete) delete "$directory" "$incarnation" ;;
    esac
}

apply() {
    local directory=$1 incarnation=$2 docker compose
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
    # What has been installed meanwhile nobody could look at before.
    docker=$(docker version --format '{{.Server.Version}}')
    version_at_least "$docker" "$3" || fail "Docker is $docker; expected $3 or newer (baseline.packages.sources)"
    compose=$(docker compose version --short)
    version_at_least "$compose" "$4" || fail "docker compose is $compose; expected $4 or newer (baseline.docker.composePlugin)"
    say "Docker $docker, compose $compose"
}

# Docker stays: others may use it. The folder goes when nothing is left in it; kept data keeps it.
delete() {
    local directory=$1 incarnation=$2
    same_incarnation "$directory" "$incarnation" || return 0
    lock_machine "$directory"
    # Another generation takes this one's place before its projects are deleted, and they leave what is not theirs alone.
    take_down_all "$directory"
    rm -rf "${directory:?}/stacks" "$directory/gate" "$directory/balancer" "$directory/images" "$directory/installers" "$directory/incarnation"
    remove_empty "$directory/data" "$directory"
}
