import { createHash } from "node:crypto";
import {
    existsSync,
    mkdirSync,
    mkdtempSync,
    readdirSync,
    readFileSync,
    renameSync,
    rmSync,
    statSync,
    writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { homedir } from "node:os";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { say } from "./steps";

/** Folder that all clones share: ${XDG_CACHE_HOME:-~/.cache}/harborage. */
export function cacheRoot(): string {
    const base = process.env["XDG_CACHE_HOME"];
    return path.join(base === undefined || base === "" ? path.join(homedir(), ".cache") : base, "harborage");
}

/**
 * A folder in the cache, made when it is not there.
 *
 * It is made under another name and renamed when it is whole, so a folder that exists is complete, whatever was killed
 * when; of several launchers at once one works and the others wait for it.
 *
 * @param kind  what is kept, for example `cli`: the name of a folder in the cache
 * @param key   says what went in, see {@link keyOf}
 * @param build fills the folder that it is given
 */
export async function cached(kind: string, key: string, build: (directory: string) => Promise<void>): Promise<string> {
    const shelf = path.join(cacheRoot(), kind);
    const target = path.join(shelf, key);
    if (existsSync(target)) {
        return target;
    }
    mkdirSync(shelf, { recursive: true });
    const lock = await takeLock(target);
    try {
        if (existsSync(target)) {
            return target;
        }
        removeLeftovers(shelf);
        const directory = mkdtempSync(path.join(shelf, `.making-${process.pid}-`));
        try {
            await build(directory);
            renameSync(directory, target);
        } catch (error) {
            rmSync(directory, { recursive: true, force: true });
            // Without a lock (not on Linux) another launcher may have been quicker: its folder is as good as ours.
            if (!existsSync(target)) {
                throw error;
            }
        }
        return target;
    } finally {
        lock?.close();
    }
}

/** A folder that {@link cached} has made before, or undefined. */
export function inCache(kind: string, key: string): string | undefined {
    const target = path.join(cacheRoot(), kind, key);
    return existsSync(target) ? target : undefined;
}

/** A short key over everything that goes into a folder of the cache: texts, and files by name and content. */
export function keyOf(texts: readonly string[], files: readonly string[] = []): string {
    const hash = createHash("sha256");
    for (const text of texts) {
        hash.update(`text ${text.length} ${text}\n`);
    }
    for (const file of files) {
        const content = readFileSync(file);
        hash.update(`file ${path.basename(file)} ${content.length}\n`).update(content);
    }
    return hash.digest("hex").slice(0, 16);
}

/** All files below a folder, sorted, without those that a test for the name refuses. */
export function filesBelow(directory: string, accept: (name: string) => boolean): string[] {
    return readdirSync(directory, { withFileTypes: true, recursive: true })
        .filter((entry) => entry.isFile() && accept(entry.name))
        .map((entry) => path.join(entry.parentPath, entry.name))
        .sort();
}

/** A small note kept in the cache; a broken one counts as none. */
export function readNote(name: string): unknown {
    try {
        return JSON.parse(readFileSync(path.join(cacheRoot(), `${name}.json`), "utf8")) as unknown;
    } catch {
        return undefined;
    }
}

/** Writes a note whole or not at all. */
export function writeNote(name: string, note: unknown): void {
    const file = path.join(cacheRoot(), `${name}.json`);
    mkdirSync(path.dirname(file), { recursive: true });
    writeWhole(file, JSON.stringify(note), 0o644);
}

/** Writes a file so that it is there with all of its content or as it was before. */
export function writeWhole(file: string, content: string, mode: number): void {
    const fresh = `${file}.${process.pid}.new`;
    writeFileSync(fresh, content, { mode });
    renameSync(fresh, file);
}

/**
 * Takes a lock that the kernel gives back when this process ends in any way: an abstract socket. Elsewhere than on
 * Linux there is none and no lock; the rename above keeps that right, at the price of work done twice.
 */
async function takeLock(name: string): Promise<Server | undefined> {
    if (process.platform !== "linux") {
        return undefined;
    }
    const address = `\0harborage-${createHash("sha256").update(name).digest("hex").slice(0, 32)}`;
    for (let waited = false; ; waited = true) {
        const server = await listen(address);
        if (server !== undefined) {
            return server;
        }
        if (!waited) {
            say(`harborage: another run is making ${name}; waiting for it`);
        }
        await sleep(200);
    }
}

function listen(address: string): Promise<Server | undefined> {
    return new Promise((resolve, reject) => {
        const server = createServer().unref();
        server.once("error", (error: NodeJS.ErrnoException) =>
            error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
        );
        server.listen(address, () => resolve(server));
    });
}

/** Removes what killed builds have left, as soon as nobody can be at work there any more. */
function removeLeftovers(shelf: string): void {
    for (const name of readdirSync(shelf)) {
        const pid = /^\.making-(\d+)-/u.exec(name)?.[1];
        const directory = path.join(shelf, name);
        if (pid !== undefined && !isAlive(Number(pid))) {
            rmSync(directory, { recursive: true, force: true });
        } else if (pid !== undefined && Date.now() - statSync(directory).mtimeMs > 24 * 3600 * 1000) {
            rmSync(directory, { recursive: true, force: true });
        }
    }
}

/** Whether a process of this machine is there. */
export function isAlive(pid: number): boolean {
    try {
        process.kill(pid, 0);
        return true;
    } catch (error) {
        return (error as NodeJS.ErrnoException).code === "EPERM";
    }
}
