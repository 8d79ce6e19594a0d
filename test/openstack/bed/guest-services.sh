# shellcheck shell=bash
# What guests get from outside, as they reach nothing but this machine: packages, the time and files.
# Sourced; needs lib.sh.

# shellcheck disable=SC2034 # for those who source this
GUEST_SERVICES=(guest-packages guest-time guest-files)

start_guest_services() {
    start_package_proxy
    start_time_server
    start_file_server
}

# http://172.24.4.1:3142, as apt's Acquire::http::Proxy. What this machine itself takes packages from, and nothing else.
start_package_proxy() {
    local etc=$LAB/packages/etc uri suite host hosts=()
    install -d -o apt-cacher-ng -g apt-cacher-ng "$LAB/packages" "$LAB/packages/cache" "$LAB/packages/log"
    install -d "$etc"
    {
        cat <<END
CacheDir: $LAB/packages/cache
LogDir: $LAB/packages/log
SupportDir: /usr/lib/apt-cacher-ng
BindAddress: $GATEWAY
Port: 3142
ForeGround: 1
# Only what is listed below.
ForceManaged: 1
END
        while read -r uri suite; do
            host=${uri#*://}
            host=${host%%/*}
            if [[ $uri == https:* ]]; then
                # apt makes a tunnel of it, which nothing can be kept from.
                [[ $host == *:* ]] || host=$host:443
                hosts+=("${host//./\\.}")
            else
                echo "Remap-$suite: $uri ; $uri"
            fi
        done < <(apt_sources)
        # The default lets through to other hosts.
        echo "PassThroughPattern: ^($(IFS='|' && echo "${hosts[*]:-nothing}"))\$"
    } >"$etc/acng.conf"
    service guest-packages apt-cacher-ng /usr/sbin/apt-cacher-ng -c "$etc"
}

# NTP at 172.24.4.1: this machine's clock, whatever it says. The clock itself is left alone (-x).
start_time_server() {
    cat >"$LAB/chrony.conf" <<END
bindaddress $GATEWAY
allow $EXTERNAL_CIDR
local stratum 8
cmdport 0
bindcmdaddress /
pidfile $RUN/chronyd.pid
END
    service guest-time root /usr/sbin/chronyd -x -n -u root -f "$LAB/chrony.conf"
}

# http://172.24.4.1:3143: what lies in $LAB/files.
start_file_server() {
    install -d -m 755 "$LAB/files"
    service guest-files nobody /usr/bin/python3 -m http.server --bind "$GATEWAY" --directory "$LAB/files" 3143
}

packages_answer() {
    local uri suite
    read -r uri suite < <(apt_sources)
    curl --fail --max-time 60 --proxy "http://$GATEWAY:3142" "$uri/dists/$suite/InRelease"
}

# Asks and sets nothing.
time_answers() {
    chronyd -Q -t 5 -u root -f /dev/null "server $GATEWAY iburst maxsamples 1"
}
