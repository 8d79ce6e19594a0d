#!/usr/bin/env bash
# Whether the cache can be used as nodes use it.
# shellcheck source=components/storage/valkey/hooks/common.sh disable=SC2153 # given by the change
. "$RELEASE/hooks/common.sh"
for _ in {1..20}; do
    if call "$RELEASE" PING; then exit 0; fi
    sleep 0.5
done
printf 'the cache does not take its password\n' >&2
exit 1
