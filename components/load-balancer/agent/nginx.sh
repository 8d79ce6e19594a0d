#!/bin/sh
# nginx.sh: the first program of nginx's container. nginx finds the list of nodes as it has to be, and gets a new one when
# the agent writes a line to the pipe.
set -eu

balancer=/etc/harborage/current/agent/balancer.sh
wake=/balancer/wake

[ -p "$wake" ] || mkfifo "$wake"
# Nothing of an earlier nginx goes on.
rm -f /balancer/ended
sh "$balancer" apply || true
while read -r _; do
    until [ -s /run/nginx.pid ]; do sleep 0.2; done
    sh "$balancer" apply || true
done <>"$wake" &
exec nginx -c /etc/harborage/current/nginx.conf -g 'daemon off;'
