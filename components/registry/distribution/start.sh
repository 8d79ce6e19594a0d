#!/bin/sh
# Starts the registry with the secrets in its configuration: neither in its environment nor in its arguments.
set -eu
release=/etc/harborage/current
# shellcheck source=SCRIPTDIR/config.sh
. "$release/registry/config.sh"
write_config /tmp/config.yml
exec registry serve /tmp/config.yml
