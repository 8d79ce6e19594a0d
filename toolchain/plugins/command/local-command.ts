import { randomBytes } from "node:crypto";
import { objectDifferences, topLevel } from "../lib/object-diff";
import { ignoring, type CheckFailure, type Context, type PropertyChange, type ResourceType } from "../lib/resource";
import { equal, isObject, isUnknown, plain, textOf, UNKNOWN, type Value, type Values } from "../lib/values";
import { run, type Outputs, type RunInputs } from "./run";

/**
 * local.Command of @pulumi/command, as its version 1.2.1 behaves (pulumi-go-provider 1.3.0):
 * - a change of `triggers` as a whole replaces; of one element the plugin reports an update, and the SDK's
 *   `replaceOnChanges: ["triggers[*]"]` makes a replacement of it; every other change updates;
 * - secret inputs stay secret, but do not make stdout and stderr secret;
 * - it reads nothing: a refresh finds no drift.
 */
export const localCommand: ResourceType = {
    check(_context, { news }) {
        return { inputs: news, failures: wrongInputs(news) };
    },

    diff(_context, { state, oldInputs, inputs, ignore }) {
        const detailed = new Map<string, PropertyChange>();
        for (const [path, kind] of objectDifferences(oldInputs, ignoring(inputs, state, ignore))) {
            if (!path.startsWith("__")) {
                detailed.set(path, { kind, replace: path === "triggers", input: false });
            }
        }
        const top = (paths: Iterable<string>): string[] => [...new Set([...paths].map(topLevel))];
        const replaces = [...detailed].filter(([, change]) => change.replace).map(([path]) => path);
        return { changed: detailed.size > 0, detailed, diffs: top(detailed.keys()), replaces: top(replaces) };
    },

    async create(context, { inputs, preview }) {
        const id = context.name + randomBytes(4).toString("hex");
        if (preview) {
            return { id, state: { ...inputs, stdout: UNKNOWN, stderr: UNKNOWN } };
        }
        const outputs = await runText(context, inputs["create"], inputs, { stdout: "", stderr: "" });
        return { id, state: { ...inputs, ...outputs } };
    },

    read(_context, { id, state, inputs }) {
        return Promise.resolve({ id, state, inputs });
    },

    async update(context, { state, inputs: asked, ignore, preview }) {
        const inputs = ignoring(asked, state, ignore);
        if (preview) {
            const unknown = mayChangeOutputs(state, inputs);
            const output = (key: string): Value => (unknown ? UNKNOWN : (state[key] ?? ""));
            return { ...inputs, stdout: output("stdout"), stderr: output("stderr") };
        }
        const outputs = await runText(context, inputs["update"] ?? inputs["create"], inputs, previousOutputs(state));
        return { ...inputs, ...outputs };
    },

    async delete(context, { state }) {
        await runText(context, state["delete"], state, previousOutputs(state));
    },
};

/** Runs a command; without one nothing happens and the outputs stay. */
async function runText(
    context: Context,
    command: Value | undefined,
    inputs: Values,
    previous: Outputs,
): Promise<Values> {
    const text = plain(command ?? null);
    if (typeof text !== "string") {
        return { ...previous };
    }
    const options = plain(inputs) as unknown as RunInputs;
    const outputs = await run(text, options, previous, context.signal, (line) => context.log(line, "info", true));
    return { ...outputs };
}

function previousOutputs(state: Values): Outputs {
    const text = (key: string): string => textOf(plain(state[key] ?? null));
    return { stdout: text("stdout"), stderr: text("stderr") };
}

/** In a preview the outputs are unknown when an input as a whole is, or when one that was there has changed. */
function mayChangeOutputs(state: Values, inputs: Values): boolean {
    return Object.keys(INPUTS).some(
        (key) => isUnknown(plain(inputs[key] ?? null)) || (state[key] !== undefined && !equal(state[key], inputs[key])),
    );
}

interface InputType {
    /** As the official plugin names it in its errors. */
    readonly name: string;
    readonly fits: (value: Value) => boolean;
}

const STRING: InputType = { name: "string", fits: (value) => typeof value === "string" };
const BOOLEAN: InputType = { name: "bool", fits: (value) => typeof value === "boolean" };
const LIST: InputType = { name: "[]interface {}", fits: Array.isArray };
const STRINGS: InputType = {
    name: "[]string",
    fits: (value) => Array.isArray(value) && value.every((element) => fits(STRING, element)),
};
const STRING_MAP: InputType = {
    name: "map[string]string",
    fits: (value) => isObject(value) && Object.values(value).every((element) => fits(STRING, element)),
};

const INPUTS: Readonly<Record<string, InputType>> = {
    create: STRING,
    update: STRING,
    delete: STRING,
    triggers: LIST,
    stdin: STRING,
    logging: STRING,
    interpreter: STRINGS,
    dir: STRING,
    environment: STRING_MAP,
    addPreviousOutputInEnv: BOOLEAN,
};

function fits(type: InputType, value: Value): boolean {
    const inner = plain(value);
    return isUnknown(value) || isUnknown(inner) || type.fits(inner);
}

function wrongInputs(inputs: Values): CheckFailure[] {
    const failures: CheckFailure[] = [];
    for (const [property, value] of Object.entries(inputs)) {
        const type = INPUTS[property];
        if (property === "assetPaths" || property === "archivePaths") {
            failures.push({ property, reason: "the stand-in for the official plugin command has no assets" });
        } else if (type === undefined) {
            failures.push({ property, reason: `Unrecognized field '${property}' on 'local.CommandInputs'` });
        } else if (!fits(type, value)) {
            failures.push({
                property,
                reason: `Field '${property}' on 'local.CommandInputs' must be a '${type.name}'; got '${goType(plain(value))}' instead`,
            });
        }
    }
    return failures;
}

function goType(value: Value): string {
    if (Array.isArray(value)) {
        return "[]interface {}";
    }
    switch (typeof value) {
        case "number":
            return "float64";
        case "boolean":
            return "bool";
        case "string":
            return "string";
        default:
            return "map[string]interface {}";
    }
}
