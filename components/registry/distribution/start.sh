#!/bin/sh
# Starts the registry with the secret in its configuration: neither in its environment nor in its arguments.
set -eu
umask 077
release=/etc/harborage/current
awk 'NR == FNR { secret = $0; next } { sub("@HTTP_SECRET@", secret); print }' \
    "$release/secrets/service/http-secret" "$release/registry/config.yml" >/tmp/config.yml
exec registry serve /tmp/config.yml
