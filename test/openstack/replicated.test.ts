import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import type { Access } from "../support/client";
import { accessTo } from "../support/existing";
import { harborInstaller, harborRegistry } from "../support/harbor";
import { TestStack, type Settings } from "../support/launcher";
import type { PushedImage } from "../support/load";
import { lbProgram, Pair } from "../support/pair";
import { until } from "../support/processes";
import { newSshKey } from "../support/ssh-key";
import { addHost } from "../support/system";
import { baseline, bringUp, credentials, endStack, enterCloud, Guests, openstack, upSeconds } from "./guests";

const minutes = 60_000;

/** Harbor starts slowly on an emulated guest. */
const wellSeconds = 20 * 60;

describe("two Harbors on OpenStack, one of them active", function () {
    this.timeout(100 * minutes);
    // What follows a failure would say nothing.
    this.bail(true);

    let takeDown: (() => Promise<void>) | undefined;
    let forgetName: (() => void) | undefined;
    const key = newSshKey();
    let stack: TestStack | undefined;
    let guests: Guests;
    let found: Required<Access> | undefined;
    let pair: Pair<{ readonly name: string }>;
    let settings: Settings;
    let image: PushedImage;
    const [n1, n2] = [{ name: "n1" }, { name: "n2" }];

    // The agent looks at both nodes each second: too much for one emulated processor beside nginx's health check.
    const lb = { kind: "openstack", image: "debian-12-docker", flavor: "m1.medium", floatingIp: true };
    const node = { kind: "openstack", image: "debian-12-docker", flavor: "m1.large", dataVolume: { sizeGiB: 4 } };

    const theStack = (): TestStack => {
        assert.ok(stack);
        return stack;
    };
    const topology = (more: Settings) => ({
        ...settings,
        topology: { kind: "replicated", nodes: ["n1", "n2"], loadBalancer: "lb", ...more },
    });
    const up = async (changed: Settings) => {
        theStack().write(changed);
        const began = Date.now();
        const { code, output, changes } = await theStack().tryUp([], { seconds: 2 * upSeconds });
        assert.equal(code, 0, output);
        console.log(`      up: ${((Date.now() - began) / 1000).toFixed(0)} s`);
        return changes.map(({ name }) => name);
    };
    /** The same for the stack's whole life. */
    const access = async (): Promise<Required<Access>> => {
        if (found === undefined) {
            const { floating: address = "" } = await guests.addresses("lb");
            found = await accessTo(theStack(), { address });
        }
        return found;
    };

    before(async function () {
        const installer = await harborInstaller();
        if (installer === undefined) {
            this.skip();
        }
        takeDown = await bringUp();
        stack = await TestStack.make("openstack-pair");
        const cloud = await credentials("openrc");
        enterCloud(stack, cloud);
        guests = new Guests(join(stack.folder, "ssh"), stack.name, cloud, key, ["lb", "n1", "n2"]);
        pair = new Pair({
            nodes: [n1, n2],
            access,
            lb: (words) => guests.attempt("lb", [lbProgram(theStack().name), ...words].join(" "), wellSeconds),
            requestSeconds: 300,
        });
        const least = { minimumFreeDiskGiB: 1 };
        settings = {
            openstack: openstack(key),
            machines: { lb: { ...lb, ...least }, n1: { ...node, ...least }, n2: { ...node, ...least } },
            registry: harborRegistry(installer, {
                adminPassword: "adminPassword",
                trivy: { enabled: false },
                healthMinutes: 40,
            }),
            // To look at both takes three emulated guests longer than a second, and most of what they have.
            loadBalancer: { mode: "http", adminCidrs: ["172.24.4.1/32"], probeSeconds: 5 },
            baseline: await baseline(),
        };
        stack.write(topology({ active: "n1" }));
        await stack.setSecret("cloudPassword", cloud["OS_PASSWORD"] ?? "");
        await stack.setSecret("sshKey", key.private);
        await stack.setSecret("adminPassword", "Admin-1-Password");
    });

    after(async function () {
        this.timeout(20 * minutes);
        forgetName?.();
        if (stack !== undefined) {
            await endStack(stack);
        }
        await takeDown?.();
    });

    it("are there after one up, and what is pushed is on both", async () => {
        await up(topology({ active: "n1" }));
        forgetName = addHost(`${theStack().name}.example`, (await access()).address);
        await pair.makeProject("team");
        image = await pair.push("team/app", "one");
        await pair.replicated(n2, [image], wellSeconds);
    });

    it("are left alone by a second up", async () => {
        assert.deepEqual(await up(topology({ active: "n1" })), []);
    });

    it("fail over when the VM of the active dies, and stay when it is back", async () => {
        await pair.armed(wellSeconds);
        await guests.cutPower("n1");
        const began = Date.now();
        const good = await pair.firstGoodPull(image, 300);
        console.log(`      first good pull ${((good - began) / 1000).toFixed(1)} s after the VM was dead`);
        assert.equal((await pair.agent()).active, "n2");
        const id = await guests.id("n1");
        await until("the cloud knows that the VM is off", 300, async () => {
            return (await guests.openstack("server", "show", id, "-f", "value", "-c", "status")) === "SHUTOFF";
        });
        await guests.openstack("server", "start", id);
        await until("the old active is well", wellSeconds, async () => {
            return /n1.*well/.test(await pair.must("status")) || undefined;
        });
        assert.equal((await pair.agent()).active, "n2");
    });

    it("ask before an up changes anything after a failover", async () => {
        theStack().write(topology({ active: "n1" }));
        const { code, output, changes } = await theStack().tryUp([], { seconds: upSeconds });
        assert.notEqual(code, 0);
        assert.deepEqual(changes, []);
        assert.match(output, /topology\.active: n2/);
    });

    it("change the active as planned", async () => {
        await pair.rejoin(wellSeconds);
        const moved = await pair.push("team/app", "one");
        await up(topology({ active: "n2" }));
        await up(topology({ active: "n1" }));
        const { active } = await pair.armed(wellSeconds);
        assert.equal(active, "n1");
        assert.equal(await pair.digestAt(n1, "team/app", "one"), moved.digest);
        await pair.replicated(n2, [await pair.push("team/app", "two")], wellSeconds);
    });
});
