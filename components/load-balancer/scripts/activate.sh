# shellcheck shell=bash
# activate.sh apply DIRECTORY PROJECT NODE EPOCH
# Has the load balancer's agent make a node active, and waits for the end of it. The epoch is empty where it is not known.
main() {
    [[ $1 == apply ]] || return 0
    local directory project=$3
    directory=$(expand_home "$2")
    shift 3
    bash "$directory/stacks/$project/current/harborage-lb" activate "$@"
}
