import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import { ask, Skopeo, type Access } from "../support/client";
import { closedSite } from "../support/closed-site";
import { makeImage, type Image } from "../support/image";
import { TestStack, type Settings } from "../support/launcher";
import { Machine } from "../support/machine";
import { until } from "../support/processes";

describe("the life of a registry on a machine", function () {
    this.timeout("5m");

    let stack: TestStack | undefined;
    let machine: Machine;
    let image: Image;
    let site: Settings;
    let access: Access;

    const theStack = (): TestStack => {
        assert.ok(stack);
        return stack;
    };
    const write = (generation: number, deleteData: boolean) =>
        theStack().write({
            ...site,
            machines: {
                box: { kind: "local", directory: theStack().machineDirectory, minimumFreeDiskGiB: 1, generation },
            },
            storage: { objects: { kind: "node", deleteData } },
        });
    const readAccess = async () => {
        const { name, httpsPort } = theStack();
        const { caCertificate: ca, adminUsername, adminPassword } = await theStack().outputs();
        const login = { name: adminUsername, password: adminPassword };
        access = { name: `${name}.example`, port: httpsPort, address: machine.address, ca, login };
    };
    /** Pulls everything that was pushed; skopeo compares each digest with the content. */
    const pulls = async (client: string) => {
        const folder = join(theStack().folder, client);
        mkdirSync(folder, { recursive: true });
        writeFileSync(join(folder, "ca.crt"), access.ca);
        const skopeo = new Skopeo(folder, folder);
        const host = `${machine.address}:${access.port}`;
        assert.ok(access.login);
        const login = await skopeo.login(host, access.login);
        assert.equal(login.code, 0, login.output);
        if (client === "push") {
            const pushed = await skopeo.push(image.folder, `${host}/app:one`);
            assert.equal(pushed.code, 0, pushed.output);
        }
        assert.equal(await skopeo.digest(`${host}/app:one`), image.digest);
        const pulled = await skopeo.pull(`${host}/app:one`, join(folder, "pulled"));
        assert.equal(pulled.code, 0, pulled.output);
    };
    const answersAgain = () =>
        until("the registry answers again", 60, async () => {
            return (await ask(access, "GET", "/v2/").catch(() => undefined))?.status === 200;
        });
    const allHealthy = () =>
        until("every service is healthy", 60, async () => {
            const states = await machine.docker("ps", "--format", "{{.Names}} {{.Status}}");
            const healthy = states.filter((state) => state.endsWith("(healthy)"));
            return states.length === 3 && healthy.length === 2;
        });
    /** What a stack may leave on a machine, but for its folder. */
    const remains = async () => ({
        containers: await machine.docker("ps", "--all", "--quiet"),
        networks: await machine.docker("network", "ls", "--filter", "type=custom", "--quiet"),
        volumes: await machine.docker("volume", "ls", "--quiet"),
        images: await machine.docker("image", "ls", "--quiet"),
    });
    const nothing = { containers: [], networks: [], volumes: [], images: [] };

    before(async function () {
        if (!(await Machine.possible())) {
            console.log("      needs root and namespaces");
            this.skip();
        }
        stack = await TestStack.make("life");
        machine = await Machine.make(join(stack.folder, "box"));
        site = await closedSite(stack.folder);
        write(1, false);
        // Gets what is missing from the net, which the machine does not reach.
        const preview = await stack.run("preview");
        assert.equal(preview.code, 0, preview.output);
        assert.equal(existsSync(stack.machineDirectory), false, "a preview has changed the machine");
        await machine.boot();
        stack.wrapper = machine.wrapper(stack.project);
        image = await makeImage(join(stack.folder, "image"), [4, 2]);
    });

    after(async () => {
        if (stack !== undefined) {
            await machine.close();
            await stack.cleanUp();
        }
    });

    it("starts Docker where it does not run, and a registry", async () => {
        assert.notEqual((await machine.attempt("docker", ["info"])).code, 0);
        const { output } = await theStack().up();
        assert.match(output, /starting Docker/);
        await readAccess();
        await pulls("push");
    });

    it("is back by itself when Docker has been restarted", async () => {
        await machine.stopDocker();
        assert.equal(await ask(access, "GET", "/v2/").catch(() => "nobody"), "nobody");
        await machine.startDocker();
        await answersAgain();
        await allHealthy();
        await pulls("after-restart");
    });

    it("is back by itself when the machine has lost its power", async () => {
        await machine.cutPower();
        await machine.boot();
        theStack().wrapper = machine.wrapper(theStack().project);
        await machine.startDocker();
        await answersAgain();
        await allHealthy();
        await pulls("after-power-loss");
        assert.deepEqual((await theStack().up()).changes, []);
    });

    it("is set up again by a higher generation, with its data, users and CA", async () => {
        const before = await machine.docker("ps", "--quiet");
        write(2, false);
        const { changes } = await theStack().up();
        const replaced = new Set(changes.filter(({ op }) => op === "replace").map(({ name }) => name));
        for (const name of ["baseline", "images", "project", "files", "release"]) {
            assert.ok(replaced.has(`box-${name}`), `box-${name} was not done again`);
        }
        for (const name of ["project", "files", "release"]) {
            assert.ok(replaced.has(`load-balancer-${name}`), `load-balancer-${name} was not done again`);
        }
        assert.equal(replaced.size, 8, [...replaced].join(", "));
        const now = await machine.docker("ps", "--quiet");
        assert.equal(now.filter((id) => before.includes(id)).length, 0, "a container is still the old one");
        await pulls("after-generation");
        assert.deepEqual((await theStack().up()).changes, []);
    });

    it("keeps the images that were pushed when it is destroyed, and says where", async () => {
        const { machineDirectory, home, name } = theStack();
        const ran = await theStack().run("destroy");
        assert.equal(ran.code, 0, ran.output);
        const data = join(machineDirectory, "data/registry");
        assert.match(
            ran.output,
            /Kept on the machines:\n\s+\S+\/data\/registry \(.*\) on \S+; delete it with: rm -rf \S+/,
        );
        assert.ok(ran.output.includes(`rm -rf ${data}`));
        assert.deepEqual(await remains(), nothing);
        assert.deepEqual(
            readdirSync(machineDirectory).filter((entry) => entry !== "lock"),
            ["data"],
        );
        assert.deepEqual(readdirSync(join(machineDirectory, "data")), ["registry"]);
        assert.equal(existsSync(join(home, name, "ca.crt")), false);
    });

    it("finds the kept images when it comes up again", async () => {
        const before = access;
        await theStack().up();
        await readAccess();
        assert.notEqual(access.login?.password, before.login?.password);
        await pulls("after-destroy");
    });

    it("leaves nothing when the data is to be deleted", async () => {
        write(2, true);
        await theStack().up();
        await pulls("before-deletion");
        const ran = await theStack().run("destroy");
        assert.equal(ran.code, 0, ran.output);
        assert.doesNotMatch(ran.output, /Kept/);
        assert.deepEqual(await remains(), nothing);
        assert.equal(existsSync(theStack().machineDirectory), false);
    });
});
