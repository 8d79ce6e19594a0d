import { randomBytes } from "node:crypto";
import { objectDifferences, topLevel } from "../lib/object-diff";
import { ignoring, type Context, type DiffArguments, type Difference, type PropertyChange } from "../lib/resource";
import type { ResourceType } from "../lib/resource";
import { equal, isUnknown, plain, textOf, UNKNOWN, type Value, type Values } from "../lib/values";
import { checkStruct, type Field, type Struct } from "./go-struct";
import type { Outputs } from "./outputs";

/** The inputs that commands have wherever they run. */
export const COMMAND_FIELDS: Readonly<Record<string, Field>> = {
    create: { type: "string" },
    update: { type: "string" },
    delete: { type: "string" },
    triggers: { type: "[]interface {}" },
    stdin: { type: "string" },
    logging: { type: "string" },
    environment: { type: "map[string]string" },
    addPreviousOutputInEnv: { type: "bool" },
};

/**
 * Runs one command.
 *
 * @param inputs without marks of secrets
 * @param previous the outputs of the last run
 */
export type Run = (context: Context, command: string, inputs: Values, previous: Outputs) => Promise<Outputs>;

/**
 * local.Command or remote.Command of @pulumi/command, as version 1.2.1 behaves (pulumi-go-provider 1.3.0):
 * - a change of `triggers` as a whole replaces; of one element the plugin reports an update, and the SDK's
 *   `replaceOnChanges: ["triggers[*]"]` makes a replacement of it; every other change updates;
 * - secret inputs stay secret, but do not make stdout and stderr secret;
 * - it reads nothing: a refresh finds no drift.
 */
export function commandResource(struct: Struct, run: Run): ResourceType {
    /** Without a command nothing happens and the outputs stay. */
    const runText = (
        context: Context,
        command: Value | undefined,
        inputs: Values,
        previous: Outputs,
    ): Promise<Outputs> => {
        const text = plain(command ?? null);
        return typeof text === "string"
            ? run(context, text, plain(inputs) as Values, previous)
            : Promise.resolve(previous);
    };

    return {
        check: (_context, { news }) => checkStruct(struct, news),

        diff: (_context, request) => inputDifference(request),

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
                const unknown = mayChangeOutputs(struct, state, inputs);
                const output = (key: string): Value => (unknown ? UNKNOWN : (state[key] ?? ""));
                return { ...inputs, stdout: output("stdout"), stderr: output("stderr") };
            }
            const command = inputs["update"] ?? inputs["create"];
            return { ...inputs, ...(await runText(context, command, inputs, previousOutputs(state))) };
        },

        async delete(context, { state }) {
            await runText(context, state["delete"], state, previousOutputs(state));
        },
    };
}

/** What has changed in the inputs; `triggers` as a whole replace the resource. */
export function inputDifference({ state, oldInputs, inputs, ignore }: DiffArguments): Difference {
    const detailed = new Map<string, PropertyChange>();
    for (const [path, kind] of objectDifferences(oldInputs, ignoring(inputs, state, ignore))) {
        if (!path.startsWith("__")) {
            detailed.set(path, { kind, replace: path === "triggers", input: false });
        }
    }
    const top = (paths: Iterable<string>): string[] => [...new Set([...paths].map(topLevel))];
    const replaces = [...detailed].filter(([, change]) => change.replace).map(([path]) => path);
    return { changed: detailed.size > 0, detailed, diffs: top(detailed.keys()), replaces: top(replaces) };
}

function previousOutputs(state: Values): Outputs {
    const text = (key: string): string => textOf(plain(state[key] ?? null));
    return { stdout: text("stdout"), stderr: text("stderr") };
}

/** In a preview the outputs are unknown when an input as a whole is, or when one that was there has changed. */
function mayChangeOutputs(struct: Struct, state: Values, inputs: Values): boolean {
    return Object.keys(struct.fields).some(
        (key) => isUnknown(plain(inputs[key] ?? null)) || (state[key] !== undefined && !equal(state[key], inputs[key])),
    );
}
