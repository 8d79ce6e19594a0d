# shellcheck shell=sh disable=SC2154 # whoever reads this in has set `release`
# write_config FILE: the configuration with the first line of each secret file where it says "@NAME@".
write_config() (
    umask 077
    awk -v folder="$release/secrets/service" '
        match($0, /"@[a-z0-9-]+@"/) {
            file = folder "/" substr($0, RSTART + 2, RLENGTH - 4)
            if ((getline secret <file) < 1) {
                print "cannot read " file >"/dev/stderr"
                exit 1
            }
            # YAML between single quotes takes everything as it is but these.
            gsub(/\047/, "\047\047", secret)
            print substr($0, 1, RSTART - 1) "\047" secret "\047" substr($0, RSTART + RLENGTH)
            next
        }
        { print }
    ' "$release/registry/config.yml" >"$1"
)
