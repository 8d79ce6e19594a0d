#!/usr/bin/env bash
# Builds a guest image from this machine's own package sources: Debian 12 as a disk without partitions (root.qcow2),
# with its kernel and initial RAM disk beside it (vmlinuz, initrd), which Nova hands to the guest.
# usage: build.sh FOLDER [PACKAGE...]   with packages beside those that every guest has
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=test/openstack/bed/lib.sh
. "$here/../lib.sh"
folder=${1:?the folder for the image}
shift
# Beside what a cloud image of Debian has: it would load apparmor's profile for containers, and Docker refuses to start
# any without its parser.
packages=(linux-image-cloud-amd64 systemd-sysv systemd-resolved dbus udev kmod lz4 tzdata apparmor
    cloud-init cloud-guest-utils openssh-server sudo python3 ca-certificates
    curl e2fsprogs fdisk iproute2 iputils-ping less netcat-openbsd procps "$@")

mkdir -p "$folder"
work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

sources=()
while read -r uri suite; do
    case $suite in
    bookworm | bookworm-updates | bookworm-security) sources+=("deb $uri $suite main") ;;
    esac
done < <(apt_sources)

# What dpkgopt and aptopt say holds for the guest, too: its emulated disk and processor are slow.
mmdebstrap --quiet --variant=apt --include="$(IFS=, && echo "${packages[*]}")" \
    --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --customize-hook="$here/customize.sh" bookworm "$work/root.tar" "${sources[@]}"

mkdir "$work/root"
tar --extract --file "$work/root.tar" --directory "$work/root" --numeric-owner --xattrs --xattrs-include='*'
rm "$work/root.tar"
cp "$work"/root/boot/vmlinuz-* "$work/vmlinuz"
mv "$work"/root/boot/initrd.img-* "$work/initrd"
# cloud-init makes the file system as large as the flavor's disk.
truncate --size 2G "$work/root.raw"
mke2fs -q -F -t ext4 -L root -d "$work/root" "$work/root.raw"
qemu-img convert -O qcow2 "$work/root.raw" "$work/root.qcow2"
chmod 644 "$work/vmlinuz" "$work/initrd"
# The disk comes last: where it is, the image is complete.
mv "$work/vmlinuz" "$work/initrd" "$folder"
mv "$work/root.qcow2" "$folder"
