import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { distributionMirror, parseListFile, parseSourcesFile } from "../../toolchain/images/apt-sources";
import { writeDockerArchive } from "../../toolchain/images/archive";
import { packageVersion, readFromTar } from "../../toolchain/images/root-fs";

describe("toolchain: image archive", () => {
    let directory: string;
    before(() => {
        directory = mkdtempSync(path.join(tmpdir(), "archive-"));
    });
    after(() => rmSync(directory, { recursive: true }));

    const write = async (name: string): Promise<string> => {
        const layer = path.join(directory, "layer.tar");
        writeFileSync(layer, Buffer.alloc(10_240));
        // What the disk says of times must not show.
        utimesSync(layer, Date.now() / 1000, Math.random() * 1e9);
        const target = path.join(directory, name);
        const config = { Env: ["PATH=/bin"], Entrypoint: ["/entry"], StopSignal: "SIGQUIT" };
        await writeDockerArchive([{ tag: "a/b:1", layer, config }], "amd64", target);
        return target;
    };

    it("is the same byte for byte when it is written again", async () => {
        assert.ok(readFileSync(await write("one.tar")).equals(readFileSync(await write("two.tar"))));
    });

    it("has the layout of docker save", async () => {
        const archive = await write("three.tar");
        const read = async (name: string): Promise<Buffer> => {
            const found = (await readFromTar(archive, [name])).get(name);
            assert.ok(found, name);
            return found;
        };
        const [image] = JSON.parse((await read("manifest.json")).toString()) as [
            { Config: string; RepoTags: string[]; Layers: [string] },
        ];
        assert.deepEqual(image.RepoTags, ["a/b:1"]);
        const config = await read(image.Config);
        assert.equal(image.Config, `${createHash("sha256").update(config).digest("hex")}.json`);
        const {
            architecture,
            os,
            rootfs,
            config: run,
        } = JSON.parse(config.toString()) as Record<string, unknown> & {
            rootfs: unknown;
        };
        assert.deepEqual({ architecture, os }, { architecture: "amd64", os: "linux" });
        assert.deepEqual(run, { Env: ["PATH=/bin"], Entrypoint: ["/entry"], StopSignal: "SIGQUIT" });
        const digest = createHash("sha256")
            .update(await read(image.Layers[0]))
            .digest("hex");
        assert.deepEqual(rootfs, { type: "layers", diff_ids: [`sha256:${digest}`] });
    });
});

describe("toolchain: the distribution's mirror", () => {
    const list = [
        "# deb http://commented.example/debian bookworm main",
        "deb [arch=amd64 signed-by=/k.gpg] https://vendor.example/apt bookworm stable",
        "deb-src http://mirror.example/debian bookworm main",
        "deb cdrom:[Debian]/ bookworm main",
        "deb http://mirror.example/debian/ bookworm main contrib # main archive",
    ].join("\n");

    it("is found in the one-line format", () => {
        assert.equal(distributionMirror(parseListFile(list), "bookworm"), "http://mirror.example/debian");
    });

    it("is found in the deb822 format", () => {
        const text = [
            "Types: deb",
            "URIs: https://off.example/debian",
            "Suites: bookworm",
            "Components: main",
            "Enabled: no",
            "",
            "Types: deb deb-src",
            "# comment",
            "URIs: http://mirror.example/debian",
            "Suites: bookworm",
            " bookworm-updates",
            "Components: main",
            "Signed-By: /usr/share/keyrings/x.gpg",
        ].join("\n");
        assert.equal(distributionMirror(parseSourcesFile(text), "bookworm"), "http://mirror.example/debian");
        assert.equal(distributionMirror(parseSourcesFile(text), "trixie"), undefined);
    });

    it("tells a package's version from dpkg's status", () => {
        const status =
            "Package: nginx\nVersion: 1\n\nPackage: nginx-light\nStatus: install ok installed\nVersion: 1.26.3-3+deb13u7\n";
        assert.equal(packageVersion(status, "nginx-light"), "1.26.3-3+deb13u7");
        assert.equal(packageVersion(status, "curl"), undefined);
    });
});
