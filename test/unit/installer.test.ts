import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "mocha";
import { runFunctions, withFolderAsync } from "./support/machine";

/** A machine on which Harbor 2.15.2 was unpacked; the file that was sent for it is gone. */
function unpack(folder: string): void {
    const target = join(folder, "installers/0f1e");
    mkdirSync(join(target, "harbor"), { recursive: true });
    writeFileSync(join(target, "harbor/prepare"), "    goharbor/prepare:v2.15.2 prepare $@\n");
    writeFileSync(join(target, "harbor/harbor.v2.15.2.tar.gz"), "");
    writeFileSync(
        join(target, "images"),
        `${join(target, "harbor/harbor.v2.15.2.tar.gz")}\ngoharbor/prepare:v2.15.2\n`,
    );
}

function apply(folder: string, version: string, docker: string) {
    const code = `version=${version} place=$folder/incoming/0f1e sha256=0f1e target=$folder/installers/0f1e; apply`;
    return runFunctions("machines/scripts/installer.sh", code, { folder, programs: { docker } });
}

describe("installer.sh", () => {
    it("refuses another version of a file that it knows", () =>
        withFolderAsync(async (folder) => {
            unpack(folder);
            const { status, stderr } = await apply(folder, "2.16.0", "exit 0");
            assert.equal(status, 1);
            assert.match(stderr, /is Harbor 2\.15\.2; expected 2\.16\.0 \(registry\.version, registry\.installer\)/);
        }));

    it("loads images again from what it has kept", () =>
        withFolderAsync(async (folder) => {
            unpack(folder);
            const docker = `case $1 in load) touch ${folder}/loaded ;; image) test -f ${folder}/loaded ;; esac`;
            const { status, stderr, stdout } = await apply(folder, "2.15.2", docker);
            assert.deepEqual([status, stderr, stdout], [0, "", "loading Harbor's images again\n"]);
        }));
});
