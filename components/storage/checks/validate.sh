#!/usr/bin/env bash
# Looks at the storage as this machine's services will use it, before anything that runs is touched: all that is wrong is
# said at once. The calls of `check` and `report` stand behind this text.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# check PART IMAGE PROGRAM SCRIPT NAME=VALUE...: runs the release's checks/SCRIPT in the image, on the machine's own network.
# It says `error TEXT` or `warning TEXT` on its lines, and nothing where all is well.
check() {
    local part=$1 image=$2 program=$3 script=$4 each options=()
    shift 4
    for each in "$@"; do options+=(--env "$each"); done
    printf '%s\n' "$part" >>"$scratch/parts"
    if run "$image" "$program" "$script" "${options[@]}" >"$scratch/$part" 2>"$scratch/$part.failed"; then
        : >"$scratch/$part.failed"
    else
        printf 'exit code %s\n' $? >>"$scratch/$part.failed"
    fi &
}

run() {
    # The script has limits of its own; this one is for a Docker that hangs.
    timeout 80 docker run --rm --pull never --network host --user 0:0 --read-only --tmpfs /tmp \
        --cap-drop ALL --cap-add DAC_OVERRIDE --security-opt no-new-privileges \
        --volume "$RELEASE:$RELEASE:ro" --env "RELEASE=$RELEASE" "${@:4}" \
        --entrypoint "$2" "$1" "$RELEASE/checks/$3" </dev/null
}

report() {
    local part kind text status=0
    wait
    while read -r part; do
        while read -r kind text; do
            printf '%s\n' "$text" >&2
            [[ $kind != error ]] || status=1
        done <"$scratch/$part"
        if [[ -s $scratch/$part.failed ]]; then
            printf 'storage.%s: cannot be looked at: %s\n' "$part" "$(tail -n 5 "$scratch/$part.failed")" >&2
            status=1
        fi
    done <"$scratch/parts"
    return "$status"
}
