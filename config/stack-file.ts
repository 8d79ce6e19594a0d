import type { z } from "zod";
import { valueAt } from "./raw-file";
import { show } from "./fields";
import { stackSchema, type StackConfig } from "./schema";
import { secretReferences } from "./secrets";

/** One mistake in a stack file. */
export interface Mistake {
    /** Where: `harborage:registry.users[1].name`. */
    readonly path: string;
    /** What was expected instead, with an example. */
    readonly message: string;
}

/** Every mistake of a stack file at once. */
export class StackFileError extends Error {
    constructor(
        stack: string,
        readonly mistakes: readonly Mistake[],
    ) {
        const count = mistakes.length === 1 ? "a mistake" : `${String(mistakes.length)} mistakes`;
        const lines = mistakes.map(({ path, message }) => `  - ${path}: ${message}`);
        super(`Pulumi.${stack}.yaml has ${count}; nothing was changed:\n${lines.join("\n")}`);
        this.name = "StackFileError";
    }
}

/** A stack file as the engine hands it over. */
export interface StackFile {
    /** The stack's name. */
    readonly stack: string;
    /** Values by key, without the `harborage:` before it: text, and JSON for anything that is not text. */
    readonly values: Readonly<Record<string, string>>;
    /** The keys whose values are secret, or hold a secret somewhere inside. */
    readonly secretKeys: ReadonlySet<string>;
}

const namespace = "harborage";

/** `["registry", "users", 1]` as a user would look it up. */
function showPath(path: readonly PropertyKey[]): string {
    return path.reduce<string>(
        (text, part, index) =>
            typeof part === "number" ? `${text}[${String(part)}]` : `${text}${index === 0 ? "" : "."}${String(part)}`,
        `${namespace}:`,
    );
}

function decode(value: string): unknown {
    try {
        const decoded: unknown = JSON.parse(value);
        return typeof decoded === "object" && decoded !== null ? decoded : value;
    } catch {
        return value;
    }
}

function describe(issue: z.core.$ZodIssue, root: unknown): Mistake {
    if (issue.code === "unrecognized_keys") {
        return { path: showPath([...issue.path, issue.keys.join(", ")]), message: issue.message };
    }
    const value = valueAt(root, issue.path);
    if (issue.code === "custom" && !issue.message.startsWith("expected")) {
        const shown = value === undefined ? "" : `${typeof value === "object" ? "" : show(value)} `.trimStart();
        return { path: showPath(issue.path), message: `${shown}${issue.message}` };
    }
    const given =
        value === undefined
            ? issue.code === "custom"
                ? "the default does not fit"
                : "is missing"
            : typeof value === "object"
              ? "is wrong"
              : `${show(value)} is wrong`;
    return { path: showPath(issue.path), message: `${given}; ${issue.message}` };
}

/** The stack's name becomes part of the names of compose projects, which are stricter than Pulumi. */
function nameMistakes(stack: string): Mistake[] {
    return /^[a-z0-9][a-z0-9_-]{0,59}$/.test(stack)
        ? []
        : [
              {
                  path: "the stack's name",
                  message: `${show(stack)} is wrong; expected lower-case letters, digits, - and _, for example prod-eu`,
              },
          ];
}

/** Whether a path of settings leads through a secret: then its values are not shown. */
function isHidden(file: StackFile, path: readonly PropertyKey[]): boolean {
    return path[0] !== undefined && file.secretKeys.has(String(path[0]));
}

function secretMistakes(file: StackFile, decoded: Readonly<Record<string, unknown>>): Mistake[] {
    const mistakes: Mistake[] = [];
    const references = secretReferences(decoded).filter(({ path }) => !isHidden(file, path));
    for (const { name, path: keys, example, mistake } of references) {
        const path = showPath(keys);
        if (Object.hasOwn(stackSchema.shape, name)) {
            mistakes.push({ path, message: `${show(name)} is a setting, not a secret; for example ${example}` });
        } else if (!Object.hasOwn(file.values, name)) {
            mistakes.push({
                path,
                message: `there is no secret ${show(name)}; set it with: pulumi config set --secret ${name} --stack ${file.stack}`,
            });
        } else if (!file.secretKeys.has(name)) {
            mistakes.push({
                path: showPath([name]),
                message: `is in plain text; set it again with: pulumi config set --secret ${name} --stack ${file.stack}`,
            });
        } else {
            const message = mistake(file.values[name] ?? "");
            if (message !== undefined) {
                mistakes.push({ path: showPath([name]), message });
            }
        }
    }
    for (const key of file.secretKeys) {
        if (Object.hasOwn(stackSchema.shape, key)) {
            mistakes.push({
                path: showPath([key]),
                message:
                    "holds a secret; expected the secret as a key of its own (pulumi config set --secret NAME) and its name here",
            });
        } else if (!secretReferences(decoded).some(({ name }) => name === key)) {
            mistakes.push({
                path: showPath([key]),
                message:
                    "is a secret that nothing refers to; expected its name where it is used, such as a user's password, or remove it",
            });
        }
    }
    return mistakes;
}

/**
 * Reads a stack file: a pure function.
 *
 * @throws StackFileError with every mistake in it, each with its path, what was expected and an example
 */
export function parseStackFile(file: StackFile): StackConfig {
    const decoded = Object.fromEntries(Object.entries(file.values).map(([key, value]) => [key, decode(value)]));
    const secretNames = new Set([...file.secretKeys, ...secretReferences(decoded).map(({ name }) => name)]);
    const settings = Object.fromEntries(
        Object.entries(decoded).filter(([key]) => Object.hasOwn(stackSchema.shape, key) || !secretNames.has(key)),
    );
    const result = stackSchema.safeParse(settings);
    const found = [
        ...nameMistakes(file.stack),
        ...(result.success ? [] : result.error.issues)
            .filter((issue) => !isHidden(file, issue.path))
            .map((issue) => describe(issue, settings)),
        ...secretMistakes(file, decoded),
    ];
    const mistakes = found.filter(
        (mistake, index) =>
            found.findIndex((other) => other.path === mistake.path && other.message === mistake.message) === index,
    );
    if (!result.success || mistakes.length > 0) {
        throw new StackFileError(file.stack, mistakes);
    }
    return result.data;
}
