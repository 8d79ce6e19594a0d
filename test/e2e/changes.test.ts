import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import {
    answers,
    ask,
    loginStatus,
    machineAddress,
    servedCertificate,
    Skopeo,
    SlowPull,
    type Access,
    type Login,
} from "../support/client";
import { containerName, docker, lifeOf } from "../support/docker";
import { makeImage, type Image } from "../support/image";
import { copyProject, freePorts, projectDirectory, TestStack, type Settings, type UpResult } from "../support/launcher";
import { until } from "../support/processes";
import { addHost } from "../support/system";

const day = 24 * 60 * 60 * 1000;

/** The names of what was changed, each once; what Pulumi needs several steps for is one change. */
function changed({ changes }: UpResult): string[] {
    return [...new Set(changes.map(({ name }) => name))].sort();
}

/** When each file of a machine was last touched in any way; what services write by themselves is left out. */
function touches(directory: string): Record<string, number> {
    const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
    const own = names.filter((name) => !/^(?:data|gate)(?:\/|$)/.test(name));
    return Object.fromEntries(own.map((name) => [name, statSync(join(directory, name)).ctimeMs]));
}

describe("changes to a running registry", function () {
    this.timeout("5m");

    let stack: TestStack;
    let image: Image;
    let access: Access;
    let admin: Login;
    let registry: string;
    let collector: string;
    let nginx: string;
    let copy: string | undefined;
    const undo: (() => unknown)[] = [];

    const user = { name: "ci", password: "given-password-1" };
    const users: { name: string; password?: string }[] = [
        { name: "admin" },
        { name: user.name, password: "ciPassword" },
    ];
    const settings = (): Settings & { registry: object; loadBalancer: object } => ({
        registry: {
            engine: "distribution",
            port: stack.registryPort,
            users,
            garbageCollection: { schedule: "* * * * *" },
        },
        loadBalancer: { mode: "http", httpsPort: stack.httpsPort, httpPort: stack.httpPort },
    });
    /** Settings that stay for the tests after the one that made them. */
    let current: ReturnType<typeof settings>;
    const upWith = (more: Settings): Promise<UpResult> => {
        current = { ...current, ...more };
        stack.write(current);
        return stack.up();
    };
    const lives = async () => ({
        registry: await lifeOf(registry),
        collector: await lifeOf(collector),
        nginx: await lifeOf(nginx),
    });
    const pulls = async () => {
        const path = `/v2/big/manifests/${image.digest}`;
        return (await ask({ ...access, login: admin }, "GET", path)).status === 200;
    };
    /** Runs `up` with a copy of the project in which one text of a file is another. */
    const upBroken = async (file: string, from: string, to: string): Promise<UpResult> => {
        copy ??= copyProject(join(stack.folder, "copy"));
        const path = join(copy, file);
        const text = readFileSync(path, "utf8");
        assert.ok(text.includes(from), `${file} does not hold: ${from}`);
        writeFileSync(
            path,
            text.replace(from, () => to),
        );
        stack.project = copy;
        try {
            return await stack.tryUp();
        } finally {
            stack.project = projectDirectory;
            writeFileSync(path, text);
        }
    };

    before(async () => {
        stack = await TestStack.make("changes");
        undo.push(() => stack.cleanUp());
        current = settings();
        stack.write(current);
        await stack.setSecret("ciPassword", user.password);
        [image] = await Promise.all([makeImage(join(stack.folder, "image"), [100]), stack.up()]);
        const outputs = await stack.outputs();
        const name = `${stack.name}.example`;
        undo.push(addHost(name, machineAddress()));
        admin = { name: outputs.adminUsername, password: outputs.adminPassword };
        access = { name, port: stack.httpsPort, ca: outputs.caCertificate };
        registry = containerName(stack.name, "registry", "registry");
        collector = containerName(stack.name, "registry", "collector");
        nginx = containerName(stack.name, "lb", "nginx");
        writeFileSync(join(stack.folder, "ca.crt"), access.ca);
        const skopeo = new Skopeo(join(stack.folder, "skopeo"), stack.folder);
        assert.equal((await skopeo.login(outputs.registryHost, admin)).code, 0);
        // Pushes are refused while garbage is collected, here for some seconds of each minute.
        await until("the image is pushed", 120, async () => {
            return (await skopeo.push(image.folder, `${outputs.registryHost}/big:one`)).code === 0;
        });
    });

    after(async () => {
        for (const step of undo.reverse()) {
            await step();
        }
    });

    it("changes nothing and runs nothing on the machine when nothing has changed", async () => {
        assert.notDeepEqual(stack.takeCommands(), [], "the scripts of the first up were not seen");
        const before = { files: touches(stack.machineDirectory), lives: await lives() };
        const result = await stack.up();
        assert.deepEqual(result.changes, []);
        assert.match(result.output, /[0-9]+ unchanged/);
        assert.deepEqual(stack.takeCommands(), []);
        assert.deepEqual({ files: touches(stack.machineDirectory), lives: await lives() }, before);
    });

    it("takes a new certificate without a restart, and a pull that runs meanwhile does not notice", async () => {
        const before = { lives: await lives(), certificate: await servedCertificate(access) };
        stack.takeCommands();
        const [layer] = image.layers;
        assert.ok(layer);
        const pull = await SlowPull.start({ ...access, login: admin }, `/v2/big/blobs/${layer.digest}`);
        const digest = pull.digest();
        await until("the pull runs", 60, () => pull.received > 0);

        const result = await upWith({ certificate: { kind: "own-ca", validityDays: 100 } });
        assert.deepEqual(changed(result), ["certificates-server", "load-balancer-release"]);
        const types = result.changes.filter(({ name }) => name === "certificates-server").map(({ type }) => type);
        assert.deepEqual([...new Set(types)], ["tls:index/locallySignedCert:LocallySignedCert"]);
        assert.equal(stack.takeCommands().length, 1);

        const served = await servedCertificate(access);
        assert.notEqual(served.fingerprint256, before.certificate.fingerprint256);
        assert.equal((Date.parse(served.valid_to) - Date.parse(served.valid_from)) / day, 100);
        assert.deepEqual(await lives(), before.lives);

        assert.equal(pull.finished, false, "the pull ended before the change did");
        pull.hurry();
        assert.equal(`sha256:${await digest}`, layer.digest);
    });

    it("lets a new user in without a restart", async () => {
        const before = await lives();
        const added = { name: "builder", password: "builderPassword" };
        await stack.setSecret("builderPassword", "given-password-2");
        const result = await upWith({ registry: { ...current.registry, users: [...users, added] } });
        assert.deepEqual(changed(result), ["box-release", "registry-user-builder-salt"]);
        assert.deepEqual(await lives(), before);
        for (const login of [{ name: "builder", password: "given-password-2" }, user, admin]) {
            assert.equal(await loginStatus(access, login), 200, login.name);
        }
    });

    it("takes the new password of a user, and refuses the old one, without a restart", async () => {
        const before = await lives();
        await stack.setSecret("ciPassword", "given-password-3");
        const result = await upWith({});
        assert.deepEqual(changed(result), ["box-release"]);
        assert.deepEqual(await lives(), before);
        assert.equal(await loginStatus(access, user), 401);
        assert.equal(await loginStatus(access, { ...user, password: "given-password-3" }), 200);
        assert.equal(await loginStatus(access, admin), 200);
    });

    it("collects garbage on its schedule", async () => {
        // A push that was refused half-way leaves blobs to the first collection; a later one finds nothing but the image.
        await until("a collection by itself that finds all in use", 190, async () => {
            const text = await docker("logs", collector);
            return /collect: [1-9]\d* blobs marked, 0 blobs and 0 manifests eligible for deletion/.test(text);
        });
        assert.ok(await pulls());
    });

    it("restarts the registry alone for another log level", async () => {
        const before = await lives();
        const result = await upWith({ registry: { ...current.registry, logLevel: "warn" } });
        assert.deepEqual(changed(result), ["box-files", "box-release"]);
        const now = await lives();
        assert.notEqual(now.registry.startedAt, before.registry.startedAt);
        assert.deepEqual(now.nginx, before.nginx);
        assert.ok(await pulls());
    });

    it("never runs a configuration that nginx refuses", async () => {
        const before = await lives();
        const served = await servedCertificate(access);
        const result = await upBroken(
            "components/load-balancer/render.ts",
            "client_max_body_size 0;",
            "client_max_body_size nothing;",
        );
        assert.notEqual(result.code, 0);
        assert.match(result.output, /"client_max_body_size" directive invalid value/);
        assert.match(result.output, /configuration of harborage-\S+-lb is not valid; nothing was changed/);
        assert.deepEqual(await lives(), before);
        assert.equal((await servedCertificate(access)).fingerprint256, served.fingerprint256);
        assert.ok(await pulls());
        const conf = readFileSync(join(stack.machineDirectory, `stacks/harborage-${stack.name}-lb/current/nginx.conf`));
        assert.doesNotMatch(conf.toString(), /nothing/);
    });

    it("goes back to the release before when a change is not healthy, and on with the next one", async () => {
        const result = await upBroken(
            "components/registry/distribution/start.sh",
            "exec registry",
            'echo "broken on purpose" >&2\nexit 3\nexec registry',
        );
        assert.notEqual(result.code, 0);
        assert.match(result.output, /the last lines of registry:/);
        assert.match(result.output, /^\s+broken on purpose$/m);
        assert.match(result.output, /did not become healthy; the release before runs again/);
        assert.equal((await lifeOf(registry)).health, "healthy");
        assert.ok(await pulls());
        assert.ok(result.seconds < 180, `it took ${result.seconds} s`);

        const fixed = await stack.up();
        // What runs is what it was: only the files of the two broken changes, which nothing uses, are put back.
        assert.deepEqual(changed(fixed), ["box-files", "load-balancer-files"]);
        assert.ok(await pulls());
        assert.deepEqual((await stack.up()).changes, []);
    });

    it("moves to another port and leaves the old one", async () => {
        const before = await lives();
        const [port = 0] = await freePorts(1);
        const result = await upWith({ loadBalancer: { ...current.loadBalancer, httpsPort: port } });
        assert.deepEqual(changed(result), ["box-preflight", "load-balancer-files", "load-balancer-release"]);
        assert.equal(await answers(port), true);
        assert.equal(await answers(stack.httpsPort), false);
        access = { ...access, port };
        assert.ok(await pulls());
        assert.deepEqual((await lives()).registry, before.registry);
    });
});
