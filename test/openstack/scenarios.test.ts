import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import { Skopeo, type Login } from "../support/client";
import { makeImage, type Image } from "../support/image";
import { TestStack, type Change, type Settings } from "../support/launcher";
import { attempt, until } from "../support/processes";
import { SecretSearch } from "../support/secret-search";
import { newSshKey } from "../support/ssh-key";
import { stateFile } from "../support/state";
import { baseline, bringUp, credentials, endStack, enterCloud, Guests, openstack, upSeconds } from "./guests";

const minutes = 60_000;

/** Whether something listens, and the packet filters in between let this machine in. */
function connects(host: string, port: number): Promise<boolean> {
    return new Promise((done) => {
        const socket = connect({ host, port, timeout: 5_000 });
        const end = (answer: boolean) => () => {
            socket.destroy();
            done(answer);
        };
        socket.once("connect", end(true)).once("error", end(false)).once("timeout", end(false));
    });
}

const names = (changes: readonly Change[]) =>
    changes.map(({ op, name, type }) => `${op} ${type.split(":").at(-1) ?? ""} ${name}`);

describe("a registry on OpenStack", function () {
    this.timeout(45 * minutes);
    // What follows a failure would say nothing.
    this.bail(true);

    let takeDown: (() => Promise<void>) | undefined;
    const key = newSshKey();
    const secrets = new SecretSearch();
    let stack: TestStack;
    let guests: Guests;
    let image: Image;
    let settings: Settings;
    let cloud: Record<string, string>;
    let login: Login;
    let host: string;
    let skopeo: Skopeo;

    const lb = {
        kind: "openstack",
        image: "debian-12-docker",
        flavor: "m1.small",
        floatingIp: true,
        minimumFreeDiskGiB: 1,
    };
    const node = {
        kind: "openstack",
        image: "debian-12-docker",
        flavor: "m1.small",
        dataVolume: { sizeGiB: 1 },
        minimumFreeDiskGiB: 1,
        metadata: { purpose: "test" },
    };
    const machines = (changed: object) => ({ ...settings, machines: { lb, node: { ...node, ...changed } } });

    const up = async (changed: Settings) => {
        stack.write(changed);
        const result = await stack.tryUp([], { seconds: upSeconds });
        assert.equal(result.code, 0, result.output);
        return result.changes;
    };
    const pull = async (what: string) => {
        const ran = await skopeo.pull(`${host}/app:1`, join(stack.folder, `pulled-${what}`));
        assert.equal(ran.code, 0, `${what}: ${ran.output}`);
        assert.equal(await skopeo.digest(`${host}/app:1`), image.digest);
    };

    before(async () => {
        takeDown = await bringUp();
        stack = await TestStack.make("openstack");
        cloud = await credentials("openrc");
        enterCloud(stack, cloud);
        secrets.addKey("the SSH key", key.private);
        guests = new Guests(join(stack.folder, "ssh"), stack.name, cloud, key, ["lb", "node"]);
        image = await makeImage(join(stack.folder, "image"), [2, 1]);
        settings = {
            openstack: openstack(key),
            machines: { lb, node },
            topology: { kind: "single", node: "node", loadBalancer: "lb" },
            registry: { engine: "distribution" },
            loadBalancer: { mode: "http" },
            baseline: await baseline(),
        };
        stack.write(settings);
        await stack.setSecret("cloudPassword", cloud["OS_PASSWORD"] ?? "");
        await stack.setSecret("sshKey", key.private);
    });

    after(async function () {
        this.timeout(20 * minutes);
        await endStack(stack);
        await takeDown?.();
    });

    it("refuses names that the cloud does not have, all at once, before anything is made", async () => {
        stack.write({
            ...settings,
            machines: { lb: { ...lb, image: "no-such-image", flavor: "m1.nothing" }, node },
            openstack: { ...(settings["openstack"] as object), network: { kind: "own", externalNetwork: "nowhere" } },
        });
        const { code, output } = await stack.tryUp([], { seconds: 120 });
        assert.notEqual(code, 0);
        assert.match(output, /harborage:machines\.lb\.image: there is no image "no-such-image"/);
        assert.match(output, /harborage:machines\.lb\.flavor: there is no flavor "m1\.nothing"/);
        assert.match(output, /harborage:openstack\.network\.externalNetwork: there is no network "nowhere"/);
        assert.doesNotMatch(output, /at .*\.ts:\d+/);
        assert.equal(await guests.openstack("network", "list", "--name", `harborage-${stack.name}`, "-f", "value"), "");
    });

    it("logs in by an application credential or a token, and keeps them out of the state", async () => {
        const {
            OS_AUTH_URL: authUrl = "",
            OS_PROJECT_NAME: projectName = "",
            OS_PROJECT_DOMAIN_NAME: domain = "",
        } = cloud;
        const none = Object.fromEntries(Object.keys(cloud).map((name) => [name, undefined]));
        const credential = JSON.parse(
            await guests.openstack("application", "credential", "create", stack.name, "-f", "json"),
        ) as { id: string; secret: string };
        const token = await guests.openstack("token", "issue", "-f", "value", "-c", "id");
        const logins = [
            {
                auth: { authUrl, applicationCredentialId: credential.id, applicationCredentialSecret: "cloudSecret" },
                secret: credential.secret,
            },
            { auth: { authUrl, projectName, projectDomainName: domain, token: "cloudSecret" }, secret: token },
        ];
        try {
            for (const { auth, secret } of logins) {
                const other = await TestStack.make("login");
                other.env = none;
                other.write({
                    ...settings,
                    machines: { lb: { ...lb, image: "no-such-image" }, node },
                    openstack: { ...(settings["openstack"] as object), auth },
                });
                await other.setSecret("cloudSecret", secret);
                await other.setSecret("sshKey", key.private);
                const { output } = await other.tryUp([], { seconds: 120 });
                // It was let in: only then it can tell that there is no such image.
                assert.match(output, /harborage:machines\.lb\.image: there is no image "no-such-image"/);
                const state = readFileSync(stateFile(other), "utf8");
                assert.match(state, /pulumi:providers:openstack/);
                assert.ok(!state.includes(secret), JSON.stringify(Object.keys(auth)));
                await other.run("destroy", [], { seconds: 120 });
                await attempt("rm", ["-rf", other.folder]);
            }
        } finally {
            await guests.openstack("application", "credential", "delete", stack.name);
        }
    });

    it("says what to do where the quota does not allow a VM", async () => {
        const tight = await credentials("tight-openrc");
        const other = await TestStack.make("quota");
        try {
            enterCloud(other, tight);
            other.write({ ...settings, machines: { lb: { ...lb, flavor: "m1.large" }, node } });
            await other.setSecret("cloudPassword", tight["OS_PASSWORD"] ?? "");
            await other.setSecret("sshKey", key.private);
            const { code, output } = await other.tryUp([], { seconds: 300 });
            assert.notEqual(code, 0);
            assert.match(output, /harborage:machines\.(?:lb|node)[^:]*: the project's quota does not allow it/);
        } finally {
            await endStack(other);
        }
    });

    it("is there after one up, and takes and gives images through the load balancer's floating IP", async () => {
        await up(settings);
        const outputs = await stack.outputs();
        login = { name: outputs.adminUsername, password: outputs.adminPassword };
        secrets.add("the password", login.password);
        const { floating = "" } = await guests.addresses("lb");
        host = `${floating}:443`;
        const certificates = join(stack.folder, "certificates");
        mkdirSync(certificates, { recursive: true });
        writeFileSync(join(certificates, "ca.crt"), outputs.caCertificate);
        skopeo = new Skopeo(join(stack.folder, "skopeo"), certificates);
        assert.equal((await skopeo.login(host, login)).code, 0);
        const pushed = await skopeo.push(image.folder, `${host}/app:1`);
        assert.equal(pushed.code, 0, pushed.output);
        await pull("first");
    });

    it("keeps the node's port and SSH closed to everybody else", async () => {
        const { fixed } = await guests.addresses("node");
        // The load balancer gets through where this machine does not: on the router's way to the node's own address.
        assert.match(
            await guests.run(
                "lb",
                `curl --silent --output /dev/null --write-out '%{http_code}' http://${fixed}:5000/v2/`,
            ),
            /401/,
        );
        const route = ["route", "replace", `${fixed}/32`, "via", await routerAddress()];
        await attempt("ip", route);
        try {
            assert.equal(await connects(fixed, 5000), false);
            assert.equal(await connects((await guests.addresses("lb")).floating ?? "", 5000), false);
            assert.equal(await connects((await guests.addresses("lb")).floating ?? "", 443), true);
        } finally {
            await attempt("ip", ["route", "delete", `${fixed}/32`]);
        }
    });

    const routerAddress = async () => {
        const text = await guests.openstack(
            "router",
            "show",
            `harborage-${stack.name}`,
            "-f",
            "json",
            "-c",
            "external_gateway_info",
        );
        const { external_gateway_info: info } = JSON.parse(text) as {
            external_gateway_info: { external_fixed_ips: { ip_address: string }[] };
        };
        return info.external_fixed_ips[0]?.ip_address ?? "";
    };

    it("is set up as the stack file says", async () => {
        const zone = await guests.run(
            "node",
            "readlink -f /etc/localtime; timedatectl show --property NTPSynchronized; findmnt --noheadings --output TARGET,FSTYPE /var/lib/harborage/data; systemctl show docker --property RequiresMountsFor",
        );
        assert.match(zone, /Europe\/Zurich/);
        assert.match(zone, /\/var\/lib\/harborage\/data +ext4/);
        assert.match(zone, /RequiresMountsFor=\/var\/lib\/harborage\/data/);
        assert.match(await guests.run("node", "chronyc -n tracking"), /172\.24\.4\.1/);
        const limits = await guests.run(
            "node",
            "for c in $(docker ps --quiet); do grep 'open files' /proc/$(docker inspect --format '{{.State.Pid}}' $c)/limits; done",
        );
        assert.ok(
            limits.split("\n").every((line) => /files +65535 +65535/.test(line)),
            limits,
        );
        const metadata = await guests.openstack(
            "server",
            "show",
            await guests.id("node"),
            "-f",
            "value",
            "-c",
            "properties",
        );
        assert.match(metadata, /purpose.*test/);
    });

    it("keeps secrets out of the state, the cloud's password and keys included", () => {
        const state = readFileSync(stateFile(stack), "utf8");
        assert.deepEqual(secrets.in(state), []);
        assert.doesNotMatch(state, new RegExp(`"${cloud["OS_PASSWORD"] ?? ""}"`));
        assert.doesNotMatch(state, /PRIVATE KEY/);
    });

    it("changes nothing in a second up, and logs in nowhere", async () => {
        const before = [await guests.logins("lb"), await guests.logins("node")];
        assert.deepEqual(names(await up(settings)), []);
        const after = [await guests.logins("lb"), await guests.logins("node")];
        // One more for each look at a VM, and one on the load balancer for each look at the node.
        assert.deepEqual(after, [(before[0] ?? 0) + 2, (before[1] ?? 0) + 1]);
    });

    it("does not start Docker without the disk for the data", async () => {
        // fstab names a disk that is not there, as it would be after a boot without it.
        await guests.run(
            "node",
            "cp /etc/fstab /root/fstab; systemctl stop docker.socket docker; umount /var/lib/harborage/data; sed -i 's/^UUID=[^ ]*/UUID=00000000-0000-0000-0000-000000000000/; s/timeout=60s/timeout=5s/' /etc/fstab; systemctl daemon-reload",
        );
        try {
            const { code, output } = await guests.attempt("node", "systemctl start docker");
            assert.notEqual(code, 0, output);
            assert.match(output, /dependency|failed/i);
        } finally {
            await guests.run(
                "node",
                "cp /root/fstab /etc/fstab; systemctl daemon-reload; systemctl reset-failed; systemctl start docker",
            );
        }
        await until("the registry is back", 300, async () => (await skopeo.digest(`${host}/app:1`)) === image.digest);
    });

    it("does nothing to a living VM when another image is named", async () => {
        assert.deepEqual(names(await up(machines({ image: "debian-12" }))), []);
        await pull("image");
    });

    it("is back by itself after every VM was rebooted", async () => {
        await guests.openstack("server", "reboot", "--wait", await guests.id("node"));
        await guests.openstack("server", "reboot", "--wait", await guests.id("lb"));
        await until("the registry is back", 600, async () => (await skopeo.digest(`${host}/app:1`)) === image.digest);
        await pull("reboot");
    });

    it("resizes a VM in place when another flavor is named", async () => {
        const id = await guests.id("node");
        const changes = await up(machines({ flavor: "h.two" }));
        assert.deepEqual(names(changes), ["update Instance node"]);
        assert.equal(await guests.id("node"), id);
        await until("the registry is back", 600, async () => (await skopeo.digest(`${host}/app:1`)) === image.digest);
        await pull("flavor");
    });

    it("shows that a VM has gone behind its back, and makes it again with its data", async () => {
        const id = await guests.id("node");
        await guests.openstack("server", "delete", "--wait", id);
        const refreshed = await stack.run("pulumi", ["refresh", "--yes", "--skip-preview"], { seconds: 300 });
        assert.equal(refreshed.code, 0, refreshed.output);
        assert.match(refreshed.output, /Instance node.*delete/);
        const changes = names(await up(machines({ flavor: "h.two" })));
        assert.ok(changes.includes("create Instance node"), changes.join("\n"));
        assert.ok(!changes.some((change) => change.endsWith("Volume node")), changes.join("\n"));
        assert.notEqual(await guests.id("node"), id);
        await pull("healed");
    });

    it("replaces a VM when a higher generation is named, with its data, by the image that is named now", async () => {
        const id = await guests.id("node");
        const changes = names(await up(machines({ flavor: "h.two", generation: 2 })));
        assert.ok(
            changes.some((change) => change.startsWith("create-replacement Instance node")),
            changes.join("\n"),
        );
        assert.ok(!changes.some((change) => / lb-|Instance lb/.test(change)), changes.join("\n"));
        assert.notEqual(await guests.id("node"), id);
        await pull("generation");
    });

    it("fails, and says so, where a clock does not get in sync", async () => {
        const baseline = { ...(settings["baseline"] as object), timeServers: ["172.24.4.254"] };
        stack.write({ ...machines({ flavor: "h.two", generation: 2 }), baseline });
        const { code, output } = await stack.tryUp([], { seconds: upSeconds });
        assert.notEqual(code, 0);
        assert.match(output, /the clock is not in sync after \d+ s.*baseline\.timeServers/);
        await up(machines({ flavor: "h.two", generation: 2 }));
    });

    it("does not talk to a machine that shows another host key", async () => {
        await guests.run(
            "lb",
            "rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh",
        );
        const changed = { ...(settings["openstack"] as object), bootMinutes: 1 };
        stack.write({
            ...machines({ flavor: "h.two", generation: 2 }),
            openstack: changed,
            loadBalancer: { mode: "http", hstsSeconds: 60 },
        });
        const { code, output } = await stack.tryUp([], { seconds: 300 });
        assert.notEqual(code, 0);
        assert.match(output, /harborage:machines\.lb: .* answers with another host key/);
    });

    it("is destroyed with a VM that is dead already, before and after a refresh, and keeps the volume until it is told", async () => {
        const volume = await guests.openstack(
            "volume",
            "show",
            `harborage-${stack.name}-node-data`,
            "-f",
            "value",
            "-c",
            "id",
        );
        await guests.openstack("server", "delete", "--wait", await guests.id("lb"));
        await stack.run("pulumi", ["refresh", "--yes", "--skip-preview"], { seconds: 300 });
        await guests.openstack("server", "delete", "--wait", await guests.id("node"));
        const destroyed = await stack.run("destroy", [], { seconds: 600 });
        assert.equal(destroyed.code, 0, destroyed.output);
        assert.match(destroyed.output, new RegExp(`Kept, because it is protected:\\n  Volume .*${volume}`));
        assert.equal(await guests.openstack("server", "list", "-f", "value", "--name", `harborage-${stack.name}`), "");
        assert.equal(await guests.openstack("network", "list", "-f", "value", "--name", `harborage-${stack.name}`), "");
        assert.equal(await guests.openstack("volume", "show", volume, "-f", "value", "-c", "status"), "available");
        const [, unprotect = ""] =
            /npm run pulumi -- (state unprotect '[^']+' --yes) --stack/.exec(destroyed.output) ?? [];
        const words = unprotect.replaceAll("'", "").split(" ");
        assert.equal((await stack.run("pulumi", words)).code, 0);
        assert.equal((await stack.run("destroy", [], { seconds: 300 })).code, 0);
        assert.equal(
            await guests.openstack("volume", "list", "-f", "value", "--name", `harborage-${stack.name}-node-data`),
            "",
        );
        assert.equal(existsSync(join(stack.home, stack.name, "ca.crt")), false);
    });
});
