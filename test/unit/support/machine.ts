import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { quote, scriptText } from "../../../components/machines/script-text";

export interface Run {
    readonly status: number | null;
    readonly stdout: string;
    readonly stderr: string;
}

export interface RunOptions {
    readonly action?: "apply" | "delete";
    readonly data?: string;
    readonly environment?: Readonly<Record<string, string>>;
    /** Runs first, as root in a mount namespace of its own: what it mounts, nobody else sees. */
    readonly mounts?: string;
    /** Runs as this user id instead of this process's; takes root. */
    readonly user?: number;
}

/** Whether mounts can be made that nobody else sees. */
export const canMount =
    process.getuid?.() === 0 && spawnSync("unshare", ["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).status === 0;

/** Runs a script of components/ as `runScript` does: by a shell that reads the command, and standard input. */
export function runMachineScript(script: string, words: readonly string[], options: RunOptions = {}): Run {
    const { action = "apply", data, environment = {}, mounts, user } = options;
    const become = user === undefined ? [] : ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups"];
    const command = ["exec", ...become, "bash", "-s", "--", action, ...words.map(quote)].join(" ");
    const shell =
        mounts === undefined ? ["sh", "-c", command] : ["unshare", "--mount", "sh", "-euc", `${mounts}\n${command}`];
    const [program = "", ...rest] = shell;
    const { status, stdout, stderr } = spawnSync(program, rest, {
        input: scriptText(join(__dirname, "../../../components", script), data),
        env: { ...process.env, ...environment },
        encoding: "utf8",
    });
    return { status, stdout, stderr };
}

export interface FunctionsOptions {
    /** Programs that are found before the machine's own, by name: what each does, in sh. */
    readonly programs?: Readonly<Record<string, string>>;
    /** Where they are put, and the folder of the run. */
    readonly folder: string;
    /** The folder that is /etc meanwhile, below `folder`; needs mounts. */
    readonly etc?: string;
}

/**
 * Runs a piece of shell after the functions of a script of components/ have been read. `$folder` and `$directory` are the
 * folder of the run, `$work` one below it.
 */
export async function runFunctions(script: string, code: string, options: FunctionsOptions): Promise<Run> {
    const { folder, programs = {}, etc } = options;
    const bin = join(folder, "bin");
    mkdirSync(bin, { recursive: true });
    mkdirSync(join(folder, "work"), { recursive: true });
    for (const [name, text] of Object.entries(programs)) {
        writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    }
    const text = scriptText(join(__dirname, "../../../components", script)).replace(/main "\$@".*\n$/, "");
    const mount = etc === undefined ? "" : `mount --bind '${join(folder, etc)}' /etc\n`;
    const words = etc === undefined ? ["-s"] : ["--mount", "bash", "-s"];
    const environment = {
        PATH: `${bin}:${process.env["PATH"] ?? ""}`,
        folder,
        directory: folder,
        work: join(folder, "work"),
    };
    return new Promise((done) => {
        const child = spawn(etc === undefined ? "bash" : "unshare", words, { env: { ...process.env, ...environment } });
        let [stdout, stderr] = ["", ""];
        child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
        child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
        child.once("close", (status) => done({ status, stdout, stderr }));
        child.stdin.end(`${mount}${text}\n${code}\n`);
    });
}

/** Calls with a folder that is removed afterwards. */
export function withFolder<T>(use: (folder: string) => T): T {
    const folder = mkdtempSync(join(tmpdir(), "harborage-unit-"));
    try {
        return use(folder);
    } finally {
        rmSync(folder, { recursive: true, force: true });
    }
}

/** Every path below a folder with its type and mode, and for files the size and the time of the last change. */
export function listing(folder: string): string {
    return spawnSync("find", [folder, "-type", "d", "-printf", "%P %y %m\n", "-o", "-printf", "%P %y %m %s %T@\n"], {
        encoding: "utf8",
    }).stdout;
}

/** As `withFolder`, for what takes time. */
export async function withFolderAsync<T>(use: (folder: string) => Promise<T>): Promise<T> {
    const folder = mkdtempSync(join(tmpdir(), "harborage-unit-"));
    try {
        return await use(folder);
    } finally {
        rmSync(folder, { recursive: true, force: true });
    }
}
