#!/bin/sh
# Customize hook of mmdebstrap: users and sshd of a test machine.
# usage: root.sh ROOT
set -eu
root=$1
chroot "$root" useradd --uid 1000 --user-group --create-home --shell /bin/bash ops
chroot "$root" useradd --uid 1001 --user-group --create-home --shell /bin/bash nosudo
echo 'ops ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/ops"
chmod 440 "$root/etc/sudoers.d/ops"
rm -f "$root"/etc/ssh/ssh_host_*

# Last of the drop-ins, as the first to set a value wins. Tests come from one address, also with wrong keys.
cat >"$root/etc/ssh/sshd_config.d/99-test.conf" <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
LogLevel VERBOSE
PermitRootLogin prohibit-password
PasswordAuthentication no
AllowTcpForwarding yes
END
# Not known before OpenSSH 9.8.
if chroot "$root" /usr/sbin/sshd -G -o 'PerSourcePenalties no' >/dev/null 2>&1; then
    echo 'PerSourcePenalties no' >>"$root/etc/ssh/sshd_config.d/99-test.conf"
fi
# A restart by the init script must log to the same place.
echo 'SSHD_OPTS="-E /var/log/sshd.log"' >"$root/etc/default/ssh"

rm -f "$root/etc/hostname"
