# shellcheck shell=bash
# rotation.sh apply DIRECTORY PROJECT COMMAND NODE CHANGE      CHANGE is there to be another one when it is time again
# Takes a node out of the load balancer's rotation, or puts it back (drain, restore); of an active node and a standby, has
# neither take over while one of them changes (change, changed). Does nothing where the load balancer does not have the node.
main() {
    [[ $1 == apply ]] || return 0
    local directory release project=$3 command=$4 node=$5
    directory=$(expand_home "$2")
    release=$directory/stacks/$project/current
    [[ -f $release/agent/nodes ]] && grep -q "^node $node " "$release/agent/nodes" || return 0
    if [[ -z $(docker ps --quiet --filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.service=nginx) ]]; then
        say "the load balancer does not run; nothing is done to $node"
        return 0
    fi
    bash "$release/harborage-lb" "$command" "$node"
}
