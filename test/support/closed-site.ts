import { readFileSync } from "node:fs";
import { join } from "node:path";
import { defaultImages } from "../../config/plan";
import { standInImages } from "../../toolchain/images/build";
import { docker } from "./docker";
import { sha256 } from "./image";
import type { Settings } from "./launcher";

/** For a machine without a way out: the images in a file, unless the launcher makes them by itself. */
export async function closedSite(folder: string): Promise<Settings> {
    if ((await standInImages()) !== undefined) {
        return {};
    }
    const path = join(folder, "images.tar");
    const tags = { registry: "harborage-test/registry:pulled", nginx: "harborage-test/nginx:pulled" };
    for (const name of ["registry", "nginx"] as const) {
        await docker("pull", "--quiet", defaultImages[name]);
        await docker("tag", defaultImages[name], tags[name]);
    }
    await docker("save", "--output", path, tags.registry, tags.nginx);
    await docker("image", "rm", tags.registry, tags.nginx);
    return { images: { ...tags, bundle: { path, sha256: sha256(readFileSync(path)) } } };
}
