# shellcheck shell=bash
# What the bed needs of this machine beside packages: links, packet filters and stand-ins for kernel modules.
# Sourced; needs lib.sh.

VOLUMES=/var/lib/labstack/volumes

prepare_host() {
    stand_in_for_modules
    stand_in_for_nfs
    make_external_network
    isolate_guests
    prepare_kvm
}

# A kernel without modules has everything built in: modprobe has to know, as callers take its failure for theirs.
stand_in_for_modules() {
    local modules
    modules=/lib/modules/$(uname -r)
    [[ ! -d /lib/modules ]] || return 0
    mkdir -p "$modules"
    printf 'kernel/%s.ko\n' br_netfilter bridge ebtables ip6_tables ip_tables iptable_nat nf_conntrack tun veth vxlan \
        >"$modules/modules.builtin"
    : >"$modules/modules.order"
    depmod 2>/dev/null || true
}

# Cinder keeps volumes as files and hands them out by NFS. Here both ends are this machine, and its kernel may well lack
# NFS, iSCSI and device mapper: mounting 127.0.0.1:/folder becomes a bind mount.
stand_in_for_nfs() {
    mkdir -p "$VOLUMES"
    chmod 777 "$VOLUMES"
    [[ ! -e /sbin/mount.nfs ]] || grep --quiet labstack /sbin/mount.nfs || die "there is an NFS client on this machine"
    cat >/sbin/mount.nfs <<'END'
#!/bin/sh
# labstack: stands in for mount.nfs
case $1 in
127.0.0.1:/*) exec mount --bind "${1#*:}" "$2" ;;
esac
echo "mount.nfs: only folders of this machine" >&2
exit 32
END
    chmod 755 /sbin/mount.nfs
}

# A pair of links: lab-ext is this machine's end, lab-phy what Neutron takes for the physical interface of its flat
# network. A bridge of ours would serve floating addresses, too, but not the ports of guests right on that network.
make_external_network() {
    [[ -e /sys/class/net/lab-ext ]] || ip link add lab-ext type veth peer name lab-phy
    ip address replace "$GATEWAY/24" dev lab-ext
    ip link set lab-ext up
    ip link set lab-phy up
    # Neutron's security groups are rules of iptables, which bridged packets have to pass.
    sysctl --quiet -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
    sysctl --quiet -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.lab-ext.rp_filter=0
}

# Guests reach this machine and its containers, and nobody else, nor are they reached. A Docker on this machine turns
# forwarding on and rearranges the filter table's FORWARD, so that these rules are where it changes nothing.
isolate_guests() {
    local link
    chain mangle harborage-bed
    for link in docker0 br-+; do
        rule mangle harborage-bed -i "$link" -j RETURN
        rule mangle harborage-bed -o "$link" -j RETURN
    done
    rule mangle harborage-bed -j DROP
    first_rule mangle FORWARD -i lab-ext -j harborage-bed
    first_rule mangle FORWARD -o lab-ext -j harborage-bed

    # Published ports: Docker's translation would take a guest's packet while it still is on the guest's bridge, and in
    # Neutron's connection tracking zone, where the answer is never found. It has to wait until the packet has arrived.
    chain nat harborage-bed
    for link in tap+ lab-phy; do
        rule nat harborage-bed -m physdev --physdev-in "$link" -j ACCEPT
    done
    first_rule nat PREROUTING -j harborage-bed
}

release_guests() {
    forget_rule mangle FORWARD -i lab-ext -j harborage-bed
    forget_rule mangle FORWARD -o lab-ext -j harborage-bed
    forget_rule nat PREROUTING -j harborage-bed
    local table
    for table in mangle nat; do
        iptables --wait --table "$table" --flush harborage-bed 2>/dev/null || true
        iptables --wait --table "$table" --delete-chain harborage-bed 2>/dev/null || true
    done
}

# An empty chain, new or old.
chain() { # TABLE CHAIN
    iptables --wait --table "$1" --new-chain "$2" 2>/dev/null || iptables --wait --table "$1" --flush "$2"
}

rule() { # TABLE CHAIN RULE...
    iptables --wait --table "$1" --append "$2" "${@:3}"
}

first_rule() { # TABLE CHAIN RULE...
    forget_rule "$@"
    iptables --wait --table "$1" --insert "$2" "${@:3}"
}

forget_rule() { # TABLE CHAIN RULE...
    while iptables --wait --table "$1" --check "$2" "${@:3}" 2>/dev/null; do
        iptables --wait --table "$1" --delete "$2" "${@:3}"
    done
}

# /dev/kvm is not enough: on a kernel of paravirtual machines (PVM), with neither of the two modules, a stock guest kernel
# runs in KVM's instruction emulator and dies at the first instruction that it lacks.
virt_type() {
    if [[ -c /dev/kvm && (-d /sys/module/kvm_intel || -d /sys/module/kvm_amd) ]]; then
        echo kvm
    else
        echo qemu
    fi
}

prepare_kvm() {
    [[ -c /dev/kvm ]] || return 0
    chgrp kvm /dev/kvm
    chmod 660 /dev/kvm
}
