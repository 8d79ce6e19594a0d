import type { Severity } from "./engine";
import type { Value, Values } from "./values";

/** What an operation on one resource may use. */
export interface Context {
    readonly urn: string;
    /** The resource's name: the last part of the URN. */
    readonly name: string;
    /** Aborted on cancel, on the operation's timeout and when the engine is gone. */
    readonly signal: AbortSignal;
    /** Writes to the engine's log, under this resource. */
    log(message: string, severity?: Severity, ephemeral?: boolean): Promise<void>;
}

/** One wrong input, or with an empty property the whole resource. */
export interface CheckFailure {
    readonly property: string;
    readonly reason: string;
}

export interface Checked {
    readonly inputs: Values;
    readonly failures: readonly CheckFailure[];
}

export type ChangeKind = "add" | "delete" | "update";

export interface PropertyChange {
    readonly kind: ChangeKind;
    readonly replace: boolean;
    /** The change is one of inputs rather than of state. */
    readonly input: boolean;
}

export interface Difference {
    readonly changed: boolean;
    /** By property path, such as `triggers[0]`. Without it the engine works out the paths for itself. */
    readonly detailed?: ReadonlyMap<string, PropertyChange>;
    /** Top-level properties that changed, and of these the ones that force a replacement. */
    readonly diffs: readonly string[];
    readonly replaces: readonly string[];
}

/** One type of resource. States and inputs keep their marks of secrets when the plugin accepts secrets. */
export interface ResourceType {
    check(context: Context, request: { olds: Values; news: Values }): Checked | Promise<Checked>;
    diff(context: Context, request: DiffArguments): Difference | Promise<Difference>;
    create(context: Context, request: { inputs: Values; preview: boolean }): Promise<{ id: string; state: Values }>;
    read(context: Context, request: { id: string; state: Values; inputs: Values }): Promise<ReadResult>;
    update(context: Context, request: UpdateArguments): Promise<Values>;
    delete(context: Context, request: { id: string; state: Values }): Promise<void>;
}

export interface DiffArguments {
    readonly id: string;
    readonly state: Values;
    readonly oldInputs: Values;
    readonly inputs: Values;
    /** Property paths of `ignoreChanges`. */
    readonly ignore: readonly string[];
}

export interface UpdateArguments extends DiffArguments {
    readonly preview: boolean;
}

export interface ReadResult {
    readonly id: string;
    readonly state: Values;
    readonly inputs: Values;
}

/** Puts the old value back where the program says that a change is to be ignored (top-level properties). */
export function ignoring(news: Values, olds: Values, ignore: readonly string[]): Values {
    const result = { ...news };
    for (const property of ignore) {
        const old: Value | undefined = olds[property];
        if (old !== undefined) {
            result[property] = old;
        }
    }
    return result;
}
