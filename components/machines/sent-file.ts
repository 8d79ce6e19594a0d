import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";

/** A file of this machine that is sent to others, or used here. */
export interface SentFile {
    readonly path: string;
    readonly sha256: string;
    /** Where it stands in the stack file, for messages: `images.bundle`. */
    readonly setting: string;
}

/** By path and hash: what goes to many machines is read once. */
const checks = new Map<string, Promise<void>>();

/**
 * Makes sure that a file is what the stack file says, so that a wrong one is found before a machine is touched.
 *
 * @throws Error with what is wrong, where in the stack file, and what was expected
 */
export function checkFile(file: SentFile): Promise<void> {
    const key = `${file.sha256} ${file.path}`;
    const check = checks.get(key) ?? readAndCompare(file);
    checks.set(key, check);
    return check;
}

async function readAndCompare({ path, sha256, setting }: SentFile): Promise<void> {
    const hash = createHash("sha256");
    await pipeline(createReadStream(path), hash).catch((error: unknown) => {
        throw new Error(`harborage:${setting}.path: cannot read ${path}: ${(error as Error).message}`);
    });
    const actual = hash.digest("hex");
    if (actual !== sha256) {
        throw new Error(
            `harborage:${setting}.sha256: ${path} has the SHA-256 ${actual}; expected ${sha256}. It is another file, or a damaged one: get it again, or put its SHA-256 into the stack file`,
        );
    }
}
