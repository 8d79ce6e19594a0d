import { execFileSync, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { kill, MARK, markedProcesses } from "./marked-processes";

const PROJECT = resolve(__dirname, "../..");

/** What came of a run of the launcher. */
export interface Outcome {
    readonly code: number;
    /** What it wrote to stdout and stderr, as it came. */
    readonly output: string;
    readonly stdout: string;
    readonly seconds: number;
}

/** A run of the launcher that goes on. */
export interface Running {
    /** The launcher's process, which leads a process group. */
    readonly pid: number;
    readonly outcome: Promise<Outcome>;
}

export interface RunOptions {
    /** Added to the environment; undefined takes a variable away. */
    readonly env?: Readonly<Record<string, string | undefined>>;
    /** Standard input; default nothing. */
    readonly input?: string;
    /** A program that runs the launcher, with its arguments, for example `unshare --mount`. */
    readonly wrapper?: readonly string[];
}

/** A resource in a state file, as far as the tests look at it. */
export interface StateResource {
    readonly urn: string;
    readonly type: string;
    readonly inputs?: Readonly<Record<string, unknown>>;
    readonly outputs?: Readonly<Record<string, unknown>>;
}

export type Settings = Readonly<Record<string, unknown>>;

/** A stack of a test's own on this machine, with its own folder, state, ports and machine directory. */
export class EngineStack {
    /** `test-…` */
    readonly name: string;
    /** A temporary folder that holds everything of the stack. */
    readonly folder: string;
    /** HARBORAGE_HOME */
    readonly home: string;
    /** The machine's directory. Not there before the first `up`. */
    readonly directory: string;
    readonly stackFile: string;
    /** The folder that Pulumi.yaml is in. */
    project = PROJECT;
    /** In the environment of every process of this stack. */
    readonly mark: string;
    readonly ports: { readonly https: number; readonly http: number; readonly registry: number };
    /** Environment of every run. */
    readonly env: Record<string, string | undefined> = {};

    private constructor(label: string, ports: readonly number[]) {
        const id = randomBytes(3).toString("hex");
        this.name = `test-${label}-${id}`;
        this.mark = this.name;
        // A colon or a space in the path would be a test of something else.
        this.folder = mkdtempSync(join(tmpdir(), `harborage-${label}-`));
        this.home = join(this.folder, "home");
        this.directory = join(this.folder, "machine");
        this.stackFile = join(this.folder, `Pulumi.${this.name}.yaml`);
        const [https = 0, http = 0, registry = 0] = ports;
        this.ports = { https, http, registry };
        this.configure();
    }

    /** A new stack, whose stack file has the fewest settings; nothing has been run. */
    static async create(label: string): Promise<EngineStack> {
        return new EngineStack(label, await freePorts(3));
    }

    /** The fewest settings. */
    settings(): Settings {
        return {
            publicName: "registry.test",
            machines: { box: this.machine() },
            topology: { kind: "single", node: "box", loadBalancer: "box" },
            registry: this.registry(),
            loadBalancer: this.loadBalancer(),
        };
    }

    machine(more: Settings = {}): Settings {
        return { kind: "local", directory: this.directory, minimumFreeDiskGiB: 1, ...more };
    }

    registry(more: Settings = {}): Settings {
        return { engine: "distribution", port: this.ports.registry, users: [{ name: "admin" }], ...more };
    }

    loadBalancer(more: Settings = {}): Settings {
        return { mode: "http", httpsPort: this.ports.https, httpPort: this.ports.http, ...more };
    }

    /** Writes the stack file: the fewest settings, with these in their place or beside them. */
    configure(changes: Settings = {}): void {
        const settings = Object.entries({ ...this.settings(), ...changes }).map(([key, value]) => [
            `harborage:${key}`,
            value,
        ]);
        writeFileSync(this.stackFile, stringify({ config: Object.fromEntries(settings) as unknown }));
    }

    /** Starts `npm run SCRIPT -- ARGUMENTS` for this stack, without npm around it. */
    start(
        script: "pulumi" | "up" | "preview" | "destroy",
        args: readonly string[] = [],
        options: RunOptions = {},
    ): Running {
        const named = ["--stack", this.name, "--config-file", this.stackFile];
        const argv = [process.execPath, "--import", "tsx", "toolchain/main.ts", script, ...args, ...named];
        const [program = "", ...rest] = [...(options.wrapper ?? []), ...argv];
        const start = performance.now();
        const child = spawn(program, rest, {
            cwd: this.project,
            detached: true,
            env: {
                ...process.env,
                HARBORAGE_HOME: this.home,
                [MARK]: this.mark,
                NO_COLOR: "1",
                ...this.env,
                ...options.env,
            },
        });
        const all: Buffer[] = [];
        const stdout: Buffer[] = [];
        child.stdout.on("data", (chunk: Buffer) => {
            all.push(chunk);
            stdout.push(chunk);
        });
        child.stderr.on("data", (chunk: Buffer) => all.push(chunk));
        child.stdin.on("error", () => undefined);
        child.stdin.end(options.input ?? "");
        const outcome = new Promise<Outcome>((done, fail) => {
            child.once("error", fail);
            child.once("close", (code) =>
                done({
                    code: code ?? 137,
                    output: Buffer.concat(all).toString(),
                    stdout: Buffer.concat(stdout).toString(),
                    seconds: (performance.now() - start) / 1000,
                }),
            );
        });
        return { pid: child.pid ?? 0, outcome };
    }

    /** Runs the launcher to its end, see {@link start}. */
    run(
        script: "pulumi" | "up" | "preview" | "destroy",
        args: readonly string[] = [],
        options: RunOptions = {},
    ): Promise<Outcome> {
        return this.start(script, args, options).outcome;
    }

    /**
     * `npm run up`, without the preview before it.
     *
     * @throws Error with all that it wrote when it fails
     */
    async up(...args: readonly string[]): Promise<Outcome> {
        return succeeded(await this.run("up", ["--skip-preview", ...args]));
    }

    /** `npm run destroy`. @throws Error with all that it wrote when it fails */
    async destroy(): Promise<Outcome> {
        return succeeded(await this.run("destroy", ["--skip-preview"]));
    }

    /** The state file. */
    get stateFile(): string {
        return join(this.home, this.name, ".pulumi", "stacks", "harborage", `${this.name}.json`);
    }

    /** The folder of the state's locks. */
    get locks(): string {
        return join(this.home, this.name, ".pulumi", "locks", "organization", "harborage", this.name);
    }

    /** What the state file holds. */
    resources(): readonly StateResource[] {
        if (!existsSync(this.stateFile)) {
            return [];
        }
        const { checkpoint } = JSON.parse(readFileSync(this.stateFile, "utf8")) as {
            checkpoint: { latest?: { resources?: StateResource[] } };
        };
        return checkpoint.latest?.resources ?? [];
    }

    /** An output of the stack that is not secret. */
    output(name: string): unknown {
        return this.resources().find(({ type }) => type === "pulumi:pulumi:Stack")?.outputs?.[name];
    }

    /** The ids of this stack's containers, running or not. */
    containers(): string[] {
        return this.dockerIds("ps", "--all", "--no-trunc");
    }

    /** The ids of this stack's networks. */
    networks(): string[] {
        return this.dockerIds("network", "ls");
    }

    /** Status that the registry answers `GET /v2/` with to someone without a password, over TLS, the CA being checked. */
    status(): Promise<number> {
        const ca = this.output("caCertificate");
        return new Promise((done, fail) => {
            request({
                host: "127.0.0.1",
                port: this.ports.https,
                path: "/v2/",
                servername: "registry.test",
                ca: typeof ca === "string" ? ca : undefined,
                agent: false,
                timeout: 10_000,
            })
                .once("response", (response) => {
                    response.resume();
                    done(response.statusCode ?? 0);
                })
                .once("error", fail)
                .end();
        });
    }

    /** Takes everything away, whatever state it is in. */
    async dispose(): Promise<void> {
        for (const { pid } of markedProcesses(this.mark)) {
            kill(pid);
        }
        if (this.resources().length > 0) {
            this.configure();
            const { code, output } = await this.run("destroy", ["--skip-preview"]);
            if (code !== 0) {
                console.error(`the test's stack ${this.name} cannot be destroyed:\n${output}`);
            }
        }
        const containers = this.containers();
        if (containers.length > 0) {
            spawnSync("docker", ["rm", "--force", ...containers]);
        }
        const networks = this.networks();
        if (networks.length > 0) {
            spawnSync("docker", ["network", "rm", ...networks]);
        }
        rmSync(this.folder, { recursive: true, force: true });
    }

    private dockerIds(...command: string[]): string[] {
        return ["registry", "lb"].flatMap((role) => {
            const label = `label=com.docker.compose.project=harborage-${this.name}-${role}`;
            const text = execFileSync("docker", [...command, "--quiet", "--filter", label], { encoding: "utf8" });
            return text.split("\n").filter((id) => id !== "");
        });
    }
}

/** @throws Error with all that the run wrote when it has failed */
export function succeeded(outcome: Outcome): Outcome {
    if (outcome.code !== 0) {
        throw new Error(`the launcher ended with ${outcome.code}:\n${outcome.output}`);
    }
    return outcome;
}

/** Ports that nobody has, below those that the kernel gives to outgoing connections. */
async function freePorts(count: number): Promise<number[]> {
    const found = new Set<number>();
    while (found.size < count) {
        const port = 20_000 + (randomBytes(2).readUInt16BE() % 10_000);
        if (await isFree(port)) {
            found.add(port);
        }
    }
    return [...found];
}

function isFree(port: number): Promise<boolean> {
    return new Promise((done) => {
        const server = createServer();
        server.once("error", () => done(false));
        server.listen(port, () => server.close(() => done(true)));
    });
}
