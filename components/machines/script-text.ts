import { readFileSync } from "node:fs";
import { join } from "node:path";

const library = join(__dirname, "scripts", "lib.sh");
const endOfData = "HARBORAGE-END-OF-DATA";

/**
 * What bash reads to run a script: the shared functions, the script, and the call of its `main` with the data as
 * standard input.
 *
 * @param data whole lines; a missing line end is added
 */
export function scriptText(file: string, data?: string): string {
    const text = `${readFileSync(library, "utf8")}\n${readFileSync(file, "utf8")}`;
    if (data === undefined) {
        return `${text}\nmain "$@" </dev/null\n`;
    }
    const lines = data.endsWith("\n") ? data : `${data}\n`;
    return `${text}\nmain "$@" <<'${endOfData}'\n${lines}${endOfData}\n`;
}

/** A word for the shell; plain ones stay readable. */
export function quote(word: string): string {
    return /^[A-Za-z0-9_./:=@~,+-]+$/.test(word) ? word.replace(/^~/, "\\~") : `'${word.replaceAll("'", `'\\''`)}'`;
}
