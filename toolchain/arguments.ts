import * as path from "node:path";
import { parseArgs } from "node:util";
import { Problem } from "./problem";

/** The stack that is meant when none is named. */
export const DEFAULT_STACK = "dev";

/** The four ways to call the launcher: `npm run pulumi|up|preview|destroy`. */
export const SCRIPTS = ["pulumi", "up", "preview", "destroy"] as const;
export type Script = (typeof SCRIPTS)[number];

/** What a call of the launcher asks for. */
export interface Invocation {
    readonly script: Script;
    /** Pulumi's command in its full name, for example `up`, `stack output`; empty for a bare `pulumi --help`. */
    readonly command: string;
    /** The stack that the command works on; absent for commands that work on none. */
    readonly stack?: string;
    /** Whether the stack's state is kept in this project's own folder; false without a stack. */
    readonly local: boolean;
    /** Folder that holds Pulumi.yaml, absolute. */
    readonly project: string;
    /** The stack file that the user named, absolute; absent means Pulumi.<stack>.yaml of the project. */
    readonly configFile?: string;
    /** Arguments for pulumi: those given, completed by what the script adds; no --config-file. */
    readonly pulumiArguments: readonly string[];
}

/** Commands whose last word is taken from an alias. */
const ALIASES: Readonly<Record<string, string>> = { update: "up", pre: "preview", down: "destroy", dn: "destroy" };

/** Commands that consist of two words. */
const GROUPS = new Set(["stack", "config", "state", "plugin", "policy", "package", "schema", "logs", "org", "env"]);

/** Commands, or groups of them, that take --stack. */
const TAKES_STACK = new Set(
    "up preview destroy refresh cancel config console import logs watch stack state about".split(" "),
);

/** Exceptions to TAKES_STACK: these name the stack by position, or no stack at all. */
const NAMES_STACK_BY_POSITION = new Set(["stack init", "stack select", "stack rm", "stack rename"]);
const TAKES_NO_STACK = new Set(["stack ls", "stack unselect", "state move", "state upgrade", "about"]);

/** Commands, or groups of them, that take --config-file. */
const TAKES_CONFIG_FILE = new Set("up preview destroy refresh config import watch".split(" "));

/** Commands that run the program, so need its plugins, and (when they prepare or make changes) its images. */
const RUNS_PROGRAM = new Set("up preview refresh import watch".split(" "));

/** Commands that write the stack's state. */
const WRITES_STATE = new Set("up destroy refresh import watch".split(" "));

/** Options of pulumi's that take a value and matter here: a value must not be taken for the command. */
const OPTIONS = {
    stack: { type: "string", short: "s" },
    cwd: { type: "string", short: "C" },
    "config-file": { type: "string" },
    color: { type: "string" },
    verbose: { type: "string", short: "v" },
    tracing: { type: "string" },
    profiling: { type: "string" },
    help: { type: "boolean", short: "h" },
    yes: { type: "boolean", short: "y" },
    secret: { type: "boolean" },
} as const;

/**
 * Reads the launcher's arguments.
 *
 * @param script    which of the npm scripts was called
 * @param given     what followed it
 * @param directory where relative paths start, absolute
 * @param selected  the stack named by the environment (PULUMI_STACK), if any
 */
export function readArguments(
    script: Script,
    given: readonly string[],
    directory: string,
    selected?: string,
): Invocation {
    const args = script === "pulumi" ? [...given] : [script, ...given];
    const { values, positionals, tokens } = parseArgs({
        args,
        options: OPTIONS,
        strict: false,
        allowPositionals: true,
        tokens: true,
    });
    const command = commandOf(positionals);
    const help = values.help === true || command === "help";
    const project = path.resolve(directory, text(values.cwd) ?? ".");
    const configFile = text(values["config-file"]);
    const stack = help ? undefined : stackOf(command, positionals, text(values.stack), selected);
    const local = stack !== undefined && isLocalStack(stack);

    const drop = new Set<number>();
    for (const token of tokens) {
        if (token.kind === "option" && token.name === "config-file") {
            drop.add(token.index);
            if (token.inlineValue === false) {
                drop.add(token.index + 1);
            }
        }
    }
    const pulumiArguments = args.filter((_, index) => !drop.has(index));
    const terminator = pulumiArguments.indexOf("--");
    const extra: string[] = [];
    if (stack !== undefined && values.stack === undefined && !NAMES_STACK_BY_POSITION.has(command)) {
        extra.push("--stack", stack);
    }
    if (script !== "pulumi" && !help) {
        if (local && script !== "preview" && values.yes !== true) {
            extra.push("--yes");
        }
        if (script === "destroy" && !args.includes("--exclude-protected")) {
            extra.push("--exclude-protected");
        }
    }
    if (local && command === "stack rm" && !args.includes("--preserve-config")) {
        // Pulumi would delete the committed stack file together with the stack.
        extra.push("--preserve-config");
    }
    pulumiArguments.splice(terminator === -1 ? pulumiArguments.length : terminator, 0, ...extra);
    return {
        script,
        command,
        ...(stack === undefined ? {} : { stack }),
        local,
        project,
        ...(configFile === undefined ? {} : { configFile: path.resolve(directory, configFile) }),
        pulumiArguments,
    };
}

