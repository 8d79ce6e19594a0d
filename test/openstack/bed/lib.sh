# shellcheck shell=bash
# What the scripts of the bed share: where things are, and processes that are started once and ended by their id.

LAB=${LAB:-/var/lib/openstack-lab} # state, images and the openrc files
RUN=/run/labstack                  # ids of running processes
LOG=/var/log/labstack
IMAGES=$LAB/img
export LAB IMAGES

# The external network: this machine is its gateway, and the only thing on it that guests reach.
GATEWAY=172.24.4.1
EXTERNAL_CIDR=172.24.4.0/24
export GATEWAY EXTERNAL_CIDR

PASSWORD=labpass # of everything; nothing but the guests' network listens outside of 127.0.0.1
REGION=RegionOne
export PASSWORD REGION

export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# What a caller has set for its own clients must not reach the services.
unset PYTHONDONTWRITEBYTECODE PYTHONPATH http_proxy https_proxy HTTP_PROXY HTTPS_PROXY "${!OS_@}"

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

need_root() {
    [[ $EUID == 0 ]] || die "it has to run as root"
}

# What a process is known by beside its id, as ids are used again: the time when it started, and the boot.
born() { # PID
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -r -a stat <<<"${stat##*) }"
    # Dead, and left by a first process that takes no notice of orphans.
    [[ ${stat[0]} != Z ]] || return 1
    echo "${stat[19]} $(</proc/sys/kernel/random/boot_id)"
}

alive() { # NAME
    [[ -s $RUN/$1.pid && -s $RUN/$1.born && $(born "$(<"$RUN/$1.pid")") == "$(<"$RUN/$1.born")" ]]
}

# Starts a process in the background, unless it runs.
service() { # NAME USER COMMAND...
    local name=$1 user=$2
    shift 2
    ! alive "$name" || return 0
    rm -f "$RUN/$name.pid" "$RUN/$name.born"
    start-stop-daemon --start --quiet --background --make-pidfile --pidfile "$RUN/$name.pid" --chuid "$user" \
        --chdir / --output "$LOG/$name.out" --startas "$1" -- "${@:2}"
    wait_for 5 "the process id of $name" test -s "$RUN/$name.pid"
    born "$(<"$RUN/$name.pid")" >"$RUN/$name.born" || die "$name did not start: $(tail -n 3 "$LOG/$name.out")"
}

# Ends a process that service started; by force when it takes too long.
stop() { # NAME [SECONDS]
    local name=$1 deadline=$((SECONDS + ${2:-20})) pid
    if alive "$name"; then
        pid=$(<"$RUN/$name.pid")
        kill -TERM "$pid" || true
        while alive "$name" && ((SECONDS < deadline)); do
            sleep 0.2
        done
        ! alive "$name" || kill -KILL "$pid" || true
    fi
    rm -f "$RUN/$name.pid" "$RUN/$name.born"
}

wait_for() { # SECONDS WHAT COMMAND...
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || die "$what: not there in time"
        sleep 0.2
    done
}

# Whether an address answers HTTP; 503 is what an API says that is still starting.
answers() { # URL
    local code
    code=$(curl --silent --output /dev/null --max-time 5 --write-out '%{http_code}' "$1") || true
    [[ $code != 000 && $code != 503 ]]
}

# Addresses of this machine's own package sources, each with its suite: "http://mirror/debian bookworm".
apt_sources() {
    # shellcheck disable=SC2016 # apt replaces these
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | sed 's,/* , ,' | sort --unique
}
