import type { CheckFailure, Context, Difference, ResourceType } from "./resource";
import { ignoring } from "./resource";
import { equal, isObject, isUnknown, plain, plainValues, secret, textOf, UNKNOWN, withoutNulls } from "./values";
import type { Value, Values } from "./values";

/**
 * Resources in the manner of a Terraform provider behind pulumi-terraform-bridge: a table of attributes says
 * what is asked for, what is made, what is secret, and which changes replace the resource. The bridge plans at
 * Diff, so that a plan may also replace a resource whose inputs are the same (a certificate that runs out).
 */
export interface Attribute {
    readonly type: AttributeType;
    /** Default: the attribute is only an output. */
    readonly input?: "required" | "optional";
    readonly default?: Value;
    readonly secret?: true;
    /**
     * A change replaces the resource; with "pem" only when the state holds a PEM text (requireReplaceIf… in
     * the Terraform provider). Default: a change updates.
     */
    readonly replaces?: "always" | "pem";
    /** A computed value that stays when other attributes change (UseStateForUnknown). */
    readonly stays?: true;
    /** What is wrong with a known value, or undefined. */
    readonly check?: (value: Value) => string | undefined;
}

export type AttributeType = "string" | "integer" | "boolean" | "strings" | "string map" | "object";

export type Attributes = Readonly<Record<string, Attribute>>;

export interface BridgedResource {
    readonly attributes: Attributes;
    /** Of the Terraform resource; written to the state when it is not 0. */
    readonly schemaVersion?: number;
    /** Checks what no single attribute can say. Called when all inputs are known and right by themselves. */
    readonly checkAll?: (inputs: Values) => CheckFailure[];
    /** Completes the inputs before they are planned with. */
    readonly normalize?: (inputs: Values) => Values;
    /** Changes a plan; `prior` is absent when the resource is created. */
    readonly plan?: (planned: Values, prior: Values | undefined) => Plan;
    /** Makes the resource from planned values (null where nothing was given); returns its id and what is computed. */
    readonly create: (planned: Values, context: Context) => Promise<{ id: string; computed: Values }>;
    /** The state as a refresh finds it. Default: unchanged. */
    readonly refresh?: (state: Values) => Values;
}

export interface Plan {
    readonly planned: Values;
    /** Attributes that force a replacement besides the ones that changed. */
    readonly replaces: readonly string[];
}

const PEM = /^-----BEGIN [A-Za-z ]+-----\n[\s\S]+\n-----END [A-Za-z ]+-----\n?$/;

export function bridged(resource: BridgedResource): ResourceType {
    return {
        check(_context, { news }) {
            const failures = checkInputs(resource, plainValues(news));
            return { inputs: markSecrets(resource.attributes, news, true), failures };
        },

        diff(_context, { state, inputs, ignore }) {
            return difference(resource, plainValues(state), plainValues(ignoring(inputs, state, ignore)));
        },

        async create(context, { inputs, preview }) {
            const { planned } = makePlan(resource, undefined, plainValues(inputs));
            if (preview) {
                return { id: "", state: finish(resource, planned) };
            }
            const known = mapValues(planned, (value) => (isUnknown(value) ? null : value));
            const { id, computed } = await resource.create(known, context);
            const meta = resource.schemaVersion
                ? { __meta: JSON.stringify({ schema_version: String(resource.schemaVersion) }) }
                : {};
            return { id, state: { ...meta, ...finish(resource, { ...known, ...computed }) } };
        },

        read(context, { id, state, inputs }) {
            if (Object.keys(state).length === 0) {
                throw new Error(`${context.urn}: this stand-in imports and looks up nothing`);
            }
            const found = resource.refresh?.(plainValues(state)) ?? plainValues(state);
            return Promise.resolve({
                id,
                state: markSecrets(resource.attributes, found, false),
                inputs: markSecrets(resource.attributes, inputs, true),
            });
        },

        update(_context, { state, inputs, ignore }) {
            const prior = plainValues(state);
            const { planned } = makePlan(resource, prior, plainValues(ignoring(inputs, state, ignore)));
            return Promise.resolve(finish(resource, { ...prior, ...planned }));
        },

        delete: () => Promise.resolve(),
    };
}

