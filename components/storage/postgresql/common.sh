# shellcheck shell=bash disable=SC2034 # who reads this uses the names
# Shared by what runs in the container of the database.
set -euo pipefail
export LC_ALL=C
release=/etc/harborage/current
# Where the image has them: the official one, and Debian's package.
for folder in /usr/lib/postgresql/*/bin; do PATH=$folder:$PATH; done
PATH=$PATH:/usr/local/bin

fail() {
    printf 'harborage: %s\n' "$*" >&2
    exit 1
}

as_postgres() {
    setpriv --reuid=postgres --regid=postgres --init-groups "$@"
}

# The server reads them as its own user, when it starts and when it is told to reload.
install_certificate() {
    install --directory --owner=postgres --group=postgres --mode=0755 /run/postgresql
    install --owner=postgres --group=postgres --mode=0600 "$release/secrets/root/server.crt" "$release/secrets/root/server.key" /run/postgresql/
}

# Letters and digits: nothing to quote.
password_statement() {
    printf "alter role harbor password '%s'\n" "$(<"$release/secrets/root/password")"
}
