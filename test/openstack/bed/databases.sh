# shellcheck shell=bash
# MariaDB, RabbitMQ and memcached, and the tables of every service. Sourced; needs lib.sh.

DATABASES=(keystone placement glance nova_api nova nova_cell0 neutron cinder)

start_stores() {
    install -d -o mysql -g mysql /run/mysqld
    install -d -o rabbitmq -g rabbitmq /run/rabbitmq
    service mariadb mysql /usr/sbin/mariadbd
    service rabbitmq rabbitmq /usr/lib/rabbitmq/bin/rabbitmq-server
    service memcached memcache /usr/bin/memcached -m 64 -l 127.0.0.1 -p 11211 -U 0
    wait_for 60 mariadb mariadb --execute 'SELECT 1'
    local database statements=""
    for database in "${DATABASES[@]}"; do
        statements+="CREATE DATABASE IF NOT EXISTS $database CHARACTER SET utf8mb3;"
        statements+="GRANT ALL ON $database.* TO lab@127.0.0.1 IDENTIFIED BY '$PASSWORD';"
    done
    mariadb --execute "$statements"
    wait_for 120 rabbitmq bash -c '</dev/tcp/127.0.0.1/5672'
}

# The services' tables, side by side where that is quicker.
make_schemas() {
    local jobs=() job
    once neutron_schema &
    jobs+=($!)
    once nova_schema &
    jobs+=($!)
    once keystone_schema
    once placement_schema
    once glance_schema
    once cinder_schema
    for job in "${jobs[@]}"; do
        wait "$job"
    done
}

once() { # FUNCTION
    local log=$LOG/$1.log
    [[ ! -e $LAB/stamp/$1 ]] || return 0
    # In the background, as set -e does not hold in a function whose result is asked for.
    (
        set -e
        "$1"
    ) >"$log" 2>&1 &
    wait $! || die "$1 failed: $(tail -n 5 "$log")"
    touch "$LAB/stamp/$1"
}

run_as() { # USER COMMAND...
    setpriv --reuid="$1" --regid="$1" --init-groups -- "${@:2}"
}

neutron_schema() {
    run_as neutron neutron-db-manage --config-file /etc/neutron/neutron.conf \
        --config-file /etc/neutron/plugins/ml2/ml2_conf.ini upgrade heads
}

nova_schema() {
    run_as nova nova-manage api_db sync
    run_as nova nova-manage cell_v2 map_cell0 \
        --database_connection "mysql+pymysql://lab:$PASSWORD@127.0.0.1/nova_cell0?charset=utf8"
    run_as nova nova-manage cell_v2 list_cells | grep --quiet ' cell1 ' ||
        run_as nova nova-manage cell_v2 create_cell --name=cell1
    run_as nova nova-manage db sync
}

keystone_schema() {
    local address=http://127.0.0.1:5000/v3/
    run_as keystone keystone-manage db_sync
    keystone-manage fernet_setup --keystone-user keystone --keystone-group keystone
    keystone-manage credential_setup --keystone-user keystone --keystone-group keystone
    run_as keystone keystone-manage bootstrap --bootstrap-password "$PASSWORD" --bootstrap-region-id "$REGION" \
        --bootstrap-admin-url $address --bootstrap-internal-url $address --bootstrap-public-url $address
}

placement_schema() {
    run_as placement placement-manage db sync
}

glance_schema() {
    run_as glance glance-manage db_sync
}

cinder_schema() {
    run_as cinder cinder-manage db sync
}
