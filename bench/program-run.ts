import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { parse } from "yaml";
import { z } from "zod";
import type { FakeEngine } from "./fake-engine";

const project = resolve(__dirname, "..");
const hook = join(__dirname, "hook.cjs");
const entry = require.resolve("@pulumi/pulumi/cmd/run");

/** The runtime options of a Pulumi.yaml, as the Node.js language host understands them. */
export interface RuntimeOptions {
    /** Whether Pulumi compiles TypeScript itself (ts-node); true when not given. */
    typescript: boolean;
    /** Absolute path of the tsconfig.json that the program is started with, if Pulumi.yaml names one. */
    tsconfig?: string;
    /** Arguments for node itself. */
    nodeArguments: readonly string[];
}

/** What one start of a program cost. */
export interface Cost {
    /** From the start of the process until the program declares its first resource, or has nothing to declare. */
    startSeconds: number;
    /** User and system time of all its threads until then. */
    startProcessorSeconds: number;
    /** From the start of the process to its end. */
    wholeSeconds: number;
    /** User and system time of all its threads. */
    processorSeconds: number;
    /** The most memory that it held at one time, in bytes. */
    peakBytes: number;
    /** How many resources it registered, the stack itself included. */
    resources: number;
}

/** A program to start: the directory of its package.json, and its configuration as `project:key` to value. */
export interface Program {
    directory: string;
    config: Readonly<Record<string, string>>;
}

/** What hook.cjs reports; `begun` is a time as of `now`. */
const hookReport = z.object({
    begun: z.number(),
    begunProcessor: z.number(),
    peakKilobytes: z.number(),
    processorSeconds: z.number(),
});

/** Milliseconds since the epoch, the same in every process of this machine. */
const now = () => performance.timeOrigin + performance.now();

const pulumiYaml = z.object({
    runtime: z.object({
        options: z
            .object({
                typescript: z.boolean().default(true),
                tsconfig: z.string().optional(),
                nodeargs: z.string().default(""),
            })
            .prefault({}),
    }),
});

/** Reads the runtime options of this project's Pulumi.yaml. */
export function projectRuntime(): RuntimeOptions {
    const { options } = pulumiYaml.parse(parse(readFileSync(join(project, "Pulumi.yaml"), "utf8"))).runtime;
    return {
        typescript: options.typescript,
        ...(options.tsconfig === undefined ? {} : { tsconfig: join(project, options.tsconfig) }),
        nodeArguments: options.nodeargs.split(/\s+/).filter((argument) => argument !== ""),
    };
}

/** This project, configured by the committed file of a stack. Values that are not text are JSON, as in the engine. */
export function projectProgram(stack: string): Program {
    const file = z
        .object({ config: z.record(z.string(), z.unknown()) })
        .parse(parse(readFileSync(join(project, `Pulumi.${stack}.yaml`), "utf8")));
    const config = Object.fromEntries(
        Object.entries(file.config).map(([key, value]) => [
            key,
            typeof value === "string" ? value : JSON.stringify(value),
        ]),
    );
    return { directory: project, config };
}

/** The smallest TypeScript program that Pulumi runs. */
export const emptyProgram: Program = { directory: join(__dirname, "empty"), config: {} };

/**
 * Runs a program once as the Node.js language host would, in a preview against a stand-in engine.
 *
 * @throws Error with the program's own messages when it fails.
 */
export async function runProgram(program: Program, runtime: RuntimeOptions, engine: FakeEngine): Promise<Cost> {
    engine.reset();
    const environment: NodeJS.ProcessEnv = {
        ...process.env,
        PULUMI_CONFIG: JSON.stringify(program.config),
        PULUMI_CONFIG_SECRET_KEYS: "[]",
        ...(runtime.typescript ? { PULUMI_NODEJS_TYPESCRIPT: "true" } : {}),
        ...(runtime.tsconfig === undefined ? {} : { PULUMI_NODEJS_TSCONFIG_PATH: runtime.tsconfig }),
    };
    const started = now();
    const child = spawn(
        process.execPath,
        [
            ...runtime.nodeArguments,
            ...["--require", hook, entry, "--monitor", engine.address, "--engine", engine.address],
            ...["--organization", "organization", "--project", "harborage", "--stack", "bench"],
            ...[
                "--root-directory",
                program.directory,
                "--pwd",
                program.directory,
                "--dry-run",
                "--parallel",
                "16",
                ".",
            ],
        ],
        { cwd: program.directory, env: environment, stdio: ["ignore", "ignore", "inherit", "pipe"] },
    );
    const channel = child.stdio[3];
    const report = channel && "read" in channel ? text(channel) : Promise.resolve("");
    await once(child, "exit");
    const wholeSeconds = (now() - started) / 1000;
    const observed = engine.observed();
    if (child.exitCode !== 0 || !observed.finished || observed.errors.length > 0) {
        throw new Error(
            [`${program.directory} failed (exit code ${String(child.exitCode)})`, ...observed.errors].join("\n"),
        );
    }
    const used = hookReport.parse(JSON.parse(await report));
    return {
        startSeconds: (used.begun - started) / 1000,
        startProcessorSeconds: used.begunProcessor,
        wholeSeconds,
        processorSeconds: used.processorSeconds,
        peakBytes: used.peakKilobytes * 1024,
        resources: observed.registered.length,
    };
}
