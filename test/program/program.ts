import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { ProgramRun, Registered } from "./mocked-program";

export type { ProgramRun, Registered } from "./mocked-program";

export interface ProgramArgs {
    readonly stack?: string;
    /** Settings below `harborage:`, as in a stack file. */
    readonly settings: Readonly<Record<string, unknown>>;
    /** Secrets by name. */
    readonly secrets?: Readonly<Record<string, string>>;
}

/** The settings of a stack file of the project. */
export function settingsOf(file: string): Record<string, unknown> {
    const { config } = parse(readFileSync(join(__dirname, "../..", file), "utf8")) as {
        config: Record<string, unknown>;
    };
    return Object.fromEntries(Object.entries(config).map(([key, value]) => [key.replace(/^harborage:/, ""), value]));
}

/** Runs the whole program under mocks, in a process of its own. */
export async function runProgram({ stack = "dev", settings, secrets = {} }: ProgramArgs): Promise<ProgramRun> {
    const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
    const values = Object.entries({ ...settings, ...secrets }).map(([key, value]) => [`harborage:${key}`, text(value)]);
    // How this machine logs in to a cloud must not be seen in a graph.
    const environment = Object.entries(process.env).filter(([name]) => !name.startsWith("OS_"));
    const child = fork(join(__dirname, "mocked-program.ts"), [stack], {
        execArgv: ["--import", "tsx"],
        env: {
            ...Object.fromEntries(environment),
            PULUMI_CONFIG: JSON.stringify(Object.fromEntries(values)),
            PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(Object.keys(secrets).map((key) => `harborage:${key}`)),
        },
        stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    let output = "";
    child.stdout?.on("data", (data: Buffer) => (output += data.toString()));
    child.stderr?.on("data", (data: Buffer) => (output += data.toString()));
    let result: ProgramRun | undefined;
    child.on("message", (message) => (result = message as ProgramRun));
    const code = await new Promise<number | null>((done) => child.once("close", done));
    if (result === undefined || output !== "") {
        throw new Error(`the program ended with ${code ?? "a signal"} and printed: ${output}`);
    }
    return result;
}

/** The resources of a type, or the one of a type and a name. */
export function resourcesOf({ resources }: ProgramRun, type: string): readonly Registered[] {
    return resources.filter((resource) => resource.type === type);
}

/** Whether something waits, in however many steps, for a resource. */
export function reaches({ resources }: ProgramRun, from: readonly string[], target: string): boolean {
    const known = new Map(resources.map(({ type, name, dependsOn }) => [`${type} ${name}`, dependsOn]));
    const seen = new Set<string>();
    const queue = [...from];
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
        if (name === target) {
            return true;
        }
        if (!seen.has(name)) {
            seen.add(name);
            queue.push(...(known.get(name) ?? []));
        }
    }
    return false;
}

/** Whether a value is marked as a secret. */
export function isSecret(value: unknown): value is { secret: unknown } {
    return typeof value === "object" && value !== null && Object.keys(value).join() === "secret";
}

/** A value without its marks. */
export function plain(value: unknown): unknown {
    if (isSecret(value)) {
        return plain(value.secret);
    }
    if (Array.isArray(value)) {
        return value.map(plain);
    }
    return typeof value === "object" && value !== null
        ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]))
        : value;
}
