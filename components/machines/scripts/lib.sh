# shellcheck shell=bash
# Shared by every script that runs on a machine. A script defines main; the program appends the call, with the data that
# belongs to it as main's standard input (so nothing that a command reads by accident is the script itself).
set -euo pipefail
umask 077

fail() {
    printf 'harborage: %s\n' "$*" >&2
    exit 1
}

say() {
    printf '%s\n' "$*"
}

# The folder that the stack file names, with ~ for the home of the user that runs this.
expand_home() {
    # shellcheck disable=SC2088 # a tilde as the stack file writes it, not for the shell
    case $1 in
        '~/'*) printf '%s/%s\n' "$HOME" "${1#'~/'}" ;;
        *) printf '%s\n' "$1" ;;
    esac
}

# One script at a time changes a machine, also when an earlier program was killed and its script goes on.
lock_machine() {
    local directory=$1
    exec 9>"$directory/lock"
    flock --wait 600 9 || fail "another run has been changing this machine for 10 minutes (it holds $directory/lock); wait for it or end it: fuser -v $directory/lock"
}

# Whether the folder belongs to this incarnation of the machine. What an older incarnation declared must not touch a newer one.
# The mark is CLAIM-GENERATION: the claim is the stack's, the generation counts up when the machine is set up again.
same_incarnation() {
    local directory=$1 incarnation=$2
    [[ -f $directory/incarnation && $(<"$directory/incarnation") == "$incarnation" ]]
}

# unpack_files FOLDER: makes the files of the standard input, with a line `@@ MODE NAME` before each.
unpack_files() {
    awk -v target="$1" '
        /^@@ / {
            if (file) close(file)
            file = target "/" $3
            folder = file
            sub(/\/[^\/]*$/, "", folder)
            system("mkdir -p \"" folder "\"")
            printf "" > file
            close(file)
            system("chmod " $2 " \"" file "\"")
            next
        }
        { print >> file }
    '
}

# check_sha256 FILE SHA256 SETTING
check_sha256() {
    local actual
    [[ -r $1 ]] || fail "cannot read $1 ($3.path)"
    actual=$(sha256sum "$1" | cut -d ' ' -f 1)
    [[ $actual == "$2" ]] || fail "$1 has the SHA-256 $actual; expected $2 ($3.sha256)"
}

# file_at DIRECTORY PLACE SHA256 SETTING: the path of a checked file; one at a URL is fetched first.
file_at() {
    local directory=$1 place=$2 sha256=$3 setting=$4 file
    case $place in
        http://* | https://*)
            file=$directory/incoming/$sha256
            mkdir -p "${file%/*}"
            if [[ ! -f $file ]]; then
                fetch "$place" "$file.new" || fail "cannot fetch $place ($setting.url)"
                mv "$file.new" "$file"
            fi
            ;;
        *) file=$place ;;
    esac
    # A file that is not what it should be must not stand in the way of the next try.
    (check_sha256 "$file" "$sha256" "$setting") || {
        [[ $file == "$place" ]] || rm -f "$file"
        exit 1
    }
    printf '%s\n' "$file"
}

fetch() {
    if command -v curl >/dev/null; then
        curl --silent --show-error --fail --location --retry 3 --connect-timeout 20 --output "$2" "$1" </dev/null >&2
    elif command -v wget >/dev/null; then
        wget --quiet --tries 3 --connect-timeout 20 --output-document "$2" "$1" </dev/null >&2
    else
        fail "neither curl nor wget is there to fetch $1; install one"
    fi
}

# cloud-init may still be installing packages and growing the disk.
wait_for_cloud_init() {
    command -v cloud-init >/dev/null || return 0
    local status=0
    timeout "$1" cloud-init status --wait >/dev/null 2>&1 </dev/null || status=$?
    [[ $status -ne 124 ]] || fail "cloud-init has not ended after $1 s; see /var/log/cloud-init-output.log"
    # 2: it ended, with warnings.
    [[ $status -eq 0 || $status -eq 2 ]] || fail "cloud-init failed: $(cloud-init status --long 2>&1 | tail -n 5)"
}

has_systemd() {
    [[ -d /run/systemd/system ]]
}

docker_answers() {
    command -v docker >/dev/null && docker info >/dev/null 2>&1
}

compose_answers() {
    command -v docker >/dev/null && docker compose version --short >/dev/null 2>&1
}

# version_at_least HAVE WANT
version_at_least() {
    [[ $(printf '%s\n%s\n' "${1#v}" "$2" | sort --version-sort | head -n 1) == "$2" ]]
}

# The version of a package as its authors write it: 28.5.1 of 5:28.5.1-1~debian.12.
upstream_version() {
    local version=${1#*:}
    printf '%s\n' "${version%%[-+~]*}"
}

# Lines of a table in one.
one_line() {
    awk '{ $1 = $1; printf "%s;", $0 }'
}

chrony_sources() {
    chronyc -n sources 2>&1 </dev/null | tail -n +3 | one_line
}

os_release() {
    # shellcheck source=/dev/null
    (. /etc/os-release 2>/dev/null && printf '%s %s\n' "${ID:-unknown}" "${VERSION_ID:-0}") || printf 'unknown 0\n'
}

# Beside Docker's settings, the SHA-256 of all that we ever wrote there: they stay longer than any stack.
daemon_marks() {
    printf '%s/harborage.sha256\n' "${1%/*}"
}

# foreign_daemon DAEMON_JSON: says what is wrong where Docker's settings are somebody else's; fails where they are not.
foreign_daemon() {
    [[ -f $1 ]] || return 1
    ! grep -qsF "$(sha256sum <"$1" | cut -d ' ' -f 1)" "$(daemon_marks "$1")" || return 1
    printf '%s was not written by harborage; put what it says into baseline.docker.daemon and remove it\n' "$1"
}

# The distribution's own package with the compose plugin; nothing where there is none (Debian before 13).
compose_package() {
    local id version
    read -r id version < <(os_release)
    case $id in
        ubuntu) printf 'docker-compose-v2\n' ;;
        debian) [[ ${version%%.*} -lt 13 ]] || printf 'docker-compose\n' ;;
    esac
}

