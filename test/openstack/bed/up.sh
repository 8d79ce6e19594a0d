#!/usr/bin/env bash
# Brings up OpenStack Zed from Debian 12's packages, on this machine alone and without systemd. What is there already
# stays: run it again after anything has gone wrong. It changes the machine; see ../README.md.
# usage: sudo up.sh
set -euo pipefail
bed=$(dirname "$(readlink -f "$0")")
cd "$bed"
# shellcheck source=test/openstack/bed/lib.sh
. ./lib.sh
# shellcheck source=test/openstack/bed/packages.sh
. ./packages.sh
# shellcheck source=test/openstack/bed/host.sh
. ./host.sh
# shellcheck source=test/openstack/bed/guest-services.sh
. ./guest-services.sh
# shellcheck source=test/openstack/bed/databases.sh
. ./databases.sh
# shellcheck source=test/openstack/bed/openstack.sh
. ./openstack.sh
need_root

done_with() { # STEP
    printf '%4d s  %s\n' "$SECONDS" "$*" | tee -a "$LOG/up.log"
}

# Clients that know projects by their id alone find it there, too.
write_openrc() { # PROJECT [ID]
    install -m 600 /dev/stdin "$LAB/$1-openrc" <<END
export OS_AUTH_URL=http://127.0.0.1:5000/v3
export OS_IDENTITY_API_VERSION=3
export OS_REGION_NAME=$REGION
export OS_USER_DOMAIN_NAME=Default
export OS_PROJECT_DOMAIN_NAME=Default
export OS_PROJECT_NAME=$1
export OS_USERNAME=$1
export OS_PASSWORD=$PASSWORD
export OS_INTERFACE=public
${2:+export OS_PROJECT_ID=$2}
END
}

mkdir -p "$RUN" "$LOG" "$IMAGES" "$LAB/stamp"
exec 9>"$RUN/lock"
flock --nonblock 9 || die "another up.sh runs"

# In the background, from the moment when its tools are there.
build_images() {
    ./image/all.sh >"$LOG/images.log" 2>&1 9>&- &
    image_job=$!
}

mapfile -t missing < <(missing_packages)
if ((${#missing[@]} > 0)); then
    forbid_service_starts
    apt-get update -q >"$LOG/apt.log" 2>&1 || die "apt-get update failed; see $LOG/apt.log"
    install_packages "${IMAGE_TOOLS[@]}"
    build_images
    install_packages "${missing[@]}"
    allow_service_starts
else
    build_images
fi
done_with "packages"

prepare_host
start_guest_services
VIRT_TYPE=$(virt_type)
export VIRT_TYPE
./configure.py
prepare_folders
done_with "host and configuration (guests by $VIRT_TYPE)"

start_stores
make_schemas
start_keystone
write_openrc admin
# shellcheck disable=SC1091 # made here
. "$LAB/admin-openrc"
projects=$(./cloud.py identity)
while read -r project id; do
    write_openrc "$project" "$id"
done <<<"$projects"
ln -sf lab-openrc "$LAB/openrc"
done_with "databases and keystone"

start_servers
start_agents
done_with "services"

wait "$image_job" || die "an image could not be built: $(tail -n 5 "$LOG/images.log")"
./cloud.py content
done_with "images, flavors and the public network; credentials are in $LAB/openrc"
