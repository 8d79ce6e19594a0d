import { buffer } from "node:stream/consumers";
import { pack } from "tar-stream";

/**
 * A tar of small files, base64. The same files give the same bytes: names are sorted, times are zero, and who owns a file
 * and who may read it is set where it is unpacked.
 */
export async function archive(files: Readonly<Record<string, string>>): Promise<string> {
    const tar = pack();
    const names = Object.keys(files).sort();
    const folders = [
        ...new Set(
            names.flatMap((name) =>
                name
                    .split("/")
                    .slice(0, -1)
                    .map((_, i, parts) => parts.slice(0, i + 1).join("/")),
            ),
        ),
    ].sort();
    for (const name of folders) {
        tar.entry({ name, type: "directory", mode: 0o700, mtime: new Date(0) });
    }
    for (const name of names) {
        tar.entry({ name, mode: 0o600, mtime: new Date(0) }, files[name] ?? "");
    }
    tar.finalize();
    return (await buffer(tar)).toString("base64");
}
