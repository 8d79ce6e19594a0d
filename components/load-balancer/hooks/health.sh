#!/usr/bin/env bash
# Waits until nginx answers with the release that it was given, and a node behind it asks for a password; where there are
# several, until the agent chooses among them. PORT, and NODES, their number, are put in front of this text; and HEALTH_PORT,
# where PORT leads to a node and nginx itself answers elsewhere.
set -euo pipefail
want=$(sed -n 's/.*default "\(.*\)";/\1/p' "$RELEASE/release.conf")
container=$(docker ps --quiet --filter "label=com.docker.compose.project=$PROJECT" --filter label=com.docker.compose.service=nginx)
inside() {
    docker exec "$container" "$@" 2>&1 </dev/null
}
ask() {
    inside curl --silent --show-error --insecure --max-time 5 "$@" || true
}
agent=
for _ in {1..60}; do
    have=$(ask "https://127.0.0.1:${HEALTH_PORT:-$PORT}/healthz")
    status=$(ask --output /dev/null --write-out '%{http_code}' "https://127.0.0.1:$PORT/v2/")
    ((NODES == 1)) || agent=$(inside sh /etc/harborage/current/agent/balancer.sh alive || true)
    [[ $have != "$want" || $status != 401 || -n $agent ]] || exit 0
    sleep 0.5
done
[[ $have == "$want" ]] || printf 'nginx did not take the new configuration; it answers: %s\n' "$have" >&2
[[ $status == 401 ]] || printf 'no node answers behind nginx: /v2/ gives %s, expected 401\n' "$status" >&2
[[ -z $agent ]] || printf '%s\n' "$agent" >&2
# Not the lines that the questions above have left.
docker logs --tail 100 "$container" 2>&1 | grep -v '"client":"127.0.0.1".*"agent":"curl' | tail -n 20 >&2 || true
exit 1
