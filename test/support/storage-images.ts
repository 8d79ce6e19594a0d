import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cached, keyOf } from "../../toolchain/cache";
import { sha256, writeDockerArchive } from "../../toolchain/images/archive";
import { ensureMmdebstrap, findRelease } from "../../toolchain/images/root-fs";
import { run } from "./processes";

/** Images of PostgreSQL and Valkey in one archive of `docker save`. */
export interface StorageImages {
    readonly path: string;
    readonly sha256: string;
    readonly postgres: string;
    readonly valkey: string;
}

const names = { postgres: "harborage-test/postgres:17", valkey: "harborage-test/valkey:8" } as const;

const packages = ["postgresql-17", "valkey-server", "valkey-tools"];

/** Clusters that a package makes, and what a server never needs: PostgreSQL goes without its compiler when that is missing. */
const tidy = [
    ...[
        "var/lib/postgresql/17",
        "var/cache/*",
        "var/lib/apt/lists",
        "usr/share/locale",
        "usr/share/i18n",
        "usr/share/perl",
    ],
    ...["usr/lib/*/libLLVM*", "usr/lib/*/libz3*", "usr/lib/*/perl", "usr/lib/postgresql/17/lib/bitcode"],
    "usr/lib/postgresql/17/lib/llvmjit*",
];

/** Images made of Debian's packages, where the cache does not hold them: the official ones cannot be pulled everywhere. */
export async function storageImages(): Promise<StorageImages> {
    const folder = await cached("test-images", keyOf([process.arch], [__filename]), build);
    const path = join(folder, "images.tar");
    return { path, sha256: readFileSync(join(folder, "sha256"), "utf8"), ...names };
}

async function build(folder: string): Promise<void> {
    const { suite, components, mirror } = findRelease();
    const layer = join(folder, "root.tar");
    const target = join(folder, "images.tar");
    await ensureMmdebstrap();
    await run("mmdebstrap", [
        "--variant=essential",
        `--components=${components}`,
        `--include=${packages.join(",")}`,
        "--skip=output/dev",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        `--customize-hook=rm -rf ${tidy.map((path) => `"$1"/${path}`).join(" ")}`,
        suite,
        layer,
        mirror,
    ]);
    const config = { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] };
    const images = Object.values(names).map((tag) => ({ tag, layer, config }));
    await writeDockerArchive(images, process.arch === "x64" ? "amd64" : process.arch, target);
    writeFileSync(join(folder, "sha256"), await sha256(target));
    rmSync(layer);
}
