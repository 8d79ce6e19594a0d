#!/usr/bin/env bash
# A release did not become healthy. In an upgrade the old version must not be started on data that the new one has begun
# to change: says what to do, with exit code 0. Otherwise the release before can run again: exit code 1.
set -euo pipefail
# shellcheck source=components/registry/harbor/backup/machine.sh
. "$RELEASE/backup/machine.sh"

if [[ ! -f $upgrade_file || $(value_of "$upgrade_file" to) != "$version" ]]; then exit 1; fi
# Whatever happens below: the old version must not be started.
trap 'exit 0' EXIT
# The first error: those of later tries are about what the first one left.
reason=
for service in postgresql core; do
    container=$(compose "$RELEASE" ps --all --quiet "$service" 2>/dev/null || true)
    [[ -n $container ]] || continue
    line=$(docker logs "$container" 2>&1 | grep -E 'Failed to upgrade schema|fail to upgrade|FATAL' | head -n 1 || true)
    [[ -z $line ]] || reason+="  $service: $line"$'\n'
done
again="run up again"
if [[ $(compose "$RELEASE" run --rm --no-deps -T backup schema 2>/dev/null) == *dirty ]]; then
    again="step 1, then run up again: the migration has left the database half-way"
fi
take_down "$PROJECT" 30 >/dev/null 2>&1 || true

from=$(value_of "$upgrade_file" from)
if [[ $(value_of "$upgrade_file" backup) == - ]]; then
    cat >&2 <<EOT
harborage: Harbor $version does not become healthy on this node, which is stopped. The nodes before it have it and go on.
${reason}Once the reason is gone, run up again: Harbor $from cannot work with the database any more.
EOT
    exit
fi
name=$(value_of "$upgrade_file" backup)
cat >&2 <<EOT
harborage: the upgrade of $PROJECT from Harbor $from to $version failed. All of it is stopped.
${reason}The database of $from is in the backup $name in $(value_of "$upgrade_file" place).

To try again, once the reason is gone: $again
To go back to Harbor $from:
  1. on $(hostname):    $(restore_command "$(value_of "$upgrade_file" release)" "$name")
  2. in the stack file, put the version back to $from, then run up
EOT
