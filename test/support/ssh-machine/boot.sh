#!/usr/bin/env bash
# boot.sh FOLDER ROOT CGROUP NAME ADDRESS FORBIDDEN
# Becomes the first process of a test machine: files are ROOT's with FOLDER/upper over it, everything else is its own.
# It says "mounted" when it has its files, waits for eth0, and says "booted" when sshd runs.
#   FOLDER     upper, work, root, docker, logins.log; seed, which is taken in at the first boot
#   CGROUP     name of the cgroups that it lives in
#   ADDRESS    with the length of the prefix
#   FORBIDDEN  capabilities that nobody on it has, for setpriv
set -euo pipefail

cgroup_mounts() {
    awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/self/mounts
}

# In the namespaces of the test.
enter() {
    local mount set
    for mount in $(cgroup_mounts); do
        mkdir -p "$mount/$cgroup"
        # Of version 1, where an empty set takes no process.
        if [[ $mount == */cpuset ]]; then
            for set in cpuset.cpus cpuset.mems; do
                cat "$mount/$set" >"$mount/$cgroup/$set"
            done
        fi
        echo $$ >"$mount/$cgroup/cgroup.procs"
    done
    exec setpriv --bounding-set "$forbidden" unshare --cgroup bash "$0" fork "$@"
}

# In the cgroup that the machine takes for the root of all.
fork() {
    local top=/sys/fs/cgroup/$cgroup controller
    if [[ -e $top/cgroup.controllers ]]; then
        # Only a group without processes can hand controllers on to the groups below it.
        mkdir -p "$top/init"
        echo $$ >"$top/init/cgroup.procs"
        for controller in $(<"$top/cgroup.controllers"); do
            echo "+$controller" >"$top/cgroup.subtree_control"
        done
    fi
    exec unshare --mount --net --uts --ipc --pid --fork --kill-child bash "$0" inside "$@"
}

# In namespaces of its own.
inside() {
    mount -t overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" machine "$root"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mkdir "$root/run/lock"
    mount_sys
    mount_dev
    mkdir -p "$root/var/lib/docker"
    # Docker's own overlays do not go on top of another.
    mount --bind "$folder/docker" "$root/var/lib/docker"
    touch "$root/var/log/sshd.log"
    mount --bind "$folder/logins.log" "$root/var/log/sshd.log"
    if [[ -d $folder/seed ]]; then
        take_seed
    fi
    hostname "$name"
    mkdir "$root/run/old"
    cd "$root"
    pivot_root . run/old
    cd /
    # The rest does not read this file, which is out of sight from here on.
    exec bash -c "$(declare -p address) && $(declare -f run_machine) && run_machine" machine
}

mount_sys() {
    local mount
    mount -t sysfs sysfs "$root/sys"
    for mount in $(cgroup_mounts); do
        [[ $mount != /sys/fs/cgroup ]] || continue
        mountpoint --quiet "$root/sys/fs/cgroup" || mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
        mkdir -p "$root$mount"
        mount --bind "$mount/$cgroup" "$root$mount"
    done
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        mount --bind "/sys/fs/cgroup/$cgroup" "$root/sys/fs/cgroup"
    fi
    # These settings are not of a namespace: what is written to them goes to a copy. Others cannot be written.
    local area
    mkdir "$root/run/sys"
    for area in fs vm; do
        mkdir "$root/run/sys/$area"
        find "/proc/sys/$area" -maxdepth 1 -type f -readable -exec cp --no-preserve=ownership {} "$root/run/sys/$area" \; 2>/dev/null || true
        mount --bind "$root/run/sys/$area" "$root/proc/sys/$area"
    done
    mount --bind "$root/proc/sys/kernel" "$root/proc/sys/kernel"
    mount -o remount,bind,ro "$root/proc/sys/kernel"
}

mount_dev() {
    local dev=$root/dev node
    mount -t tmpfs -o mode=755 tmpfs "$dev"
    for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 fuse:10:229; do
        IFS=: read -r node major minor <<<"$node"
        mknod --mode 666 "$dev/$node" c "$major" "$minor"
    done
    mknod --mode 600 "$dev/loop-control" c 10 237
    mkdir "$dev/pts" "$dev/shm" "$dev/mqueue"
    mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$dev/shm"
    mount -t mqueue mqueue "$dev/mqueue"
    ln -s pts/ptmx "$dev/ptmx"
    ln -s /proc/self/fd "$dev/fd"
    ln -s fd/0 "$dev/stdin"
    ln -s fd/1 "$dev/stdout"
    ln -s fd/2 "$dev/stderr"
}

take_seed() {
    local seed=$folder/seed user home
    install --mode 600 "$seed/host_key" "$root/etc/ssh/ssh_host_ed25519_key"
    install --mode 644 "$seed/host_key.pub" "$root/etc/ssh/ssh_host_ed25519_key.pub"
    for user in root ops nosudo; do
        IFS=: read -r _ _ uid gid _ home _ < <(grep "^$user:" "$root/etc/passwd")
        install --directory --mode 700 --owner "$uid" --group "$gid" "$root$home/.ssh"
        install --mode 600 --owner "$uid" --group "$gid" "$seed/authorized_keys" "$root$home/.ssh/authorized_keys"
    done
    printf '%s\n' "$name" >"$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost ip6-localhost\n' "$name" >"$root/etc/hosts"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    install --mode 644 "$seed/resolv.conf" "$root/etc/resolv.conf"
    [[ ! -e $seed/apt.conf ]] || install --mode 644 "$seed/apt.conf" "$root/etc/apt/apt.conf.d/80proxy"
    rm -rf "$seed"
}

# In the machine's own files. The first process takes in orphans, which bash does whenever a child of it ends.
run_machine() {
    umount --lazy /run/old
    rmdir /run/old
    echo mounted
    until [[ -e /sys/class/net/eth0 ]]; do sleep 0.02; done
    # As every system does when it starts; what fails is for its users to find.
    mount --all || true
    ip link set lo up
    ip address add "$address" dev eth0
    ip link set eth0 up
    mkdir /run/sshd
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /usr/sbin/sshd -E /var/log/sshd.log || {
        cat /var/log/sshd.log
        exit 1
    }
    # Written when it listens.
    until [[ -e /run/sshd.pid ]]; do sleep 0.02; done
    echo booted
    sleep infinity &
    while :; do wait; done
}

stage=enter
case $1 in
    fork | inside)
        stage=$1
        shift
        ;;
esac
folder=$1 base=$2 cgroup=$3 name=$4 address=$5 forbidden=$6
root=$folder/root
"$stage" "$@"
