import { readFileSync } from "node:fs";
import * as path from "node:path";
import { parse } from "yaml";
import { Problem } from "./problem";

/** A Pulumi project. */
export interface Project {
    readonly name: string;
    /** Folder of Pulumi.yaml, absolute. */
    readonly directory: string;
}

/**
 * The project that a folder belongs to.
 *
 * @throws Problem when neither the folder nor one above it holds a usable Pulumi.yaml
 */
export function readProject(start: string): Project {
    for (let directory = start; ; directory = path.dirname(directory)) {
        const file = path.join(directory, "Pulumi.yaml");
        const text = readIfThere(file);
        if (text !== undefined) {
            const { name } = (parse(text) ?? {}) as { name?: unknown };
            if (typeof name !== "string") {
                throw new Problem(`${file}: expected a project name, for example "name: harborage"`);
            }
            return { name, directory };
        }
        if (directory === path.dirname(directory)) {
            throw new Problem(`there is no Pulumi.yaml in ${start}, nor in a folder above it`);
        }
    }
}

/** Where the stacks of this machine are kept: $HARBORAGE_HOME, or .harborage in the project. */
export function harborageHome(project: Project): string {
    return path.resolve(process.env["HARBORAGE_HOME"] || path.join(project.directory, ".harborage"));
}

/** A file's text, or undefined when there is no such file. */
export function readIfThere(file: string): string | undefined {
    try {
        return readFileSync(file, "utf8");
    } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") {
            return undefined;
        }
        throw error;
    }
}
