#!/usr/bin/env bash
# The last word before what runs is touched. The values are put in front of this text: VOLUMES, VERSION.
set -euo pipefail
# A new volume is root's; the services that use it are not. The folder of a volume says whom it is for.
cd "$RELEASE"
