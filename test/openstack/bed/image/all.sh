#!/usr/bin/env bash
# Builds the guest images that are not there: $IMAGES/NAME each.
# usage: all.sh
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=test/openstack/bed/lib.sh
. "$here/../lib.sh"

build() { # NAME PACKAGE...
    [[ -s $IMAGES/$1/root.qcow2 ]] || nice "$here/build.sh" "$IMAGES/$1" "${@:2}"
}

build debian-12
# What a baseline would install first, which takes minutes where the processor is emulated.
build debian-12-docker docker.io iptables chrony
