#!/bin/bash
# backup.sh schedule | wait | now [REASON] | list | fetch NAME FOLDER | restore FOLDER | schema | others | health
# Backups of a Harbor node, in a container of its database's image: bash, what coreutils has, curl and PostgreSQL's
# programs are all that it uses. `now` prints the name of the backup; everything else is said on standard error.
set -euo pipefail
umask 077
# Times of schedules and names are UTC; names are in the order of time.
export TZ=UTC0 LC_ALL=C

readonly here=/etc/harborage-backup
readonly secrets=/run/harborage-backup
readonly backups=/backups
readonly harbor=/harbor
readonly scratch=/tmp

# shellcheck source=components/registry/harbor/backup/manifest.sh
. "$here/manifest.sh"

# How long a database may take that is just starting, and how long the first backup of a new container is put off when
# one was missed: `up` waits for the container meanwhile.
readonly database_seconds=120
readonly first_seconds=600
readonly retry_seconds=900

log() {
    printf '%(%Y-%m-%dT%H:%M:%SZ)T backup: %s\n' -1 "$*" >&2
}

fail() {
    log "failed: $*"
    printf '%s\n' "$*" >"$scratch/reason"
    exit 1
}

setting() {
    value_of "$here/settings" "$1"
}

# shellcheck source=components/registry/harbor/backup/store.sh
. "$here/store.sh"

version=$(setting version)
kind=$(setting destination)

# Runs a program that ends when this script is told to end.
interruptible() {
    local child status=0
    "$@" &
    child=$!
    # shellcheck disable=SC2064 # the child of now
    trap "kill $child 2>/dev/null || true; wait $child || true; exit 143" TERM INT
    wait "$child" || status=$?
    trap 'exit 143' TERM INT
    return "$status"
}

# --- The database ---

