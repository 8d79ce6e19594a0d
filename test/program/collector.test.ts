import assert from "node:assert/strict";
import { before, describe, it } from "mocha";
import { plain, resourcesOf, runProgram, settingsOf, type ProgramRun } from "./program";

const existing = (number: number) => ({ kind: "existing", address: `192.0.2.${number}`, hostKey: "accept-any" });

describe("program of several nodes of CNCF Distribution", () => {
    let run: ProgramRun;
    before(async () => {
        const storage = {
            objects: { kind: "external", bucket: "images", region: "eu-1", accessKey: "key", secretKey: "secret" },
        };
        const settings = {
            ...settingsOf("Pulumi.dev.yaml"),
            machines: { lb: existing(1), a: existing(2), b: existing(3) },
            topology: { kind: "shared", nodes: ["a", "b"], loadBalancer: "lb" },
            storage,
        };
        run = await runProgram({ settings, secrets: { key: "an-access-key", secret: "a-secret-key" } });
        assert.equal(run.error, undefined);
    });

    const command = (name: string) => {
        const found = resourcesOf(run, "command:remote:Command").find((each) => each.name === name);
        assert.ok(found, `no command ${name}`);
        return found;
    };

    /** Whether a command waits, in however many steps, for another: it waits for what its parent waits for. */
    function waits(from: string, target: string): boolean {
        const known = new Map(
            run.resources.map(({ type, name, parent, dependsOn }) => [`${type} ${name}`, [...dependsOn, parent]]),
        );
        // Grows while it is read.
        const seen = new Set([`command:remote:Command ${from}`]);
        for (const each of seen) {
            for (const next of known.get(each) ?? []) {
                seen.add(next);
            }
        }
        return seen.has(`command:remote:Command ${target}`);
    }

    it("has the collector know a node before clients can write to it", () => {
        for (const node of ["a-release", "b-release"]) {
            assert.ok(waits("collector-release", node), node);
        }
        assert.ok(waits("load-balancer-release", "collector-release"));
        assert.ok(!waits("collector-release", "load-balancer-release"));
    });

    it("runs the collector on the load balancer's machine, with every node's address", () => {
        const { connection, stdin } = command("collector-files").inputs;
        assert.equal((plain(connection) as { host: string }).host, "192.0.2.1");
        for (const host of ["192.0.2.2", "192.0.2.3"]) {
            assert.ok(String(plain(stdin)).includes(`http://${host}:5000/harborage/metrics`), host);
        }
        assert.doesNotMatch(String(plain(stdin)), /an-access-key|a-secret-key/);
    });
});
