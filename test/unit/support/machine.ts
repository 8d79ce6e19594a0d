import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
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
}

/** Whether mounts can be made that nobody else sees. */
export const canMount =
    process.getuid?.() === 0 && spawnSync("unshare", ["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).status === 0;

/** Runs a script of components/ as `runScript` does: by a shell that reads the command, and standard input. */
export function runMachineScript(script: string, words: readonly string[], options: RunOptions = {}): Run {
    const { action = "apply", data, environment = {}, mounts } = options;
    const command = ["exec", "bash", "-s", "--", action, ...words.map(quote)].join(" ");
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
