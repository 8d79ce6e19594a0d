import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "mocha";
import { baseline, existing, filesOf } from "../support/existing";
import { sha256 } from "../support/image";
import { TestStack, type Settings, type UpResult } from "../support/launcher";
import { attempt } from "../support/processes";
import { newSshKey } from "../support/ssh-key";
import { SshMachine } from "../support/ssh-machine";

const zeros = "0".repeat(64);
const none = `harborage-test/none:1@sha256:${zeros}`;

describe("machines that cannot be used", function () {
    this.timeout("5m");

    let stack: TestStack | undefined;
    /** Nothing is wrong with it but the way in which it is described. */
    let sound: SshMachine;
    /** Has what must not be touched. */
    let odd: SshMachine;
    /** Has disks with something on them. */
    let disks: SshMachine;
    let untouched: { sound: string; odd: string; disks: string };
    let result: UpResult;
    const key = newSshKey();
    const otherKey = newSshKey();

    const theStack = (): TestStack => {
        assert.ok(stack);
        return stack;
    };
    const write = (machines: Settings, node: string, more: Settings = {}) =>
        theStack().write({
            machines,
            topology: { kind: "single", node, loadBalancer: node },
            baseline,
            registry: { engine: "distribution", port: 5000 },
            loadBalancer: { mode: "http", httpsPort: 443, httpPort: 80 },
            // No service is going to run.
            images: { registry: none, nginx: none },
            ...more,
        });
    const stranger = () => ({ "other-user-key": existing(sound, { privateKey: "otherKey" }) });
    const diskSums = () => disks.run("sha256sum", ["/dev/hbdata0", "/dev/hbdata1"]);
    /** What is said of a machine, in one line. */
    const said = (name: string): string => {
        const [, text = ""] = new RegExp(`(harborage:machines\\.${name}\\b[^\\n]*)`).exec(result.output) ?? [];
        assert.notEqual(text, "", `nothing is said of ${name}:\n${result.output}`);
        return text;
    };

    before(async function () {
        this.timeout("5m");
        if (!(await SshMachine.possible())) {
            console.log("      needs root, namespaces and overlay file systems");
            this.skip();
        }
        stack = await TestStack.make("faults");
        const make = (name: string, docker: boolean) =>
            SshMachine.make(theStack().folder, name, { authorizedKey: key.public, docker });
        // For the program iptables, which comes with Docker.
        [sound, odd, disks] = await Promise.all([make("sound", true), make("odd", false), make("disks", false)]);
        await disks.addDisk(32);
        await disks.addDisk(32);
        await Promise.all([sound, odd, disks].map((machine) => machine.boot()));
        await sound.run("iptables", ["--append", "INPUT", "--protocol", "tcp", "--dport", "2201", "--jump", "DROP"]);
        await odd.script(
            "mkdir /etc/docker",
            `echo '{"debug": true}' >/etc/docker/daemon.json`,
            "sed --in-place 's/^ID=.*/ID=fedora/; s/^VERSION_ID=.*/VERSION_ID=42/' /etc/os-release",
            "/usr/sbin/sshd -p 5000 -o PidFile=none",
        );
        await disks.script("mkswap -q /dev/hbdata0", "echo precious | dd of=/dev/hbdata1 bs=1M seek=7 status=none");
        untouched = { sound: await filesOf(sound), odd: await filesOf(odd), disks: await diskSums() };

        write(
            {
                "other-host-key": existing(sound, { hostKey: newSshKey().public }),
                "nobody-listens": existing(sound, { port: 2200 }),
                "nobody-answers": existing(sound, { port: 2201 }),
                ...stranger(),
                "no-sudo": existing(sound, { user: "nosudo" }),
                odd: existing(odd),
            },
            "odd",
        );
        await stack.setSecret("sshKey", key.private);
        await stack.setSecret("otherKey", otherKey.private);
        result = await stack.tryUp(["--continue-on-error"]);
        assert.notEqual(result.code, 0);
    });

    after(async () => {
        if (stack !== undefined) {
            await stack.cleanUp();
            await Promise.all([sound, odd, disks].map((machine) => machine.close()));
            await attempt("rm", ["-rf", stack.folder]);
        }
    });

    it("says of another host key which it is, and where to put it if it is right", () => {
        const [type = "", shown = ""] = sound.hostKey.split(" ");
        const text = said("other-host-key");
        assert.ok(text.includes(`:22 answers with another host key (${type} ${shown})`), text);
        assert.match(text, /put its new key into harborage:machines\.other-host-key\.hostKey/);
    });

    it("says of a machine that does not answer where it was looked for, and how long", () => {
        assert.match(said("nobody-listens"), /:2200 does not answer to SSH: .*ECONNREFUSED.* \(waited 30 s\)$/);
        assert.match(said("nobody-answers"), /:2201 does not answer to SSH: .*firewall.* \(waited 30 s\)$/);
    });

    it("says of a user who cannot get in, or cannot become root, what to write there", () => {
        assert.match(
            said("other-user-key"),
            /does not accept the key .* for the user root; put the public key into ~root\/\.ssh\/authorized_keys there, or .*machines\.other-user-key\.privateKey/,
        );
        assert.match(
            said("no-sudo"),
            /nosudo cannot become root .*"nosudo ALL=\(ALL\) NOPASSWD: ALL", or .*machines\.no-sudo\.user/,
        );
    });

    it("gives up on each of them within a minute", () => {
        assert.deepEqual([...result.failures.keys()].filter((name) => name.endsWith("-preflight")).sort(), [
            "no-sudo-preflight",
            "nobody-answers-preflight",
            "nobody-listens-preflight",
            "odd-preflight",
            "other-host-key-preflight",
            "other-user-key-preflight",
        ]);
        for (const [name, seconds] of result.failures) {
            assert.ok(seconds <= 60, `${name}: ${seconds} s`);
        }
    });

    it("says everything at once of a machine that is not fit, and changes nothing on it", async () => {
        const { output } = result;
        assert.match(output, /odd is not ready, and nothing on it was changed:/);
        assert.match(output, /- this is fedora 42; expected Debian 12 or 13, or Ubuntu 22\.04 or 24\.04/);
        assert.match(
            output,
            /- \/etc\/docker\/daemon\.json was not written .* put what it says into baseline\.docker\.daemon/,
        );
        assert.match(output, /- port 5000 is taken by sshd \(pid \d+\); .* \(registry\.port\)/);
        assert.equal(await filesOf(odd), untouched.odd);
    });

    it("formats no disk that has anything on it, also where no file system is known", async () => {
        const disk = (number: number) => ({ dataDevice: `/dev/hbdata${number}`, directory: `/srv/disk${number}` });
        // The node's machine fails after half a minute, and what has not begun by then does not begin any more.
        write(
            {
                "nobody-answers": existing(sound, { port: 2201 }),
                ...stranger(),
                "swap-disk": existing(disks, disk(0)),
                "written-disk": existing(disks, disk(1)),
            },
            "nobody-answers",
        );
        const { output } = await theStack().tryUp(["--continue-on-error"]);
        assert.match(
            output,
            /\/dev\/hbdata0 holds something else and is not formatted: .*TYPE=swap.* \(machines\.\*\.dataDevice\)/,
        );
        assert.match(output, /\/dev\/hbdata1 is not blank and is not formatted; .* \(machines\.\*\.dataDevice\)/);
        assert.equal(await diskSums(), untouched.disks);
    });

    it("finds a file that is not what it should be before the machine is touched", async () => {
        const composePlugin = { path: stack?.stackFile, sha256: zeros };
        write({ sound: existing(sound), ...stranger() }, "sound", {
            baseline: { ...baseline, docker: { composePlugin } },
        });
        const { code, output } = await theStack().tryUp(["--continue-on-error"]);
        assert.notEqual(code, 0);
        const actual = sha256(readFileSync(theStack().stackFile));
        assert.ok(output.includes(`${theStack().stackFile} has the SHA-256 ${actual}; expected ${zeros}`), output);
        assert.match(output, /harborage:baseline\.docker\.composePlugin\.sha256: /);
    });

    it("finds a time zone that does not exist without looking at the machine", async () => {
        const logins = sound.connections();
        write({ sound: existing(sound), ...stranger() }, "sound", {
            baseline: { ...baseline, timeZone: "Europe/Atlantis" },
        });
        const { code, output } = await theStack().tryUp();
        assert.notEqual(code, 0);
        assert.match(output, /harborage:baseline\.timeZone: .*"Europe\/Atlantis".*; expected a time zone that exists/);
        assert.equal(sound.connections(), logins);
    });

    it("has changed nothing on the machine that was only described in a wrong way", async () => {
        assert.equal(await filesOf(sound), untouched.sound);
    });
});
