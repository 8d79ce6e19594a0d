import { createReadStream, createWriteStream } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { extract, pack } from "tar-stream";
import { sha256 } from "../../toolchain/images/archive";
import { standInImages } from "../../toolchain/images/build";
import { closedSite } from "./closed-site";
import type { Settings } from "./launcher";
import { storageImages } from "./storage-images";

interface Images {
    readonly registry: string;
    readonly nginx: string;
    readonly bundle: { readonly path: string };
}

/**
 * For a machine without a way out: `images` of a stack file whose database and cache are on a machine, in one file.
 *
 * @param folder for the file
 */
export async function clusterImages(folder: string): Promise<Settings> {
    const given = (await standInImages()) ?? ((await closedSite(folder))["images"] as Images);
    const { registry, nginx, bundle } = given;
    const { postgres, valkey, path: storage } = await storageImages();
    const path = join(folder, "cluster-images.tar");
    await merge([bundle.path, storage], path);
    return { images: { registry, nginx, postgres, valkey, bundle: { path, sha256: await sha256(path) } } };
}

/** Makes one archive of `docker save` of several. Layers are named by their content: the same name is the same file. */
async function merge(archives: readonly string[], target: string): Promise<void> {
    const made = pack();
    const written = pipeline(made, createWriteStream(target));
    const images: unknown[] = [];
    const names = new Set<string>();
    for (const archive of archives) {
        const entries = extract();
        const read = pipeline(createReadStream(archive), entries);
        for await (const entry of entries) {
            const { name, size, type, mode } = entry.header;
            if (name === "manifest.json") {
                images.push(...(JSON.parse((await buffer(entry)).toString()) as unknown[]));
            } else if (names.has(name) || name === "repositories") {
                entry.resume();
            } else {
                names.add(name);
                const copy = made.entry({ name, size, type, mode });
                await pipeline(entry, copy);
            }
        }
        await read;
    }
    made.entry({ name: "manifest.json" }, JSON.stringify(images));
    made.finalize();
    await written;
}
