import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "mocha";
import { checkFile } from "../../components/machines/sent-file";
import { withFolderAsync } from "./support/machine";

const content = "the bundle\n";
const sha256 = createHash("sha256").update(content).digest("hex");

describe("a file that is sent to machines", () => {
    it("is taken when it is the one that the stack file names", async () => {
        await withFolderAsync(async (folder) => {
            const path = join(folder, "bundle.tar");
            writeFileSync(path, content);
            await checkFile({ path, sha256, setting: "images.bundle" });
        });
    });

    it("is refused when it is another one, with both hashes", async () => {
        await withFolderAsync(async (folder) => {
            const path = join(folder, "bundle.tar");
            writeFileSync(path, "another\n");
            const actual = createHash("sha256").update("another\n").digest("hex");
            await assert.rejects(checkFile({ path, sha256, setting: "images.bundle" }), {
                message: `harborage:images.bundle.sha256: ${path} has the SHA-256 ${actual}; expected ${sha256}. It is another file, or a damaged one: get it again, or put its SHA-256 into the stack file`,
            });
        });
    });

    it("is refused when it cannot be read, with the setting that names it", async () => {
        await withFolderAsync(async (folder) => {
            const path = join(folder, "none.tar");
            await assert.rejects(checkFile({ path, sha256, setting: "baseline.packages.bundle" }), (error: Error) => {
                assert.ok(
                    error.message.startsWith(`harborage:baseline.packages.bundle.path: cannot read ${path}: ENOENT`),
                    error.message,
                );
                return true;
            });
        });
    });

    it("is read once for all machines of a run", async () => {
        await withFolderAsync(async (folder) => {
            const path = join(folder, "bundle.tar");
            writeFileSync(path, content);
            const file = { path, sha256, setting: "images.bundle" };
            const first = checkFile(file);
            assert.equal(checkFile({ ...file }), first);
            await first;
        });
    });
});
