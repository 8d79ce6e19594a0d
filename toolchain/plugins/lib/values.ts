/**
 * Pulumi's property values as they travel over gRPC: JSON, in which secrets are objects with a signature
 * and values that a preview does not know yet are fixed strings.
 * Source: pulumi/pulumi, sdk/go/common/resource/plugin/rpc.go and resource/sig.
 */

export type Value = null | boolean | number | string | Value[] | Values;

export interface Values {
    [key: string]: Value;
}

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270";
const OUTPUT_SIGNATURE = "d0e6a833031e9bbcd3f4e8bde6ca49a4";

/** Stands for a value that is known only after the update. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** The engine has one sentinel for each type of value; UNKNOWN is the one for strings and for outputs. */
const UNKNOWNS = new Set([
    UNKNOWN,
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
    "030794c1-ac77-496b-92df-f27374a8bd58",
    "e48ece36-62e2-4504-bad9-02848725956a",
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
]);

export function isObject(value: Value | undefined): value is Values {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isSecret(value: Value | undefined): value is Values {
    return isObject(value) && value[SIGNATURE] === SECRET_SIGNATURE;
}

export function secret(value: Value): Value {
    return isSecret(value) ? value : { [SIGNATURE]: SECRET_SIGNATURE, value };
}

/** A value that is known only after the update, and will be secret then. */
export function unknownSecret(): Value {
    return { [SIGNATURE]: OUTPUT_SIGNATURE, secret: true };
}

export function isUnknown(value: Value | undefined): boolean {
    return (
        (typeof value === "string" && UNKNOWNS.has(value)) ||
        (isObject(value) && value[SIGNATURE] === OUTPUT_SIGNATURE && !("value" in value))
    );
}

/** The value without any mark of a secret, at every depth. */
export function plain(value: Value): Value {
    if (Array.isArray(value)) {
        return value.map(plain);
    }
    if (isSecret(value)) {
        return plain(value["value"] ?? null);
    }
    return isObject(value) ? plainValues(value) : value;
}

export function plainValues(values: Values): Values {
    return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, plain(value)]));
}

/** A text, number or boolean as text; "" for what is absent, a list or an object. */
export function textOf(value: Value | undefined): string {
    return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? String(value) : "";
}

export function containsSecret(value: Value | undefined): boolean {
    return contains(value, isSecret);
}

export function containsUnknown(value: Value | undefined): boolean {
    return contains(value, isUnknown);
}

function contains(value: Value | undefined, test: (value: Value) => boolean): boolean {
    if (value === undefined) {
        return false;
    }
    if (test(value)) {
        return true;
    }
    if (Array.isArray(value)) {
        return value.some((element) => contains(element, test));
    }
    return isObject(value) && Object.values(value).some((element) => contains(element, test));
}

/** Deep equality of what the values say; whether they are secret does not count. */
export function equal(a: Value | undefined, b: Value | undefined): boolean {
    if (isSecret(a)) {
        return equal(a["value"], b);
    }
    if (isSecret(b)) {
        return equal(a, b["value"]);
    }
    if (Array.isArray(a) && Array.isArray(b)) {
        return a.length === b.length && a.every((element, index) => equal(element, b[index]));
    }
    if (isObject(a) && isObject(b)) {
        const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
        return [...keys].every((key) => equal(a[key], b[key]));
    }
    return a === b;
}

/** Without the entries that are null: the engine treats them as absent. */
export function withoutNulls(values: Values): Values {
    return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
}
