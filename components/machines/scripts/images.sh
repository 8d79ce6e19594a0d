# shellcheck shell=bash
# images.sh apply|delete DIRECTORY INCARNATION BUNDLE SHA256 IMAGE...
# BUNDLE is a path or a URL, or - where images are pulled.
# Gets the images onto the machine before any service is touched.
main() {
    local action=$1 directory incarnation=$3 bundle=$4 sha256=$5
    directory=$(expand_home "$2")
    shift 5
    case $action in
        apply)
            lock_machine "$directory"
            if [[ $bundle == - ]]; then pull "$@"; else load "$directory" "$bundle" "$sha256" "$@"; fi
            ;;
        delete)
            # Pulled images are Docker's cache; loaded ones came with this stack and go with it, unless something uses them.
            if [[ $bundle != - ]] && same_incarnation "$directory" "$incarnation" && docker_answers; then
                local image
                while read -r image; do
                    docker image rm "$image" >/dev/null 2>&1 </dev/null || true
                done < <(tail -n +2 "$directory/images/$sha256" 2>/dev/null)
            fi
            ;;
    esac
}

present() {
    docker image inspect "$1" >/dev/null 2>&1
}

pull() {
    local image
    for image in "$@"; do
        if ! present "$image"; then
            say "pulling $image"
            docker pull --quiet "$image" >/dev/null </dev/null || fail "cannot pull $image; on a site without the registry, name a mirror or a bundle (images)"
        fi
    done
}

load() {
    local directory=$1 bundle=$2 sha256=$3 image
    shift 3
    local loaded=$directory/images/$sha256
    if [[ -e $loaded ]]; then
        for image in "$@"; do present "$image" || rm -f "$loaded"; done
    fi
    [[ ! -e $loaded ]] || return 0
    bundle=$(file_at "$directory" "$bundle" "$sha256" images.bundle)
    say "loading $bundle"
    local names
    names=$(docker load --quiet --input "$bundle" </dev/null) || fail "Docker cannot load $bundle"
    for image in "$@"; do
        present "$image" || fail "$bundle does not hold $image; expected the names that it was saved with (images)"
    done
    rm -rf "$directory/images"
    mkdir -p "$directory/images"
    # release.sh loads it again when the images have gone meanwhile; delete removes all that it brought.
    printf '%s\n' "$bundle" "$(sed -n 's/^Loaded image: //p' <<<"$names")" >"$loaded"
}
