# shellcheck shell=bash
# system.sh apply|delete DIRECTORY INCARNATION DATA_DISK      reads `settings` and files (see render-baseline.ts)
# The same ground on every machine that is not somebody's own: packages, clock, limits, firewall, the disk for the data,
# Docker. DATA_DISK is a device, serial=SERIAL,…, or - for none. What is checked in the end is what is in effect.
readonly apt_conf=/etc/apt/apt.conf.d/90harborage
readonly docker_conf=/etc/systemd/system/docker.service.d/harborage.conf
readonly journald_conf=/etc/systemd/journald.conf.d/harborage.conf
readonly daemon_json=/etc/docker/daemon.json
readonly plugin=/usr/local/lib/docker/cli-plugins/docker-compose
readonly clock_seconds=60 disk_seconds=60

main() {
    local action=$1
    directory=$(expand_home "$2")
    incarnation=$3
    case $action in
        apply) apply "$4" ;;
        delete) delete ;;
    esac
}

apply() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    unpack_files "$work"
    wait_for_cloud_init 600
    local foreign
    ! foreign=$(foreign_daemon "$daemon_json") || fail "$foreign"
    mkdir -p "$directory"
    chmod 0711 "$directory"
    lock_machine "$directory"
    printf '%s\n' "$incarnation" >"$directory/incarnation.system"
    set_packages
    set_time_zone
    set_selinux
    set_firewall
    ! has_systemd || ! put journald.conf "$journald_conf" || systemctl restart systemd-journald </dev/null
    mount_data "$1"
    install_docker
    # Last: chrony has had the time until here to look around.
    check_clock
    check_effects
}

setting() {
    sed -n "s/^$1 //p" "$work/settings"
}

# put NAME TARGET: puts a file into place, or takes it away where there is none. Succeeds when that changed something.
put() {
    local from=$work/$1 target=$2
    if [[ ! -f $from ]]; then
        [[ -f $target ]] || return 1
        rm -f "$target"
    else
        ! cmp -s "$from" "$target" || return 1
        mkdir -p "${target%/*}"
        install -m 0644 "$from" "$target.new"
        mv "$target.new" "$target"
    fi
}

