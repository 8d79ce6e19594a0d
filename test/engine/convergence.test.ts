import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { containerName, containersOf, ensureDocker, lifeOf } from "../support/docker";
import { TestStack } from "../support/launcher";
import { registryStatus, stateResources } from "../support/state";

/** A user's mistake is told in the user's terms: nothing of the program's own workings. */
function assertNoStackTrace(output: string): void {
    assert.doesNotMatch(output, /^\s+at .*:\d+:\d+\)?$/m);
    assert.doesNotMatch(output, /unhandled|node_modules|StackFileError|RunError/i);
}

describe("from a stack file with mistakes to a registry that stays as it is", function () {
    this.timeout(240_000);
    let stack: TestStack;

    before(async () => {
        await ensureDocker();
        stack = await TestStack.make("converge");
    });

    after(() => stack.cleanUp());

    function assertNothingDone(): void {
        // The stack itself is a resource to Pulumi.
        assert.deepEqual(
            stateResources(stack).filter(({ type }) => type !== "pulumi:pulumi:Stack"),
            [],
        );
        assert.ok(!existsSync(stack.machineDirectory), "the machine's directory is there");
    }

    it("reports five mistakes at once, each with its place and an example, and does nothing", async () => {
        stack.write({
            publicName: "10.0.0.5",
            machines: { box: { kind: "local", directory: "relative/folder" } },
            registry: { engine: "distribution", port: stack.registryPort, users: [{ name: "admin" }, { name: "a b" }] },
            loadBalancer: { mode: "http", httpsPort: 70_000, httpPort: stack.httpPort },
            certificate: { kind: "own-ca", validityDays: 900 },
        });

        const { code, output } = await stack.run("up");

        assert.notEqual(code, 0, output);
        const expected = [
            ["harborage:publicName", "registry.example.com"],
            ["harborage:machines.box.directory", "/var/lib/harborage"],
            ["harborage:registry.users[1].name", "ci"],
            ["harborage:loadBalancer.httpsPort", "443"],
            ["harborage:certificate.validityDays", "365"],
        ] as const;
        for (const [path, example] of expected) {
            const line = output.split("\n").find((each) => each.includes(`- ${path}: `));
            assert.ok(line?.includes(`for example ${example}`), `${path}:\n${output}`);
        }
        assert.match(output, new RegExp(`Pulumi\\.${stack.name}\\.yaml has 5 mistakes; nothing was changed`));
        assertNoStackTrace(output);
        assertNothingDone();
        assert.deepEqual(await containersOf(stack.name), []);
    });

    it("answers what is not built with what there is", async () => {
        stack.write({
            machines: { box: { kind: "ssh", host: "10.0.0.5" } },
            topology: { kind: "active-active", nodes: ["box"] },
            registry: { engine: "quay" },
            storage: { objects: { kind: "s3", bucket: "images" } },
            loadBalancer: { mode: "keepalived" },
        });

        const { code, output } = await stack.run("up");

        assert.notEqual(code, 0, output);
        const expected = [
            ["machines.box.kind", "local"],
            ["topology.kind", "single"],
            ["registry.engine", "distribution"],
            ["storage.objects.kind", "node"],
            ["loadBalancer.mode", "http"],
        ] as const;
        for (const [path, built] of expected) {
            const line = output.split("\n").find((each) => each.includes(`- harborage:${path}: `));
            assert.ok(line?.includes(`there is: ${built}`), `${path}:\n${output}`);
        }
        assertNoStackTrace(output);
        assertNothingDone();
    });

    it("converges once the mistakes are corrected", async () => {
        stack.write();

        await stack.up();

        assert.equal(await registryStatus(stack), 401);
    });

    it("changes nothing when it runs again: no resource, and no command on the machine", async () => {
        stack.takeCommands();
        const nginx = await lifeOf(containerName(stack.name, "lb", "nginx"));

        const { changes, output } = await stack.up();

        assert.deepEqual(changes, []);
        assert.match(output, /\d+ unchanged/);
        assert.deepEqual(stack.takeCommands(), []);
        assert.deepEqual(await lifeOf(containerName(stack.name, "lb", "nginx")), nginx);
    });

    it("has no drift", async () => {
        const { code, output } = await stack.run("pulumi", ["refresh", "--yes", "--expect-no-changes"]);

        assert.equal(code, 0, output);
        assert.match(output, /\d+ unchanged/);
        assert.deepEqual(stack.takeCommands(), []);
    });

    it("shows in a preview which lines of nginx.conf change, and does nothing", async () => {
        stack.write({
            loadBalancer: {
                mode: "http",
                httpsPort: stack.httpsPort,
                httpPort: stack.httpPort,
                hstsSeconds: 31_536_000,
            },
        });

        const { code, output } = await stack.run("preview", ["--diff"]);

        assert.equal(code, 0, output);
        assert.match(output, /^\s*\+ .*add_header Strict-Transport-Security "max-age=31536000" always;$/m);
        // What stays is not repeated as removed and added: the diff goes by lines.
        assert.doesNotMatch(output, /^\s*[-+] .*worker_connections/m);
        assert.match(output, /load-balancer-files/);
        assert.deepEqual(stack.takeCommands(), []);
    });

    it("takes everything away in the end", async () => {
        const { code, output } = await stack.run("destroy");

        assert.equal(code, 0, output);
        assert.deepEqual(await containersOf(stack.name), []);
        assert.deepEqual(stateResources(stack), []);
        // The data is kept unless the stack file says otherwise; the lock stays with it.
        assert.deepEqual(readdirSync(stack.machineDirectory).sort(), ["data", "lock"]);
        assert.ok(existsSync(join(stack.machineDirectory, "data", "registry")));
    });
});
