import { strict as assert } from "node:assert";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, it } from "mocha";
import { officialPlugin, PluginProcess } from "./plugins-harness";

const TYPE = "command:local:Command";

function isAlive(pid: number): boolean {
    try {
        process.kill(pid, 0);
        // What nobody has waited for is there still, but does nothing more.
        return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
    } catch {
        return false;
    }
}

async function until(condition: () => boolean, milliseconds: number): Promise<boolean> {
    const end = Date.now() + milliseconds;
    while (!condition() && Date.now() < end) {
        await sleep(50);
    }
    return condition();
}

describe("plugin command: cancel and the engine's end", function () {
    this.timeout(120_000);

    // What a failed test leaves running would keep the test runner from ending.
    const started: { kill(): unknown }[] = [];
    afterEach(async () => {
        await Promise.all(started.splice(0).map((running) => running.kill()));
    });

    async function startPlugin(): Promise<PluginProcess> {
        const plugin = await PluginProcess.start("command");
        started.push({ kill: () => plugin.stop() });
        return plugin;
    }

    /** Starts a command that writes its process id first, and waits for that. */
    async function start(plugin: PluginProcess, command: string): Promise<{ pid: number; created: Promise<unknown> }> {
        const created = plugin.create(plugin.urn(TYPE), { create: `echo $$; ${command}` });
        created.catch(() => undefined);
        assert.ok(await until(() => plugin.engine.logs.some(({ message }) => /^\d+$/.test(message)), 60_000));
        return { pid: Number(plugin.engine.logs.find(({ message }) => /^\d+$/.test(message))?.message), created };
    }

    it("runs commands in the plugin's own process group, which the engine signals", async () => {
        const plugin = await startPlugin();
        const groupOf = (pid: number | "self"): string | undefined =>
            readFileSync(`/proc/${pid}/stat`, "utf8")
                .replace(/^.*\) /, "")
                .split(" ")[2];
        const { pid, created } = await start(plugin, "sleep 5");
        assert.equal(groupOf(pid), groupOf(plugin.process.pid ?? 0));
        await created;
    });

    it("on cancel kills the command, reports it, and runs nothing more", async () => {
        const plugin = await startPlugin();
        const { pid, created } = await start(plugin, "exec sleep 30");
        await plugin.cancel();
        await assert.rejects(created, /^Error: signal: killed: running /);
        assert.equal(isAlive(pid), false);
        await assert.rejects(plugin.create(plugin.urn(TYPE), { create: "true" }), /context canceled: running "true":/);
    });

    it("on cancel waits for what the command started and what still writes", async () => {
        const plugin = await startPlugin();
        const directory = mkdtempSync(path.join(tmpdir(), "plugin-lifetime-"));
        const done = path.join(directory, "done");
        const { created } = await start(plugin, `(echo begun; sleep 2; touch ${done}); true`);
        assert.ok(await until(() => plugin.engine.logs.some(({ message }) => message === "begun"), 60_000));
        await plugin.cancel();
        await assert.rejects(created, /signal: killed/);
        assert.ok(existsSync(done));
        rmSync(directory, { recursive: true });
    });

    it("ends at once when the engine asks by SIGINT", async () => {
        const plugin = await startPlugin();
        plugin.process.kill("SIGINT");
        assert.ok(await until(() => plugin.process.signalCode === "SIGINT", 20_000));
    });

    describe("when the engine is killed", () => {
        /** An engine in a process of its own, which creates a command that writes its process id. */
        async function engine(command: string): Promise<{ engine: ChildProcess; plugin: number; command: number }> {
            const program = path.join(__dirname, "plugins-engine-process.ts");
            const child = spawn(process.execPath, ["--import", "tsx", program, command], {
                stdio: ["ignore", "pipe", "inherit"],
            });
            const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
            started.push({ kill: () => child.kill("SIGKILL") });
            const next = async (): Promise<number> => Number((await lines.next()).value);
            const running = { engine: child, plugin: await next(), command: await next() };
            for (const pid of [running.plugin, running.command]) {
                started.push({ kill: () => isAlive(pid) && process.kill(pid, "SIGKILL") });
            }
            return running;
        }

        it("kills the command and leaves no process behind", async function () {
            const running = await engine("exec sleep 30");
            running.engine.kill("SIGKILL");
            await once(running.engine, "exit");
            assert.ok(await until(() => !isAlive(running.command), 20_000), "the command runs on");
            if (officialPlugin("command") === undefined) {
                assert.ok(await until(() => !isAlive(running.plugin), 20_000), "the plugin runs on");
            } else {
                // The official plugin looks for its engine every five minutes only.
                process.kill(running.plugin, "SIGKILL");
            }
        });

        it("waits for what the command started", async function () {
            if (officialPlugin("command") !== undefined) {
                this.skip();
            }
            const running = await engine("sleep 15; true");
            running.engine.kill("SIGKILL");
            await sleep(3_500);
            assert.ok(isAlive(running.plugin), "the plugin has ended before its operation");
            assert.ok(await until(() => !isAlive(running.plugin), 60_000), "the plugin runs on");
        });
    });
});
