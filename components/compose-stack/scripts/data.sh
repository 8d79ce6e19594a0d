# shellcheck shell=bash
# data.sh apply|delete DIRECTORY CLAIM DATA_DIRECTORY DELETE_DATA [INCARNATION]      DELETE_DATA is true or false
# The folder of a service's data: a resource of its own, so that nothing that is replaced ever takes the data along.
main() {
    local action=$1 directory claim=$3 data delete_data=$5
    directory=$(expand_home "$2")
    data=$(expand_home "$4")
    case $action in
        apply) apply "$directory" "$claim" "$data" ;;
        delete) delete "$directory" "$claim" "$data" "$delete_data" ;;
    esac
}

apply() {
    local directory=$1 claim=$2 data=$3
    mkdir -p "$directory" "$data"
    lock_machine "$directory"
    chmod 0711 "$directory" "$(dirname "$data")"
    chown "$(service_user)" "$data"
    chmod 0750 "$data"
    # Data that an earlier stack left behind is this one's from now on.
    printf '%s\n' "$claim" >"$data.claim"
}

delete() {
    local directory=$1 claim=$2 data=$3 delete_data=$4
    [[ -f $data.claim && $(<"$data.claim") == "$claim" ]] || return 0
    rm -f "$data.claim"
    if [[ $delete_data == true ]]; then
        rm -rf "${data:?}"
        say "deleted: $data"
    elif [[ -d $data ]]; then
        say "kept: $data ($(du -sh "$data" | cut -f 1)); delete it with: rm -rf $data"
    fi
    remove_empty "$(dirname "$data")" "$directory"
}
