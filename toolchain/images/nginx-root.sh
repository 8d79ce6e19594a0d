#!/bin/sh
# Customize hook of mmdebstrap: makes a fresh Debian root file system with nginx what the official nginx image is, as far
# as its users can tell, and takes out what a container never needs.
# usage: nginx-root.sh ROOT
set -eu
root=$1

# The official image runs its workers as user nginx, 101; Debian's as www-data.
echo 'nginx:x:101:' >>"$root/etc/group"
echo 'nginx:x:101:101:nginx:/nonexistent:/usr/sbin/nologin' >>"$root/etc/passwd"
sed -i 's/^user www-data;/user nginx;/' "$root/etc/nginx/nginx.conf"

# What nginx logs to its usual files is what `docker logs` shows.
ln -sf /dev/stdout "$root/var/log/nginx/access.log"
ln -sf /dev/stderr "$root/var/log/nginx/error.log"

# shellcheck disable=SC2016 # for the container's shell, not for this one
printf '#!/bin/sh\nexec "$@"\n' >"$root/docker-entrypoint.sh"
chmod 755 "$root/docker-entrypoint.sh"

# Packages cannot be added in the container, so what installs them goes; dpkg's status stays, it says what is inside.
rm -rf "$root"/usr/bin/perl* "$root"/usr/lib/*/perl-base "$root"/usr/share/perl5 "$root"/usr/lib/*/gconv \
    "$root"/usr/lib/apt "$root"/usr/lib/*/libapt-*.so.* "$root"/var/lib/apt "$root"/var/cache/* \
    "$root"/usr/share/debconf "$root"/usr/share/zsh "$root"/usr/share/bash-completion "$root"/usr/share/bug \
    "$root"/usr/share/lintian "$root"/usr/share/pixmaps "$root"/usr/lib/systemd/system \
    "$root"/var/lib/dpkg/info "$root"/var/lib/dpkg/*-old "$root"/var/backups
# Logs of the installation differ from run to run. nginx's own, above, are links.
find "$root/var/log" -type f -delete
rm -f "$root/etc/machine-id" "$root/etc/hostname" "$root/etc/resolv.conf"
