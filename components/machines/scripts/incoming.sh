# shellcheck shell=bash
# incoming.sh apply|delete DIRECTORY INCARNATION
# The folder that files of other machines are sent to, by the user that SSH logs in as.
main() {
    local action=$1 directory incarnation=$3
    directory=$(expand_home "$2")
    case $action in
        apply)
            mkdir -p "$directory"
            chmod 0711 "$directory"
            lock_machine "$directory"
            mkdir -p "$directory/incoming"
            chown "${SUDO_UID:-$(id -u)}:${SUDO_GID:-$(id -g)}" "$directory/incoming"
            chmod 0700 "$directory/incoming"
            printf '%s\n' "$incarnation" >"$directory/incarnation.incoming"
            ;;
        delete)
            [[ -f $directory/incarnation.incoming && $(<"$directory/incarnation.incoming") == "$incarnation" ]] || return 0
            lock_machine "$directory"
            rm -rf "${directory:?}/incoming" "$directory/incarnation.incoming"
            remove_empty "$directory"
            ;;
    esac
}
