import type { CheckFailure, Checked } from "../lib/resource";
import { isObject, isSecret, isUnknown, plain, secret, unknownSecret, type Value, type Values } from "../lib/values";

/**
 * The inputs of a resource as pulumi-go-provider 1.3.0 checks them: as a Go struct, into which they are decoded.
 * Its errors name Go's types.
 */
export interface Struct {
    /** With its package, as in "remote.Connection". */
    readonly name: string;
    readonly fields: Readonly<Record<string, Field>>;
}

export interface Field {
    readonly type: FieldType;
    readonly required?: true;
    readonly default?: Value;
    /** Marked in the inputs, whatever the program says. */
    readonly secret?: true;
}

/** Go's names; "any" for what the resource checks by itself. */
export type FieldType =
    "string" | "bool" | "float64" | "int" | "[]string" | "[]interface {}" | "map[string]string" | "any" | Struct;

/** The inputs with defaults (unless something is wrong) and with marks of secrets. */
export function checkStruct(struct: Struct, inputs: Values): Checked {
    const failures = wrongFields(struct, inputs);
    return { inputs: markSecrets(struct, failures.length === 0 ? withDefaults(struct, inputs) : inputs), failures };
}

function wrongFields(struct: Struct, inputs: Values): CheckFailure[] {
    const missing = Object.entries(struct.fields)
        .filter(([property, { required }]) => required && inputs[property] === undefined)
        .map(([property]) => ({
            property,
            reason: `Missing required field '${property}' on '${struct.name}'`,
        }));
    const wrong = Object.entries(inputs).flatMap(([property, value]) => {
        const type = struct.fields[property]?.type;
        return type === undefined
            ? [{ property, reason: `Unrecognized field '${property}' on '${struct.name}'` }]
            : wrongValue(struct, property, type, value);
    });
    return [...missing, ...wrong];
}

function wrongValue(struct: Struct, property: string, type: FieldType, marked: Value): CheckFailure[] {
    const value = isSecret(marked) ? (marked["value"] ?? null) : marked;
    const expected = typeof type === "string" ? type : type.name;
    if (isUnknown(value) || type === "any") {
        return [];
    }
    if (!fits(type, value)) {
        const got = goType(value);
        const reason = `Field '${property}' on '${struct.name}' must be a '${expected}'; got '${got}' instead`;
        return [{ property, reason }];
    }
    if (type === "[]string" && Array.isArray(value)) {
        return value.flatMap((element, index) => wrongValue(struct, `${property}[${index}]`, "string", element));
    }
    if (type === "map[string]string" && isObject(value)) {
        return Object.entries(value).flatMap(([key, element]) =>
            wrongValue(struct, `${property}[${key}] value`, "string", element),
        );
    }
    if (typeof type === "object" && isObject(value)) {
        const inner = wrongFields(type, value);
        const list = inner.map((failure) => `\n\t${failure.property}: ${failure.reason}`).join("");
        const place = `${struct.name.replace(/^.*\./, "")}.${property}`;
        const reason = `An error occurred decoding '${place}': ${inner.length} failures decoding:${list}`;
        return inner.length === 0 ? [] : [{ property, reason }];
    }
    return [];
}

function fits(type: FieldType, value: Value): boolean {
    switch (type) {
        case "string":
            return typeof value === "string";
        case "bool":
            return typeof value === "boolean";
        case "float64":
        case "int":
            return typeof value === "number";
        case "[]string":
        case "[]interface {}":
            return Array.isArray(value);
        default:
            return isObject(value);
    }
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

function withDefaults(struct: Struct, inputs: Values): Values {
    const result = { ...inputs };
    for (const [property, field] of Object.entries(struct.fields)) {
        const value = inputs[property] ?? field.default;
        if (value !== undefined) {
            result[property] = inStruct(field.type, value, withDefaults);
        }
    }
    return result;
}

function markSecrets(struct: Struct, inputs: Values): Values {
    const result = { ...inputs };
    for (const [property, field] of Object.entries(struct.fields)) {
        const value = inputs[property];
        if (value !== undefined) {
            const marked = inStruct(field.type, value, markSecrets);
            result[property] = field.secret ? markSecret(marked) : marked;
        }
    }
    return result;
}

function markSecret(value: Value): Value {
    return isUnknown(plain(value)) ? unknownSecret() : secret(value);
}

/** Changes a value that is itself a struct, known, and perhaps secret. */
function inStruct(type: FieldType, value: Value, change: (struct: Struct, inputs: Values) => Values): Value {
    if (isSecret(value)) {
        return secret(inStruct(type, value["value"] ?? null, change));
    }
    return typeof type === "object" && isObject(value) && !isUnknown(value) ? change(type, value) : value;
}
