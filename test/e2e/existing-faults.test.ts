import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import { baseline, existing, filesOf } from "../support/existing";
import { sha256 } from "../support/image";
import { TestStack, type Settings, type UpResult } from "../support/launcher";
import { attempt } from "../support/processes";
import { newSshKey, SshMachine } from "../support/ssh-machine";

const zeros = "0".repeat(64);

describe("machines that cannot be used", function () {
    this.timeout("3m");

    let stack: TestStack | undefined;
    /** Nothing is wrong with it but the way in which it is described. */
    let sound: SshMachine;
    /** Has what must not be touched. */
    let odd: SshMachine;
    /** Has disks with something on them. */
    let disks: SshMachine;
    let before_: { sound: string; odd: string; disks: string };
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
            images: { registry: "registry.example/none:1", nginx: "registry.example/none:1" },
            ...more,
        });
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
        before_ = { sound: await filesOf(sound), odd: await filesOf(odd), disks: await diskSums() };

        const disk = (number: number) => ({ dataDevice: `/dev/hbdata${number}`, directory: `/srv/disk${number}` });
        write(
            {
                otherHostKey: existing(sound, { hostKey: newSshKey().public }),
                nobodyListens: existing(sound, { port: 2200 }),
                nobodyAnswers: existing(sound, { port: 2201 }),
                otherUserKey: existing(sound, { privateKey: "otherKey" }),
                noSudo: existing(sound, { user: "nosudo" }),
                odd: existing(odd),
                swapDisk: existing(disks, disk(0)),
                writtenDisk: existing(disks, disk(1)),
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

    it("says that another host key is shown, and which", () => {
        const [type = "", shown = ""] = sound.hostKey.split(" ");
        const text = said("otherHostKey");
        assert.ok(text.includes(`answers with another host key (${type} ${shown})`), text);
        assert.match(text, /put its new key into harborage:machines\.otherHostKey\.hostKey/);
    });
});
