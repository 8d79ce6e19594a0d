import { createReadStream, existsSync, readdirSync, readFileSync } from "node:fs";
import * as path from "node:path";
import { extract } from "tar-stream";
import { Problem } from "../problem";
import { run, which } from "../processes";
import { step } from "../steps";
import { EPOCH } from "./archive";
import { distributionMirror, parseListFile, parseSourcesFile, type AptSource } from "./apt-sources";

/** What the nginx image is made of, with the module `stream` that the official one has; busybox is there for the registry image, which has no packages of its own. */
const PACKAGES = ["nginx-light", "libnginx-mod-stream", "curl", "ca-certificates", "busybox-static"];

/** Never needed in a container. */
const EXCLUDED = ["man", "locale", "doc", "info", "i18n", "groff", "help"].map(
    (name) => `path-exclude=/usr/share/${name}/*`,
);

/** Which of Debian's releases root file systems are made of; with Ubuntu it is the machine's own. */
const DEBIAN_RELEASE = "trixie";

/**
 * The one that nginx is from: since 1.27.4 it keeps idle connections of clients through a reload. Mirrors may have an older
 * copy of a release that is still in the making; it is signed all the same.
 */
const NGINX_RELEASE = "forky";

/** A release of Debian or Ubuntu, as mmdebstrap is told it. */
export interface Release {
    readonly suite: string;
    readonly components: string;
    readonly mirror: string;
}

/**
 * Makes a minimal Debian root file system with nginx, from the packages of the distribution's mirror that this machine
 * uses itself.
 *
 * @param target the tar to write
 * @throws Problem where that cannot be done, with what to do instead
 */
export async function makeRootFs(target: string): Promise<void> {
    const release = findRelease(NGINX_RELEASE);
    await ensureMmdebstrap();
    await run(
        "mmdebstrap",
        [
            "--variant=essential",
            `--components=${release.components}`,
            `--include=${PACKAGES.join(",")}`,
            // Device nodes are the container engine's business.
            "--skip=output/dev",
            '--aptopt=Acquire::Check-Valid-Until "false"',
            ...EXCLUDED.map((option) => `--dpkgopt=${option}`),
            `--customize-hook=${path.join(__dirname, "nginx-root.sh")}`,
            release.suite,
            target,
            release.mirror,
        ],
        { env: { ...process.env, SOURCE_DATE_EPOCH: String(EPOCH), LC_ALL: "C.UTF-8" } },
    );
}

/** Reads single files out of a tar; `wanted` are names without a leading `./`. */
export async function readFromTar(tar: string, wanted: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
    const found = new Map<string, Buffer>();
    const entries = createReadStream(tar).pipe(extract());
    for await (const entry of entries) {
        const name = entry.header.name.replace(/^\.\//u, "");
        if (!wanted.includes(name)) {
            entry.resume();
            continue;
        }
        const chunks: Buffer[] = [];
        for await (const chunk of entry) {
            chunks.push(chunk as Buffer);
        }
        found.set(name, Buffer.concat(chunks));
    }
    return found;
}

/** The version of a package in the text of dpkg's status file. */
export function packageVersion(status: string, name: string): string | undefined {
    const paragraph = status.split("\n\n").find((text) => text.split("\n").includes(`Package: ${name}`));
    return /^Version: (.*)$/mu.exec(paragraph ?? "")?.[1];
}

/**
 * The release to make root file systems of.
 *
 * @param suite Debian's
 * @throws Problem where the machine runs another distribution, or its sources name no mirror
 */
export function findRelease(suite = DEBIAN_RELEASE): Release {
    const os = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
    const value = (name: string): string => new RegExp(`^${name}="?([^"\\n]*)"?$`, "mu").exec(os)?.[1] ?? "";
    const ubuntu = value("ID") === "ubuntu";
    const codename = value("VERSION_CODENAME");
    const mirror = distributionMirror(aptSources(), codename);
    if (mirror === undefined || !(ubuntu || value("ID") === "debian")) {
        throw new Problem(
            "Container images can neither be pulled here nor made: making them needs Debian or Ubuntu and its package mirror.\n" +
                "Name a bundle made elsewhere in the stack file:\n" +
                "  harborage:images: { registry: NAME:TAG, nginx: NAME:TAG, bundle: { path: /…/images.tar, sha256: … } }",
        );
    }
    return ubuntu ? { suite: codename, components: "main,universe", mirror } : { suite, components: "main", mirror };
}

/** Every place that this machine's apt takes packages from. */
export function aptSources(): AptSource[] {
    const directory = "/etc/apt/sources.list.d";
    const files = existsSync(directory)
        ? readdirSync(directory)
              .sort()
              .map((name) => path.join(directory, name))
        : [];
    return ["/etc/apt/sources.list", ...files].filter(existsSync).flatMap((file) => {
        const text = readFileSync(file, "utf8");
        return file.endsWith(".sources") ? parseSourcesFile(text) : file.endsWith(".list") ? parseListFile(text) : [];
    });
}

export async function ensureMmdebstrap(): Promise<void> {
    if (which("mmdebstrap") !== undefined) {
        return;
    }
    if (process.getuid?.() !== 0 || which("apt-get") === undefined) {
        throw new Problem(
            "mmdebstrap is missing; it makes the container images where none can be pulled. As root:\n" +
                "  apt-get install --no-install-recommends mmdebstrap",
        );
    }
    await step("installing mmdebstrap", async () => {
        const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
        // Sources that this machine cannot reach may make it fail; the installation tells whether the right ones answered.
        await run("apt-get", ["update"], { env }).catch(() => undefined);
        await run("apt-get", ["install", "-y", "--no-install-recommends", "mmdebstrap"], { env });
    });
}