/** What `npm run forget` is asked for. */
export interface ForgetInvocation {
    readonly machine: string;
    readonly stack: string;
    /** Folder that holds Pulumi.yaml, absolute. */
    readonly project: string;
}

/**
 * Reads the arguments of `npm run forget -- --machine NAME [--stack STACK]`.
 *
 * @throws Problem when they are others
 */
export function readForgetArguments(
    given: readonly string[],
    directory: string,
    selected: string | undefined,
): ForgetInvocation {
    const options = {
        machine: { type: "string" },
        stack: { type: "string", short: "s" },
        cwd: { type: "string" },
    } as const;
    try {
        const {
            machine,
            stack = selected ?? DEFAULT_STACK,
            cwd = ".",
        } = parseArgs({ args: [...given], options }).values;
        if (machine !== undefined) {
            return { machine, stack, project: path.resolve(directory, cwd) };
        }
    } catch {
        // Said below.
    }
    throw new Problem("usage: npm run forget -- --machine NAME [--stack STACK]");
}

/** The stacks that live on this machine and whose state this project keeps. */
export function isLocalStack(stack: string): boolean {
    return /^(dev|test-[A-Za-z0-9._-]+)$/u.test(stack);
}

/** Whether the command takes --config-file. */
export function takesConfigFile({ command }: Invocation): boolean {
    return TAKES_CONFIG_FILE.has(group(command));
}

/**
 * Whether the command edits plain values of the stack file: those belong into the committed file, while secrets, which
 * only this machine can decrypt, belong into the generated one.
 *
 * @param secrets keys of the secrets that are in the generated file alone; `config rm` takes them, too, without the
 *     project's name
 */
export function editsCommittedFile({ command, pulumiArguments }: Invocation, secrets: readonly string[] = []): boolean {
    if (["config rm", "config rm-all"].includes(command)) {
        const names = secrets.flatMap((key) => [key, key.replace(/^[^:]*:/u, "")]);
        return !pulumiArguments.some((word) => names.includes(word));
    }
    return ["config set", "config set-all"].includes(command) && !pulumiArguments.includes("--secret");
}

/** Whether the command runs the program. */
export function runsProgram({ command }: Invocation): boolean {
    return RUNS_PROGRAM.has(command);
}

/** Whether the command talks to resource plugins. */
export function usesPlugins(invocation: Invocation): boolean {
    return runsProgram(invocation) || invocation.command === "destroy";
}

/** Whether the command writes the stack's state. */
export function writesState({ command }: Invocation): boolean {
    return WRITES_STATE.has(command);
}

function group(command: string): string {
    return command.split(" ")[0] ?? "";
}

function commandOf(positionals: readonly string[]): string {
    const [first = "", second] = positionals;
    const name = ALIASES[first] ?? first;
    return GROUPS.has(name) && second !== undefined ? `${name} ${second}` : name;
}

function stackOf(
    command: string,
    positionals: readonly string[],
    named: string | undefined,
    selected: string | undefined,
): string | undefined {
    if (NAMES_STACK_BY_POSITION.has(command)) {
        return positionals[2] ?? named;
    }
    if (!TAKES_STACK.has(group(command)) || TAKES_NO_STACK.has(command)) {
        return named;
    }
    return named ?? selected ?? DEFAULT_STACK;
}

function text(value: string | boolean | (string | boolean)[] | undefined): string | undefined {
    return typeof value === "string" ? value : undefined;
}
