# shellcheck shell=bash
# trust.sh apply DIRECTORY PROJECT      reads a CA's certificate
# Before nodes get certificates of another CA: has the load balancer that runs believe these as well, until its next release,
# which believes them alone. Does nothing where it does not ask its nodes for certificates yet.
main() {
    [[ $1 == apply ]] || return 0
    local directory release file ca
    directory=$(expand_home "$2")
    release=$(readlink -f "$directory/stacks/$3/current") || return 0
    file=$release/trust/nodes.crt
    ca=$(cat)
    [[ -f $file && $(<"$file") != *"$ca"* ]] || return 0
    lock_machine "$directory"
    # The agent reads it at any time.
    cp --preserve "$file" "$file.new"
    printf '%s\n' "$ca" >>"$file.new"
    mv "$file.new" "$file"
    if [[ -n $(docker ps --quiet --filter "label=com.docker.compose.project=$3" --filter label=com.docker.compose.service=nginx) ]]; then
        bash "$release/harborage-lb" reload
    fi
    say "certificates of the new CA are believed as well"
}
