import { z } from "zod";
import type { Harbor } from "./client";
import { equal, hasUnknown, omit, pick, present, UNKNOWN, type Values } from "./values";

/**
 * One type of resource. Its state is its inputs, as they are in Harbor, and what Harbor adds to them; secrets are plain
 * in here, and marked on their way out.
 */
export interface ResourceType<Inputs extends object = never, Outputs extends object = object> {
    /** For messages, such as `project`. */
    readonly title: string;
    /** What a program may give. Its defaults and transformations make two spellings of the same thing equal. */
    readonly inputs: z.ZodObject;
    /** What Harbor adds. */
    readonly outputs: readonly (keyof Outputs & string)[];
    /** Inputs and outputs that are secret, whether or not the program says so. */
    readonly secrets: readonly (keyof (Inputs & Outputs) & string)[];
    /** Inputs that cannot be changed in place. */
    readonly replaces: readonly (keyof Inputs & string)[];
    /** Inputs that, left out, leave things as they are in Harbor. */
    readonly unmanaged?: readonly (keyof Inputs & string)[];
    /** Inputs that say how to go about it; another value changes nothing, and they are not in the state. */
    readonly instructions?: readonly (keyof Inputs & string)[];
    /** What no input can be told by itself. Called when all of them are known and right. */
    readonly checkTogether?: (inputs: Inputs) => Failure[];

    /**
     * What has to be looked at in every preview and update, whether or not anything is changed. An error stops both, before
     * anything that depends on the resource is touched.
     */
    readonly examine?: (
        harbor: Harbor,
        state: Inputs & Outputs,
        inputs: Inputs,
        warn: (text: string) => void,
    ) => Promise<void>;

    create(harbor: Harbor, inputs: Inputs): Promise<{ readonly id: string; readonly outputs: Outputs }>;
    /**
     * What is there, or undefined when it is gone.
     *
     * @param state as it was recorded; absent when something is imported
     */
    read(
        harbor: Harbor,
        id: string,
        state: (Inputs & Outputs) | undefined,
    ): Promise<(Partial<Inputs> & Outputs) | undefined>;
    update(harbor: Harbor, id: string, state: Inputs & Outputs, inputs: Inputs): Promise<Outputs>;
    delete(harbor: Harbor, id: string, state: Inputs & Outputs): Promise<void>;
}

/** Any of them, for code that only hands values on; {@link checkInputs} has seen to their types. */
export type AnyResource = Omit<ResourceType<Values, Values>, "inputs"> & { readonly inputs: z.ZodObject };

/**
 * Which Harbor a resource is in, in words of the program: another value sets everything again, in a Harbor that may know
 * nothing of it.
 */
const INSTANCE = "instance";

/** For the table of types: what is inside is known to fit by the resource's own schema. */
export function define<Inputs extends object, Outputs extends object>(
    type: ResourceType<Inputs, Outputs>,
): AnyResource {
    const inputs = type.inputs.extend({ [INSTANCE]: z.string("expected a text").optional() });
    return { ...type, inputs } as unknown as AnyResource;
}

export interface Failure {
    readonly property: string;
    readonly reason: string;
}

/** Checks every input by itself; what is unknown in a preview is let through. */
export function checkInputs(schema: z.ZodObject, given: Values): { inputs: Values; failures: Failure[] } {
    const news = omit(
        given,
        Object.keys(given).filter((key) => key.startsWith("__")),
    );
    const inputs: Values = {};
    const failures: Failure[] = [];
    for (const [property, check] of Object.entries(schema.shape)) {
        const value = news[property];
        if (hasUnknown(value)) {
            inputs[property] = value;
            continue;
        }
        const checked = z.safeParse(check, value);
        if (checked.success) {
            inputs[property] = checked.data;
            continue;
        }
        for (const { path, message } of checked.error.issues) {
            failures.push({ property: [property, ...path.map(String)].join("."), reason: message });
        }
    }
    for (const property of Object.keys(news).filter((key) => !(key in schema.shape))) {
        const known = Object.keys(schema.shape).join(", ");
        failures.push({ property, reason: `there is no such property; there are: ${known}` });
    }
    return { inputs: present(inputs), failures };
}

export interface Difference {
    readonly changed: readonly string[];
    readonly replaces: readonly string[];
    readonly deleteBeforeReplace: boolean;
}

/** Compares what is to be with what is, as it was recorded last: by an update, or by a refresh that found drift. */
export function difference(type: AnyResource, state: Values, inputs: Values): Difference {
    const { instructions = [], unmanaged = [] } = type;
    const changed = Object.keys(type.inputs.shape).filter(
        (key) =>
            !instructions.includes(key) &&
            !(unmanaged.includes(key) && inputs[key] === undefined) &&
            !equal(state[key], inputs[key]),
    );
    const replaces = changed.filter((key) => type.replaces.includes(key));
    // Harbor takes no second one with the same name.
    return { changed, replaces, deleteBeforeReplace: !replaces.includes("name") };
}

/** The state that a resource has with these inputs and outputs. */
export function stateOf(type: AnyResource, inputs: Values, outputs: Values): Values {
    return present({ ...omit(inputs, type.instructions ?? []), ...outputs });
}

/** In a preview: what Harbor will add is not known, and stays what it is when something is changed. */
export function plannedState(type: AnyResource, state: Values | undefined, inputs: Values): Values {
    const outputs = state ?? Object.fromEntries(type.outputs.map((key) => [key, UNKNOWN]));
    // An output that is given, such as the secret of a robot account, is what is given.
    return stateOf(type, inputs, { ...pick(outputs, type.outputs), ...pick(inputs, type.outputs) });
}

/**
 * State and inputs after a read. What the program leaves to Harbor is not recorded, so that a change of it is no drift.
 *
 * @param inputs as they were recorded; empty when something is imported
 */
export function afterRead(type: AnyResource, inputs: Values, found: Values): { state: Values; inputs: Values } {
    const imported = Object.keys(inputs).length === 0;
    const left = (type.unmanaged ?? []).filter((key) => !imported && inputs[key] === undefined);
    const state = {
        ...omit(
            present(found),
            left.filter((key) => !type.outputs.includes(key)),
        ),
        ...pick(inputs, [INSTANCE]),
    };
    return {
        state,
        inputs: omit(
            {
                ...pick(inputs, type.instructions ?? []),
                ...pick(state, Object.keys(type.inputs.shape)),
            },
            left,
        ),
    };
}
