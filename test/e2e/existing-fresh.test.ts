import assert from "node:assert/strict";
import { copyFileSync, cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import { ask, layoutDigest, type Access, type Skopeo } from "../support/client";
import { closedSite } from "../support/closed-site";
import { accessTo, baseline, clientOf, existing, nothing, remains } from "../support/existing";
import { makeImage, sha256, type Image } from "../support/image";
import { TestStack, type Settings } from "../support/launcher";
import { attempt, until } from "../support/processes";
import { newSshKey } from "../support/ssh-key";
import { SshMachine } from "../support/ssh-machine";
import { machineRoot } from "../support/ssh-machine/root";

const directory = "/var/lib/harborage";
const plugin = "usr/libexec/docker/cli-plugins/docker-compose";

describe("a registry on a machine without Docker, whose disk has a file system already", function () {
    this.timeout("5m");

    let stack: TestStack | undefined;
    let machine: SshMachine;
    let image: Image;
    let site: Settings;
    let composePlugin: { path: string; sha256: string };
    let access: Required<Access>;
    let skopeo: Skopeo;
    const key = newSshKey();

    const theStack = (): TestStack => {
        assert.ok(stack);
        return stack;
    };
    const folder = (name: string) => join(theStack().folder, name);
    const write = (generation: number) =>
        theStack().write({
            ...site,
            machines: {
                box: existing(machine, {
                    user: "ops",
                    hostKey: "accept-any",
                    dataDevice: "/dev/hbdata0",
                    generation,
                }),
            },
            topology: { kind: "single", node: "box", loadBalancer: "box" },
            // The machine reaches packages in no other way.
            baseline: { ...baseline, packages: { proxy: machine.packageProxy }, docker: { composePlugin } },
            registry: { engine: "distribution", port: 5000 },
            loadBalancer: { mode: "http", httpsPort: 443, httpPort: 80 },
            storage: { objects: { kind: "node", deleteData: true } },
        });
    const pulls = async (name: string) => {
        const { code, output } = await skopeo.pull(`${access.address}/app:one`, folder(name));
        assert.equal(code, 0, output);
        assert.equal(layoutDigest(folder(name)), image.digest);
    };

    before(async function () {
        this.timeout("5m");
        if (!(await SshMachine.possible())) {
            console.log("      needs root, namespaces and overlay file systems");
            this.skip();
        }
        stack = await TestStack.make("fresh");
        machine = await SshMachine.make(stack.folder, "fresh", { authorizedKey: key.public });
        await machine.addDisk(256);
        await machine.boot();
        // Without the folder that mkfs makes, nothing of another stack's shows that something is mounted.
        await machine.script(
            "mkfs.ext4 -q /dev/hbdata0",
            "mount /dev/hbdata0 /mnt",
            "rmdir /mnt/lost+found",
            "umount /mnt",
        );
        composePlugin = { path: folder("docker-compose"), sha256: "" };
        copyFileSync(join(await machineRoot(true), plugin), composePlugin.path);
        composePlugin.sha256 = sha256(readFileSync(composePlugin.path));
        [image, site] = await Promise.all([makeImage(folder("image"), [4]), closedSite(stack.folder)]);
        write(1);
        await stack.setSecret("sshKey", key.private);
    });

    after(async () => {
        if (stack !== undefined) {
            await stack.cleanUp();
            await machine.close();
            await attempt("rm", ["-rf", stack.folder]);
        }
    });

    it("comes up although the first up was killed while a script was at work on the machine", async () => {
        const killed = theStack().start("up", ["--skip-preview"]);
        const ran = { ended: false };
        void killed.done.then(() => (ran.ended = true));
        await until("packages are being installed", 60, async () => {
            assert.equal(ran.ended, false, killed.output());
            return (await machine.attempt("pgrep", ["-x", "apt-get"])).code === 0;
        });
        killed.kill("SIGKILL");
        assert.notEqual((await killed.done).code, 0);
        await theStack().up();
        access = await accessTo(theStack(), machine);
        skopeo = await clientOf(access, folder("client"));
        const pushed = await skopeo.push(image.folder, `${access.address}/app:one`);
        assert.equal(pushed.code, 0, pushed.output);
        await pulls("pulled");
    });

    it("has Docker from the packages and compose from the file", async () => {
        assert.match(await machine.run("dpkg-query", ["--show", "docker.io"]), /^docker\.io\t/);
        assert.equal((await machine.attempt("ls", [`/${plugin}`])).code, 2);
        assert.equal((await machine.attempt("ls", ["/usr/sbin/chronyd"])).code, 2);
        const sum = await machine.run("sha256sum", ["/usr/local/lib/docker/cli-plugins/docker-compose"]);
        assert.equal(sum.split(" ")[0], composePlugin.sha256);
    });

    it("uses the file system that was on the disk", async () => {
        const source = await machine.run("findmnt", ["--noheadings", "--output", "SOURCE", `${directory}/data`]);
        assert.equal(source, "/dev/hbdata0");
        assert.equal((await machine.run("ls", [`${directory}/data`])).includes("lost+found"), false);
    });

    it("is set up again by a higher generation while its services use the disk", async () => {
        cpSync(theStack().home, folder("old-home"), { recursive: true });
        write(2);
        await theStack().up();
        await pulls("pulled-from-second");
    });

    it("is not touched by a destroy that knows an earlier generation only", async () => {
        const before = await machine.docker("ps", "--no-trunc", "--format", "{{.ID}}");
        const { code, output } = await theStack().run("destroy", [], { env: { HARBORAGE_HOME: folder("old-home") } });
        assert.equal(code, 0, output);
        assert.match(output, /- [0-9]+ deleted/);
        assert.deepEqual(await machine.docker("ps", "--no-trunc", "--format", "{{.ID}}"), before);
        assert.equal((await ask(access, "GET", "/v2/")).status, 200);
        await pulls("pulled-after-foreign-destroy");
        assert.deepEqual((await theStack().up()).changes, []);
    });

    it("leaves nothing but Docker when the data is to be deleted", async () => {
        await machine.script("echo theirs >/var/lib/harborage/data/theirs");
        const { code, output } = await theStack().run("destroy");
        assert.equal(code, 0, output);
        assert.doesNotMatch(output, /Kept/);
        assert.deepEqual(await remains(machine), nothing);
        assert.equal((await machine.attempt("ls", [directory])).code, 2);
        assert.doesNotMatch(await machine.run("cat", ["/etc/fstab"]), /harborage/);
        assert.equal(await machine.script("mount /dev/hbdata0 /mnt", "ls /mnt", "umount /mnt"), "theirs");
    });
});
