import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import path from "node:path";
import { errnoText, exitText, goQuote } from "./go-text";
import { LogLines } from "./log-lines";

export type Logging = "stdout" | "stderr" | "stdoutAndStderr" | "none";

/** The inputs of local.Command that say how a command runs, without marks of secrets. */
export interface RunInputs {
    readonly interpreter?: readonly string[];
    readonly dir?: string;
    readonly environment?: Readonly<Record<string, string>>;
    readonly stdin?: string;
    readonly logging?: Logging;
    readonly addPreviousOutputInEnv?: boolean;
}

export interface Outputs {
    readonly stdout: string;
    readonly stderr: string;
}

/**
 * Runs a command as the official plugin does: in the plugin's own process group, killed alone (its own
 * children live on) when the operation is cancelled, and over only when its output is closed.
 *
 * @param previous the outputs of the last run; they are in the environment of this one.
 * @param log takes each line of output while the command runs.
 * @returns the outputs, each without one final newline.
 * @throws Error with the command and everything that it wrote; Pulumi prints it, secrets included.
 */
export async function run(
    command: string,
    inputs: RunInputs,
    previous: Outputs,
    signal: AbortSignal,
    log: (line: string) => Promise<void>,
): Promise<Outputs> {
    const interpreter = inputs.interpreter?.length ? inputs.interpreter : ["/bin/sh", "-c"];
    const lines = new LogLines(log);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const both: Buffer[] = [];
    const logging = inputs.logging ?? "stdoutAndStderr";
    const take = (into: Buffer[], logged: boolean) => (chunk: Buffer) => {
        into.push(chunk);
        both.push(chunk);
        if (logged) {
            lines.write(chunk);
        }
    };
    const failure = await execute([...interpreter, command], inputs, previous, signal, {
        stdout: take(stdout, logging === "stdout" || logging === "stdoutAndStderr"),
        stderr: take(stderr, logging === "stderr" || logging === "stdoutAndStderr"),
    });
    await lines.end();
    if (failure !== undefined) {
        throw new Error(`${failure}: running ${goQuote(command)}:\n${text(both)}`);
    }
    if (lines.tooLong) {
        throw new Error(
            `running ${goQuote(command)}: a line of its output has 64 KiB or more, at which the official plugin ` +
                `hangs for ever; set logging to "none" or write shorter lines`,
        );
    }
    return { stdout: text(stdout).replace(/\n$/, ""), stderr: text(stderr).replace(/\n$/, "") };
}

interface Sinks {
    readonly stdout: (chunk: Buffer) => void;
    readonly stderr: (chunk: Buffer) => void;
}

/** @returns what went wrong, in the words of Go's os/exec. */
function execute(
    argv: readonly string[],
    inputs: RunInputs,
    previous: Outputs,
    signal: AbortSignal,
    sinks: Sinks,
): Promise<string | undefined> {
    const name = argv[0] ?? "";
    const file = lookPath(name);
    if (file === undefined) {
        return Promise.resolve(`exec: ${goQuote(name)}: executable file not found in $PATH`);
    }
    const wrongDirectory = inputs.dir === undefined ? undefined : checkDirectory(inputs.dir, file);
    if (wrongDirectory !== undefined) {
        return Promise.resolve(wrongDirectory);
    }
    if (signal.aborted) {
        return Promise.resolve((signal.reason as Error).message);
    }
    return new Promise((resolve) => {
        const child = spawn(file, argv.slice(1), {
            argv0: name,
            cwd: inputs.dir,
            env: environment(inputs, previous),
            stdio: [inputs.stdin ? "pipe" : "ignore", "pipe", "pipe"],
        });
        const kill = (): void => void child.kill("SIGKILL");
        signal.addEventListener("abort", kill, { once: true });
        const ended = (failure?: string): void => {
            signal.removeEventListener("abort", kill);
            resolve(failure);
        };
        child.stdout?.on("data", sinks.stdout);
        child.stderr?.on("data", sinks.stderr);
        // A command need not read what it is given: it may end first.
        child.stdin?.on("error", () => undefined);
        child.stdin?.end(inputs.stdin);
        child.once("error", (error) => ended(`fork/exec ${file}: ${errnoText(error)}`));
        child.once("close", (code, by) => ended(code === 0 ? undefined : exitText(code, by)));
    });
}

function environment(inputs: RunInputs, previous: Outputs): NodeJS.ProcessEnv {
    const result: NodeJS.ProcessEnv = { ...process.env, ...inputs.environment };
    if (inputs.addPreviousOutputInEnv ?? true) {
        if (previous.stdout !== "") {
            result["PULUMI_COMMAND_STDOUT"] = previous.stdout;
        }
        if (previous.stderr !== "") {
            result["PULUMI_COMMAND_STDERR"] = previous.stderr;
        }
    }
    return result;
}

/** The interpreter is looked for in the plugin's own PATH, whatever PATH the command is given. */
function lookPath(name: string): string | undefined {
    if (name.includes("/")) {
        return name;
    }
    const candidates = (process.env["PATH"] ?? "").split(":").map((directory) => path.join(directory, name));
    return candidates.find((candidate) => {
        try {
            accessSync(candidate, constants.X_OK);
            return statSync(candidate).isFile();
        } catch {
            return false;
        }
    });
}

/** Node's own error for a missing directory names the interpreter. */
function checkDirectory(dir: string, file: string): string | undefined {
    try {
        return statSync(dir).isDirectory() ? undefined : `fork/exec ${file}: not a directory`;
    } catch (error) {
        return `chdir ${dir}: ${errnoText(error as NodeJS.ErrnoException)}`;
    }
}

function text(chunks: readonly Buffer[]): string {
    return Buffer.concat(chunks).toString("utf8");
}
