import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import { processIds } from "../support/marked-processes";
import { attempt, run, start, until } from "../support/processes";
import { ssh } from "../support/ssh-client";
import { newSshKey } from "../support/ssh-key";
import { SshMachine } from "../support/ssh-machine";
import { machineRoot } from "../support/ssh-machine/root";

const readSetting = (name: string) =>
    name === "hostname" ? hostname() : readFileSync(`/proc/sys/${name}`, "utf8").trim();

/** A process of its own that has a machine with a disk and Docker, says so, and waits to be killed. */
const doomed = (folder: string, publicKey: string) => `
    const { SshMachine } = require("./test/support/ssh-machine");
    (async () => {
        const machine = await SshMachine.make("${folder}", "doomed", { authorizedKey: "${publicKey}", docker: true });
        await machine.boot();
        await machine.script("mkfs.ext4 -q " + (await machine.addDisk(16)) + " && mount /dev/hbdata0 /mnt");
        await machine.startDocker();
        console.log("running " + machine.address);
    })();
`;

/** What the machines of a process or in a folder have on this one. */
async function traces(pid: number, folder: string, address: string): Promise<string[]> {
    const network = address.replace(/[0-9]+$/, "");
    const [links, loops, groups] = await Promise.all([
        run("ip", ["-brief", "address"]),
        run("losetup", ["--list", "--noheadings", "--output", "BACK-FILE"]),
        run("find", ["/sys/fs/cgroup", "-maxdepth", "2", "-name", `harborage-machine-${pid}-*`]),
    ]);
    const processes = processIds().map((id) => {
        try {
            return readFileSync(`/proc/${id}/cmdline`, "utf8");
        } catch {
            return "";
        }
    });
    return [links, loops, groups, ...processes]
        .flatMap((text) => text.split("\n"))
        .filter((line) => [network, folder, `-${pid}-`].some((mark) => line.includes(mark)));
}

