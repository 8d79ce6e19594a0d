#!/usr/bin/env bash
# Waits until Harbor says of every component that it is healthy (/api/v2.0/health answers 200 also when it is not, so the
# body counts) and its token service signs. The values are put in front of this text: ADDRESS, PORT, SECONDS_TO_HEALTH,
# DATABASE (bundled or external); and CA, a file of the release, where Harbor serves HTTPS.
set -euo pipefail
ca=${CA:+$RELEASE/$CA}
url=http${ca:+s}://$ADDRESS:$PORT
deadline=$((SECONDS + SECONDS_TO_HEALTH))

ask() {
    if command -v curl >/dev/null; then
        curl --silent --noproxy '*' --max-time 10 ${ca:+--cacert "$ca"} "$@" 2>/dev/null
    else
        wget --quiet --no-proxy --timeout 10 ${ca:+--ca-certificate "$ca"} --output-document - "$@" 2>/dev/null
    fi
}

# One word for each component: its name, or its name with what is wrong.
sick() {
    tr '{' '\n' <<<"$1" | sed -n 's/.*"name":"\([^"]*\)".*/\1 &/p' | grep -v '"status":"healthy"' | cut -d ' ' -f 1
}

# Harbor's own database keeps its first password. Data that was there before the stack has another one, and
# so has a stack file that was changed: the database is told at its own socket, where it asks for none. Not before it
# listens: it is still making itself then.
tell_password() {
    # shellcheck disable=SC2016 # for the shell in the container
    docker exec --interactive harbor-db bash -c '
        : </dev/tcp/postgresql/5432 || exit 1
        read -r PGPASSWORD
        export PGPASSWORD
        psql --host postgresql --username postgres --command "select 1" ||
            printf "alter user postgres password '\''%s'\'';\n" "$PGPASSWORD" | psql --username postgres --variable ON_ERROR_STOP=1
    ' <"$RELEASE/secrets/root/backup-database-password" >/dev/null 2>&1
}

# Docker gives up on a container that it could not start once, whatever its restart policy. Harbor's all restart always, so
# one that has ended, and is not being restarted, is such a one.
start_ended() {
    docker ps --all --quiet --filter "label=com.docker.compose.project=$PROJECT" --filter status=exited |
        xargs --no-run-if-empty docker start >/dev/null 2>&1 || true
}

health=
token=
told=$DATABASE
while ((SECONDS < deadline)); do
    start_ended
    [[ $told != bundled ]] || ! tell_password || told=yes
    health=$(ask "$url/api/v2.0/health") || true
    token=
    if [[ $health == *'"components"'* && -z $(sick "$health") ]]; then
        # The health body does not notice a key that the token service cannot sign with.
        token=$(ask "$url/service/token?service=harbor-registry&scope=") || true
        if [[ $token == *'"token"'* ]]; then
            exec bash "$RELEASE/backup/record-version.sh"
        fi
    fi
    sleep 1
done

# The containers' names are Harbor's own; they differ from those of the components.
container_of() {
    case $1 in
        core | portal | jobservice) printf 'harbor-%s\n' "$1" ;;
        database) printf 'harbor-db\n' ;;
        trivy) printf 'trivy-adapter\n' ;;
        *) printf '%s\n' "$1" ;;
    esac
}

tell() {
    printf -- '--- the last lines of %s:\n' "$1" >&2
    docker logs --tail 20 "$(container_of "$1")" 2>&1 </dev/null | sed 's/^/    /' >&2 || true
}

if [[ $health != *'"components"'* ]]; then
    printf 'Harbor does not answer at %s after %s s\n' "$url" "$SECONDS_TO_HEALTH" >&2
    tell core
elif [[ -n $(sick "$health") ]]; then
    printf 'Harbor is not healthy after %s s: %s\n' "$SECONDS_TO_HEALTH" "$(sick "$health" | paste -s -d ' ')" >&2
    for component in $(sick "$health"); do tell "$component"; done
else
    printf 'Harbor is healthy, but its token service does not sign; nobody can log in with docker\n' >&2
    tell core
fi
exit 1