# PostgreSQL's programs and where the database is. The password goes by a file.
connect() {
    local bins password
    if ! command -v pg_dump >/dev/null; then
        bins=(/usr/pgsql/*/bin)
        PATH=${bins[-1]}:$PATH
    fi
    PGHOST=$(setting database-host)
    PGPORT=$(setting database-port)
    PGDATABASE=$(setting database-name)
    PGUSER=$(setting database-user)
    PGSSLMODE=$(setting database-sslmode)
    export PGHOST PGPORT PGDATABASE PGUSER PGSSLMODE
    export PGPASSFILE=$scratch/pgpass PGCONNECT_TIMEOUT=10 PGAPPNAME=harborage-backup PGOPTIONS=
    if [[ $PGSSLMODE == verify-* ]]; then
        for PGSSLROOTCERT in "$here/database-ca.pem" /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/certs/ca-certificates.crt; do
            if [[ -f $PGSSLROOTCERT ]]; then break; fi
        done
        export PGSSLROOTCERT
    fi
    password=$(<"$secrets/database-password")
    password=${password//\\/\\\\}
    printf '*:*:*:*:%s\n' "${password//:/\\:}" >"$scratch/pgpass"
}

ask() {
    psql --no-psqlrc --no-password --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --command "$1" </dev/null
}

wait_for_database() {
    local end=$((SECONDS + database_seconds)) error
    until error=$(ask 'select 1' 2>&1); do
        if ((SECONDS >= end)); then
            fail "the database $PGDATABASE at $PGHOST:$PGPORT does not answer: $error"
        fi
        sleep 1
    done
}

# What Harbor's migrations have come to: `NUMBER clean` or `NUMBER dirty`; nothing where Harbor never was.
schema() {
    ask "select version || case when dirty then ' dirty' else ' clean' end from schema_migrations" 2>/dev/null || true
}

# The addresses from which others use the database, such as Harbor's on other nodes, in one line.
others() {
    ask "select coalesce(string_agg(distinct host(client_addr), ', '), '') from pg_stat_activity
        where datname = current_database() and usename = current_user and pid <> pg_backend_pid() and client_addr is not null"
}

# Sets schema. Migrations that are under way look like one that has failed; a backup of that would take the place of one
# that can be used.
wait_for_schema() {
    local end=$((SECONDS + database_seconds))
    while [[ $schema != *clean ]]; do
        if ((SECONDS >= end)); then
            [[ -n $schema ]] || fail "the database $PGDATABASE has nothing of Harbor in it"
            fail "a migration of the database has failed (schema_migrations: $schema)"
        fi
        sleep 1
        schema=$(schema)
    done
}

# --- Making a backup ---

# make_backup REASON
make_backup() {
    local reason=$1 name stamp schema server size
    printf -v stamp '%(%Y%m%dT%H%M%SZ)T' -1
    name=$stamp-v$version${reason:+-$reason}
    is_name "$name" || fail "the reason $reason: expected lower-case letters, digits, dots and hyphens"
    partial=$backups/.$name.partial
    trap 'exit 143' TERM INT
    trap 'rm -rf "$partial"' EXIT
    mkdir "$partial" || fail "cannot write to $(setting folder)"

    connect
    wait_for_database
    server=$(ask 'show server_version')
    schema=$(schema)
    # Before a restore, whatever there is may be wanted again.
    if [[ $reason != before-restore ]]; then wait_for_schema; fi
    interruptible pg_dump --format custom --no-password --lock-wait-timeout 300000 --file "$partial/registry.dump" 2>"$scratch/error" ||
        fail "pg_dump: $(<"$scratch/error")"
    # Reads all of it.
    interruptible pg_restore --file /dev/null "$partial/registry.dump" 2>"$scratch/error" ||
        fail "the dump cannot be read again: $(<"$scratch/error")"
    cp "$harbor/keys/secretkey" "$harbor/core/private_key.pem" "$harbor/registry/root.crt" "$partial/" ||
        fail "a key of Harbor is missing"
    chmod 0600 "$partial"/*
    print_manifest "$partial" version "$version" stamp "$stamp" reason "${reason:--}" stack "$(setting stack)" \
        node "$(setting node)" database-server "$server" schema "$schema" >"$partial/manifest"
    size=$(size_of "$partial/registry.dump")
    "store_${kind}_add" "$name" "$partial" || fail "the backup could not be stored${store_error:+: $store_error}"
    trap - EXIT
    log "made $name, $size bytes, $SECONDS s"
    printf '%s\n' "$name"
}

# Of the scheduled ones, and of those with a reason, the newest `keep`. Only what is surely there makes others go.
prune() {
    local keep name names scheduled=() others=()
    keep=$(setting keep)
    "store_${kind}_names" >"$scratch/names" || return 1
    names=$(<"$scratch/names")
    while read -r name; do
        if [[ $name =~ ^[^-]*-v[0-9.]*$ ]]; then scheduled+=("$name"); elif [[ -n $name ]]; then others+=("$name"); fi
    done <<<"$names"
    for name in "${scheduled[@]::$((${#scheduled[@]} > keep ? ${#scheduled[@]} - keep : 0))}" \
        "${others[@]::$((${#others[@]} > keep ? ${#others[@]} - keep : 0))}"; do
        "store_${kind}_delete" "$name" || return 1
        log "deleted $name"
    done
}

# --- The schedule ---

read_schedule() {
    minutes=" $(setting minutes) " hours=" $(setting hours) " days=" $(setting days) "
    months=" $(setting months) " weekdays=" $(setting weekdays) " either_day=$(setting either-day)
}

# due MINUTE: whether the schedule has it; minutes are counted as seconds of the system's clock are.
due() {
    local minute hour day month weekday
    printf -v minute '%(%M)T' "$(($1 * 60))"
    printf -v hour '%(%H)T' "$(($1 * 60))"
    printf -v day '%(%d)T' "$(($1 * 60))"
    printf -v month '%(%m)T' "$(($1 * 60))"
    printf -v weekday '%(%w)T' "$(($1 * 60))"
    [[ $minutes == *" $((10#$minute)) "* && $hours == *" $((10#$hour)) "* && $months == *" $((10#$month)) "* ]] || return 1
    if [[ $either_day == true ]]; then
        [[ $days == *" $((10#$day)) "* || $weekdays == *" $weekday "* ]]
    else
        [[ $days == *" $((10#$day)) "* && $weekdays == *" $weekday "* ]]
    fi
}

# Whether a time of the schedule has gone by in the last week without a backup: the machine was off, or one was cut off.
missed() {
    local names name newest='' minute stamp
    names=$("store_${kind}_names" || log "the backups cannot be listed: $store_error")
    while read -r name; do
        if [[ $name =~ ^[^-]*-v[0-9.]*$ ]]; then newest=${name%%-*}; fi
    done <<<"$names"
    # The first one has its time still to come.
    [[ -n $newest ]] || return 1
    for ((minute = EPOCHSECONDS / 60; minute > EPOCHSECONDS / 60 - 7 * 24 * 60; minute--)); do
        printf -v stamp '%(%Y%m%dT%H%M)T' "$((minute * 60))"
        [[ $stamp > ${newest::13} ]] || return 1
        if due "$minute"; then return 0; fi
    done
    return 1
}

# run_schedule schedule|wait: one backup at a time. `alive` and `failed` are what `health` looks at.
run_schedule() {
    local mode=$1 child='' last pending=0 minute tick
    trap 'if [[ -n $child ]]; then kill "$child" 2>/dev/null || true; wait "$child" || true; fi; exit 0' TERM INT
    rm -f "$scratch/failed"
    # What a power cut left of backups. Those of other containers may be growing.
    find "$backups" -maxdepth 1 -name '.*.partial' -mmin +1440 -exec rm -rf {} +
    read_schedule
    last=$((EPOCHSECONDS / 60))
    if [[ $mode == schedule ]] && missed; then
        log "a backup was missed; it is made in $((first_seconds / 60)) minutes"
        pending=$((EPOCHSECONDS + first_seconds))
    fi
    while :; do
        printf '%s\n' "$EPOCHSECONDS" >"$scratch/alive"
        if [[ -n $child ]] && ! kill -0 "$child" 2>/dev/null; then
            if wait "$child"; then
                rm -f "$scratch/failed"
                pending=0
            else
                mv -f "$scratch/reason" "$scratch/failed" 2>/dev/null || printf 'it was ended\n' >"$scratch/failed"
                log "tries again in $((retry_seconds / 60)) minutes"
                pending=$((EPOCHSECONDS + retry_seconds))
            fi
            child=
        fi
        if [[ $mode == schedule ]]; then
            # Every minute since, also where this loop was late; but not those of a clock that was set.
            for ((minute = last + 1; minute <= EPOCHSECONDS / 60; minute++)); do
                if ((minute > EPOCHSECONDS / 60 - 24 * 60)) && due "$minute"; then pending=$EPOCHSECONDS; fi
            done
            last=$((EPOCHSECONDS / 60))
            if [[ -z $child ]] && ((pending > 0 && EPOCHSECONDS >= pending)); then
                bash "$here/backup.sh" scheduled >/dev/null &
                child=$!
            fi
        fi
        if [[ -n $child ]]; then tick=5; else tick=$((60 - EPOCHSECONDS % 60)); fi
        sleep "$tick" &
        wait $! || true
    done
}

health() {
    local alive=0
    if [[ -f $scratch/failed ]]; then
        printf 'the last backup failed: %s\n' "$(<"$scratch/failed")"
        return 1
    fi
    if [[ -f $scratch/alive ]]; then alive=$(<"$scratch/alive"); fi
    if ((EPOCHSECONDS - alive > 180)); then
        printf 'the schedule does not run\n'
        return 1
    fi
}

# --- Restoring ---

# Everything that Harbor has in the database: also what only a newer version has, which a dump of an older one does not know.
wipe() {
    cat <<'SQL'
set local lock_timeout = '60s';
do $wipe$
declare
    item record;
begin
    for item in
        select case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' else 'table' end as kind,
            format('public.%I', relname) as name
        from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')
            and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = pg_class.oid and deptype = 'e')
    loop
        execute format('drop %s if exists %s cascade', item.kind, item.name);
    end loop;
    for item in
        select oid::regprocedure as name
        from pg_proc
        where pronamespace = 'public'::regnamespace
            and not exists (select from pg_depend where classid = 'pg_proc'::regclass and objid = pg_proc.oid and deptype = 'e')
    loop
        execute format('drop routine if exists %s cascade', item.name);
    end loop;
    for item in
        select oid::regtype as name
        from pg_type
        where typnamespace = 'public'::regnamespace and typtype in ('e', 'd')
            and not exists (select from pg_depend where classid = 'pg_type'::regclass and objid = pg_type.oid and deptype = 'e')
    loop
        execute format('drop type if exists %s cascade', item.name);
    end loop;
end
$wipe$;
SQL
}

# What the dump has, as statements. What is said of the schema, and extensions, may be somebody else's. A setting that only
# newer servers know stands in the first lines.
dump_statements() {
    local line
    pg_restore --list "$1/registry.dump" >"$scratch/list" || return 1
    while IFS= read -r line; do
        if [[ ! $line =~ \ (COMMENT\ -\ SCHEMA\ public|(COMMENT\ -\ )?EXTENSION\ ) ]]; then printf '%s\n' "$line"; fi
    done <"$scratch/list" >"$scratch/wanted"
    pg_restore --no-owner --no-privileges --use-list "$scratch/wanted" --file - "$1/registry.dump" | {
        while IFS= read -r line; do
            if [[ $line != 'SET transaction_timeout = 0;' ]]; then printf '%s\n' "$line"; fi
            if [[ $line == 'SET row_security = off;' ]]; then break; fi
        done
        cat
    }
}

# All or nothing: only a dump that was read to its end is committed.
statements() {
    printf 'begin;\n'
    wipe
    dump_statements "$1" || return 1
    printf 'commit;\n'
}

restore() {
    local source=$1 wrong want have
    wrong=$(check_backup "$source") || fail "$wrong"
    connect
    wait_for_database
    want=$(value_of "$source/manifest" schema)
    statements "$source" 2>"$scratch/dump-error" |
        psql --no-psqlrc --no-password --quiet --set ON_ERROR_STOP=1 >/dev/null 2>"$scratch/error" ||
        fail "the database was left as it was: $(<"$scratch/error") $(<"$scratch/dump-error")"
    have=$(schema)
    if [[ $have != "$want" ]]; then
        fail "the database has the schema $have after it was restored; expected $want"
    fi
    ask analyze
    log "restored the database of $(value_of "$source/manifest" stamp), $SECONDS s"
}

case ${1:-} in
    schedule | wait)
        run_schedule "$1"
        ;;
    scheduled)
        make_backup ''
        prune || log "older backups could not be deleted${store_error:+: $store_error}"
        ;;
    now)
        make_backup "${2:-manual}"
        rm -f "$scratch/failed"
        ;;
    list)
        "store_${kind}_names" || fail "$store_error"
        ;;
    fetch)
        is_name "${2:-}" || fail "${2:-nothing} is not the name of a backup"
        "store_${kind}_fetch" "$2" "$3" || fail "$2 cannot be fetched${store_error:+: $store_error}"
        wrong=$(check_backup "$3") || fail "$wrong"
        ;;
    restore)
        restore "$2"
        ;;
    schema)
        connect
        schema
        ;;
    others)
        connect
        others
        ;;
    health)
        health
        ;;
    *)
        echo "usage: backup.sh schedule | wait | now [REASON] | list | fetch NAME FOLDER | restore FOLDER | schema | others | health" >&2
        exit 64
        ;;
esac
