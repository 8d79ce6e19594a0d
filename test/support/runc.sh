#!/bin/bash
# In the place of runc on a test machine whose root lacks capabilities: `docker run --privileged`, which Harbor's own
# `prepare` is run by, asks for all of them, and runc gives no process what it does not have itself.
# runc itself is at /run/runc.
set -euo pipefail
missing=$(setpriv --list-caps | grep -vxFf <(setpriv --dump | sed -n 's/^Capability bounding set: //p' | tr , '\n')) || true
option=
for word in "$@"; do
    case $option in
        --bundle | -b) file=$word/config.json ;;
        --process | -p) file=$word ;;
        *) file= ;;
    esac
    option=$word
    [[ -f $file ]] || continue
    for name in ${missing^^}; do
        sed -i "s/,\"CAP_$name\"//g; s/\"CAP_$name\",//g" "$file"
    done
done
exec /run/runc "$@"
