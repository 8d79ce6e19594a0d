import { createHash } from "node:crypto";

/** A plain file of a compose project. */
export interface PlainFile {
    readonly content: string;
    /** Octal. Default: 0644. */
    readonly mode?: string;
}

/**
 * Plain files as one text, which a preview shows line by line: `@@ MODE NAME` before each file's lines.
 *
 * @throws Error when a name or a line could be taken for a marker
 */
export function renderFiles(files: Readonly<Record<string, PlainFile>>): string {
    return Object.keys(files)
        .sort()
        .map((name) => {
            const { content = "", mode = "0644" } = files[name] ?? {};
            if (!/^[A-Za-z0-9_.][A-Za-z0-9_./-]*$/.test(name) || name.includes("..") || /^@@ /m.test(content)) {
                throw new Error(`the file ${name} cannot be sent to a machine: its name or a line of it is a marker`);
            }
            return `@@ ${mode} ${name}\n${content.endsWith("\n") ? content : `${content}\n`}`;
        })
        .join("");
}

/** A folder of the stack file for a compose file: `~/` becomes a variable that every release has. */
export function composePath(directory: string): string {
    return directory.replace(/^~\//, "${HARBORAGE_HOME}/");
}

/** What Docker keeps of what a service writes: an object of its own for each, or YAML would name the first one's. */
export const serviceLog = () => ({ driver: "json-file", options: { "max-size": "20m", "max-file": "5" } });

/** A label that changes with what a service reads at its start only, so that compose makes its container anew. */
export function contentLabel(...texts: readonly string[]): string {
    return createHash("sha256").update(texts.join("\0")).digest("hex").slice(0, 16);
}
