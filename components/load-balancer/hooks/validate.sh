#!/usr/bin/env bash
# Lets nginx itself read the new release, in a container of its own without a network. IMAGE, and CHECK, the command that
# has it read, are put in front of this text.
set -euo pipefail
# A name for what is in the release; nginx answers with it once it runs with it.
name=$(cd "$RELEASE" && find . -type f ! -name release.conf -print0 | sort --zero-terminated | xargs --null sha256sum | sha256sum | cut -c 1-16)

check() {
    # shellcheck disable=SC2016 # a variable of nginx
    printf 'map "" $release {\n    default "%s";\n}\n%s' "$name" "$1" >"$RELEASE/release.conf"
    docker run --rm --pull never --network none --read-only --tmpfs /run --tmpfs /tmp --tmpfs /balancer \
        --volume "$RELEASE:/etc/harborage/current:ro" --entrypoint sh "$IMAGE" -c "$CHECK" 2>&1 </dev/null
}

# On a reload, old workers close idle connections of clients at once, also when a request is on its way in one. This
# lets them wait for it; nginx knows it since 1.27.4.
output=$(check $'keepalive_min_timeout 5s;\n') && exit 0
if [[ $output == *'unknown directive "keepalive_min_timeout"'* ]]; then
    output=$(check '') && exit 0
fi
printf '%s\n' "$output" >&2
exit 1
