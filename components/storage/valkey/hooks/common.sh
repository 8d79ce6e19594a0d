# shellcheck shell=bash
# Calls to the running server, with a password that goes in by standard input.
set -euo pipefail
container=$(docker ps --quiet --filter "label=com.docker.compose.project=$PROJECT" --filter label=com.docker.compose.service=valkey)

# call RELEASE COMMAND...: with that release's password. Fails unless every command is answered with no error.
call() {
    local release=$1 password said
    shift
    password=$(sed -n 's/.* >\([^ ]*\) .*/\1/p' "$release/secrets/service/users.acl")
    said=$({
        printf 'AUTH %s\n' "$password"
        printf '%s\n' "$@"
    } | docker exec --interactive "$container" valkey-cli --tls --insecure 2>&1) || return 1
    [[ $said != *ERR* && $said != *WRONGPASS* && $said != *NOAUTH* ]]
}
