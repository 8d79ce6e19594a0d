#!/usr/bin/env bash
# Looks at a PostgreSQL as Harbor will use it. In the environment: RELEASE, MACHINE (its path in the stack file), HOST, PORT,
# NAME, USER_NAME and SSL_MODE; PASSWORD and CA are files of the release, CA may be empty. Nothing
# but bash, psql, date, mkdir and rm is called: Harbor's images have little more.
# shellcheck disable=SC2153 # the names in capitals are from the environment
set -euo pipefail
umask 077

scratch=/tmp/harborage-check.$$
mkdir "$scratch"
trap 'rm -rf "$scratch"' EXIT

error() {
    printf 'error %s\n' "$*"
}

stop() {
    error "$@"
    exit 0
}

# As the manual says of .pgpass: the password is in no argument and in no environment.
password=$(<"$RELEASE/$PASSWORD")
password=${password//\\/\\\\}
printf '*:*:*:*:%s\n' "${password//:/\\:}" >"$scratch/pgpass"
if ! command -v psql >/dev/null; then
    bins=(/usr/pgsql/*/bin)
    PATH=${bins[-1]}:$PATH
fi
# No settings of the session here: poolers such as PgBouncer refuse connections that have them.
export PGPASSFILE="$scratch/pgpass" PGCONNECT_TIMEOUT=8 PGOPTIONS=
unset PGPASSWORD PGHOST PGPORT PGUSER PGDATABASE PGSSLMODE PGSSLROOTCERT PGSERVICE
connection="host=$HOST port=$PORT dbname=$NAME user=$USER_NAME sslmode=$SSL_MODE application_name=harborage-check"
if [[ -n $CA ]]; then
    connection="$connection sslrootcert=$RELEASE/$CA"
else
    case $SSL_MODE in
        verify-*)
            # The public ones of whichever distribution the image is of.
            for bundle in /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/certs/ca-certificates.crt; do
                [[ ! -f $bundle ]] || connection="$connection sslrootcert=$bundle"
            done
            ;;
    esac
fi
sql() {
    psql --no-psqlrc --no-password --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 --set VERBOSITY=verbose --field-separator ' ' "$connection" 2>"$scratch/error"
}

# The server may say it in another language, but for what the client says by itself.
failed() {
    local text said
    text=$(<"$scratch/error")
    said=${text##*$'\n'}
    said=${said#psql: error: }
    case $text in
        *"could not translate host name"* | *"Name or service not known"*) stop "storage.database.host: the name $HOST is not known here; expected a name that this machine can resolve" ;;
        *"Connection refused"*) stop "storage.database.port: nothing listens at $HOST:$PORT; expected a PostgreSQL that this machine may reach" ;;
        *"timeout expired"* | *"timed out"* | *"No route to host"* | *"Network is unreachable"*) stop "storage.database.host: $HOST:$PORT does not answer; expected a PostgreSQL that this machine may reach" ;;
        *"server does not support SSL"*) stop "storage.database.sslMode: the server at $HOST:$PORT has no TLS, and $SSL_MODE wants it; expected a server with TLS, or disable" ;;
        *"certificate verify failed"* | *"root certificate file"*) stop "storage.database.caCertificate: the certificate of $HOST:$PORT is not trusted: $said; expected the CA that signed it" ;;
        *"does not match host name"*) stop "storage.database.host: the certificate of the server has another name than $HOST: $said; expected a name that it has, or sslMode: verify-ca" ;;
        *"no pg_hba.conf entry"*) stop "storage.database: the server does not let this machine in: $said; expected an entry in its pg_hba.conf for this address, this user and sslMode $SSL_MODE" ;;
        *"password authentication failed"*) stop "storage.database.password: it is not the one of the user $USER_NAME at $HOST:$PORT, or there is no such user" ;;
        *"role "*"does not exist"*) stop "storage.database.user: there is no user $USER_NAME at $HOST:$PORT" ;;
        *"database "*"does not exist"*) stop "storage.database.name: there is no database $NAME at $HOST:$PORT; expected one that exists: CREATE DATABASE \"$NAME\" OWNER \"$USER_NAME\"" ;;
        *"too many"* | *"remaining connection slots"*) stop "storage.database: $HOST:$PORT has no connection left: $said; expected a higher max_connections, or a lower registry.database.maxOpenConnections" ;;
        *) stop "storage.database: $HOST:$PORT cannot be used: $said" ;;
    esac
}

facts=$(sql <<'SQL'
SET statement_timeout = '8s';
SELECT current_setting('server_version_num'), extract(epoch FROM clock_timestamp())::bigint, pg_is_in_recovery(),
    coalesce((SELECT has_language_privilege(oid, 'USAGE')::text FROM pg_language WHERE lanname = 'plpgsql'), 'missing'),
    to_char(clock_timestamp() AT TIME ZONE 'UTC', 'HH24:MI:SS')
SQL
) || failed
here=$(date +%s)
read -r version there standby language time <<<"$facts"

if ((version < 120000)); then
    error "storage.database: $HOST:$PORT is PostgreSQL $((version / 10000)); Harbor needs 12 or newer"
fi
difference=$((here - there))
if ((difference > 60 || difference < -60)); then
    words="$difference s ahead of"
    ((difference > 0)) || words="$((-difference)) s behind"
    error "$MACHINE: its clock is $words $HOST: $(date -u +%T) here, $time there (UTC); expected clocks that are kept right (baseline.timeSync), and at most 60 s of difference"
fi
if [[ $standby == t ]]; then
    stop "storage.database.host: $HOST:$PORT is a standby, which takes no writes; expected the primary"
fi
case $language in
    missing) error "storage.database.name: the database $NAME has no plpgsql, which Harbor's migrations are written in; expected it: CREATE EXTENSION plpgsql" ;;
    false) error "storage.database.user: $USER_NAME may not use plpgsql in the database $NAME, which Harbor's migrations are written in; expected the right: GRANT USAGE ON LANGUAGE plpgsql TO \"$USER_NAME\"" ;;
esac
if ! sql >/dev/null <<'SQL'; then
BEGIN;
SET LOCAL statement_timeout = '8s';
CREATE TABLE harborage_check (id serial);
ROLLBACK;
SQL
    # insufficient_privilege, invalid_schema_name
    case $(<"$scratch/error") in
        *42501:* | *3F000:*) error "storage.database.user: $USER_NAME may not make tables in the database $NAME; expected its owner: ALTER DATABASE \"$NAME\" OWNER TO \"$USER_NAME\"; GRANT ALL ON SCHEMA public TO \"$USER_NAME\"" ;;
        *) failed ;;
    esac
fi
