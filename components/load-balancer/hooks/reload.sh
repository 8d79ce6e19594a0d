#!/usr/bin/env bash
# A reload keeps every open connection: old workers end when their requests do.
set -euo pipefail
container=$(docker ps --quiet --filter "label=com.docker.compose.project=$PROJECT" --filter label=com.docker.compose.service=nginx)
docker exec "$container" nginx -c /etc/harborage/current/nginx.conf -s reload 2>&1 </dev/null | grep -v '\[notice\]' >&2 || true
