# shellcheck shell=bash
# files.sh apply DIRECTORY PROJECT HASH      reads the files: a line `@@ MODE NAME` before each
# Puts a project's plain files into a folder of their own. Nothing uses them before release.sh does.
main() {
    [[ $1 == apply ]] || return 0
    local directory root target
    directory=$(expand_home "$2")
    root=$directory/stacks/$3
    target=$root/plain/$4
    lock_machine "$directory"
    rm -rf "$target.new"
    mkdir -p "$target.new"
    unpack_files "$target.new" || fail "cannot write the files of $3 to $target"
    find "$target.new" -type d -exec chmod 0755 {} +
    rm -rf "$target"
    mv "$target.new" "$target"
}
