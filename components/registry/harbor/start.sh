#!/bin/sh
# The registry's own start, with the secret that signs the state of uploads.
set -eu
REGISTRY_HTTP_SECRET=$(cat /etc/harborage/http-secret)
export REGISTRY_HTTP_SECRET
exec /home/harbor/entrypoint.sh
