import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { stringify } from "yaml";
import type { OutputValues } from "../../config/outputs";
import type { Script } from "../../toolchain/arguments";
import { removeContainersOf, removeLeftovers } from "./docker";
import { attempt, run, start, type Ran, type RunOptions, type Running } from "./processes";

/** The project that the tests belong to. */
export const projectDirectory = resolve(__dirname, "../..");

/** What Pulumi did to a resource. */
export interface Change {
    /** As the engine calls it: create, update, delete, replace, create-replacement, delete-replaced. */
    readonly op: string;
    /** The resource's name, for example `box-release`. */
    readonly name: string;
    readonly type: string;
}

export interface UpResult extends Ran {
    /** Resources that were not left as they were, in the order of the events. */
    readonly changes: readonly Change[];
    /** By name of the resource that failed, the seconds that it took until then. */
    readonly failures: ReadonlyMap<string, number>;
}

/** Ports that nothing listens on, below those that the system gives to outgoing connections. */
export async function freePorts(count: number): Promise<number[]> {
    const ports = new Set<number>();
    while (ports.size < count) {
        const port = 20_000 + Math.floor(Math.random() * 12_000);
        if (await isFree(port)) {
            ports.add(port);
        }
    }
    return [...ports];
}

function isFree(port: number): Promise<boolean> {
    return new Promise((done) => {
        const server = createServer();
        server.once("error", () => done(false));
        server.listen(port, "0.0.0.0", () => server.close(() => done(true)));
    });
}

/** A copy of the project that a test may break. */
export function copyProject(target: string): string {
    cpSync(projectDirectory, target, {
        recursive: true,
        filter: (source) => !["node_modules", ".git", ".harborage"].includes(basename(source)),
    });
    symlinkSync(join(projectDirectory, "node_modules"), join(target, "node_modules"));
    return target;
}

export interface LauncherOptions extends RunOptions {
    /** A program that runs the launcher, with its arguments, for example `unshare --mount`. Default: that of the stack. */
    readonly wrapper?: readonly string[];
}

/** The settings of a stack file, without the `harborage:` before each key. */
export type Settings = Readonly<Record<string, unknown>>;

/**
 * A stack of a test's own: folder, state, ports, machine directory. Call {@link cleanUp} in `after`.
 *
 * ```ts
 * const stack = await TestStack.make("push");
 * stack.write({ publicName: "registry.test" });
 * await stack.up();
 * ```
 */
export class TestStack {
    /** `test-WORD-PID`: what a killed test run leaves is found by its dead process. */
    readonly name: string;
    /** Everything of this stack is below it. */
    readonly folder: string;
    /** Where the machine of the settings keeps its things. */
    readonly machineDirectory: string;
    /** The stack file that a user would write. Default: one in {@link folder}. */
    stackFile: string;
    /** HARBORAGE_HOME. Default: in {@link folder}. */
    home: string;
    /** The project that is run. Default: the one that the tests belong to. */
    project = projectDirectory;
    /** The settings that were written last. */
    settings: Settings = {};
    /** The program that runs the launcher where a run names none, see {@link LauncherOptions}. */
    wrapper: readonly string[] = [];
    /** Added to the environment of every run. */
    env: Readonly<Record<string, string | undefined>> = {};

    private readonly shims: string;
    private readonly commandLog: string;

    private constructor(
        word: string,
        readonly httpsPort: number,
        readonly httpPort: number,
        readonly registryPort: number,
        bash: string,
    ) {
        this.name = `test-${word}-${process.pid}`;
        this.folder = mkdtempSync(join(tmpdir(), `harborage-${this.name}-`));
        this.machineDirectory = join(this.folder, "machine");
        this.stackFile = join(this.folder, `Pulumi.${this.name}.yaml`);
        this.home = join(this.folder, "home");
        this.commandLog = join(this.folder, "commands.log");
        this.shims = join(this.folder, "shims");
        mkdirSync(this.shims);
        writeFileSync(this.commandLog, "");
        // Every script on the machine is run by bash; this one is first on PATH and writes down how it was called.
        writeFileSync(
            join(this.shims, "bash"),
            `#!/bin/sh\n[ "$1" != -s ] || echo "$*" >>'${this.commandLog}'\nexec '${bash}' "$@"\n`,
            { mode: 0o755 },
        );
    }

    /** @param word a word for the stack's name, the same for every run of this test */
    static async make(word: string): Promise<TestStack> {
        await removeLeftovers(word);
        const [https = 0, http = 0, registry = 0] = await freePorts(3);
        return new TestStack(word, https, http, registry, await run("sh", ["-c", "command -v bash"]));
    }

    /** Writes the stack file: a registry on this machine, with the given keys in place of its own. */
    write(changed: Settings = {}): void {
        const { name, httpsPort, httpPort, registryPort } = this;
        this.settings = {
            publicName: `${name}.example`,
            machines: { box: { kind: "local", directory: this.machineDirectory, minimumFreeDiskGiB: 1 } },
            topology: { kind: "single", node: "box", loadBalancer: "box" },
            registry: { engine: "distribution", port: registryPort },
            loadBalancer: { mode: "http", httpsPort, httpPort },
            ...changed,
        };
        const config = Object.fromEntries(
            Object.entries(this.settings).map(([key, value]) => [`harborage:${key}`, value]),
        );
        writeFileSync(this.stackFile, stringify({ config }));
    }

