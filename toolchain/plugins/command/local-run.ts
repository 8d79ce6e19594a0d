import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import path from "node:path";
import { errnoText, exitText, goQuote } from "./go-text";
import { Capture, previousOutputVariables, type Outputs, type RunInputs } from "./outputs";

/** The inputs of local.Command that say how a command runs, without marks of secrets. */
export interface LocalInputs extends RunInputs {
    readonly interpreter?: readonly string[];
    readonly dir?: string;
}

/**
 * Runs a command as the official plugin does: in the plugin's own process group, killed alone (its own
 * children live on) when the operation is cancelled, and over only when its output is closed.
 *
 * @param previous the outputs of the last run; they are in the environment of this one.
 * @param log takes each line of output while the command runs.
 */
export async function runHere(
    command: string,
    inputs: LocalInputs,
    previous: Outputs,
    signal: AbortSignal,
    log: (line: string) => Promise<void>,
): Promise<Outputs> {
    const interpreter = inputs.interpreter?.length ? inputs.interpreter : ["/bin/sh", "-c"];
    const capture = new Capture(inputs.logging, log);
    return capture.end(command, await execute([...interpreter, command], inputs, previous, signal, capture));
}

/** @returns what went wrong, in the words of Go's os/exec. */
function execute(
    argv: readonly string[],
    inputs: LocalInputs,
    previous: Outputs,
    signal: AbortSignal,
    capture: Capture,
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
            env: { ...process.env, ...inputs.environment, ...previousOutputVariables(inputs, previous) },
            stdio: [inputs.stdin ? "pipe" : "ignore", "pipe", "pipe"],
        });
        const kill = (): void => void child.kill("SIGKILL");
        signal.addEventListener("abort", kill, { once: true });
        const ended = (failure?: string): void => {
            signal.removeEventListener("abort", kill);
            resolve(failure);
        };
        child.stdout?.on("data", capture.stdout);
        child.stderr?.on("data", capture.stderr);
        // A command need not read what it is given: it may end first.
        child.stdin?.on("error", () => undefined);
        child.stdin?.end(inputs.stdin);
        child.once("error", (error) => ended(`fork/exec ${file}: ${errnoText(error)}`));
        child.once("close", (code, by) => ended(code === 0 ? undefined : exitText(code, by)));
    });
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
