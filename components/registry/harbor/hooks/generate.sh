#!/usr/bin/env bash
# Has Harbor's own `prepare` generate the compose file and the configuration into the folder of the release. What runs is
# not touched. The values are put in front of this text: VERSION, INSTALLER_SHA256 (its SHA-256), DATA_DIRECTORY, TRIVY,
# STACK; a call of `volume` for each named volume is put behind it.
set -euo pipefail
umask 077
# shellcheck source=/dev/null
source "$RELEASE/.env"
data=${DATA_DIRECTORY/#\~\//$HARBORAGE_HOME/}
installer=$HARBORAGE_DIRECTORY/installers/$INSTALLER_SHA256/harbor

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# fill FOLDER: harbor.yml with the values in place of their names; FOLDER is where the release is or will be.
fill() {
    awk -v data="$data" -v release="$1" '
        FNR == NR { name = $1; sub(/^[^ ]+ /, ""); value[name] = $0; next }
        {
            line = $0
            for (name in value) line = replaced(line, name, value[name])
            line = replaced(line, "HARBORAGE_DATA", data)
            print replaced(line, "HARBORAGE_RELEASE", release)
        }
        # As they are: what stands for something in a replacement (& and \) may be part of a secret.
        function replaced(text, name, new,    at) {
            at = index(text, name)
            return at == 0 ? text : substr(text, 1, at - 1) new substr(text, at + length(name))
        }
    ' "$RELEASE/secrets/root/harbor-yml" "$RELEASE/harbor.yml.in" >"$RELEASE/harbor.yml"
}

# seed NAME FILE: a secret of the stack where Harbor looks for it. Services that run keep the file that they have.
seed() {
    local file=$data/secret/$2
    mkdir -p "${file%/*}"
    cmp --silent "$RELEASE/secrets/root/$1" "$file" || {
        install --mode 0600 --owner 10000 --group 10000 "$RELEASE/secrets/root/$1" "$file.new"
        mv "$file.new" "$file"
    }
}

# ensure_image IMAGE: somebody's prune may have taken what was loaded, and a closed site cannot pull it.
ensure_image() {
    local archive
    docker image inspect "$1" >/dev/null 2>&1 </dev/null && return
    archive=$(head -n 1 "${installer%/harbor}/images")
    if [[ -f $archive ]]; then
        docker load --quiet --input "$archive" >/dev/null </dev/null || fail "Docker cannot load $archive, and the image $1 is gone"
        docker image inspect "$1" >/dev/null 2>&1 </dev/null && return
    fi
    docker pull --quiet "$1" >/dev/null </dev/null ||
        fail "cannot pull $1; on a site without Docker Hub, use the offline installer (registry.installer)"
}

[[ -x $installer/prepare ]] || fail "Harbor's installer is not at $installer any more; raise the machine's generation to set it up again"

mkdir -p "$data/secret"
if [[ -f $data/secret/keys/secretkey ]] && ! cmp --silent "$RELEASE/secrets/root/secretkey" "$data/secret/keys/secretkey"; then
    fail "the data in $data was encrypted with another key than this stack has: $data/secret/keys/secretkey. To take it over, set a secret to what that file holds (pulumi config set --secret NAME) and name it in registry.secrets.secretKey; else move the data away"
fi
seed secretkey keys/secretkey
seed private_key.pem core/private_key.pem
seed root.crt registry/root.crt

ensure_image "goharbor/prepare:v$VERSION"
cp "$installer/prepare" "$RELEASE/prepare"
fill "$RELEASE"
run() {
    "$@" >"$RELEASE/prepare.log" 2>&1 </dev/null || {
        tail -n 20 "$RELEASE/prepare.log" >&2
        return 1
    }
}
# harbor.yml is written in the newest format that is known here; a newer Harbor has its own.
run docker run --rm --volume "$RELEASE:/hostfs$RELEASE" "goharbor/prepare:v$VERSION" migrate -i "$RELEASE/harbor.yml" ||
    fail "Harbor $VERSION does not take this harbor.yml"
options=()
[[ $TRIVY != true ]] || options+=(--with-trivy)
run "$RELEASE/prepare" "${options[@]}" || fail "Harbor's own prepare fails"
# The hash of a password that nothing uses, and that others could read.
chmod 0600 "$RELEASE/common/config/registry/passwd"
# From now on with the paths of the place that the release moves to, so that `prepare` can be run there as well.
fill "$FINAL"
rm -f "$RELEASE/prepare.log"

cd "$RELEASE"
for image in $(docker compose config --images </dev/null); do
    ensure_image "$image"
done
# Of the place that the release moves to: `docker compose` by hand in the folder `current` must not see other paths.
printf 'COMPOSE_FILE=%s\n' "$FINAL/docker-compose.yml:$FINAL/docker-compose.override.yml" >>"$RELEASE/.env"

# volume NAME OWNER OPTION...: makes a named volume that is not there, and lets OWNER write to it. A new one is root's,
# and Harbor's services are not root.
volume() {
    local name=$1 owner=$2
    shift 2
    docker volume inspect "$name" >/dev/null 2>&1 </dev/null ||
        docker volume create --label "harborage.stack=$STACK" --label "harborage.project=$PROJECT" "$@" "$name" >/dev/null </dev/null ||
        fail "Docker cannot make the volume $name; see its driver and options in the stack file (storage)"
    # Asked first: some servers let nobody change the owner, and have the right one.
    in_volume "$name" "$owner" '[ -w /volume ]' ||
        in_volume "$name" 0:0 "chown $owner /volume" ||
        fail "the user $owner cannot write to the volume $name, and root cannot give it to that user; do it where the volume is"
}

# in_volume NAME USER CODE
in_volume() {
    docker run --rm --network none --user "$2" --volume "$1:/volume:nocopy" --entrypoint sh "goharbor/prepare:v$VERSION" -c "$3" </dev/null
}
