# shellcheck shell=bash
# data.sh apply|delete DIRECTORY INCARNATION DATA_DIRECTORY DELETE_DATA      DELETE_DATA is true or false
# The folder of a service's data: a resource of its own, so that nothing that is replaced ever takes the data along.
main() {
    local action=$1 directory incarnation=$3 data delete_data=$5
    directory=$(expand_home "$2")
    data=$(expand_home "$4")
    case $action in
        apply) apply "$directory" "$data" ;;
        delete) delete "$directory" "$incarnation" "$data" "$delete_data" ;;
    esac
}

apply() {
    lock_machine "$1"
    mkdir -p "$2"
    chmod 0711 "$(dirname "$2")"
    chown "$(service_user)" "$2"
    chmod 0750 "$2"
}

delete() {
    local directory=$1 incarnation=$2 data=$3 delete_data=$4
    [[ -d $data ]] || return 0
    same_incarnation "$directory" "$incarnation" || return 0
    if [[ $delete_data == true ]]; then
        rm -rf "${data:?}"
        say "deleted: $data"
    else
        say "kept: $data ($(du -sh "$data" | cut -f 1)); delete it with: rm -rf $data"
    fi
}
