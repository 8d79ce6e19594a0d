#!/bin/bash
# Gives a running server what has changed beside its settings: the certificate, who may connect, the password.
# shellcheck source=components/storage/postgresql/common.sh
. /etc/harborage/current/common.sh
install_certificate
{
    password_statement
    printf ';\nselect pg_reload_conf();\n'
} | as_postgres psql --no-psqlrc --quiet --output /dev/null --set ON_ERROR_STOP=1 --host /run/postgresql --username postgres postgres
