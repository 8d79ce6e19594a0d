import { spawn } from "node:child_process";

/** What came of a program that ran. */
export interface Ran {
    /** The exit code; -1 when a signal ended it. */
    readonly code: number;
    readonly stdout: string;
    readonly stderr: string;
    /** Both, in the order in which they were written. */
    readonly output: string;
    readonly seconds: number;
}

export interface RunOptions {
    readonly cwd?: string;
    /** Added to this process's environment; `undefined` takes a variable away. */
    readonly env?: Readonly<Record<string, string | undefined>>;
    /** Standard input. Default: none. */
    readonly input?: string;
    /** After so many seconds the program and all that it started are killed. Default: 900. */
    readonly seconds?: number;
}

/** A program that runs in a process group of its own. */
export interface Running {
    readonly pid: number;
    readonly done: Promise<Ran>;
    /** What it has written so far. */
    output(): string;
    /** Signals it and all that it started. */
    kill(signal: NodeJS.Signals): void;
}

/** Starts a program. It never waits for a terminal. */
export function start(command: string, args: readonly string[], options: RunOptions = {}): Running {
    const began = Date.now();
    const child = spawn(command, args, {
        cwd: options.cwd,
        env: { ...process.env, ...options.env },
        detached: true,
        stdio: ["pipe", "pipe", "pipe"],
    });
    const pid = child.pid ?? 0;
    const written = { stdout: "", stderr: "", output: "" };
    for (const stream of ["stdout", "stderr"] as const) {
        child[stream].setEncoding("utf8").on("data", (text: string) => {
            written[stream] += text;
            written.output += text;
        });
    }
    child.stdin.on("error", () => undefined).end(options.input ?? "");
    const kill = (signal: NodeJS.Signals) => {
        try {
            if (pid > 0) {
                process.kill(-pid, signal);
            }
        } catch {
            // It has ended already.
        }
    };
    const limit = options.seconds ?? 900;
    const timer = setTimeout(() => {
        written.output += `\nkilled after ${limit} s`;
        kill("SIGKILL");
    }, limit * 1000);
    const done = new Promise<Ran>((resolve, reject) => {
        child.once("error", (error) => {
            clearTimeout(timer);
            reject(error);
        });
        child.once("close", (code) => {
            clearTimeout(timer);
            resolve({ code: code ?? -1, ...written, seconds: (Date.now() - began) / 1000 });
        });
    });
    return { pid, done, output: () => written.output, kill };
}

/** Runs a program to its end; its exit code is for the caller to judge. */
export function attempt(command: string, args: readonly string[], options?: RunOptions): Promise<Ran> {
    return start(command, args, options).done;
}

/**
 * Runs a program that has to succeed.
 *
 * @returns its standard output without the last line end
 * @throws Error with everything that it wrote
 */
export async function run(command: string, args: readonly string[], options?: RunOptions): Promise<string> {
    const ran = await attempt(command, args, options);
    if (ran.code !== 0) {
        throw new Error(`${command} ${args.join(" ")}: exit code ${ran.code}\n${ran.output}`);
    }
    return ran.stdout.trimEnd();
}

/**
 * Asks until the answer is one.
 *
 * @param what  for the error, for example "the gate is open"
 * @param probe gives undefined or false while it is not so
 */
export async function until<T>(
    what: string,
    seconds: number,
    probe: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
        const answer = await probe();
        if (answer !== undefined && answer !== false) {
            return answer;
        }
        if (Date.now() > deadline) {
            throw new Error(`not within ${seconds} s: ${what}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
}