# Whether this user may install packages on a distribution that we know.
can_install() {
    local id
    read -r id _ < <(os_release)
    [[ $EUID -eq 0 && ($id == debian || $id == ubuntu) ]] && command -v apt-get >/dev/null
}

# The user that services run as when they need no root: an unprivileged one, or the user itself where that is not root.
service_user() {
    if [[ $EUID -eq 0 ]]; then printf '10000:10000\n'; else printf '%s:%s\n' "$(id -u)" "$(id -g)"; fi
}

ensure_docker() {
    ! docker_answers || return 0
    can_install || fail "Docker does not answer; start it and run again"
    if ! command -v dockerd >/dev/null; then
        say "installing Docker"
        install_engine docker.io
        hash -r
    fi
    docker_answers || start_docker
}

ensure_compose() {
    ! compose_answers || return 0
    local package
    package=$(compose_package)
    [[ -n $package ]] || fail "the plugin docker compose is missing; install docker-compose-plugin from Docker's own repository, or, on machines that are reached by SSH, name the program (baseline.docker.composePlugin)"
    say "installing the compose plugin"
    install_packages "$package"
    compose_answers || fail "the package $package is installed, but docker compose does not answer"
}

# Once in a run, when something has to be installed.
apt_update() {
    [[ -z ${apt_updated:-} ]] || return 0
    apt_get update || fail "apt-get cannot read its repositories"
    apt_updated=1
}

install_packages() {
    apt_update
    apt_get install --yes --no-install-recommends "$@" || fail "apt-get could not install $*"
}

# install_engine PACKAGE...: Docker Engine, with what it only recommends and does not work without: its client, where that
# is a package of its own (Debian 13), and AppArmor's tools, where the kernel has AppArmor.
install_engine() {
    apt_update
    if apt-cache show docker-cli >/dev/null 2>&1; then set -- "$@" docker-cli; fi
    if [[ $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null) == Y ]]; then set -- "$@" apparmor; fi
    install_packages "$@"
}

# Quiet, unless it fails. What it starts must not hold the lock.
apt_get() {
    local log status=0
    log=$(mktemp)
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@" >"$log" 2>&1 9>&- </dev/null || status=1
    [[ $status -eq 0 ]] || tail -n 20 "$log" >&2
    rm -f "$log"
    return "$status"
}

# systemd where it runs, else the init script, else by hand. The daemon must not hold the lock nor our output.
start_docker() {
    say "starting Docker"
    if has_systemd; then
        systemctl enable --now docker </dev/null
    elif ! { service docker start >/dev/null 2>&1 9>&- </dev/null && wait_for_docker 20; }; then
        say "no service manager starts Docker here: it runs until the machine stops"
        rm -f /var/run/docker.pid
        setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null 9>&- &
    fi
    wait_for_docker 60 || fail "Docker was started but does not answer: $(tail -n 5 /var/log/dockerd.log 2>/dev/null || journalctl --unit docker --lines 5 --no-pager 2>/dev/null)"
}

wait_for_docker() {
    local left=$1
    until docker_answers; do
        ((left-- > 0)) || return 1
        sleep 1
    done
}

# nameless_volumes PROJECT: the volumes without a name that the images of its services ask for.
nameless_volumes() {
    docker ps --all --quiet --filter "label=com.docker.compose.project=$1" </dev/null |
        xargs --no-run-if-empty docker inspect --format '{{range .Mounts}}{{println .Name}}{{end}}' |
        grep -xE '[0-9a-f]{64}' || true
}

# remove_volumes NAME...: those that no container uses any more. Docker removes one without a name together with the
# container that it was made for alone, and compose hands it on to the next one, or leaves it.
remove_volumes() {
    (($# == 0)) || docker volume rm "$@" >/dev/null 2>&1 </dev/null || true
}

# take_down PROJECT: removes the containers, the networks and the nameless volumes of a compose project.
take_down() {
    docker_answers || fail "Docker does not answer, so the services of $1 cannot be taken down; start it and run again"
    local volumes
    mapfile -t volumes < <(nameless_volumes "$1")
    docker compose --project-name "$1" down --remove-orphans --timeout 30 </dev/null 2>&1 | tail -n 20 >&2
    remove_volumes "${volumes[@]}"
}

# take_down_all DIRECTORY: those of all projects that the folder has.
take_down_all() {
    local project
    for project in "$1"/stacks/*; do
        [[ ! -d $project ]] || take_down "${project##*/}"
    done
}

# Removes folders that have nothing left in them but the lock, in the order given. One that a disk is mounted on is not ours.
remove_empty() {
    local folder
    for folder in "$@"; do
        if [[ -d $folder ]] && ! mountpoint --quiet "$folder" && [[ -z $(find "$folder" -mindepth 1 -maxdepth 1 ! -name lock -print -quit) ]]; then
            rm -rf "$folder"
        fi
    done
}
