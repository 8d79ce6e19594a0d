# shellcheck shell=bash disable=SC2154,SC2034 # backup.sh has set the names of folders, and says what went wrong
# Where backups are kept, with what went wrong in `store_error`: store_KIND_names, store_KIND_add NAME FOLDER, store_KIND_fetch NAME FOLDER, store_KIND_delete NAME.

store_error=
s3_endpoint=$(setting s3-endpoint)
s3_region=$(setting s3-region)
s3_bucket=$(setting s3-bucket)
s3_prefix=$(setting s3-prefix)

# is_name NAME: whether it is the name of a backup.
is_name() {
    [[ $1 =~ $backup_name ]]
}

store_path_names() {
    local path
    for path in "$backups"/*; do
        if is_name "${path##*/}" && [[ -f $path/manifest ]]; then printf '%s\n' "${path##*/}"; fi
    done
}

store_path_add() {
    # A power cut must not leave a backup that only looks whole.
    sync
    mv "$2" "$backups/$1"
    sync
}

store_path_fetch() {
    local file
    for file in "${backup_files[@]}" manifest; do
        cp "$backups/$1/$file" "$2/$file" || return 1
    done
}

store_path_delete() {
    rm -f "$backups/$1/manifest"
    rm -rf "${backups:?}/$1"
}

readonly empty_hash=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
readonly s3_limit=$((5 * 1024 * 1024 * 1024))

# The keys, for curl's standard input: its arguments can be read by everybody on the machine.
s3_credentials() {
    local pair
    pair=$(<"$secrets/s3-access-key"):$(<"$secrets/s3-secret-key")
    pair=${pair//\\/\\\\}
    printf 'user = "%s"\n' "${pair//\"/\\\"}"
}

# s3 METHOD PATH HASH OUTPUT ARGUMENT...: one request, whose answer goes to the file OUTPUT. Says why it failed.
s3() {
    local method=$1 path=$2 hash=$3 output=$4 status answer='' ca=()
    shift 4
    if [[ -f $here/s3-ca.pem ]]; then ca=(--cacert "$here/s3-ca.pem"); fi
    status=$(s3_credentials | curl --config - --silent --show-error --aws-sigv4 "aws:amz:$s3_region:s3" "${ca[@]}" \
        --connect-timeout 20 --speed-limit 1000 --speed-time 120 --retry 3 --request "$method" \
        --header "x-amz-content-sha256: $hash" --output "$output" --write-out '%{http_code}' "$@" \
        "$s3_endpoint/$s3_bucket$path" 2>"$scratch/error") || {
        store_error="$method $s3_endpoint/$s3_bucket$path: $(<"$scratch/error")"
        return 1
    }
    if [[ $status != 2* ]]; then
        read -r -d '' -N 4096 answer 2>/dev/null <"$output" || true
        if [[ $answer =~ \<Code\>([A-Za-z0-9]*) ]]; then answer=${BASH_REMATCH[1]}; else answer=; fi
        store_error="$method $s3_endpoint/$s3_bucket$path: answered with $status $answer"
        return 1
    fi
}

# url_encode TEXT: as the signature wants it.
url_encode() {
    local text=$1 index character
    for ((index = 0; index < ${#text}; index++)); do
        character=${text:index:1}
        case $character in
            [A-Za-z0-9._~-]) printf '%s' "$character" ;;
            *) printf '%%%02X' "'$character" ;;
        esac
    done
}

store_s3_names() {
    local token='' answer name pattern='<Key>([^<]*)/manifest</Key>(.*)'
    while :; do
        # The names of the query stand in the order of the alphabet: the signature is over them.
        s3 GET "/?${token:+continuation-token=$(url_encode "$token")&}list-type=2&prefix=$(url_encode "$s3_prefix/")" "$empty_hash" "$scratch/answer" || return 1
        answer=$(<"$scratch/answer")
        token=
        if [[ $answer =~ \<NextContinuationToken\>([^\<]+)\< ]]; then token=${BASH_REMATCH[1]}; fi
        while [[ $answer =~ $pattern ]]; do
            name=${BASH_REMATCH[1]##*/}
            answer=${BASH_REMATCH[2]}
            if is_name "$name"; then printf '%s\n' "$name"; fi
        done
        if [[ -z $token ]]; then return 0; fi
    done
}

store_s3_add() {
    local file
    for file in "${backup_files[@]}" manifest; do
        if (($(size_of "$2/$file") > s3_limit)); then
            store_error="$file has more than 5 GiB, which S3 does not take in one piece; keep backups in a folder (destination.kind: path)"
            return 1
        fi
        # The server compares what it got with the hash.
        s3 PUT "/$s3_prefix/$1/$file" "$(hash_of "$2/$file")" "$scratch/answer" --upload-file "$2/$file" || return 1
    done
    rm -rf "$2"
}

store_s3_fetch() {
    local file
    for file in "${backup_files[@]}" manifest; do
        s3 GET "/$s3_prefix/$1/$file" "$empty_hash" "$2/$file" || return 1
    done
}

store_s3_delete() {
    local file
    for file in manifest "${backup_files[@]}"; do
        s3 DELETE "/$s3_prefix/$1/$file" "$empty_hash" "$scratch/answer" || return 1
    done
}
