# shellcheck shell=bash disable=SC2034 # who reads this uses the names
# A backup is a folder STAMP-vVERSION[-REASON] with these files and a manifest, which is written last: what has none is none.
readonly backup_files=(registry.dump secretkey private_key.pem root.crt)
readonly backup_name='^[0-9]{8}T[0-9]{6}Z-v[0-9]+\.[0-9]+\.[0-9]+(-[a-z0-9][a-z0-9.-]*)?$'
readonly backup_format=1

# value_of FILE NAME: what stands behind a name, in a file with a name and a value on each line; nothing where it is missing.
value_of() {
    local name value
    while read -r name value; do
        if [[ $name == "$2" ]]; then
            printf '%s\n' "$value"
            return
        fi
    done <"$1"
}

hash_of() {
    local hash
    read -r hash _ < <(sha256sum "$1")
    printf '%s\n' "$hash"
}

size_of() {
    local size
    size=$(wc -c <"$1")
    printf '%d\n' "$size"
}

# print_manifest FOLDER NAME VALUE...: names and values, then the hash and the size of each file.
print_manifest() {
    local folder=$1 file
    shift
    printf 'harborage-backup %s\n' "$backup_format"
    printf '%s %s\n' "$@"
    for file in "${backup_files[@]}"; do
        printf 'sha256:%s %s %s\n' "$file" "$(hash_of "$folder/$file")" "$(size_of "$folder/$file")"
    done
}

# check_backup FOLDER: says what is wrong with a backup, and fails.
check_backup() {
    local folder=$1 format file hash size
    if [[ ! -f $folder/manifest ]]; then
        printf '%s is no backup: it has no manifest\n' "$folder"
        return 1
    fi
    format=$(value_of "$folder/manifest" harborage-backup)
    if [[ $format != "$backup_format" ]]; then
        printf '%s has the format %s; this version of Harborage reads %s\n' "$folder" "${format:-of something else}" "$backup_format"
        return 1
    fi
    for file in "${backup_files[@]}"; do
        read -r hash size < <(value_of "$folder/manifest" "sha256:$file") || true
        if [[ ! -f $folder/$file ]]; then
            printf '%s is not whole: %s is missing\n' "$folder" "$file"
            return 1
        fi
        if [[ $(size_of "$folder/$file") != "${size:-}" || $(hash_of "$folder/$file") != "${hash:-}" ]]; then
            printf '%s is damaged: %s is not what was backed up\n' "$folder" "$file"
            return 1
        fi
    done
}
