import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closedSite } from "../test/support/closed-site";
import { baseline, existing } from "../test/support/existing";
import { TestStack } from "../test/support/launcher";
import { attempt, until } from "../test/support/processes";
import { newSshKey } from "../test/support/ssh-key";
import { SshMachine } from "../test/support/ssh-machine";

/** Eight machines may take so many times as long as one: the program must add no step that they wait for in turn. */
const TARGET_RATIO = 1.3;
const MANY = 8;

/** How long a machine is busy with itself, as one that was just made is. */
const BUSY_SECONDS = 20;

const cloudInit = `#!/bin/sh
[ -e /run/busy-since ] || date +%s >/run/busy-since
left=$(($(cat /run/busy-since) + ${BUSY_SECONDS} - $(date +%s)))
[ "$left" -le 0 ] || sleep "$left"
`;

/** Seconds from the start of `up` until so many new machines are ready for services. */
async function prepare(count: number): Promise<number> {
    const key = newSshKey();
    const folder = mkdtempSync(join(tmpdir(), "harborage-bench-"));
    const stack = await TestStack.make(`bench${count}`);
    const names = Array.from({ length: count }, (_, index) => `box-${index}`);
    const machines = await Promise.all(
        names.map((name) => SshMachine.make(folder, `bench-${name}`, { authorizedKey: key.public, docker: true })),
    );
    try {
        for (const machine of machines) {
            await machine.boot();
            await machine.script(
                `cat >/usr/local/bin/cloud-init <<'END'\n${cloudInit}END`,
                "chmod +x /usr/local/bin/cloud-init",
            );
        }
        stack.write({
            ...(await closedSite(stack.folder)),
            machines: Object.fromEntries(machines.map((machine, index) => [names[index], existing(machine)])),
            // The others have nothing to run.
            topology: { kind: "single", node: "box-0", loadBalancer: "box-0" },
            baseline,
        });
        await stack.setSecret("sshKey", key.private);
        const began = Date.now();
        const up = stack.start("up", ["--skip-preview"]);
        const ended = up.done.then(({ output }) => Promise.reject(new Error(`it ended too early:\n${output}`)));
        const ready = until("all machines are ready", 300, () => {
            return names.every((name) => up.output().includes(`${name}-images created`));
        });
        await Promise.race([ready, ended]);
        const seconds = (Date.now() - began) / 1000;
        await up.done;
        return seconds;
    } finally {
        await Promise.all(machines.map((machine) => machine.close()));
        await stack.cleanUp();
        await attempt("rm", ["-rf", folder]);
    }
}

/** Compares one machine with many. Gives whether the target is met. */
export async function compareMachines(): Promise<boolean> {
    if (!(await SshMachine.possible())) {
        throw new Error("this needs root, namespaces and overlay file systems");
    }
    const one = await prepare(1);
    const many = await prepare(MANY);
    const ratio = many / one;
    console.log(`1 machine: ${one.toFixed(1)} s, ${MANY} machines: ${many.toFixed(1)} s: × ${ratio.toFixed(2)}`);
    const met = ratio <= TARGET_RATIO;
    console.log(`target: × ${TARGET_RATIO.toFixed(2)}: ${met ? "met" : "not met"}`);
    return met;
}
