import { chmodSync, createWriteStream, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { pipeline } from "node:stream/promises";
import { pack } from "tar-stream";
import { cached, filesBelow, inCache, keyOf } from "../cache";
import { goTool } from "../go-tool";
import { registryVersion } from "../pins";
import { Problem } from "../problem";
import { run } from "../processes";
import { DOCKER_HUB, canDownloadFrom, mode } from "../reach";
import type { StandInImages } from "../stack-file";
import { step } from "../steps";
import { addFile, header, sha256, writeDockerArchive, type ImageConfig } from "./archive";
import { makeRootFs, packageVersion, readFromTar } from "./root-fs";

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const KIND = "images";

/** Files of the root file system that are read again. */
const STATUS = "var/lib/dpkg/status";
const BUSYBOX = "usr/bin/busybox";
const CERTIFICATES = "etc/ssl/certs/ca-certificates.crt";

/**
 * The images to name in the stack file of a stack of this machine: made here where none can be pulled.
 *
 * @returns undefined where images can be pulled
 */
export async function standInImages(): Promise<StandInImages | undefined> {
    const key = imagesKey();
    const settled = mode() !== "download" && inCache(KIND, key) !== undefined;
    if (!settled && (await canDownloadFrom(DOCKER_HUB))) {
        return undefined;
    }
    const directory = await cached(KIND, key, build);
    const note = JSON.parse(readFileSync(path.join(directory, "images.json"), "utf8")) as Omit<
        StandInImages,
        "bundle"
    > & {
        sha256: string;
    };
    return {
        registry: note.registry,
        nginx: note.nginx,
        bundle: { path: path.join(directory, "images.tar"), sha256: note.sha256 },
    };
}

function imagesKey(): string {
    const sources = filesBelow(__dirname, (name) => !name.endsWith(".test.ts"));
    const registry = path.join(path.dirname(__dirname), "registry");
    return keyOf([process.arch], [...sources, path.join(registry, "go.mod"), path.join(registry, "go.sum")]);
}

/** CNCF Distribution, built from its Go module: `registry serve CONFIG`. */
export function registryProgram(): Promise<string> {
    return goTool({
        title: `CNCF Distribution ${registryVersion()}`,
        module: "registry",
        package: "github.com/distribution/distribution/v3/cmd/registry",
        binary: "registry",
        variables: { "github.com/distribution/distribution/v3/version.version": `v${registryVersion()}` },
    });
}

async function build(directory: string): Promise<void> {
    const file = (name: string): string => path.join(directory, name);
    const [registry] = await Promise.all([
        registryProgram(),
        step("making a root file system with nginx from Debian packages", () => makeRootFs(file("nginx.tar"))),
    ]);
    await step("writing the image archive", async () => {
        const contents = await readFromTar(file("nginx.tar"), [STATUS, BUSYBOX, CERTIFICATES]);
        const content = (name: string): Buffer => {
            const found = contents.get(name);
            if (found === undefined) {
                throw new Problem(`the root file system that mmdebstrap made has no /${name}`);
            }
            return found;
        };
        const version = packageVersion(content(STATUS).toString(), "nginx-light") ?? "unknown";
        await writeRegistryLayer(file("registry.tar"), registry, content(BUSYBOX), content(CERTIFICATES));
        const tags = {
            registry: `harborage-stand-in/registry:${registryVersion()}`,
            // A tag may not hold every character that a Debian version may.
            nginx: `harborage-stand-in/nginx:${version.replace(/[^A-Za-z0-9_.-]/gu, "-")}`,
        };
        await writeDockerArchive(
            [
                { tag: tags.registry, layer: file("registry.tar"), config: REGISTRY },
                { tag: tags.nginx, layer: file("nginx.tar"), config: NGINX },
            ],
            process.arch === "x64" ? "amd64" : process.arch,
            file("images.tar"),
        );
        writeFileSync(file("images.json"), JSON.stringify({ ...tags, sha256: await sha256(file("images.tar")) }));
        rmSync(file("nginx.tar"));
        rmSync(file("registry.tar"));
    });
}

/** As the official image `registry`, so that nothing else has to know which of them runs. */
const REGISTRY: ImageConfig = {
    Env: [PATH, "OTEL_TRACES_EXPORTER=none"],
    Entrypoint: ["/entrypoint.sh"],
    Cmd: ["/etc/distribution/config.yml"],
    ExposedPorts: { "5000/tcp": {} },
    Volumes: { "/var/lib/registry": {} },
    Labels: { "org.opencontainers.image.title": "CNCF Distribution (stand-in)" },
};

/** As the official image `nginx`. */
const NGINX: ImageConfig = {
    Env: [PATH],
    Entrypoint: ["/docker-entrypoint.sh"],
    Cmd: ["nginx", "-g", "daemon off;"],
    ExposedPorts: { "80/tcp": {} },
    StopSignal: "SIGQUIT",
    Labels: { "org.opencontainers.image.title": "nginx (stand-in)" },
};

/** The root file system of the registry image: busybox, as in Alpine, the registry and the CAs that it may have to trust. */
async function writeRegistryLayer(
    target: string,
    registry: string,
    busybox: Buffer,
    certificates: Buffer,
): Promise<void> {
    const applets = await listApplets(path.join(path.dirname(target), "busybox"), busybox);
    const layer = pack();
    const written = pipeline(layer, createWriteStream(target));
    const folder = (name: string, mode = 0o755): unknown =>
        layer.entry(header(`${name}/`, { type: "directory", mode }));
    const text = (name: string): string => readFileSync(path.join(__dirname, name), "utf8");
    for (const name of [
        "bin",
        "etc",
        "etc/distribution",
        "etc/ssl",
        "etc/ssl/certs",
        "root",
        "usr",
        "usr/bin",
        "var",
        "var/lib",
    ]) {
        folder(name);
    }
    folder("tmp", 0o1777);
    folder("var/lib/registry");
    layer.entry(header("bin/busybox", { mode: 0o755 }), busybox);
    for (const applet of applets) {
        layer.entry(header(`bin/${applet}`, { type: "symlink", linkname: "busybox", mode: 0o777 }));
    }
    layer.entry(header("usr/bin/env", { type: "symlink", linkname: "../../bin/busybox", mode: 0o777 }));
    await addFile(layer, header("bin/registry", { mode: 0o755 }), registry);
    layer.entry(header("entrypoint.sh", { mode: 0o755 }), text("entrypoint.sh"));
    layer.entry(header("etc/distribution/config.yml"), text("registry-config.yml"));
    layer.entry(header("etc/ssl/certs/ca-certificates.crt"), certificates);
    layer.entry(header("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n");
    layer.entry(header("etc/group"), "root:x:0:\nnobody:x:65534:\n");
    layer.finalize();
    await written;
}

/** The names under which busybox answers; it is static, so it runs here as it will run there. */
async function listApplets(file: string, busybox: Buffer): Promise<string[]> {
    writeFileSync(file, busybox);
    chmodSync(file, 0o755);
    try {
        const names = (await run(file, ["--list"])).trim().split("\n");
        return names.filter((name) => name !== "busybox").sort();
    } finally {
        rmSync(file);
    }
}
