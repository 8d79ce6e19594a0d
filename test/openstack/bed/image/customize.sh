#!/usr/bin/env bash
# Customize hook of mmdebstrap: makes a fresh Debian root file system one that boots in Nova, and boots quickly where the
# processor is emulated.
# usage: customize.sh ROOT
set -euo pipefail
root=$1

cat >"$root/etc/cloud/cloud.cfg.d/90_bed.cfg" <<'END'
datasource_list: [ConfigDrive, OpenStack, None]
datasource:
  OpenStack: {max_wait: 20, timeout: 5}
ssh_genkeytypes: [ed25519, ecdsa]
apt: {preserve_sources_list: true}
package_update: false
system_info:
  network:
    renderers: [networkd]
# The usual ones, but for those that a user_data of ours never asks for.
cloud_config_modules: [set-passwords, apt-configure, ntp, timezone, runcmd]
cloud_final_modules:
  - package-update-upgrade-install
  - write-files-deferred
  - scripts-per-once
  - scripts-per-boot
  - scripts-per-instance
  - scripts-user
  - final-message
  - power-state-change
END

# No fsck, and no initialisation of the rest of the file system while the guest has better things to do.
echo 'LABEL=root / ext4 defaults,errors=remount-ro,noatime,noinit_itable 0 0' >"$root/etc/fstab"
ln -sf /run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"

chroot "$root" systemctl --quiet enable systemd-networkd systemd-resolved ssh serial-getty@ttyS0
# Of no use in a guest that lives for minutes, and seconds of each boot. apparmor loads profiles of programs that are not
# here, and Docker's it loads itself.
chroot "$root" systemctl --quiet mask apparmor.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer getty@tty1.service systemd-binfmt.service systemd-pstore.service \
    proc-sys-fs-binfmt_misc.automount dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-fs-fuse-connections.mount modprobe@{configfs,dm_mod,drm,efi_pstore,fuse,loop}.service

# Made anew by every guest, so that they differ.
rm -f "$root"/etc/ssh/ssh_host_*
: >"$root/etc/machine-id"
echo debian >"$root/etc/hostname"

mkdir -p "$root/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=lz4\n' >"$root/etc/initramfs-tools/conf.d/bed"
printf '%s\n' virtio_pci virtio_blk virtio_scsi virtio_net ext4 crc32c_generic sr_mod ata_piix sd_mod isofs \
    >>"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u -k all
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
