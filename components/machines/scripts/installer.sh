# shellcheck shell=bash
# installer.sh apply|delete DIRECTORY INCARNATION VERSION PLACE SHA256
# PLACE is the path or the URL of Harbor's own installer, online or offline.
# Unpacks it and loads its images, before any service is touched.
main() {
    local action=$1 directory incarnation=$3 version=$4 place=$5 sha256=$6
    directory=$(expand_home "$2")
    local target=$directory/installers/$sha256
    case $action in
        apply)
            lock_machine "$directory"
            apply
            prune
            ;;
        delete)
            if same_incarnation "$directory" "$incarnation" && docker_answers; then
                remove "$target"
            fi
            ;;
    esac
}

apply() {
    if [[ -f $target/images ]]; then
        # Another version may be asked of the same file.
        check_version "$target/harbor/prepare" "the installer ($sha256)"
        ! loaded || return 0
        load_again
        ! loaded || return 0
    fi
    local file archive
    file=$(file_at "$directory" "$place" "$sha256" registry.installer)
    say "unpacking Harbor's installer"
    rm -rf "$target.new"
    mkdir -p "$target.new"
    tar --extract --file "$file" --no-same-owner --directory "$target.new" ||
        fail "$file is no archive of tar; expected Harbor's installer (registry.installer)"
    [[ -f $target.new/harbor/prepare ]] || fail "$file has no harbor/prepare; expected Harbor's installer (registry.installer)"
    check_version "$target.new/harbor/prepare" "$file"
    chmod 0755 "$target.new/harbor/prepare"
    archive=$(find "$target.new/harbor" -maxdepth 1 -name 'harbor*.tar.gz' -print -quit)
    local names=
    if [[ -n $archive ]]; then
        say "loading Harbor's images"
        names=$(docker load --quiet --input "$archive" </dev/null) || fail "Docker cannot load the images of $file"
        archive=$target/harbor/${archive##*/}
    else
        docker image inspect "goharbor/prepare:v$version" >/dev/null 2>&1 ||
            docker pull --quiet "goharbor/prepare:v$version" >/dev/null </dev/null ||
            fail "cannot pull goharbor/prepare:v$version; on a site without Docker Hub, use the offline installer (registry.installer)"
    fi
    # release.sh loads them again when they have gone meanwhile.
    printf '%s\n' "$archive" "$(sed -n 's/^Loaded image: //p' <<<"$names")" >"$target.new/images"
    rm -rf "$target"
    mv "$target.new" "$target"
    # It is unpacked: what was sent or fetched for it need not be there twice.
    [[ $file != "$directory/incoming/"* ]] || rm -f "$file"
}

# check_version PREPARE WHAT: whether Harbor's program is of the version that the stack file names.
check_version() {
    local found
    found=$(sed -n 's/.*goharbor\/prepare:v\([^ ]*\).*/\1/p' "$1")
    [[ $found == "$version" ]] || fail "$2 is Harbor $found; expected $version (registry.version, registry.installer)"
}

# Somebody's prune may have taken images. What they were loaded from is here; the file that was sent is not any more.
load_again() {
    local kept
    kept=$(head -n 1 "$target/images")
    [[ -f $kept ]] || return 0
    say "loading Harbor's images again"
    docker load --quiet --input "$kept" >/dev/null </dev/null || fail "Docker cannot load $kept"
}

# Whether all images are still there.
loaded() {
    local image
    while read -r image; do
        [[ -z $image ]] || docker image inspect "$image" >/dev/null 2>&1 </dev/null || return 1
    done < <(tail -n +2 "$target/images")
}

# remove FOLDER: an installer with its images, as far as nothing uses them.
remove() {
    local image
    while read -r image; do
        [[ -z $image ]] || docker image rm "$image" >/dev/null 2>&1 </dev/null || true
    done < <(tail -n +2 "$1/images" 2>/dev/null)
    rm -rf "${1:?}"
}

# All but this one and those of releases that are still here: an upgrade may have to go back to them.
prune() {
    local other
    for other in "$directory"/installers/*; do
        if [[ $other != "$target" ]] && ! grep -qsF "${other##*/}" "$directory"/stacks/*/releases/*/hooks/generate.sh; then
            remove "$other"
        fi
    done
}