describe("test machines that are reached by SSH", function () {
    // Longer than what a machine waits for, which says what it was.
    this.timeout("5m");

    const key = newSshKey();
    let folder: string;
    let one: SshMachine;
    let two: SshMachine;
    const made: SshMachine[] = [];

    before(async function () {
        this.timeout("10m");
        folder = mkdtempSync(join(tmpdir(), "harborage-rig-"));
        if (!(await SshMachine.possible())) {
            console.log("      needs root, namespaces and overlay file systems");
            this.skip();
        }
        // Made here, so that the times below are those of booting.
        await Promise.all([machineRoot(false), machineRoot(true)]);
        one = await SshMachine.make(folder, "one", { authorizedKey: key.public, docker: true });
        two = await SshMachine.make(folder, "two", { authorizedKey: key.public, packages: true });
        made.push(one, two);
    });

    after(async () => {
        await Promise.all(made.map((machine) => machine.close()));
        await attempt("rm", ["-rf", folder]);
    });

    it("boots", async () => {
        await one.boot();
        await two.boot();
    });

    it("lets in root, and ops with sudo, and shows the host key that was promised", async () => {
        const before = one.connections();
        assert.deepEqual(await ssh(one, "root", key, "id -un; hostname"), { code: 0, output: "root\none\n" });
        assert.deepEqual(await ssh(one, "ops", key, "id -un; sudo -n id -un"), { code: 0, output: "ops\nroot\n" });
        const refused = await ssh(one, "nosudo", key, "sudo -n id");
        assert.equal(refused.code, 1, refused.output);
        assert.equal(one.connections() - before, 3);
        await assert.rejects(ssh(one, "root", newSshKey(), "true"), /authentication/);
        assert.equal(one.connections() - before, 3);
    });

    it("keeps to itself what is written, mounted, named and set on it", async () => {
        const file = `/etc/harborage-rig-${process.pid}`;
        const settings = () => ["hostname", "vm/swappiness"].map((name) => readSetting(name));
        const outside = settings();
        await one.script(
            `echo inside >${file}`,
            "mount -t tmpfs tmpfs /srv",
            "hostname other",
            "sysctl --quiet vm.swappiness=7",
            "useradd --create-home someone",
        );
        assert.equal(await one.run("sysctl", ["--values", "vm.swappiness"]), "7");
        assert.equal(existsSync(file), false);
        assert.equal((await two.attempt("cat", [file])).code, 1);
        assert.deepEqual(settings(), outside);
        assert.notEqual((await one.attempt("date", ["--set", "@0"])).code, 0);
    });

    it("reaches its like and this machine, and nothing else", async () => {
        await one.run("ping", ["-c", "1", "-W", "2", two.address]);
        await one.run("ping", ["-c", "1", "-W", "2", new URL(one.packageProxy).hostname]);
        const away = await one.attempt("curl", ["--silent", "--show-error", "--max-time", "5", "http://192.0.2.1/"]);
        assert.equal(away.code, 7, away.output);
    });

    it("installs packages by the proxy, which goes nowhere else", async function () {
        this.timeout("5m");
        await two.script(
            "apt-get -qq update",
            "DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends jq >/dev/null",
            "jq --version",
        );
        const status = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
        const other = await two.run("curl", [...status, "--proxy", two.packageProxy, "http://192.0.2.1/"]);
        assert.equal(other, "403");
        assert.notEqual((await one.attempt("apt-get", ["-qq", "-o", "Acquire::Retries=0", "update"])).output, "");
    });

    it("runs Docker, with a port that other machines reach", async () => {
        await one.startDocker();
        await one.script(
            "mkdir -p /root/image/www",
            "cp /usr/bin/busybox /root/image",
            "echo served >/root/image/www/index.html",
            "tar -C /root/image -c . | docker import - test/served:1 >/dev/null",
            "docker save --output /root/served.tar test/served:1",
            "docker image rm test/served:1 >/dev/null",
            "docker load --quiet --input /root/served.tar",
            "docker run --detach --name served --restart always --publish 8080:80 --memory 64m test/served:1 \\",
            "    /busybox httpd -f -p 80 -h /www",
        );
        const page = `http://${one.address}:8080/`;
        await until("the container answers", 60, async () => (await two.attempt("curl", ["-sf", page])).code === 0);
        assert.equal(await two.run("curl", ["-sf", page]), "served");
        const wrapped = [...two.networkWrapper(), "curl", "-sf", page];
        assert.equal(await run(wrapped[0] ?? "", wrapped.slice(1)), "served");
        assert.match(await one.run("docker", ["compose", "version", "--short"]), /^[0-9]/);
    });

    it("has its files and disks again after a loss of power", async () => {
        const disk = await one.addDisk(64);
        assert.equal(disk, "/dev/hbdata0");
        await one.script(
            "echo kept >/root/kept",
            `mkfs.ext4 -q -L data ${disk}`,
            "mkdir /data",
            `echo "UUID=$(blkid --output value --match-tag UUID ${disk}) /data ext4 nofail 0 2" >>/etc/fstab`,
            "mount /data",
            "echo data >/data/kept",
        );
        await one.reboot();
        assert.equal(await one.run("findmnt", ["--noheadings", "--output", "SOURCE", "/data"]), disk);
        assert.equal(await one.run("cat", ["/root/kept", "/data/kept"]), "kept\ndata");
    });

    it("is as new after a rebuild, but for its address and disks", async () => {
        const logins = one.connections();
        const before = one.hostKey;
        await one.rebuild({ hostKey: newSshKey() });
        assert.notEqual(one.hostKey, before);
        const mount = "sudo mount LABEL=data /mnt && cat /mnt/kept";
        assert.deepEqual(await ssh(one, "ops", key, mount), { code: 0, output: "data\n" });
        assert.equal(one.connections(), logins + 1);
        assert.equal((await one.attempt("cat", ["/root/kept"])).code, 1);
        await one.startDocker();
        assert.deepEqual(await one.docker("ps", "--all", "--quiet"), []);
        await one.rebuild({ keepDisks: false });
        assert.equal((await one.attempt("blkid", ["/dev/hbdata0"])).code, 2);
    });

    it("boots eight at once", async () => {
        const names = Array.from({ length: 8 }, (_, index) => `many${index}`);
        const eight = await Promise.all(
            names.map((name) => SshMachine.make(folder, name, { authorizedKey: key.public })),
        );
        try {
            await Promise.all(eight.map((machine) => machine.boot()));
            const said = await Promise.all(eight.map((machine) => ssh(machine, "ops", key, "hostname")));
            assert.deepEqual(
                said.map(({ output }) => output.trim()),
                names,
            );
        } finally {
            await Promise.all(eight.map((machine) => machine.close()));
        }
    });

    it("leaves nothing when it is closed, and when the process that made it is killed", async () => {
        const place = join(folder, "killed");
        const owner = start(process.execPath, ["--import", "tsx", "-e", doomed(place, key.public)]);
        const address = await until("the machine runs", 60, () => /^running (.*)$/m.exec(owner.output())?.[1]);
        assert.notDeepEqual(await traces(owner.pid, place, address), []);
        process.kill(owner.pid, "SIGKILL");
        await owner.done;
        const groups = (line: string) => !line.startsWith("/sys/fs/cgroup/");
        await until("all that ran has ended", 60, async () => {
            return (await traces(owner.pid, place, address)).filter(groups).length === 0;
        });
        assert.ok(existsSync(join(place, "doomed")));

        const next = await SshMachine.make(place, "next", { authorizedKey: key.public });
        await next.addDisk(16);
        await next.boot();
        await next.close();
        assert.deepEqual(readdirSync(place), []);
        assert.deepEqual(await traces(owner.pid, place, address), []);
    });
});
