#!/bin/bash
# shellcheck source=components/storage/postgresql/common.sh
. /etc/harborage/current/common.sh
exec pg_isready --quiet --host 127.0.0.1 --timeout 5
