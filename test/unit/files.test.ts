import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { describe, it } from "mocha";
import { extract } from "tar-stream";
import { archive } from "../../components/compose-stack/archive";
import { composePath, renderFiles, type PlainFile } from "../../components/compose-stack/render-files";
import { quote, scriptText } from "../../components/machines/script-text";
import { runMachineScript, withFolder } from "./support/machine";

const files: Record<string, PlainFile> = {
    "compose.yaml": { content: "services: {}\n" },
    "empty/then/deep.conf": { content: 'a $x `y` "z" \\n \\\n\n  @@ 0644 not-a-marker\n' },
    "hooks/run.sh": { content: "#!/bin/sh\nexit 0\n", mode: "0755" },
    "without-end": { content: "no newline at the end" },
    "zz-last": { content: "the last one\n" },
};

describe("plain files", () => {
    it("come out on the machine as they went in", () => {
        withFolder((folder) => {
            const root = join(folder, "stacks", "project");
            mkdirSync(root, { recursive: true });
            const run = runMachineScript("compose-stack/scripts/files.sh", [folder, "project", "hash"], {
                data: renderFiles(files),
            });
            assert.equal(run.status, 0, run.stderr);
            const target = join(root, "plain", "hash");
            const found = readdirSync(target, { recursive: true, encoding: "utf8" }).filter((name) =>
                statSync(join(target, name)).isFile(),
            );
            assert.deepEqual(found.sort(), Object.keys(files).sort());
            for (const [name, { content, mode = "0644" }] of Object.entries(files)) {
                const expected = content.endsWith("\n") ? content : `${content}\n`;
                assert.equal(readFileSync(join(target, name), "utf8"), expected, name);
                assert.equal((statSync(join(target, name)).mode & 0o777).toString(8), mode.slice(1), name);
            }
            assert.equal(statSync(join(target, "hooks")).mode & 0o777, 0o755);
        });
    });

    it("take the place of those that were there", () => {
        withFolder((folder) => {
            const target = join(folder, "stacks", "project", "plain", "hash");
            mkdirSync(target, { recursive: true });
            writeFileSync(join(target, "left-over"), "");
            const words = [folder, "project", "hash"];
            assert.equal(
                runMachineScript("compose-stack/scripts/files.sh", words, { data: renderFiles(files) }).status,
                0,
            );
            assert.ok(!existsSync(join(target, "left-over")));
            assert.ok(!existsSync(`${target}.new`));
        });
    });

    it("are left alone when the resource is deleted", () => {
        withFolder((folder) => {
            const words = [folder, "project", "hash"];
            const run = runMachineScript("compose-stack/scripts/files.sh", words, { action: "delete", data: "" });
            assert.deepEqual([run.status, readdirSync(folder)], [0, []]);
        });
    });

    it("are the same text whatever the order", () => {
        const reversed = Object.fromEntries(Object.entries(files).reverse());
        assert.equal(renderFiles(reversed), renderFiles(files));
    });

    for (const [what, name, content] of [
        ["a line that is a marker", "file", "one\n@@ 0644 other\n"],
        ["a name that climbs", "../file", ""],
        ["an absolute name", "/etc/passwd", ""],
        ["a name with a space", "my file", ""],
        ["a name with a quote", 'my"file', ""],
    ] as const) {
        it(`are refused with ${what}`, () => {
            assert.throws(() => renderFiles({ [name]: { content } }), /cannot be sent to a machine/);
        });
    }

    it("find the home folder of the machine's user in compose files", () => {
        assert.equal(composePath("~/data"), "${HARBORAGE_HOME}/data");
        assert.equal(composePath("/srv/~/data"), "/srv/~/data");
    });
});

describe("archive of secret files", () => {
    async function unpacked(base64: string): Promise<Record<string, { content: string; mode: string; time: number }>> {
        const tar = extract();
        tar.end(Buffer.from(base64, "base64"));
        const found: Record<string, { content: string; mode: string; time: number }> = {};
        for await (const entry of tar) {
            const { name, mode, mtime } = entry.header;
            found[name] = {
                content: (await buffer(entry)).toString(),
                mode: mode.toString(8),
                time: mtime.getTime(),
            };
        }
        return found;
    }

    it("holds the files and nothing of who made it when", async () => {
        assert.deepEqual(await unpacked(await archive({ "service/b": "two", "root/a": "one\nmore" })), {
            root: { content: "", mode: "700", time: 0 },
            service: { content: "", mode: "700", time: 0 },
            "root/a": { content: "one\nmore", mode: "600", time: 0 },
            "service/b": { content: "two", mode: "600", time: 0 },
        });
    });

    it("has the same bytes for the same files", async () => {
        const names = fc.stringMatching(/^(root|service)\/[a-z]{1,8}$/);
        await fc.assert(
            fc.asyncProperty(fc.dictionary(names, fc.string({ unit: "binary" })), async (contents) => {
                const reversed = Object.fromEntries(Object.entries(contents).reverse());
                const base64 = await archive(contents);
                assert.equal(await archive(reversed), base64);
                const found = await unpacked(base64);
                for (const [name, content] of Object.entries(contents)) {
                    assert.equal(found[name]?.content, Buffer.from(content).toString(), name);
                }
            }),
            { numRuns: 50 },
        );
    });

    it("is read by tar", async () => {
        const base64 = await archive({ "root/server.key": "x".repeat(5000) });
        withFolder((folder) => {
            const input = Buffer.from(base64, "base64");
            assert.equal(spawnSync("tar", ["--extract", "--directory", folder], { input }).status, 0);
            assert.equal(readFileSync(join(folder, "root/server.key"), "utf8").length, 5000);
        });
    });
});

describe("scripts for machines", () => {
    it("get their words as they are", () => {
        const shells = ["sh", "bash"];
        fc.assert(
            fc.property(
                fc.array(
                    fc.string({ unit: "grapheme" }).filter((word) => !word.includes("\0")),
                    { maxLength: 4 },
                ),
                (words) => {
                    const all = [...words, "~/folder", "a b", "it's", "$HOME", "443=registry.port", ""];
                    for (const shell of shells) {
                        const command = ["printf", String.raw`'%s\0'`, ...all.map(quote)].join(" ");
                        const { stdout } = spawnSync(shell, ["-c", command], { encoding: "utf8" });
                        assert.equal(stdout, all.map((word) => `${word}\0`).join(""));
                    }
                },
            ),
            { numRuns: 40 },
        );
    });

    it("read their data to its last line, and no blank one behind it", () => {
        withFolder((folder) => {
            const script = join(folder, "script.sh");
            writeFileSync(script, 'main() { printf "%s\\n" "$*"; cat; }\n');
            const run = (data?: string) =>
                spawnSync("bash", ["-s", "--", "apply", "x"], { input: scriptText(script, data), encoding: "utf8" })
                    .stdout;
            assert.equal(run(), "apply x\n");
            assert.equal(run("one\n$two\n"), "apply x\none\n$two\n");
            assert.equal(run("three"), "apply x\nthree\n");
        });
    });
});