set_packages() {
    put apt.conf "$apt_conf" || true
    local source place
    for place in /etc/apt/sources.list.d/harborage-*.sources; do
        source=${place##*/harborage-}
        [[ ! -e $place || -e $work/sources/${source%.sources} ]] || rm -f "$place"
    done
    for source in "$work"/sources/*; do
        [[ ! -e $source ]] || put "sources/${source##*/}" "/etc/apt/sources.list.d/harborage-${source##*/}.sources" || true
    done
    local bundle
    bundle=$(setting packages)
    if [[ -n $bundle ]]; then
        bundle=$(file_at "$directory" "$bundle" "$(setting packages-sha256)" baseline.packages.bundle)
        mkdir "$work/packages"
        tar --extract --file "$bundle" --directory "$work/packages" || fail "$bundle is no tar (baseline.packages.bundle)"
        find "$work/packages" -name '*.deb' -print0 | DEBIAN_FRONTEND=noninteractive xargs --null apt-get install --yes --no-install-recommends --no-download \
            >"$work/packages.log" 2>&1 9>&- || fail "apt-get could not install the packages of the bundle (baseline.packages.bundle): $(tail -n 5 "$work/packages.log")"
    fi
    if [[ $(setting time-sync) == chrony ]]; then
        command -v chronyd >/dev/null || {
            say "installing chrony"
            install_packages chrony
        }
        set_time_servers
    fi
}

# Only the stack's servers, where it names any; the distribution's lines are kept as comments.
set_time_servers() {
    local conf=/etc/chrony/chrony.conf sources=/etc/chrony/sources.d/harborage.sources
    local servers
    servers=$(setting time-server | sed 's/.*/server & iburst/')
    cp "$conf" "$work/chrony.conf"
    if [[ -n $servers ]]; then
        # What DHCP brings is below /run.
        sed -i -E 's/^(pool |server |sourcedir \/run\/)/#harborage: &/' "$work/chrony.conf"
        printf '%s\n' "$servers" >"$work/chrony.sources"
    else
        sed -i 's/^#harborage: //' "$work/chrony.conf"
    fi
    local changed=
    ! put chrony.conf "$conf" || changed=1
    ! put chrony.sources "$sources" || changed=1
    if has_systemd; then
        systemctl enable --quiet chrony </dev/null
        if [[ -n $changed ]] || ! systemctl is-active --quiet chrony; then systemctl restart chrony </dev/null; fi
    elif [[ -n $changed ]] || ! pgrep -x chronyd >/dev/null; then
        pkill -x chronyd || true
        chronyd 9>&- </dev/null || fail "chronyd does not start here; where something outside keeps the clock, say so: baseline.timeSync: external"
    fi
}

set_time_zone() {
    local zone
    zone=$(setting time-zone)
    [[ -f /usr/share/zoneinfo/$zone ]] || install_packages tzdata
    [[ -f /usr/share/zoneinfo/$zone ]] || fail "there is no time zone $zone; see: timedatectl list-timezones (baseline.timeZone)"
    ln -sfn "/usr/share/zoneinfo/$zone" /etc/localtime
    printf '%s\n' "$zone" >/etc/timezone
}

set_selinux() {
    [[ $(setting selinux) == permissive ]] && command -v getenforce >/dev/null && [[ $(getenforce) == Enforcing ]] || return 0
    setenforce 0
    sed -i 's/^SELINUX=enforcing/SELINUX=permissive/' /etc/selinux/config
}

set_firewall() {
    local port ports
    ports=$(setting port)
    case $(setting firewall) in
        open)
            if command -v ufw >/dev/null && [[ $(LC_ALL=C ufw status) == *'Status: active'* ]]; then
                for port in $(ssh_port) $ports; do ufw allow "$port/tcp" >/dev/null; done
            fi
            if command -v firewall-cmd >/dev/null && firewall-cmd --state >/dev/null 2>&1; then
                for port in $(ssh_port) $ports; do firewall-cmd --quiet --permanent --add-port "$port/tcp"; done
                firewall-cmd --quiet --reload
            fi
            ;;
        off)
            ! command -v ufw >/dev/null || ufw disable >/dev/null
            ! command -v firewall-cmd >/dev/null || ! has_systemd || systemctl disable --now --quiet firewalld </dev/null
            ;;
    esac
}

# The port that this session came in by. sudo may drop SSH_CONNECTION.
ssh_port() {
    local connection=${SSH_CONNECTION:-}
    if [[ -n $connection ]]; then printf '%s\n' "${connection##* }"; else sshd -T 2>/dev/null | awk '$1 == "port" { print $2 }'; fi
}

# --- the disk for the data

