#!/usr/bin/env bash
# The release is healthy: the data is of its version from now on, and an upgrade to it is done. The last release of the
# version before stays on the machine for the way back.
set -euo pipefail
# shellcheck source=components/registry/harbor/backup/machine.sh
. "$RELEASE/backup/machine.sh"

if [[ ! -f $recorded_file || $(<"$recorded_file") != "$version" ]]; then write "$recorded_file" "$version"; fi
rm -f "$upgrade_file" "$moved_file"
