#!/usr/bin/env bash
# Looks at a bucket in S3, or in a server that speaks it, as the registry will use it. In the environment: RELEASE, MACHINE
# (its path in the stack file), ENDPOINT, REGION, BUCKET, ROOT (ends with /), STORAGE_CLASS and ENCRYPT; CA, ACCESS_KEY and
# SECRET_KEY are files of the release, or empty; ROLE is where a machine's role gives keys; SETTLE says for how many seconds the
# key may not be known yet. Nothing but bash, curl, cat, date,
# mkdir and rm is called: Harbor's images have little more.
# shellcheck disable=SC2153 # the names in capitals are from the environment
set -euo pipefail
umask 077

scratch=/tmp/harborage-check.$$
mkdir "$scratch"
trap 'rm -rf "$scratch"' EXIT
began=$(date +%s)
printf -v name 'harborage-check-%04x%04x%04x%04x' "$RANDOM" "$RANDOM" "$RANDOM" "$RANDOM"
readonly content=harborage
readonly content_hash=e4e1a37e7ff56ac190bcea2f0544a4a9da2ecf47ef57e55b9a83999fa0bd9eea
readonly empty_hash=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

error() {
    printf 'error %s\n' "$*"
}

# Says it, and ends: what follows would fail for the same reason.
stop() {
    error "$@"
    exit 0
}

# quote TEXT: for curl's configuration, which is not seen by others as arguments are.
quote() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# field NAME TEXT: the text of an element of an answer in XML, or of a member of one in JSON.
field() {
    if [[ $2 =~ \<$1\>([^\<]*)\< || $2 =~ \"$1\"[[:space:]]*:[[:space:]]*\"([^\"]*)\" ]]; then
        printf '%s' "${BASH_REMATCH[1]}"
    fi
}

# header NAME: of the last answer. The name in small letters.
header() {
    local line value=
    while read -r line; do
        [[ ${line,,} != "$1":* ]] || value=${line#*:}
    done <"$scratch/headers"
    value=${value%$'\r'}
    printf '%s' "${value# }"
}

# role_keys: those of the machine's role.
role_keys() {
    local grant role answer from=$ROLE/latest/meta-data/iam/security-credentials
    ask() {
        curl --silent --fail --noproxy '*' --max-time 3 "$@" 2>/dev/null
    }
    grant=$(ask --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$ROLE/latest/api/token") || return 1
    printf 'header = %s\n' "$(quote "X-aws-ec2-metadata-token: $grant")" >"$scratch/grant"
    role=$(ask --config "$scratch/grant" "$from/") || return 1
    answer=$(ask --config "$scratch/grant" "$from/${role%%$'\n'*}") || return 1
    access_key=$(field AccessKeyId "$answer")
    secret_key=$(field SecretAccessKey "$answer")
    printf 'header = %s\n' "$(quote "x-amz-security-token: $(field Token "$answer")")" >>"$scratch/curl"
    [[ -n $access_key && -n $secret_key ]]
}

: >"$scratch/curl"
if [[ -n $ACCESS_KEY ]]; then
    access_key=$(<"$RELEASE/$ACCESS_KEY")
    secret_key=$(<"$RELEASE/$SECRET_KEY")
elif ! role_keys; then
    stop "storage.objects.accessKey: there is none, and the machine has no role that could be used in its place; expected accessKey and secretKey, or a role that this machine may use"
fi
{
    printf 'user = %s\n' "$(quote "$access_key:$secret_key")"
    printf 'aws-sigv4 = %s\n' "$(quote "aws:amz:$REGION:s3")"
    [[ -z $CA ]] || printf 'cacert = %s\n' "$(quote "$RELEASE/$CA")"
} >>"$scratch/curl"

# request METHOD TARGET HASH ARGUMENT...: sets `failed` (curl's exit code), `status` and `code` (S3's word for an error). The names
# in the query of TARGET stand in the order of the alphabet: the signature is over them.
request() {
    local method=$1 target=$2 hash=$3
    shift 3
    : >"$scratch/body"
    : >"$scratch/headers"
    # All requests together have 18 seconds, after those that wait for the key to be known.
    limit=$((began + 18 - $(date +%s)))
    limit=$((limit > 6 ? 6 : limit < 1 ? 1 : limit))
    failed=0
    status=$(curl --config "$scratch/curl" --silent --show-error --max-time "$limit" --request "$method" \
        --header "x-amz-content-sha256: $hash" --header 'Expect:' --header 'Content-Type:' --dump-header "$scratch/headers" \
        --output "$scratch/body" --write-out '%{http_code}' "$@" "$ENDPOINT/$BUCKET$target" 2>"$scratch/error") || failed=$?
    body=$(<"$scratch/body")
    code=$(field Code "$body")
}

# answer: what an unexpected answer was, in words.
answer() {
    local text
    text=$(field Message "$body")
    printf '%s' "$status${code:+ $code}${text:+: ${text:0:200}}"
}

# What keeps every request from being answered.
unreachable() {
    local said
    said=$(<"$scratch/error")
    said=${said%%$'\n'*}
    said=${said#curl: (*) }
    case $failed in
        0) return 0 ;;
        5 | 6) stop "storage.objects.endpoint: the name in $ENDPOINT is not known here; expected a name that this machine can resolve" ;;
        7) stop "storage.objects.endpoint: nothing can be reached at $ENDPOINT: $said; expected a server that this machine may reach" ;;
        28) stop "storage.objects.endpoint: $ENDPOINT does not answer within $limit s; expected a server that this machine may reach" ;;
        51 | 60 | 77 | 83)
            [[ -z $CA ]] ||
                stop "storage.objects.caCertificate: the certificate of $ENDPOINT is not from this CA, or not for this name: $said"
            stop "storage.objects.caCertificate: the certificate of $ENDPOINT is not trusted: $said; expected the CA that signed it"
            ;;
        35 | 52 | 56) stop "storage.objects.endpoint: $ENDPOINT does not speak the protocol that its URL names (http or https): $said" ;;
        *) stop "storage.objects.endpoint: $ENDPOINT cannot be asked: $said" ;;
    esac
}

