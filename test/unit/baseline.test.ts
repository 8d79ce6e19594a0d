import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { runFunctions, withFolderAsync } from "./support/machine";

/** Docker and compose at a version, as programs. */
const docker = (server: string, compose: string) => ({
    docker: `case "$*" in version*) echo ${server} ;; 'compose version --short') echo ${compose} ;; esac`,
});

describe("baseline.sh", () => {
    const apply = (server: string, compose: string) =>
        withFolderAsync((folder) =>
            runFunctions("machines/scripts/baseline.sh", 'main apply "$directory/box" claim-1 20.10.10 2.24.4', {
                folder,
                programs: docker(server, compose),
            }),
        );

    it("says which Docker it has found or installed", async () => {
        const { status, stdout, stderr } = await apply("20.10.24", "v2.24.4");
        assert.deepEqual([status, stdout, stderr], [0, "Docker 20.10.24, compose v2.24.4\n", ""]);
    });

    it("refuses one that is too old, and says where a newer one is named", async () => {
        for (const [server, compose, expected] of [
            ["20.10.5", "2.30.0", "Docker is 20.10.5; expected 20.10.10 or newer (baseline.packages.sources)"],
            ["28.2.2", "2.24.3", "docker compose is 2.24.3; expected 2.24.4 or newer (baseline.docker.composePlugin)"],
        ] as const) {
            const { status, stderr } = await apply(server, compose);
            assert.deepEqual([status, stderr], [1, `harborage: ${expected}\n`]);
        }
    });
});