# find_disk DISK: the device, once it is there. A serial is what a hypervisor shows of a volume's id: 20 characters or all.
find_disk() {
    local disk=$1 serial name shown end=$((SECONDS + disk_seconds))
    while ((SECONDS < end)); do
        if [[ $disk == serial=* ]]; then
            serial=${disk#serial=}
            serial=${serial%%,*}
            while read -r name shown; do
                if [[ -n $shown && ${#shown} -ge 16 && $serial == "$shown"* ]]; then
                    printf '/dev/%s\n' "$name"
                    return
                fi
            done < <(lsblk --nodeps --noheadings --raw --output NAME,SERIAL)
        elif [[ -b $disk ]]; then
            readlink -f "$disk"
            return
        fi
        sleep 1
    done
    fail "the disk for the data is not there after $disk_seconds s: $disk (machines.*.dataDevice); this machine has: $(lsblk --nodeps --noheadings --output NAME,SIZE,SERIAL | tr '\n' ';')"
}

mount_data() {
    [[ $1 != - ]] || return 0
    local data=$directory/data device uuid
    device=$(find_disk "$1")
    format_blank "$device"
    uuid=$(blkid --probe --match-tag UUID --output value "$device") || fail "$device has no UUID"
    if ! mountpoint --quiet "$data"; then
        mkdir -p "$data"
        [[ -z $(find "$data" -mindepth 1 -print -quit) ]] || fail "$data holds data on the machine's own disk; move it away before a disk is mounted there"
        set_fstab "UUID=$uuid $data ext4 defaults,nofail,x-systemd.device-timeout=60s 0 2"
        ! has_systemd || systemctl daemon-reload </dev/null
        mount "$data" || fail "cannot mount $device on $data"
    fi
    [[ $(findmnt --noheadings --output UUID --target "$data") == "$uuid" ]] || fail "$data is mounted from another disk than $device"
    chmod 0711 "$data"
    # The disk may have grown since.
    resize2fs "$device" >/dev/null 2>&1 || fail "the file system on $device cannot grow to the disk's size; see: resize2fs $device"
}

# A disk with anything at all on it is never formatted.
format_blank() {
    local device=$1 found
    found=$(blkid --probe --output export "$device" 2>/dev/null) || true
    case $found in
        *TYPE=ext4*) return 0 ;;
        *TYPE=*) fail "$device holds something else and is not formatted: $(tr '\n' ' ' <<<"$found"); wipe it by hand (wipefs --all $device), or name another disk (machines.*.dataDevice)" ;;
    esac
    # What blkid does not know may be data all the same.
    [[ -z $(lsblk --noheadings --raw --output NAME "$device" | tail -n +2) ]] || fail "$device has partitions and is not formatted; name a disk without any (machines.*.dataDevice)"
    cmp --quiet --bytes 16777216 "$device" /dev/zero || fail "$device is not blank and is not formatted; wipe it by hand (wipefs --all and dd if=/dev/zero of=$device bs=1M count=16), or name another disk (machines.*.dataDevice)"
    say "formatting $device, which is blank"
    mkfs.ext4 -q -L harborage "$device" </dev/null
}

# set_fstab LINE: the one line of /etc/fstab that is ours; none without LINE.
set_fstab() {
    grep -v " $directory/data " /etc/fstab >"$work/fstab" || true
    [[ $# -eq 0 ]] || printf '%s\n' "$1" >>"$work/fstab"
    ! put fstab /etc/fstab || true
}

# --- Docker

install_docker() {
    local changed='' package mark
    mkdir -p "${daemon_json%/*}"
    # Before the file: one that is there without its mark would be taken for somebody else's.
    mark=$(sha256sum <"$work/daemon.json" | cut -d ' ' -f 1)
    grep -qsxF "$mark" "$(daemon_marks "$daemon_json")" || printf '%s\n' "$mark" >>"$(daemon_marks "$daemon_json")"
    ! put daemon.json "$daemon_json" || changed=1
    if has_systemd && put docker.conf "$docker_conf"; then
        changed=1
        systemctl daemon-reload </dev/null
    fi
    if ! command -v dockerd >/dev/null; then
        say "installing Docker"
        package=$(docker_package)
        if [[ $package == docker-ce* ]]; then
            install_packages "$package" docker-ce-cli containerd.io docker-compose-plugin
        else
            install_engine "$package"
        fi
        hash -r
    elif [[ -n $changed ]] && docker_answers; then
        say "restarting Docker for its new settings"
        if has_systemd; then systemctl restart docker </dev/null; else restart_docker_by_hand; fi
    fi
    ensure_docker
    ! has_systemd || systemctl enable --quiet docker </dev/null
    install_compose
}

restart_docker_by_hand() {
    local end=$((SECONDS + 60))
    pkill -x dockerd || true
    while pgrep -x dockerd >/dev/null && ((SECONDS < end)); do sleep 0.5; done
    start_docker
}

# The package of Docker Engine that apt can get, with the version that is asked for: Docker's own before the distribution's.
docker_package() {
    local want package version
    want=$(setting docker-version)
    apt_update
    for package in docker-ce docker.io; do
        while read -r version; do
            if [[ -z $want ]]; then
                printf '%s\n' "$package"
                return
            fi
            if version_begins "$version" "$want"; then
                printf '%s=%s\n' "$package" "$version"
                return
            fi
        done < <(apt-cache madison "$package" 2>/dev/null | awk -F ' *\\| *' '{ print $2 }')
    done
    fail "apt has no Docker Engine${want:+ of version $want} (baseline.docker.version); it has: $(apt-cache madison docker-ce docker.io 2>/dev/null | awk -F ' *\\| *' '{ sub(/^ +/, ""); printf "%s%s %s", separator, $1, $2; separator = ", " }')"
}

# version_begins VERSION WANT: as packages and programs write versions, 5:28.5.1-1~debian.12 and 28.5.1.
version_begins() {
    local version
    version=$(upstream_version "$1")
    [[ $version == "$2" || $version == "$2".* ]]
}

install_compose() {
    local file
    file=$(setting compose-plugin)
    if [[ -n $file ]]; then
        file=$(file_at "$directory" "$file" "$(setting compose-plugin-sha256)" baseline.docker.composePlugin)
        if ! cmp -s "$file" "$plugin"; then
            mkdir -p "${plugin%/*}"
            install -m 0755 "$file" "$plugin.new"
            mv "$plugin.new" "$plugin"
        fi
    fi
    compose_answers || ensure_compose
}

# --- what is in effect

check_clock() {
    [[ $(setting time-sync) == chrony ]] || return 0
    # Tries of one second each, until the clock is right to half a second.
    chronyc -n waitsync "$clock_seconds" 0.5 0 1 >/dev/null 2>&1 </dev/null ||
        fail "the clock is not in sync after $clock_seconds s, and a registry's tokens fail by that (baseline.timeServers). chrony sees: $(chrony_sources)"
}

check_effects() {
    local zone limit want version
    zone=$(setting time-zone)
    [[ $(TZ='' date +%Z%z) == "$(TZ=$zone date +%Z%z)" || $(readlink -f /etc/localtime) == "$(readlink -f "/usr/share/zoneinfo/$zone")" ]] ||
        fail "the time zone is $(date +%Z), not $zone"
    want=$(setting open-files)
    limit=$(awk '/^Max open files/ { print $5 }' "/proc/$(pgrep -o -x dockerd)/limits")
    [[ $limit == unlimited || $limit -ge $want ]] ||
        fail "Docker may have $limit files open, and can give services no more; expected $want (baseline.openFiles)"
    want=$(setting docker-version)
    version=$(docker version --format '{{.Server.Version}}')
    [[ -z $want ]] || version_begins "$version" "$want" ||
        fail "Docker is $version; expected $want (baseline.docker.version). Upgrade it by hand, with its services stopped, or say what is there"
    # shellcheck source=/dev/null
    say "$(. /etc/os-release && printf '%s' "$PRETTY_NAME"), $zone, Docker $version, compose $(docker compose version --short)"
}

# Docker, chrony and their settings stay: others may use them. What would keep Docker from starting without our disk goes.
delete() {
    [[ -f $directory/incarnation.system && $(<"$directory/incarnation.system") == "$incarnation" ]] || return 0
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    lock_machine "$directory"
    if mountpoint --quiet "$directory/data"; then
        # On destroy they are gone by now; another generation begins with the system, while they run.
        take_down_all "$directory"
        umount "$directory/data" || fail "$directory/data is in use and cannot be unmounted; see: fuser -vm $directory/data"
    fi
    set_fstab
    if [[ -f $docker_conf ]]; then
        rm -f "$docker_conf"
        systemctl daemon-reload </dev/null
    fi
    rm -f "$directory/incarnation.system"
    remove_empty "$directory/data" "$directory"
}