/** What Terraform plans: given values, else defaults, else what the state has, else unknown until it is made. */
function makePlan(resource: BridgedResource, prior: Values | undefined, given: Values): Plan {
    const inputs = resource.normalize?.(given) ?? given;
    const planned: Values = {};
    for (const [name, attribute] of Object.entries(resource.attributes)) {
        const computed = attribute.default === undefined && (attribute.input === undefined || attribute.stays);
        const value = attribute.input === undefined ? undefined : inputs[name];
        planned[name] = value ?? attribute.default ?? (computed ? (prior ? (prior[name] ?? null) : UNKNOWN) : null);
    }
    const changes = (): string[] => Object.keys(planned).filter((name) => !equal(planned[name], prior?.[name] ?? null));
    if (prior !== undefined && changes().length > 0) {
        for (const [name, attribute] of Object.entries(resource.attributes)) {
            if (attribute.input === undefined && attribute.default === undefined && !attribute.stays) {
                planned[name] = UNKNOWN;
            }
        }
    }
    return resource.plan?.(planned, prior) ?? { planned, replaces: [] };
}

function difference(resource: BridgedResource, prior: Values, inputs: Values): Difference {
    const plan = makePlan(resource, prior, inputs);
    const differs = (name: string): boolean => !equal(plan.planned[name], prior[name] ?? null);
    const diffs = Object.keys(resource.attributes).filter((name) => differs(name) || plan.replaces.includes(name));
    const replaces = diffs.filter((name) => {
        if (plan.replaces.includes(name)) {
            return true;
        }
        switch (resource.attributes[name]?.replaces) {
            case "always":
                return true;
            case "pem":
                return PEM.test(textOf(prior[name]));
            default:
                return false;
        }
    });
    return { changed: diffs.length > 0, diffs, replaces };
}

function finish(resource: BridgedResource, values: Values): Values {
    return withoutNulls(markSecrets(resource.attributes, values, false));
}

/** Unknown outputs carry no mark, unknown inputs do: so does the bridge. */
function markSecrets(attributes: Attributes, values: Values, markUnknown: boolean): Values {
    return mapValues(values, (value, name) =>
        attributes[name]?.secret && value !== null && (markUnknown || !isUnknown(value)) ? secret(value) : value,
    );
}

function mapValues(values: Values, map: (value: Value, name: string) => Value): Values {
    return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, map(value, name)]));
}

function checkInputs(resource: BridgedResource, inputs: Values): CheckFailure[] {
    const failures: CheckFailure[] = [];
    const fail = (reason: string): unknown => failures.push({ property: "", reason });
    let unknown = false;
    for (const [name, attribute] of Object.entries(resource.attributes)) {
        const value = inputs[name];
        if (attribute.input === undefined) {
            continue;
        }
        if (value === undefined) {
            if (attribute.input === "required") {
                fail(`Missing required property '${name}'`);
            }
        } else if (isUnknown(value)) {
            unknown = true;
        } else {
            const wrong = checkType(attribute.type, value) ?? attribute.check?.(value);
            if (wrong !== undefined) {
                fail(`Property '${name}' ${wrong}`);
            }
        }
    }
    for (const name of Object.keys(inputs)) {
        if (!name.startsWith("__") && resource.attributes[name]?.input === undefined) {
            fail(`Property '${name}' is not offered by this stand-in for the official plugin`);
        }
    }
    return failures.length === 0 && !unknown ? (resource.checkAll?.(inputs) ?? []) : failures;
}

function checkType(type: AttributeType, value: Value): string | undefined {
    const isText = (element: Value): boolean => typeof plain(element) === "string";
    const right = {
        string: () => typeof value === "string",
        integer: () => Number.isInteger(value),
        boolean: () => typeof value === "boolean",
        strings: () => Array.isArray(value) && value.every(isText),
        "string map": () => isObject(value) && Object.values(value).every(isText),
        object: () => isObject(value),
    }[type]();
    return right ? undefined : `must be of type ${type}, not ${JSON.stringify(value)}`;
}

/** For Attribute.check. */
export function atLeast(minimum: number): (value: Value) => string | undefined {
    return (value) =>
        typeof value === "number" && value >= minimum
            ? undefined
            : `must be at least ${minimum}, got: ${textOf(value)}`;
}

/** For Attribute.check: one value, or each of a list. */
export function oneOf(choices: readonly string[]): (value: Value) => string | undefined {
    return (value) => {
        const wrong = (Array.isArray(value) ? value : [value]).find(
            (element) => !isUnknown(element) && !choices.includes(textOf(element)),
        );
        return wrong === undefined ? undefined : `must be one of: ${choices.join(", ")}, got: ${JSON.stringify(wrong)}`;
    };
}
