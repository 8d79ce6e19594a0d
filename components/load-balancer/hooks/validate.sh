#!/usr/bin/env bash
# Lets nginx itself read the new release, in a container of its own without a network. IMAGE is put in front of this text.
set -euo pipefail
# A name for what is in the release; nginx answers with it once it runs with it.
name=$(cd "$RELEASE" && find . -type f ! -name release.conf -print0 | sort --zero-terminated | xargs --null sha256sum | sha256sum | cut -c 1-16)
# shellcheck disable=SC2016 # a variable of nginx
printf 'map "" $release {\n    default "%s";\n}\n' "$name" >"$RELEASE/release.conf"

if ! output=$(docker run --rm --pull never --network none --read-only --tmpfs /run --tmpfs /tmp \
    --volume "$RELEASE:/etc/harborage/current:ro" --entrypoint nginx "$IMAGE" -t -q -c /etc/harborage/current/nginx.conf 2>&1 </dev/null); then
    printf '%s\n' "$output" >&2
    exit 1
fi
