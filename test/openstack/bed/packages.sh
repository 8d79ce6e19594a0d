# shellcheck shell=bash
# Installs what the bed is made of. Sourced; needs lib.sh.

IMAGE_TOOLS=(mmdebstrap e2fsprogs qemu-utils)
PACKAGES=(
    "${IMAGE_TOOLS[@]}"
    mariadb-server mariadb-client rabbitmq-server memcached
    keystone glance-api placement-api uwsgi-core uwsgi-plugin-python3 python3-openstackclient
    nova-api nova-conductor nova-scheduler nova-compute nova-compute-kvm
    qemu-system-x86 libvirt-daemon-system libvirt-clients genisoimage
    neutron-api neutron-rpc-server neutron-linuxbridge-agent neutron-dhcp-agent neutron-l3-agent neutron-metadata-agent
    dnsmasq-base dnsmasq-utils haproxy
    cinder-api cinder-scheduler cinder-volume
    bridge-utils conntrack ebtables iproute2 ipset iptables iputils-arping kmod
    apt-cacher-ng chrony
    curl openssh-client procps
)

missing_packages() {
    local package
    for package in "${PACKAGES[@]}"; do
        [[ $(dpkg-query --show --showformat='${db:Status-Abbrev}' "$package" 2>/dev/null) == "ii " ]] || echo "$package"
    done
}

install_packages() { # PACKAGE...
    local apt=(apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-unsafe-io)
    # What the bed configures stays as it is.
    apt+=(-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold)
    "${apt[@]}" install --yes --no-install-recommends "$@" >>"$LOG/apt.log" 2>&1 || {
        tail -n 20 "$LOG/apt.log" >&2
        die "packages could not be installed; see $LOG/apt.log"
    }
}

# Without it packages start their services as they see fit.
forbid_service_starts() {
    local policy=/usr/sbin/policy-rc.d
    [[ ! -e $policy ]] || return 0
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
}

allow_service_starts() {
    [[ -z $(trap -p EXIT) ]] || rm -f /usr/sbin/policy-rc.d
    trap - EXIT
}
