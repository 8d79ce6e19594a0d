# shellcheck shell=bash
# project.sh apply|delete DIRECTORY INCARNATION PROJECT
# A compose project's place on the machine. It is declared before the first service starts and taken down here, so that
# destroy finds everything also after an `up` that was killed half-way.
main() {
    local action=$1 directory incarnation=$3 project=$4
    directory=$(expand_home "$2")
    local root=$directory/stacks/$project
    case $action in
        apply)
            lock_machine "$directory"
            mkdir -p "$root/plain" "$root/releases"
            # The folder is mounted into containers that run as other users; what is secret in it has modes of its own.
            chmod 0755 "$directory/stacks" "$root" "$root/plain" "$root/releases"
            ;;
        delete)
            same_incarnation "$directory" "$incarnation" || return 0
            lock_machine "$directory"
            take_down "$project"
            say_kept_volumes
            rm -rf "${root:?}"
            ;;
    esac
}

# Named volumes stay whatever happens.
say_kept_volumes() {
    local name
    for name in $(docker volume ls --quiet --filter "label=harborage.project=$project"); do
        say "kept: the volume $name on $(hostname); delete it with: docker volume rm $name"
    done
}
