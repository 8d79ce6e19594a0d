#!/bin/sh
# Entry point of the registry image: a configuration file alone means "serve with it".
set -eu
case "${1:-}" in
*.yaml | *.yml) set -- registry serve "$@" ;;
serve | garbage-collect | help | -*) set -- registry "$@" ;;
esac
exec "$@"
