/**
 * Property values as they travel between the engine and this plugin: JSON in which a secret is an object with a
 * signature, and what a preview does not know yet is a fixed text.
 * Source: pulumi/pulumi, sdk/go/common/resource/plugin/rpc.go and sdk/go/common/resource/sig.
 */
export type Values = Record<string, unknown>;

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";

/** Stands for a value that is known only after the update. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** One for each type of value. */
const UNKNOWNS = new Set<unknown>([
    UNKNOWN,
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
    "030794c1-ac77-496b-92df-f27374a8bd58",
    "e48ece36-62e2-4504-bad9-02848725956a",
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
]);

function isObject(value: unknown): value is Values {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether the value, or anything in it, is known only after the update. */
export function hasUnknown(value: unknown): boolean {
    return isObject(value) || Array.isArray(value) ? Object.values(value).some(hasUnknown) : UNKNOWNS.has(value);
}

/** Deep equality; an absent key is the same as one that is undefined. */
export function equal(a: unknown, b: unknown): boolean {
    if (Array.isArray(a) && Array.isArray(b)) {
        return a.length === b.length && a.every((element, index) => equal(element, b[index]));
    }
    if (isObject(a) && isObject(b)) {
        return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => equal(a[key], b[key]));
    }
    return a === b;
}

/** Without the entries that are undefined or null, at every depth of objects: on the wire they are absent. */
export function present(values: Values): Values {
    return Object.fromEntries(
        Object.entries(values).flatMap(([key, value]) =>
            value === undefined || value === null ? [] : [[key, isObject(value) ? present(value) : value]],
        ),
    );
}

/** The values of these keys, where there are any. */
export function pick(values: Values, keys: readonly string[]): Values {
    return Object.fromEntries(keys.flatMap((key) => (values[key] === undefined ? [] : [[key, values[key]]])));
}

/** The values of all other keys. */
export function omit(values: Values, keys: readonly string[]): Values {
    return Object.fromEntries(Object.entries(values).filter(([key]) => !keys.includes(key)));
}

/** Marks the values of these keys as secret, whether or not the program did. */
export function markSecrets(values: Values, keys: readonly string[]): Values {
    return Object.fromEntries(
        Object.entries(values).map(([key, value]) => [
            key,
            keys.includes(key) ? { [SIGNATURE]: SECRET, value } : value,
        ]),
    );
}

/** Without any mark of a secret, at every depth. */
export function plain(value: unknown): unknown {
    if (Array.isArray(value)) {
        return value.map(plain);
    }
    if (!isObject(value)) {
        return value;
    }
    return value[SIGNATURE] === SECRET
        ? plain(value["value"])
        : Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

/** Every text in the value. */
export function textsIn(value: unknown): string[] {
    if (typeof value === "string") {
        return [value];
    }
    return isObject(value) || Array.isArray(value) ? Object.values(value).flatMap(textsIn) : [];
}
