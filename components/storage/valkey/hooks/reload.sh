#!/usr/bin/env bash
# Gives a running server the new certificate and password. It knows the one before, or, where it was just started, the new one.
# shellcheck source=components/storage/valkey/hooks/common.sh disable=SC2153 # given by the change
. "$RELEASE/hooks/common.sh"
folder=/etc/harborage/current/secrets/service
commands=(
    "CONFIG SET tls-cert-file $folder/server.crt tls-key-file $folder/server.key"
    "ACL LOAD"
)
call "${PREVIOUS:-$RELEASE}" "${commands[@]}" || call "$RELEASE" "${commands[@]}" || {
    printf 'the cache takes neither the password before nor the new one\n' >&2
    exit 1
}
