# shellcheck shell=bash
# data.sh apply|delete DIRECTORY INCARNATION DATA_DIRECTORY DELETE_DATA      DELETE_DATA is true or false
# The folder of a service's data: a resource of its own, so that nothing that is replaced ever takes the data along.
main() {
    local action=$1 directory incarnation=$3 data delete_data=$5
    directory=$(expand_home "$2")
    data=$(expand_home "$4")
    case $action in
        apply) apply "$directory" "$incarnation" "$data" ;;
        delete) delete "$directory" "$incarnation" "$data" "$delete_data" ;;
    esac
}

apply() {
    local directory=$1 incarnation=$2 data=$3
    mkdir -p "$directory" "$data"
    lock_machine "$directory"
    chmod 0711 "$directory" "$(dirname "$data")"
    chown "$(service_user)" "$data"
    chmod 0750 "$data"
    # Data that an earlier stack or incarnation left behind is this one's from now on.
    printf '%s\n' "$incarnation" >"$data.claim"
}

delete() {
    local directory=$1 incarnation=$2 data=$3 delete_data=$4
    [[ -f $data.claim && $(<"$data.claim") == "$incarnation" ]] || return 0
    rm -f "$data.claim"
    if [[ $delete_data == true ]]; then
        rm -rf "${data:?}"
        say "deleted: $data"
    elif [[ -d $data ]]; then
        say_kept "$data"
    fi
    remove_empty "$(dirname "$data")" "$directory"
}

say_kept() {
    local data=$1 size disk
    size=$(du -sh "$data" | cut -f 1)
    # system.sh takes away what it has mounted.
    disk=$(awk -v place="${data%/*}" '$2 == place { print $1 }' /etc/fstab 2>/dev/null) || true
    if [[ -n $disk ]]; then
        say "kept: ${data##*/} ($size) on the disk $disk of $(hostname), which is no longer mounted"
    else
        say "kept: $data ($size) on $(hostname); delete it with: rm -rf $data"
    fi
}
