#!/usr/bin/env bash
set -euo pipefail
container=$(docker ps --quiet --filter "label=com.docker.compose.project=$PROJECT" --filter label=com.docker.compose.service=postgresql)
docker exec "$container" bash /etc/harborage/current/apply.sh </dev/null
