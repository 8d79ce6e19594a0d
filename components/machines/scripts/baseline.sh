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

# Docker stays: others may use it. The folder goes when nothing is left in it; kept data keeps it.
delete() {
    local directory=$1 incarnation=$2
    same_incarnation "$directory" "$incarnation" || return 0
    lock_machine "$directory"
    # Another generation takes this one's place before its projects are deleted, and they leave what is not theirs alone.
    take_down_all "$directory"
    rm -rf "${directory:?}/stacks" "$directory/gate" "$directory/images" "$directory/installers" "$directory/incarnation"
    remove_empty "$directory/data" "$directory"
}
