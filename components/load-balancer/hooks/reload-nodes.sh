#!/usr/bin/env bash
# Gives nginx the new release with its list of nodes. A reload keeps every open connection: old workers end when their
# requests do. A node that has left the list may be taken down afterwards, so its requests end first, within DRAIN
# seconds, which is put in front of this text.
set -euo pipefail
container=$(docker ps --quiet --filter "label=com.docker.compose.project=$PROJECT" --filter label=com.docker.compose.service=nginx)
balancer() {
    docker exec "$container" sh /etc/harborage/current/agent/balancer.sh "$@" </dev/null
}
balancer reload >&2
[[ -f ${PREVIOUS:-}/agent/nodes ]] || exit 0
deadline=$((SECONDS + DRAIN))
while read -r _ _ address port; do
    left=$((deadline - SECONDS))
    balancer wait "$address" "$port" "$((left > 0 ? left : 0))"
done < <(grep --invert-match --line-regexp --fixed-strings --file "$RELEASE/agent/nodes" "$PREVIOUS/agent/nodes")
