/** What `runtime.options` in Pulumi.yaml may say for a Node program (a page of Pulumi's documentation lists the same names). */
export interface RuntimeOptions {
    /** Load TypeScript through the runtime's own ts-node; default true. */
    readonly typescript: boolean;
    /** The tsconfig that the run uses, relative to the program's folder; default `tsconfig.json`. */
    readonly tsconfig?: string;
    /** Arguments for `node` itself, already split; default none. */
    readonly nodeArguments: readonly string[];
    /** Leave development dependencies out of `pulumi install`; default false. */
    readonly production: boolean;
}

/**
 * Checks the runtime options of a project.
 *
 * @throws Error naming the option and the type that it should have had.
 */
export function parseOptions(options: Readonly<Record<string, unknown>>): RuntimeOptions {
    const tsconfig = optional(options, "tsconfig", "string");
    return {
        typescript: optional(options, "typescript", "boolean") ?? true,
        ...(tsconfig ? { tsconfig } : {}),
        nodeArguments: splitArguments(optional(options, "nodeargs", "string") ?? ""),
        production: optional(options, "production", "boolean") ?? false,
    };
}

interface OptionTypes {
    boolean: boolean;
    string: string;
}

function optional<T extends keyof OptionTypes>(
    options: Readonly<Record<string, unknown>>,
    name: string,
    type: T,
): OptionTypes[T] | undefined {
    const value = options[name];
    if (value === undefined || value === null) {
        return undefined;
    }
    if (typeof value !== type) {
        throw new Error(`Pulumi.yaml, runtime.options.${name}: expected a ${type}, found ${JSON.stringify(value)}`);
    }
    return value as OptionTypes[T];
}

/**
 * Splits a line into arguments as a POSIX shell would, without any expansion.
 *
 * @throws Error when a quote is not closed.
 */
export function splitArguments(line: string): string[] {
    const words: string[] = [];
    const word = /((?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+)|(\S)/gsu;
    for (const [, text, stray] of line.matchAll(word)) {
        if (text === undefined) {
            throw new Error(`Pulumi.yaml, runtime.options.nodeargs: unfinished quote at ${stray} in ${line}`);
        }
        words.push(
            text.replace(
                /\\(.)|"((?:[^"\\]|\\.)*)"|'([^']*)'/gsu,
                (_, escaped?: string, double?: string, single?: string) =>
                    escaped ?? double?.replace(/\\(["\\$`])/gu, "$1") ?? single ?? "",
            ),
        );
    }
    return words;
}
