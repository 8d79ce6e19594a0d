#!/usr/bin/env bash
# Whether the database can be used as nodes use it: by TLS, with the password.
set -euo pipefail
container=$(docker ps --quiet --filter "label=com.docker.compose.project=$PROJECT" --filter label=com.docker.compose.service=postgresql)
for _ in {1..20}; do
    # shellcheck disable=SC2016 # for the shell in the container
    if said=$(docker exec "$container" bash -c '
        . /etc/harborage/current/common.sh
        umask 077
        printf "*:*:*:*:%s\n" "$(<$release/secrets/root/password)" >/tmp/pgpass
        export PGPASSFILE=/tmp/pgpass
        psql --no-psqlrc --no-password --quiet "host=127.0.0.1 dbname=registry user=harbor sslmode=require" --command "select 1" 2>&1 >/dev/null
    ' </dev/null 2>&1); then exit 0; fi
    sleep 0.5
done
printf 'the database does not let its user in: %s\n' "$said" >&2
exit 1
