# shellcheck shell=bash
# release.sh apply DIRECTORY INCARNATION PROJECT HASH      reads a base64 tar of the secret files
# Makes a release of the plain files HASH and the secret files, checks it, and switches to it. A release that fails its
# checks never runs; one that fails to become healthy gives way to the one before.
readonly wait_seconds=180

main() {
    # project.sh takes the services down.
    [[ $1 == apply ]] || return 0
    local directory root secrets id
    directory=$(expand_home "$2")
    project=$4
    root=$directory/stacks/$project
    same_incarnation "$directory" "$3" || fail "$directory was given to another stack meanwhile"
    lock_machine "$directory"
    secrets=$(cat)
    id=${5:0:16}-$(printf '%s' "$secrets" | sha256sum | cut -c 1-16)
    make_release "$root" "$5" "$id" "$secrets"
    secrets=

    local previous=
    [[ ! -L $root/current ]] || previous=$(readlink "$root/current")
    if activate "$root" "releases/$id"; then
        prune "$root" "$id" "$5"
        return
    fi
    report_unhealthy
    if [[ -n $previous && -d $root/$previous && $previous != "releases/$id" ]]; then
        say "going back to the release before" >&2
        activate "$root" "$previous" || fail "$project is not healthy, and the release before does not come back either"
        fail "the change to $project did not become healthy; the release before runs again"
    fi
    # Nothing ran before: leave nothing that runs.
    [[ -n $previous ]] || compose down --remove-orphans --timeout 10 >/dev/null 2>&1 || true
    [[ -n $previous ]] || rm -f "$root/current"
    fail "$project did not become healthy; none of it runs now"
}

make_release() {
    local root=$1 plain=$2 id=$3 secrets=$4
    local release=$root/releases/$id
    local new=$release.new
    [[ -d $root/plain/$plain ]] || fail "the files $root/plain/$plain are gone; raise the machine's generation to set it up again"
    rm -rf "$new"
    cp -a "$root/plain/$plain" "$new"
    mkdir -p "$new/secrets/root" "$new/secrets/service"
    # Modification times are now: what watches a file for changes (htpasswd) goes by them.
    [[ -z $secrets ]] || printf '%s' "$secrets" | base64 --decode | tar --extract --touch --no-same-owner --directory "$new/secrets"
    find "$new/secrets" -type f -exec chmod 0400 {} +
    find "$new/secrets" -type d -exec chmod 0711 {} +
    [[ $EUID -ne 0 ]] || chown -R "$(service_user)" "$new/secrets/service"
    printf 'HARBORAGE_HOME=%s\nHARBORAGE_DIRECTORY=%s\nHARBORAGE_STACK=%s\nHARBORAGE_USER=%s\n' \
        "$HOME" "$directory" "$root" "$(service_user)" >"$new/.env"
    compose_in "$new" config --quiet || fail "docker compose refuses the file of $project; nothing was changed"
    restore_images "$new"
    hook "$new" validate || fail "the new configuration of $project is not valid; nothing was changed"
    # The release may be the one that runs: its content is the same, only renewed.
    rm -rf "$release.old"
    [[ ! -d $release ]] || mv "$release" "$release.old"
    mv "$new" "$release"
    rm -rf "$release.old"
}

# Images that were loaded cannot be pulled, and another stack's destroy or somebody's prune may have taken them since.
restore_images() {
    local image note bundle
    for image in $(compose_in "$1" config --images); do
        ! docker image inspect "$image" >/dev/null 2>&1 || continue
        for note in "$directory"/images/*; do
            [[ -f $note ]] || continue
            bundle=$(head -n 1 "$note")
            say "the image $image is gone; loading $bundle again"
            docker load --quiet --input "$bundle" >/dev/null </dev/null ||
                fail "the image $image is gone, and $bundle cannot be loaded again; put the file back (images.bundle.path)"
            return
        done
    done
}

compose_in() {
    local folder=$1
    shift
    docker compose --project-name "$project" --project-directory "$folder" --env-file "$folder/.env" --file "$folder/compose.yaml" "$@" </dev/null
}

compose() {
    compose_in "$root/current" "$@"
}

containers() {
    docker ps --quiet --no-trunc --filter "label=com.docker.compose.project=$project"
}

# activate ROOT RELEASE: switches, starts what changed, reloads what stayed, waits until it is well.
activate() {
    local root=$1 release=$2 before
    before=$(containers)
    ln -sfn "$release" "$root/current.new"
    mv -T "$root/current.new" "$root/current"
    compose up --detach --wait --wait-timeout "$wait_seconds" --remove-orphans --quiet-pull 2>"$root/up.log" || {
        tail -n 20 "$root/up.log" >&2
        return 1
    }
    if [[ -n $before ]]; then
        hook "$root/current" reload || return 1
    fi
    hook "$root/current" health
}

# hook RELEASE NAME: runs hooks/NAME.sh of a release, where it has one.
hook() {
    local release=$1 script=$1/hooks/$2.sh
    [[ ! -f $script ]] || RELEASE=$release PROJECT=$project bash "$script" </dev/null
}

report_unhealthy() {
    local container name state
    for container in $(docker ps --all --quiet --filter "label=com.docker.compose.project=$project"); do
        state=$(docker inspect --format '{{.State.Status}} {{with .State.Health}}{{.Status}}{{end}}' "$container")
        if [[ $state != "running "* || $state == *unhealthy* || $state == *starting* ]]; then
            name=$(docker inspect --format '{{index .Config.Labels "com.docker.compose.service"}}' "$container")
            printf -- '--- the last lines of %s:\n' "$name" >&2
            docker logs --tail 50 "$container" 2>&1 | sed 's/^/    /' >&2
        fi
    done
}

prune() {
    local root=$1 id=$2 plain=$3 path
    for path in "$root"/releases/* "$root"/plain/*; do
        [[ $path == "$root/releases/$id" || $path == "$root/plain/$plain" ]] || rm -rf "$path"
    done
    rm -f "$root/up.log"
}
