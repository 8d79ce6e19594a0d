# shellcheck shell=bash
# OpenStack's own services, in the order in which they can start. Sourced; needs lib.sh.

# As they are stopped; those that serve others come last.
# shellcheck disable=SC2034 # for those who source this
OPENSTACK_SERVICES=(
    nova-compute
    neutron-l3 neutron-dhcp neutron-metadata neutron-linuxbridge
    cinder-volume cinder-scheduler cinder-api
    nova-api nova-scheduler nova-conductor
    glance-api neutron-server placement keystone
)

prepare_folders() {
    local user
    for user in keystone placement glance nova neutron cinder; do
        install -d -o "$user" -g "$user" "/var/lock/$user" "/var/log/$user" "/var/lib/$user"
    done
    install -d -o glance -g glance /var/lib/glance/images
    install -d -o nova -g nova /var/lib/nova/instances /var/lib/nova/mnt
    install -d -o cinder -g cinder /var/lib/cinder/mnt
}

start_keystone() {
    service keystone root /usr/bin/uwsgi --ini /etc/labstack/keystone.ini
    wait_for 60 keystone answers http://127.0.0.1:5000/v3
}

# Servers first: an agent whose first call finds no server waits for a whole timeout of a minute.
start_servers() {
    service placement root /usr/bin/uwsgi --ini /etc/labstack/placement.ini
    start neutron-server neutron /usr/bin/neutron-server --config-file /etc/neutron/neutron.conf \
        --config-file /etc/neutron/plugins/ml2/ml2_conf.ini
    start nova-conductor nova /usr/bin/nova-conductor --config-file /etc/nova/nova.conf
    start glance-api glance /usr/bin/glance-api --config-file /etc/glance/glance-api.conf
    start nova-api nova /usr/bin/nova-api --config-file /etc/nova/nova.conf
    start nova-scheduler nova /usr/bin/nova-scheduler --config-file /etc/nova/nova.conf
    start cinder-api cinder /usr/bin/cinder-api --config-file /etc/cinder/cinder.conf
    start cinder-scheduler cinder /usr/bin/cinder-scheduler --config-file /etc/cinder/cinder.conf
    wait_for 120 neutron-server answers http://127.0.0.1:9696/
    wait_for 90 "the queues of neutron and nova" has_queues q-plugin q-reports-plugin conductor
    wait_for 90 placement answers http://127.0.0.1:8778/
}

# Nova and Cinder change the network, the guests and mounts: they are root, as there is no sudo for them here.
start_agents() {
    local agent
    for agent in linuxbridge l3 dhcp metadata; do
        local config=/etc/neutron/${agent}_agent.ini
        [[ $agent != linuxbridge ]] || config=/etc/neutron/plugins/ml2/linuxbridge_agent.ini
        start "neutron-$agent" root "/usr/bin/neutron-$agent-agent" --config-file /etc/neutron/neutron.conf \
            --config-file "$config"
    done
    service virtlogd root /usr/sbin/virtlogd
    service libvirtd root /usr/sbin/libvirtd
    wait_for 60 libvirtd virsh --connect qemu:///system list
    start nova-compute root /usr/bin/nova-compute --config-file /etc/nova/nova.conf \
        --config-file /etc/nova/nova-compute.conf
    start cinder-volume root /usr/bin/cinder-volume --config-file /etc/cinder/cinder.conf
    local port
    for port in 8774 8776 9292; do
        wait_for 180 "the API on port $port" answers "http://127.0.0.1:$port/"
    done
}

start() { # NAME USER COMMAND...
    service "$@" --log-file "/var/log/${1%%-*}/$1.log"
}

has_queues() { # NAME...
    local queues name
    queues=$(rabbitmqctl --quiet list_queues name)
    for name in "$@"; do
        grep --quiet --line-regexp "$name" <<<"$queues" || return 1
    done
}