# The server's clock: signatures of a machine whose clock is another are refused, and so are tokens.
clock() {
    local here date months=(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec) month=0 year days there difference
    local pattern='^[A-Za-z]+, ([0-9]+) ([A-Za-z]+) ([0-9]+) ([0-9]+):([0-9]+):([0-9]+) GMT$'
    here=$(date +%s)
    date=$(header date)
    [[ $date =~ $pattern ]] || return 0
    until [[ ${months[month]} == "${BASH_REMATCH[2]}" ]]; do ((month += 1, month < 12)) || return 0; done
    # Days since 1970, of years that begin in March.
    year=$((10#${BASH_REMATCH[3]} - (month < 2)))
    month=$(((month + 10) % 12))
    days=$((365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + 10#${BASH_REMATCH[1]} - 1 - 719468))
    there=$((((days * 24 + 10#${BASH_REMATCH[4]}) * 60 + 10#${BASH_REMATCH[5]}) * 60 + 10#${BASH_REMATCH[6]}))
    difference=$((here - there))
    ((difference > 60 || difference < -60)) || return 0
    local words="$difference s ahead of"
    ((difference > 0)) || words="$((-difference)) s behind"
    stop "$MACHINE: its clock is $words $ENDPOINT: $(date -u +%T) here, $date there; expected a clock that is kept right (baseline.timeSync), and at most 60 s of difference"
}

# What every request would be refused for.
refused() {
    local region
    region=$(header x-amz-bucket-region)
    region=${region:-$(field Region "$body")}
    case $status:$code in
        *:AuthorizationHeaderMalformed | 301:* | 307:* | *:IllegalLocationConstraintException)
            if [[ -n $region && $region != "$REGION" ]]; then
                stop "storage.objects.region: the bucket $BUCKET is in $region, not in $REGION; expected region: $region"
            fi
            stop "storage.objects.region: $ENDPOINT does not take the region $REGION: $(answer); expected the region that the server has"
            ;;
        *:NoSuchBucket) stop "storage.objects.bucket: there is no bucket $BUCKET at $ENDPOINT; expected one that exists" ;;
        *:InvalidAccessKeyId | *:InvalidToken | *:ExpiredToken)
            stop "storage.objects.accessKey: $ENDPOINT does not know it: $(answer); expected a key that exists and is active"
            ;;
        *:SignatureDoesNotMatch) stop "storage.objects.secretKey: it is not the one of the access key; expected the two that were made together" ;;
    esac
}

# may ACTION: whether the last request was allowed. Collects in `missing` what was not.
missing=
may() {
    unreachable
    case $status in
        2*) return 0 ;;
        403) missing="$missing${missing:+, }$1" ;;
        *) error "storage.objects: $1 below ${ROOT:-/} in the bucket $BUCKET: answered with $(answer)" ;;
    esac
    return 1
}

prefix=${ROOT//\//%2F}$name
request GET "/?list-type=2&max-keys=1&prefix=$prefix" "$empty_hash"
settled=$((began + SETTLE))
until [[ $status != 403 ]] || ((began >= settled)); do
    # There is no sleep: nothing is ever written to that pipe.
    read -r -t 2 <> <(:) || true
    began=$(date +%s)
    request GET "/?list-type=2&max-keys=1&prefix=$prefix" "$empty_hash"
done
unreachable
clock
refused
if may s3:ListBucket && [[ $body != *"<ListBucketResult"* ]]; then
    stop "storage.objects.endpoint: what answers at $ENDPOINT does not speak S3; expected the address of its S3 API"
fi

request GET "/?prefix=$prefix&uploads=" "$empty_hash"
may s3:ListBucketMultipartUploads || true

object=/$ROOT$name
kept=()
[[ $STORAGE_CLASS == STANDARD ]] || kept+=(--header "x-amz-storage-class: $STORAGE_CLASS")
[[ $ENCRYPT != true ]] || kept+=(--header 'x-amz-server-side-encryption: AES256')
request PUT "$object" "$content_hash" --data-binary "$content" "${kept[@]}"
case $code in
    InvalidStorageClass) error "storage.objects.storageClass: $ENDPOINT does not have $STORAGE_CLASS; expected STANDARD" ;;
    *)
        if may s3:PutObject; then
            request GET "$object" "$empty_hash"
            if may s3:GetObject && [[ $body != "$content" ]]; then
                error "storage.objects: what was put below ${ROOT:-/} in the bucket $BUCKET comes back as something else"
            fi
            request DELETE "$object" "$empty_hash"
            may s3:DeleteObject || error "storage.objects: the object $ROOT$name was left in the bucket $BUCKET; delete it by hand"
        fi
        ;;
esac

# Layers are put in parts.
request POST "$object?uploads=" "$empty_hash" "${kept[@]}"
if may "s3:PutObject (in parts)"; then
    upload=$(field UploadId "$body")
    request PUT "$object?partNumber=1&uploadId=$upload" "$content_hash" --data-binary "$content"
    may "s3:PutObject (in parts)" || true
    request GET "$object?uploadId=$upload" "$empty_hash"
    may s3:ListMultipartUploadParts || true
    request DELETE "$object?uploadId=$upload" "$empty_hash"
    may s3:AbortMultipartUpload || error "storage.objects: an upload in parts of $ROOT$name was left in the bucket $BUCKET; abort it by hand"
fi

if [[ -n $missing ]]; then
    error "storage.objects: the key may not do this below ${ROOT:-/} in the bucket $BUCKET: $missing; expected a policy that allows it"
fi
