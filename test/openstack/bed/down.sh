#!/usr/bin/env bash
# Ends what up.sh has started, and the guests. Everything is kept for the next up.sh, unless it is to be purged:
# databases, volumes and credentials go then; packages, their configuration and the guest images stay.
# usage: sudo down.sh [--purge]
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
# shellcheck source=test/openstack/bed/lib.sh
. ./lib.sh
# shellcheck source=test/openstack/bed/host.sh
. ./host.sh
# shellcheck source=test/openstack/bed/guest-services.sh
. ./guest-services.sh
# shellcheck source=test/openstack/bed/databases.sh
. ./databases.sh
# shellcheck source=test/openstack/bed/openstack.sh
. ./openstack.sh
need_root

purge=
case ${1:-} in
"") ;;
--purge) purge=yes ;;
*) die "usage: down.sh [--purge]" ;;
esac

end_guests() {
    local guest
    alive libvirtd || return 0
    while read -r guest; do
        [[ $guest =~ ^instance-[0-9a-f]{8}$ ]] || continue
        virsh --connect qemu:///system destroy "$guest" >/dev/null 2>&1 || true
        [[ -z $purge ]] || virsh --connect qemu:///system undefine "$guest" >/dev/null || true
    done < <(virsh --connect qemu:///system list --all --name)
}

remove_networks() {
    local namespace pid link
    while read -r namespace _; do
        [[ $namespace =~ ^q(dhcp|router)- ]] || continue
        # dnsmasq, haproxy and the like: they outlive the agents that started them.
        for pid in $(ip netns pids "$namespace"); do
            kill -TERM "$pid" 2>/dev/null || true
        done
        ip netns delete "$namespace"
    done < <(ip netns list)
    for link in /sys/class/net/*; do
        link=${link##*/}
        [[ ! $link =~ ^(brq|tap)[0-9a-f]{8}-[0-9a-f]{2}$ ]] || ip link delete "$link" 2>/dev/null || true
    done
}

# The list is read first: while it changes, a reader of it misses lines.
unmount_volumes() {
    local place places
    mapfile -t places < <(awk '$2 ~ "^/var/lib/(nova|cinder)/mnt/" { print $2 }' /proc/mounts)
    for place in "${places[@]}"; do
        umount "$place"
    done
}

drop_databases() {
    local database pid
    install -d -o mysql -g mysql /run/mysqld
    setpriv --reuid=mysql --regid=mysql --init-groups /usr/sbin/mariadbd --skip-networking >/dev/null 2>&1 &
    pid=$!
    wait_for 60 mariadb mariadb --execute 'SELECT 1'
    for database in "${DATABASES[@]}"; do
        mariadb --execute "DROP DATABASE IF EXISTS $database"
    done
    kill -TERM "$pid"
    wait "$pid" || true
}

purge_state() {
    drop_databases
    rm -rf "$LAB"/{stamp,packages,chrony.conf} "$LAB"/*openrc "$VOLUMES" \
        /etc/keystone/{fernet,credential}-keys \
        /var/lib/glance/images/* /var/lib/rabbitmq/mnesia/* \
        /var/lib/nova/instances/* /var/lib/nova/compute_id \
        /var/lib/neutron/{dhcp,external,ha_confs,ns-metadata-proxy,ra}
    rm -f "$LOG"/* /var/log/{nova,neutron,cinder,glance,keystone,placement}/*.log
}

# It would start them again.
stop nova-compute
end_guests
for name in "${OPENSTACK_SERVICES[@]}" "${GUEST_SERVICES[@]}"; do
    stop "$name" &
done
wait
remove_networks
unmount_volumes
for name in libvirtd virtlogd memcached; do
    stop "$name"
done
stop rabbitmq 40
stop mariadb 40
epmd -kill >/dev/null 2>&1 || true
release_guests
ip link delete lab-ext 2>/dev/null || true
[[ -z $purge ]] || purge_state
