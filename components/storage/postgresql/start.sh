#!/bin/bash
# Starts PostgreSQL as the user postgres. The first time it makes the database: beside its place, so that what is in its
# place is whole.
# shellcheck source=components/storage/postgresql/common.sh
. /etc/harborage/current/common.sh

readonly data=/data/postgresql
major=$(postgres --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')

# The first process of a container does not end by a signal that it has not asked for, nor while it waits for a command.
trap 'exit 130' INT TERM

# Statements by standard input, one on each line, without a server: nobody can connect meanwhile. It goes on after an
# error, and says so in its output.
single() {
    local output=/run/single.log
    as_postgres postgres --single -D "$1" -c "config_file=$release/postgresql.conf" postgres <&0 >"$output" 2>&1 &
    wait $! || fail "PostgreSQL does not start: $(tail -n 5 "$output")"
    if grep -qE '(ERROR|FATAL|PANIC):' "$output"; then fail "$(grep -E '(ERROR|FATAL|PANIC):' "$output")"; fi
    rm -f "$output"
}

make_database() {
    rm -rf "$data.new"
    install --directory --owner=postgres --group=postgres --mode=0700 "$data.new"
    as_postgres initdb --pgdata "$data.new" --encoding UTF8 --locale C.UTF-8 --data-checksums --auth-local peer --auth-host scram-sha-256 >/dev/null
    single "$data.new" <<'SQL'
create role harbor login
create database registry owner harbor
revoke connect on database registry from public
SQL
    mv "$data.new" "$data"
    sync /data
}

install_certificate
chmod 0711 /data
[[ -d $data ]] || make_database
have=$(<"$data/PG_VERSION")
[[ $have == "$major" ]] || fail "the data is of PostgreSQL $have, and the image (images.postgres) has $major, which cannot read it; put the image back, or dump the data with the old one and restore it into a new one"
single "$data" < <(password_statement)
exec setpriv --reuid=postgres --regid=postgres --init-groups postgres -D "$data" -c "config_file=$release/postgresql.conf"
