#!/usr/bin/env bash
# harborage-lb COMMAND: which nodes get requests. Without a command it tells the commands, which depend on the topology.
set -euo pipefail
release=$(dirname "$(readlink -f "$0")")
project=$(sed -n 's/^COMPOSE_PROJECT_NAME=//p' "$release/.env")
container=$(docker ps --quiet --filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.service=nginx)
if [[ -z $container ]]; then
    echo "harborage-lb: nginx of $project does not run" >&2
    exit 1
fi
exec docker exec "$container" sh /etc/harborage/current/agent/balancer.sh "$@" </dev/null
