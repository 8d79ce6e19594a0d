import { open, readdir, stat, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { errnoText } from "../go-text";
import type { RemoteFiles } from "./remote-files";

/**
 * Copies a file or a folder with all that is in it, and removes nothing:
 *
 * | source | remote folder        | nothing there | remote file |
 * | ------ | -------------------- | ------------- | ----------- |
 * | file   | into it              | as that file  | over it     |
 * | dir    | as a folder in it    | likewise      | error       |
 * | dir/   | its content          | its content   | error       |
 *
 * @throws Error with the text of the official plugin.
 */
export async function copyPath(remote: RemoteFiles, source: string, destination: string): Promise<void> {
    const found = await local("open", source, () => stat(source));
    const target = await remote.stat(destination);
    if (!found.isDirectory()) {
        const into = target?.isDirectory() === true;
        if (target === undefined) {
            await parents(remote, destination);
        }
        await copyFile(remote, source, into ? path.posix.join(destination, path.basename(source)) : destination);
        return;
    }
    if (target === undefined) {
        await created(destination, () => remote.mkdirAll(destination));
    }
    const inside = source.endsWith("/") ? destination : path.posix.join(destination, path.basename(source));
    await copyDirectory(remote, source, inside);
}

/** @param destination is a file's path: a text has no name of its own. */
export async function copyText(remote: RemoteFiles, text: string, destination: string): Promise<void> {
    if ((await remote.stat(destination))?.isDirectory()) {
        throw new Error(
            `remote path ${destination} is a directory; when using a text asset, remotePath must be a file path`,
        );
    }
    await parents(remote, destination);
    const content = Buffer.from(text);
    await write(remote, destination, content, `failed to write text content to remote path ${destination}`);
}

async function copyDirectory(remote: RemoteFiles, source: string, destination: string): Promise<void> {
    const found = await remote.stat(destination);
    if (found === undefined) {
        await created(destination, () => remote.mkdir(destination));
    } else if (!found.isDirectory()) {
        throw new Error(`remote path ${destination} exists but is not a directory`);
    }
    for (const entry of await local("open", source, () => readdir(source, { withFileTypes: true }))) {
        const [from, to] = [path.join(source, entry.name), path.posix.join(destination, entry.name)];
        await (entry.isDirectory() ? copyDirectory(remote, from, to) : copyFile(remote, from, to));
    }
}

async function copyFile(remote: RemoteFiles, source: string, destination: string): Promise<void> {
    const file: FileHandle = await local("open", source, () => open(source));
    try {
        await write(remote, destination, file, `failed to copy file ${source} to remote path ${destination}`);
    } finally {
        await file.close();
    }
}

async function write(
    remote: RemoteFiles,
    destination: string,
    content: FileHandle | Buffer,
    failure: string,
): Promise<void> {
    const handle = await failing(`failed to create remote file ${destination}`, () => remote.create(destination));
    await failing(failure, () => remote.write(handle, content));
}

function parents(remote: RemoteFiles, file: string): Promise<void> {
    return failing(`failed to create parent directories for ${file}`, () => remote.mkdirAll(path.posix.dirname(file)));
}

function created(directory: string, create: () => Promise<void>): Promise<void> {
    return failing(`failed to create remote directory ${directory}`, create);
}

async function failing<Result>(what: string, step: () => Promise<Result>): Promise<Result> {
    try {
        return await step();
    } catch (error) {
        throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
    }
}

async function local<Result>(operation: string, file: string, step: () => Promise<Result>): Promise<Result> {
    try {
        return await step();
    } catch (error) {
        throw new Error(`${operation} ${file}: ${errnoText(error as NodeJS.ErrnoException)}`, { cause: error });
    }
}
