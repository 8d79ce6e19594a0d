import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Every program on PATH: the file that each name stands for. */
export function programsOnPath(): ReadonlyMap<string, string> {
    const folders = (process.env["PATH"] ?? "").split(delimiter).filter(existsSync).reverse();
    return new Map(folders.flatMap((folder) => readdirSync(folder).map((name) => [name, join(folder, name)])));
}

/** Writes down the arguments and the environment of every program that is started by name, however short it lives. */
export class ProgramLog {
    /** What programs have to be started with. */
    readonly env: Readonly<Record<string, string>>;
    readonly #log: string;

    /** @param folder is made */
    constructor(folder: string) {
        this.#log = join(folder, "programs.log");
        const bin = join(folder, "bin");
        mkdirSync(bin, { recursive: true });
        const logger = join(folder, "log-and-run");
        // Only what is built into the shell: a program would be written down in its turn.
        const script = `#!/bin/sh
{ printf '%s ' "$0" "$@"; echo; export -p; } >>"$PROGRAM_LOG"
IFS=:
for folder in $PROGRAM_LOG_PATH; do
    if [ -x "$folder/\${0##*/}" ]; then exec "$folder/\${0##*/}" "$@"; fi
done
exit 127
`;
        writeFileSync(logger, script);
        chmodSync(logger, 0o755);
        for (const name of programsOnPath().keys()) {
            symlinkSync(logger, join(bin, name));
        }
        writeFileSync(this.#log, "");
        this.env = { PATH: bin, PROGRAM_LOG: this.#log, PROGRAM_LOG_PATH: process.env["PATH"] ?? "" };
    }

    read(): string {
        return readFileSync(this.#log, "utf8");
    }
}
