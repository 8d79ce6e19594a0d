import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { TestStack } from "../support/launcher";
import { locksFolder, stateFile } from "../support/state";

describe("the lock of a stack's state", function () {
    this.timeout(120_000);
    let stack: TestStack;
    let other: ChildProcess;

    before(async () => {
        stack = await TestStack.make("locks");
        stack.write();
        other = spawn("sleep", ["600"]);
        // The state is there from the first command on.
        const { code, output } = await stack.run("pulumi", ["stack", "init", stack.name]);
        assert.equal(code, 0, output);
    });

    after(async () => {
        other.kill("SIGKILL");
        rmSync(locksFolder(stack), { recursive: true, force: true });
        await stack.cleanUp();
    });

    beforeEach(() => rmSync(locksFolder(stack), { recursive: true, force: true }));

    const locks = () => (existsSync(locksFolder(stack)) ? readdirSync(locksFolder(stack)) : []);

    /** A lock as Pulumi itself writes it; gives its file's name. */
    function lock(pid: number, machine: string): string {
        const name = "b1946ac9-2f60-4d2c-9a3c-0b1c2d3e4f50.json";
        mkdirSync(locksFolder(stack), { recursive: true });
        const content = { pid, username: "operator", hostname: machine, timestamp: new Date().toISOString() };
        writeFileSync(join(locksFolder(stack), name), JSON.stringify(content));
        return name;
    }

    it("is released, with a word on it, when its process on this machine is dead", async () => {
        const dead = spawnSync("true").pid;
        lock(dead, hostname());

        // As good as `up` for the lock, which it takes too.
        const { code, output } = await stack.run("destroy", ["--skip-preview"]);

        assert.equal(code, 0, output);
        assert.match(output, new RegExp(`released the stack's lock .*: its process ${dead} is gone`));
        assert.deepEqual(locks(), []);
    });

    it("is gone together with what a kill has left of the state file's attributes", async () => {
        // Pulumi writes this file in two steps; killed between them, it leaves an empty one, which it then stumbles over.
        writeFileSync(`${stateFile(stack)}.attrs`, "");
        lock(spawnSync("true").pid, hostname());

        const { code, output } = await stack.run("destroy", ["--skip-preview"]);

        assert.equal(code, 0, output);
        assert.deepEqual(locks(), []);
    });

    it("is not released while its process on this machine lives: the error names the process", async () => {
        const name = lock(other.pid ?? 0, hostname());

        const { code, output } = await stack.tryUp();

        assert.notEqual(code, 0, output);
        assert.match(output, new RegExp(`operator@${hostname()} \\(pid ${other.pid}\\)`));
        assert.doesNotMatch(output, /released/);
        assert.deepEqual(locks(), [name]);
        assert.ok(!existsSync(stack.machineDirectory), "something was done on the machine");
    });

    it("is not released when it is another machine's: the error says how to release it", async () => {
        const name = lock(spawnSync("true").pid, "another-machine");

        const { code, output } = await stack.tryUp();

        assert.notEqual(code, 0, output);
        assert.match(output, /operator@another-machine \(pid \d+\)/);
        assert.match(output, /pulumi cancel/);
        assert.doesNotMatch(output, /released/);
        assert.deepEqual(locks(), [name]);

        const cancel = await stack.run("pulumi", ["cancel", "--yes"]);
        assert.equal(cancel.code, 0, cancel.output);
        assert.deepEqual(locks(), []);
    });
});
