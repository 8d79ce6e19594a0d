#!/usr/bin/env bash
# Says what of the bed runs, and fails unless all of it does.
# usage: sudo status.sh
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
# shellcheck source=test/openstack/bed/lib.sh
. ./lib.sh
# shellcheck source=test/openstack/bed/guest-services.sh
. ./guest-services.sh
# shellcheck source=test/openstack/bed/openstack.sh
. ./openstack.sh
need_root

failures=0
check() { # WHAT COMMAND...
    if "${@:2}" >/dev/null 2>&1; then
        echo "ok      $1"
    else
        echo "failed  $1"
        failures=$((failures + 1))
    fi
}

# The ids that OpenStack's services run by say nothing about whether they do their work: the cloud is asked, too.
services_are_up() {
    # shellcheck disable=SC1091 # made by up.sh
    . "$LAB/admin-openrc"
    ./cloud.py check
}

for name in mariadb rabbitmq memcached virtlogd libvirtd "${OPENSTACK_SERVICES[@]}" "${GUEST_SERVICES[@]}"; do
    check "$name" alive "$name"
done
check "agents, images and networks" services_are_up
check "packages at http://$GATEWAY:3142" packages_answer
check "files at http://$GATEWAY:3143" curl --fail --max-time 5 "http://$GATEWAY:3143/"
check "time at $GATEWAY" time_answers
((failures == 0)) || die "$failures of the bed's parts do not work; up.sh starts what is not running"
