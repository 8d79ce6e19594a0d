import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

const hostsFile = "/etc/hosts";

/**
 * Lets a name stand for an address on this machine.
 *
 * @returns what takes the line away again
 */
export function addHost(name: string, address: string): () => void {
    const line = `${address} ${name} # a test of harborage\n`;
    const before = readFileSync(hostsFile, "utf8");
    // Written in place: in a container the file is a mount, which cannot be renamed over.
    writeFileSync(hostsFile, `${before}${before.endsWith("\n") || before === "" ? "" : "\n"}${line}`);
    return () => writeFileSync(hostsFile, readFileSync(hostsFile, "utf8").replace(line, ""));
}

/**
 * Writes a file of the system, with the folders that it needs.
 *
 * @returns what takes the file away again, and the folders that are empty then
 * @throws Error when the file is there already: it is not a test's to replace
 */
export function addSystemFile(path: string, content: string): () => void {
    if (existsSync(path)) {
        throw new Error(`${path} is there already`);
    }
    const made: string[] = [];
    for (let folder = dirname(path); !existsSync(folder); folder = dirname(folder)) {
        made.push(folder);
    }
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return () => {
        rmSync(path, { force: true });
        for (const folder of made) {
            if (existsSync(folder) && readdirSync(folder).length === 0) {
                rmdirSync(folder);
            }
        }
    };
}
