import { createHash } from "node:crypto";
import { createReadStream, createWriteStream, statSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { pack, type Header, type Pack } from "tar-stream";

/** What the image's configuration says of how to run it; the names are those of the OCI image specification. */
export interface ImageConfig {
    readonly Env: readonly string[];
    readonly Entrypoint?: readonly string[];
    readonly Cmd?: readonly string[];
    readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>>;
    readonly Volumes?: Readonly<Record<string, Record<string, never>>>;
    readonly StopSignal?: string;
    readonly Labels?: Readonly<Record<string, string>>;
}

/** An image of one layer. */
export interface Image {
    /** Name with its tag. */
    readonly tag: string;
    /** Uncompressed tar of the whole root file system. */
    readonly layer: string;
    readonly config: ImageConfig;
}

/** Time of everything that is made here, in seconds since 1970: the same input gives the same bytes. */
export const EPOCH = 1767225600;

/** What tar-stream takes to describe an entry. */
type EntryHeader = Partial<Header> & Pick<Header, "name">;

/** An entry of a tar archive that is the same whenever and wherever it is written. */
export function header(name: string, more: Partial<Header> = {}): EntryHeader {
    return {
        name,
        mode: 0o644,
        mtime: new Date(EPOCH * 1000),
        uid: 0,
        gid: 0,
        uname: "",
        gname: "",
        type: "file",
        ...more,
    };
}

/**
 * Writes images as one archive in the layout of `docker save`, which docker, podman, containerd and skopeo read. No
 * container engine is needed for it.
 *
 * @param architecture as Go names it, for example `amd64`
 * @param target       file to write
 */
export async function writeDockerArchive(
    images: readonly Image[],
    architecture: string,
    target: string,
): Promise<void> {
    const archive = pack();
    const written = pipeline(archive, createWriteStream(target));
    const manifest: { Config: string; RepoTags: string[]; Layers: string[] }[] = [];
    for (const { tag, layer, config } of images) {
        const digest = await sha256(layer);
        const created = new Date(EPOCH * 1000).toISOString();
        const text = JSON.stringify({
            architecture,
            os: "linux",
            created,
            config,
            rootfs: { type: "layers", diff_ids: [`sha256:${digest}`] },
            history: [{ created, created_by: "harborage toolchain" }],
        });
        const configName = `${createHash("sha256").update(text).digest("hex")}.json`;
        archive.entry(header(configName), text);
        // Images may have it in common.
        if (!manifest.some(({ Layers }) => Layers.includes(`${digest}/layer.tar`))) {
            archive.entry(header(`${digest}/`, { type: "directory", mode: 0o755 }));
            archive.entry(header(`${digest}/VERSION`), "1.0");
            await addFile(archive, header(`${digest}/layer.tar`), layer);
        }
        manifest.push({ Config: configName, RepoTags: [tag], Layers: [`${digest}/layer.tar`] });
    }
    archive.entry(header("manifest.json"), JSON.stringify(manifest));
    archive.finalize();
    await written;
}

/** Adds a file of the disk to a tar archive. */
export async function addFile(archive: Pack, entry: EntryHeader, file: string): Promise<void> {
    const sink = archive.entry({ ...entry, size: statSync(file).size });
    await pipeline(createReadStream(file), sink);
}

/** SHA-256 of a file, in hexadecimal. */
export async function sha256(file: string): Promise<string> {
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(file)) {
        hash.update(chunk as Buffer);
    }
    return hash.digest("hex");
}