    /** Starts one of the npm scripts on this stack, as a user would after `npm run`. */
    start(script: Script, args: readonly string[] = [], options: LauncherOptions = {}): Running {
        const { wrapper = this.wrapper, ...rest } = options;
        const node = [process.execPath, "--import", "tsx", "toolchain/main.ts", script, ...args];
        const [program, ...words] = [...wrapper, ...node, "--stack", this.name, "--config-file", this.stackFile];
        return start(program, words, {
            cwd: this.project,
            ...rest,
            env: {
                HARBORAGE_HOME: this.home,
                PATH: `${this.shims}:${process.env["PATH"] ?? ""}`,
                PULUMI_STACK: undefined,
                ...this.env,
                ...options.env,
            },
        });
    }

    run(script: Script, args?: readonly string[], options?: LauncherOptions): Promise<Ran> {
        return this.start(script, args, options).done;
    }

    /** `npm run up`, which may fail; without a preview before it, to save time. */
    async tryUp(args: readonly string[] = [], options: LauncherOptions = {}): Promise<UpResult> {
        const log = join(this.folder, "events.json");
        rmSync(log, { force: true });
        const ran = await this.run("up", ["--skip-preview", "--event-log", log, ...args], {
            ...options,
            // Without this variable the option is not there.
            env: { PULUMI_DEBUG_COMMANDS: "true", ...options.env },
        });
        const events = readEvents(log);
        return { ...ran, changes: changesOf(events), failures: failuresOf(events) };
    }

    /**
     * `npm run up`, which has to succeed.
     *
     * @throws Error with everything that it wrote
     */
    async up(args?: readonly string[]): Promise<UpResult> {
        const result = await this.tryUp(args);
        if (result.code !== 0) {
            throw new Error(`up of ${this.name} failed:\n${result.output}`);
        }
        return result;
    }

    /** The stack's outputs, secrets in plain text. */
    async outputs(): Promise<OutputValues> {
        const ran = await this.run("pulumi", ["stack", "output", "--json", "--show-secrets"]);
        if (ran.code !== 0) {
            throw new Error(`no outputs of ${this.name}:\n${ran.output}`);
        }
        return JSON.parse(ran.stdout) as OutputValues;
    }

    /** Sets a secret of the stack file. */
    async setSecret(name: string, value: string): Promise<void> {
        const ran = await this.run("pulumi", ["config", "set", "--secret", `harborage:${name}`], { input: value });
        if (ran.code !== 0) {
            throw new Error(`cannot set the secret ${name}:\n${ran.output}`);
        }
    }

    /** The scripts that were run on the machine since the last call, each as its arguments after `bash -s --`. */
    takeCommands(): string[] {
        const lines = readFileSync(this.commandLog, "utf8").split("\n");
        writeFileSync(this.commandLog, "");
        return lines.filter((line) => line !== "").map((line) => line.replace(/^-s -- /, ""));
    }

    /** Takes everything away, whatever state it is in. */
    async cleanUp(): Promise<void> {
        try {
            await this.run("destroy", [], { seconds: 120 });
        } finally {
            await removeContainersOf(this.name);
            await attempt("rm", ["-rf", this.folder]);
        }
    }
}

interface Metadata {
    readonly op: string;
    readonly urn: string;
    readonly type: string;
}

interface EngineEvent {
    /** Seconds. */
    readonly timestamp: number;
    readonly resourcePreEvent?: { readonly metadata: Metadata };
    readonly resOpFailedEvent?: { readonly metadata: Metadata };
}

const nameOf = (urn: string) => urn.split("::").at(-1) ?? urn;

/** What an event log holds. */
function readEvents(log: string): EngineEvent[] {
    let text: string;
    try {
        text = readFileSync(log, "utf8");
    } catch {
        return [];
    }
    const lines = text.split("\n").filter((line) => line.startsWith("{"));
    return lines.map((line) => JSON.parse(line) as EngineEvent);
}

/** Reads of what is, and outputs of the stack itself, are no changes. */
function changesOf(events: readonly EngineEvent[]): Change[] {
    return events
        .flatMap(({ resourcePreEvent }) => resourcePreEvent?.metadata ?? [])
        .filter(({ op }) => !["same", "read", "refresh"].includes(op))
        .map(({ op, urn, type }) => ({ op, type, name: nameOf(urn) }));
}

function failuresOf(events: readonly EngineEvent[]): Map<string, number> {
    const begun = new Map(
        events.flatMap(({ timestamp, resourcePreEvent }) =>
            resourcePreEvent === undefined ? [] : [[resourcePreEvent.metadata.urn, timestamp]],
        ),
    );
    return new Map(
        events.flatMap(({ timestamp, resOpFailedEvent }) =>
            resOpFailedEvent === undefined
                ? []
                : [
                      [
                          nameOf(resOpFailedEvent.metadata.urn),
                          timestamp - (begun.get(resOpFailedEvent.metadata.urn) ?? 0),
                      ],
                  ],
        ),
    );
}
