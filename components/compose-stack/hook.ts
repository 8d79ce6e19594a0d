import { readFileSync } from "node:fs";
import type { PlainFile } from "./render-files";

/**
 * A hook of a release.
 *
 * @param file the script's path
 * @param variables what it needs to know; they are put in front of it
 * @param calls calls of its functions; they are put behind it
 */
export function hook(
    file: string,
    variables: Readonly<Record<string, string>> = {},
    calls: readonly string[] = [],
): PlainFile {
    const lines = Object.entries(variables).map(([key, value]) => `readonly ${key}='${value}'`);
    return { content: [...lines, readFileSync(file, "utf8"), ...calls].join("\n") };
}
