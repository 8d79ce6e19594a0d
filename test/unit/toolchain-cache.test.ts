import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { cached, inCache, keyOf, readNote, writeNote } from "../../toolchain/cache";

describe("toolchain: cache", () => {
    let root: string;
    let inherited: string | undefined;

    beforeEach(() => {
        inherited = process.env["XDG_CACHE_HOME"];
        root = mkdtempSync(path.join(tmpdir(), "cache-"));
        process.env["XDG_CACHE_HOME"] = root;
    });
    afterEach(() => {
        if (inherited === undefined) {
            delete process.env["XDG_CACHE_HOME"];
        } else {
            process.env["XDG_CACHE_HOME"] = inherited;
        }
        rmSync(root, { recursive: true });
    });

    it("makes a thing once, also for several at the same time", async () => {
        let builds = 0;
        const build = async (directory: string): Promise<void> => {
            builds += 1;
            await sleep(50);
            writeFileSync(path.join(directory, "x"), "");
        };
        const made = await Promise.all([1, 2, 3].map(() => cached("kind", "key", build)));
        assert.equal(builds, 1);
        assert.deepEqual(new Set(made).size, 1);
        assert.ok(existsSync(path.join(made[0] ?? "", "x")));
        await cached("kind", "key", build);
        assert.equal(builds, 1);
    });

    it("leaves nothing of a build that failed, and tries again", async () => {
        await assert.rejects(
            cached("kind", "key", (directory) => {
                writeFileSync(path.join(directory, "half"), "");
                return Promise.reject(new Error("no network"));
            }),
            /no network/,
        );
        assert.equal(inCache("kind", "key"), undefined);
        assert.deepEqual(readdirSync(path.join(root, "harborage", "kind")), []);
        await cached("kind", "key", () => Promise.resolve());
        assert.notEqual(inCache("kind", "key"), undefined);
    });

    it("is neither blocked nor misled by a build that was killed", async () => {
        const module = JSON.stringify(path.resolve(__dirname, "../../toolchain/cache"));
        const code = `require(${module}).cached("kind", "key", () => { console.log("at work"); return new Promise((r) => setTimeout(r, 60000)); })`;
        const child = spawn(process.execPath, ["--require", "tsx/cjs", "-e", code], {
            stdio: ["ignore", "pipe", "inherit"],
        });
        await once(child.stdout, "data");
        child.kill("SIGKILL");
        await once(child, "close");
        assert.equal(inCache("kind", "key"), undefined);
        await cached("kind", "key", () => Promise.resolve());
        assert.deepEqual(readdirSync(path.join(root, "harborage", "kind")), ["key"]);
    });

    it("keys by content, not by where a file is", () => {
        writeFileSync(path.join(root, "a"), "1");
        const one = keyOf(["x"], [path.join(root, "a")]);
        assert.equal(keyOf(["x"], [path.join(root, "a")]), one);
        writeFileSync(path.join(root, "a"), "2");
        assert.notEqual(keyOf(["x"], [path.join(root, "a")]), one);
        assert.notEqual(keyOf(["ab", "c"]), keyOf(["a", "bc"]));
    });

    it("takes a broken note for none", () => {
        writeNote("n", { a: 1 });
        assert.deepEqual(readNote("n"), { a: 1 });
        writeFileSync(path.join(root, "harborage", "n.json"), "{");
        assert.equal(readNote("n"), undefined);
    });
});
