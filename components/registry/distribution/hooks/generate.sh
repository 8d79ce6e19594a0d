#!/usr/bin/env bash
# Services read the bucket's keys at their start only: their label changes with the keys, so that compose makes them anew.
set -euo pipefail
printf 'HARBORAGE_KEYS=%s\n' "$(cat "$RELEASE"/secrets/service/s3-*-key | sha256sum | cut -c 1-16)" >>"$RELEASE/.env"
