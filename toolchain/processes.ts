import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import * as path from "node:path";
import { Problem } from "./problem";

export interface RunOptions {
    readonly cwd?: string;
    readonly env?: NodeJS.ProcessEnv;
    /** Killed after this many milliseconds; default never. */
    readonly timeout?: number;
    /** Written to the process's standard input; default nothing. */
    readonly input?: string;
}

/**
 * Runs a program to its end and returns what it wrote to stdout.
 *
 * @throws Problem with the last lines of its output when it cannot be started or fails.
 */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    return new Promise((resolve, reject) => {
        const { input, ...rest } = options;
        const child = spawn(program, args, { ...rest, killSignal: "SIGKILL" });
        // A launcher that gives up, because another of its steps has failed, leaves nothing at work behind it.
        const kill = (): boolean => child.kill("SIGKILL");
        process.once("exit", kill);
        const out: Buffer[] = [];
        const all: Buffer[] = [];
        child.stdout.on("data", (chunk: Buffer) => {
            out.push(chunk);
            all.push(chunk);
        });
        child.stderr.on("data", (chunk: Buffer) => all.push(chunk));
        child.once("error", (error) => reject(new Problem(`cannot start ${program}: ${error.message}`)));
        child.once("close", (code, signal) => {
            process.off("exit", kill);
            if (code === 0) {
                resolve(Buffer.concat(out).toString());
                return;
            }
            const tail = Buffer.concat(all).toString().trimEnd().split("\n").slice(-15).join("\n");
            const how = code === null ? `was ended by ${signal ?? "a signal"}` : `failed with exit code ${code}`;
            reject(new Problem(`${[program, ...args.slice(0, 3)].join(" ")} ${how}:\n${tail}`));
        });
        // A program that does not read its input must not take the launcher down with EPIPE.
        child.stdin.on("error", () => undefined);
        child.stdin.end(input);
    });
}

/** Where a program is on PATH, or undefined. Folders in node_modules are skipped: npm puts its own there. */
export function which(name: string, searchPath = process.env["PATH"] ?? ""): string | undefined {
    return searchPath
        .split(path.delimiter)
        .filter((directory) => directory !== "" && !directory.split(path.sep).includes("node_modules"))
        .map((directory) => path.join(directory, name))
        .find(isExecutable);
}

/** Whether a path is a file that may be executed. */
export function isExecutable(file: string): boolean {
    try {
        accessSync(file, constants.X_OK);
        return statSync(file).isFile();
    } catch {
        return false;
    }
}
