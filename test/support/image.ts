import { createHash, randomFillSync } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { buffer } from "node:stream/consumers";
import { pack } from "tar-stream";

/** An image on disk, in the OCI layout, that Docker and skopeo can take. */
export interface Image {
    /** The folder of the layout; for skopeo: `oci:FOLDER:latest`. */
    readonly folder: string;
    /** Of the manifest. */
    readonly digest: string;
    readonly manifest: Buffer;
    readonly manifestType: string;
    /** Config and layers. */
    readonly blobs: readonly Blob[];
    /** The layers alone, in the order of the manifest. */
    readonly layers: readonly Blob[];
    /** All blobs together. */
    readonly bytes: number;
}

export interface Blob {
    readonly digest: string;
    readonly size: number;
}

const mebibyte = 1024 * 1024;
const manifestType = "application/vnd.oci.image.manifest.v1+json";

/**
 * Makes an image of random bytes, which no registry has seen and no compression makes smaller.
 *
 * @param layers the size of each layer, MiB
 */
export async function makeImage(folder: string, layers: readonly number[]): Promise<Image> {
    const blobFolder = join(folder, "blobs", "sha256");
    mkdirSync(blobFolder, { recursive: true });
    const add = (content: Buffer): Blob => {
        const hex = sha256(content);
        writeFileSync(join(blobFolder, hex), content);
        return { digest: `sha256:${hex}`, size: content.length };
    };
    const made: Blob[] = [];
    const contents: string[] = [];
    for (const [index, size] of layers.entries()) {
        const tar = pack();
        tar.entry({ name: `layer-${index}.bin`, mode: 0o644, mtime: new Date(0) }, randomBytes(size * mebibyte));
        tar.finalize();
        const content = await buffer(tar);
        contents.push(`sha256:${sha256(content)}`);
        made.push(add(gzipSync(content, { level: 0 })));
    }
    const config = add(
        json({ architecture: "amd64", os: "linux", config: {}, rootfs: { type: "layers", diff_ids: contents } }),
    );
    const manifest = json({
        schemaVersion: 2,
        mediaType: manifestType,
        config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
        layers: made.map((layer) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...layer })),
    });
    const descriptor = {
        mediaType: manifestType,
        ...add(manifest),
        annotations: { "org.opencontainers.image.ref.name": "latest" },
    };
    writeFileSync(join(folder, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
    writeFileSync(join(folder, "index.json"), json({ schemaVersion: 2, manifests: [descriptor] }));
    const blobs = [config, ...made];
    return {
        folder,
        digest: descriptor.digest,
        manifest,
        manifestType,
        blobs,
        layers: made,
        bytes: blobs.reduce((sum, { size }) => sum + size, 0),
    };
}

export function sha256(content: Buffer): string {
    return createHash("sha256").update(content).digest("hex");
}

function json(value: unknown): Buffer {
    return Buffer.from(JSON.stringify(value));
}

function randomBytes(count: number): Buffer {
    return randomFillSync(Buffer.allocUnsafe(count));
}
