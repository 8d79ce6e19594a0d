import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import { ask, layoutDigest, type Access, type Skopeo } from "../support/client";
import { closedSite } from "../support/closed-site";
import { containerName } from "../support/docker";
import { accessTo, baseline, clientOf, existing, nothing, remains } from "../support/existing";
import { makeImage, type Image } from "../support/image";
import { TestStack, type Settings, type UpResult } from "../support/launcher";
import { attempt, until } from "../support/processes";
import { ProcessWatch, SecretSearch } from "../support/secret-search";
import { newSshKey, type SshKey } from "../support/ssh-key";
import { SshMachine } from "../support/ssh-machine";
import { stateFolder } from "../support/state";

const mebibyte = 1024 * 1024;
const directory = "/var/lib/harborage";
const data = `${directory}/data`;

/** A service manager that writes down what it is told, and can start Docker. */
const systemctl = `#!/bin/sh
echo "$*" >>/var/log/systemctl.log
[ "$*" != "enable --now docker" ] || setsid dockerd --exec-opt native.cgroupdriver=cgroupfs >>/var/log/dockerd.log 2>&1 </dev/null 9>&- &
`;

/** The part of a key that no other key has. */
function coreOf(key: SshKey): string {
    return key.private.split("\n")[4] ?? "";
}

/** Pulumi itself hands the configuration to the program in this variable; see test/engine/secrets.test.ts. */
const isPulumisOwn = (variable: string) => /^(?:export )?PULUMI_CONFIG=/.test(variable);

