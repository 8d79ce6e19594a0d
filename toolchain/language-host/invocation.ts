import type { RuntimeOptions } from "./options";

/** One run of a Pulumi program, as the engine asks for it. */
export interface ProgramRun {
    /** Address (host:port) of the engine. */
    readonly engine: string;
    /** Address (host:port) of the resource monitor. */
    readonly monitor: string;
    readonly organization: string;
    readonly project: string;
    readonly stack: string;
    /** Folder that holds Pulumi.yaml. */
    readonly rootDirectory: string;
    /** Folder that the program runs in. */
    readonly programDirectory: string;
    /** File to load, relative to the program's folder; `.` means what package.json says. */
    readonly entryPoint: string;
    readonly dryRun: boolean;
    /** How many resource operations may run at once. */
    readonly parallel: number;
    readonly programArguments: readonly string[];
    /** Full key (`project:name`) to plain text value. */
    readonly config: ReadonlyMap<string, string>;
    /** Full keys of the values in `config` that are secret. */
    readonly secretKeys: readonly string[];
}

/** Arguments for `node`: its own, then the SDK's run module and what that takes. */
export function programArguments(run: ProgramRun, runModule: string, options: RuntimeOptions): string[] {
    const flags: [string, string][] = [
        ["monitor", run.monitor],
        ["engine", run.engine],
        ["organization", run.organization],
        ["project", run.project],
        ["root-directory", run.rootDirectory],
        ["stack", run.stack],
        ["pwd", run.programDirectory],
    ];
    return [
        ...options.nodeArguments,
        runModule,
        ...flags.filter(([, value]) => value !== "").flatMap(([name, value]) => [`--${name}`, value]),
        ...(run.dryRun ? ["--dry-run"] : []),
        "--parallel",
        String(run.parallel),
        run.entryPoint === "" ? "." : run.entryPoint,
        ...run.programArguments,
    ];
}

/** Environment variables that the SDK's run module reads, beside those of the host itself. */
export function programEnvironment(run: ProgramRun, options: RuntimeOptions): Record<string, string> {
    // Before 1.0 keys were `project:config:name`; every SDK since understands that form, as the official host sends it.
    const config = [...run.config].map(([key, value]) => [key.replace(":", ":config:"), value]);
    return {
        PULUMI_CONFIG: JSON.stringify(Object.fromEntries(config)),
        PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(run.secretKeys),
        ...runtimeEnvironment(options),
    };
}

/** The part of the environment that follows from the runtime options alone; plugins get it too. */
export function runtimeEnvironment(options: RuntimeOptions): Record<string, string> {
    return {
        ...(options.typescript ? { PULUMI_NODEJS_TYPESCRIPT: "true" } : {}),
        ...(options.tsconfig === undefined ? {} : { PULUMI_NODEJS_TSCONFIG_PATH: options.tsconfig }),
    };
}

/** How a program ended, in the terms of the engine's RunResponse. */
export interface ProgramOutcome {
    /** Empty when the program succeeded, or when it has already reported its own error (`bail`). */
    readonly error: string;
    readonly bail: boolean;
}

/** The exit code with which the SDK says "the error has been shown to the user already". */
const ERROR_ALREADY_REPORTED = 32;

/** What the engine is told when the program has exited; `outOfMemory` when its output said so. */
export function outcomeOf(code: number | null, signal: string | null, outOfMemory: boolean): ProgramOutcome {
    if (code === 0) {
        return { error: "", bail: false };
    }
    if (code === ERROR_ALREADY_REPORTED) {
        return { error: "", bail: true };
    }
    const how =
        code === null ? `The program was killed by ${signal ?? "a signal"}.` : `The program exited with code ${code}.`;
    const why = outOfMemory
        ? " It ran out of memory: raise the limit in Pulumi.yaml with runtime.options.nodeargs: --max-old-space-size=<MiB>."
        : "";
    return { error: how + why, bail: false };
}