describe("a registry on two machines that are reached by SSH, one through the other", function () {
    this.timeout("5m");

    let stack: TestStack | undefined;
    let lb: SshMachine;
    let node: SshMachine;
    let disk: string;
    let uuid: string;
    let image: Image;
    let site: Settings;
    let access: Required<Access>;
    let skopeo: Skopeo;
    let first: UpResult;
    let watched: ReadonlySet<string>;
    const keys = { machines: newSshKey(), bastion: newSshKey() };
    const secrets = new SecretSearch();

    const theStack = (): TestStack => {
        assert.ok(stack);
        return stack;
    };
    const folder = (name: string) => join(theStack().folder, name);
    const write = (generation: number) => {
        const { address, hostKey } = lb;
        const bastion = { address, user: "nosudo", hostKey, privateKey: "bastionKey" };
        theStack().write({
            ...site,
            machines: {
                lb: existing(lb),
                node: existing(node, { user: "ops", bastion, dataDevice: disk, generation }),
            },
            topology: { kind: "single", node: "node", loadBalancer: "lb" },
            baseline: {
                ...baseline,
                timeZone: "Asia/Kolkata",
                journalMiB: 77,
                packages: { proxy: lb.packageProxy },
                docker: { daemon: { bip: "172.31.7.1/24" } },
            },
            // The tests collect when they say so, at whatever hour they run.
            registry: { engine: "distribution", port: 5000, garbageCollection: { enabled: false } },
            loadBalancer: { mode: "http", httpsPort: 443, httpPort: 80 },
        });
    };
    const connections = () => ({ lb: lb.connections(), node: node.connections() });
    const reference = (repository: string) => `${access.address}/${repository}`;
    const request = (method: string, path: string) => ask(access, method, path);
    const answersAgain = () =>
        until("the registry answers again", 60, async () => {
            return (await request("GET", "/v2/").catch(() => undefined))?.status === 200;
        });
    const pulls = async (name: string) => {
        const { code, output } = await skopeo.pull(reference("app:one"), folder(name));
        assert.equal(code, 0, output);
        assert.equal(layoutDigest(folder(name)), image.digest);
    };
    const serviceOf = (service: string) => containerName(theStack().name, "registry", service);
    const balancerLife = () =>
        lb.docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", containerName(theStack().name, "lb", "nginx"));

    before(async function () {
        this.timeout("5m");
        if (!(await SshMachine.possible())) {
            console.log("      needs root, namespaces and overlay file systems");
            this.skip();
        }
        stack = await TestStack.make("existing");
        const make = (name: string) =>
            SshMachine.make(theStack().folder, name, { authorizedKey: keys.machines.public, docker: true });
        [lb, node] = await Promise.all([make("lb"), make("node")]);
        disk = await node.addDisk(256);
        await Promise.all([lb.boot(), node.boot()]);
        await lb.script(
            `echo '${keys.bastion.public}' >/home/nosudo/.ssh/authorized_keys`,
            "mkdir /run/systemd /run/systemd/system",
            `cat >/usr/local/bin/systemctl <<'END'\n${systemctl}END`,
            "chmod +x /usr/local/bin/systemctl",
        );
        site = await closedSite(stack.folder);
        write(1);
        await stack.setSecret("sshKey", keys.machines.private);
        await stack.setSecret("bastionKey", keys.bastion.private);
        for (const [name, key] of Object.entries(keys)) {
            secrets.add(`the key of the ${name}`, coreOf(key));
        }
        mkdirSync(folder("temporary"));
        stack.env = { TMPDIR: folder("temporary") };
        const watch = new ProcessWatch(50);
        [image, first] = await Promise.all([makeImage(folder("image"), [6, 2]), stack.up(["--diff"])]);
        watch.stop();
        watched = watch.seen;
        access = await accessTo(stack, lb);
        skopeo = await clientOf(access, folder("client"));
    });

    after(async () => {
        if (stack !== undefined) {
            await stack.cleanUp();
            await Promise.all([lb.close(), node.close()]);
            await attempt("rm", ["-rf", stack.folder]);
        }
    });

    it("keeps the keys in the state, encrypted, and nowhere else", () => {
        assert.ok([...watched].some((text) => text.includes("PULUMI_CONFIG=") && secrets.in(text).length === 2));
        const words = [...watched].flatMap((text) => text.split("\0")).filter((word) => !isPulumisOwn(word));
        assert.deepEqual(
            words.filter((word) => secrets.in(word).length > 0),
            [],
        );
        assert.deepEqual(secrets.in(first.output), []);
        assert.deepEqual(secrets.inFiles(stateFolder(theStack())), []);
        assert.deepEqual(secrets.inFiles(folder("temporary")), []);
        // Hashes are where services read them; incoming files are large.
        const leaveOut = (path: string) => /\/releases\/[^/]+\/secrets\/|\/incoming\//.test(path);
        for (const name of ["lb", "node"]) {
            assert.deepEqual(secrets.inFiles(folder(`${name}/upper`), leaveOut), [], name);
        }
    });

    it("reached the node as a user of the bastion that has no rights there", () => {
        assert.match(lb.sshLog(), /^Accepted publickey for nosudo /m);
        assert.match(lb.sshLog(), /^Accepted publickey for root /m);
        assert.match(node.sshLog(), new RegExp(`^Accepted publickey for ops from ${lb.address} `, "m"));
        assert.doesNotMatch(node.sshLog(), new RegExp(`^Accepted publickey for ops from (?!${lb.address} )`, "m"));
    });

    it("changes nothing and connects to no machine when nothing has changed", async () => {
        const before = connections();
        assert.deepEqual((await theStack().up()).changes, []);
        assert.deepEqual(connections(), before);
    });

    it("takes and gives images at the load balancer, for those who have the CA and a password", async () => {
        const pushed = await skopeo.push(image.folder, reference("app:one"));
        assert.equal(pushed.code, 0, pushed.output);
        await pulls("pulled");
        assert.equal(
            (await ask({ ...access, login: { name: "admin", password: "wrong" } }, "GET", "/v2/")).status,
            401,
        );
        const direct = await fetch(`http://${node.address}:5000/v2/app/manifests/one`);
        assert.equal(direct.status, 401);
    });

    it("gives both machines the limits, clock and settings of the stack file", async () => {
        for (const machine of [lb, node]) {
            const limits = await machine.script(
                "for container in $(docker ps --quiet); do",
                "    for pid in $(docker top $container -o pid | tail -n +2); do",
                "        awk '/^Max open files/ { print $4, $5 }' /proc/$pid/limits",
                "    done",
                "done | sort --unique",
            );
            assert.equal(limits, "20000 20000", machine.name);
            assert.equal(await machine.run("date", ["+%Z%z"]), "IST+0530");
            assert.equal(await machine.run("cat", ["/etc/timezone"]), "Asia/Kolkata");
            assert.match(await machine.run("apt-config", ["dump"]), new RegExp(`Proxy "${lb.packageProxy}"`));
            assert.match(await machine.run("ip", ["address", "show", "docker0"]), /inet 172\.31\.7\.1\/24 /);
            const daemon = JSON.parse(await machine.run("cat", ["/etc/docker/daemon.json"])) as Settings;
            assert.deepEqual(daemon["log-opts"], { "max-size": "20m", "max-file": "5" });
        }
        // The node has no service manager.
        const journal = await lb.run("cat", ["/etc/systemd/journald.conf.d/harborage.conf"]);
        assert.equal(journal, "[Journal]\nSystemMaxUse=77M");
        const unit = await lb.run("cat", ["/etc/systemd/system/docker.service.d/harborage.conf"]);
        assert.equal(unit, `[Unit]\nRequiresMountsFor=${data}`);
        const told = await lb.run("cat", ["/var/log/systemctl.log"]);
        assert.match(told, /^restart systemd-journald\ndaemon-reload\n[^]*enable --now docker$/m);
    });

    it("keeps the data on its disk, which was blank and is mounted by its UUID", async () => {
        uuid = await node.run("blkid", ["--match-tag", "UUID", "--output", "value", disk]);
        assert.equal(await node.run("findmnt", ["--noheadings", "--output", "UUID", data]), uuid);
        assert.match(await node.run("cat", ["/etc/fstab"]), new RegExp(`^UUID=${uuid} ${data} ext4 \\S*nofail`, "m"));
        const stored = await node.run("find", [`${data}/registry`, "-path", `*${image.digest.slice(7)}/data`]);
        assert.notEqual(stored, "");
    });

    it("refuses pushes at the load balancer while the node collects garbage, and lets pulls go on", async () => {
        const gate = async () => (await node.run("ls", [`${directory}/gate`])).split("\n");
        const usage = async () => Number((await node.run("du", ["-s", "--block-size=1", data])).split("\t")[0]);
        const big = await makeImage(folder("big"), [20]);
        const pushed = await skopeo.push(big.folder, reference("big:one"));
        assert.equal(pushed.code, 0, pushed.output);
        const full = await usage();
        const deleted = await skopeo.delete(reference("big:one"));
        assert.equal(deleted.code, 0, deleted.output);

        const collect = ["exec", serviceOf("collector"), "/etc/harborage/current/registry/collect.sh", "now"];
        const running = node.attempt("docker", collect);
        await until("new uploads are refused", 60, async () => (await gate()).includes("uploads-closed"));
        const refused = await request("POST", "/v2/late/blobs/uploads/");
        assert.equal(refused.status, 503);
        assert.equal(refused.headers["retry-after"], "60");
        assert.match(refused.body, /"code":"UNAVAILABLE"/);
        await until("every write is refused", 60, async () => (await gate()).includes("writes-closed"));
        assert.equal((await request("DELETE", `/v2/app/manifests/${image.digest}`)).status, 503);
        // Not by skopeo, which takes longer than the collection.
        assert.equal((await request("GET", `/v2/app/blobs/${image.layers[0]?.digest ?? ""}`)).status, 200);
        assert.ok((await gate()).includes("writes-closed"), "the pull did not run while the gate was closed");

        const collected = await running;
        assert.equal(collected.code, 0, collected.output);
        assert.match(collected.output, /eligible for deletion/);
        assert.deepEqual(await gate(), [""]);
        assert.ok((await usage()) < full - 20 * mebibyte, "the bytes are still there");
        assert.equal((await request("POST", "/v2/late/blobs/uploads/")).status, 202);
        await pulls("pulled-after-collection");
    });

    it("is back by itself when the node has lost its power", async () => {
        await node.cutPower();
        assert.notEqual((await request("GET", "/v2/")).status, 200);
        await node.boot();
        await node.startDocker();
        await answersAgain();
        await pulls("pulled-after-power-loss");
    });

    it("sets a new node up with the data of the old one, and leaves the load balancer alone", async () => {
        const before = await balancerLife();
        await node.rebuild();
        write(2);
        const { changes } = await theStack().up();
        const names = changes.map(({ name }) => name);
        assert.ok(names.includes("node-release"));
        assert.deepEqual(
            names.filter((name) => /^(?:lb|load-balancer)-/.test(name)),
            [],
        );
        assert.deepEqual(await balancerLife(), before);
        assert.equal(await node.run("findmnt", ["--noheadings", "--output", "UUID", data]), uuid);
        await answersAgain();
        await pulls("pulled-after-rebuild");
    });

    it("leaves the data on its disk and Docker when it is destroyed, and nothing else", async () => {
        const { code, output } = await theStack().run("destroy");
        assert.equal(code, 0, output);
        assert.match(output, new RegExp(`registry \\(\\S+\\) on the disk UUID=${uuid} of node, .* no longer mounted`));
        for (const machine of [lb, node]) {
            assert.deepEqual(await remains(machine), nothing, machine.name);
            assert.equal((await machine.attempt("ls", [directory])).code, 2);
            assert.doesNotMatch(await machine.run("cat", ["/etc/fstab"]), /harborage/);
        }
        assert.equal((await lb.attempt("ls", ["/etc/systemd/system/docker.service.d/harborage.conf"])).code, 2);
        const kept = await node.script(
            `mount ${disk} /mnt`,
            "find /mnt/registry -name data | head -n 1",
            "umount /mnt",
        );
        assert.notEqual(kept, "");
    });
});
