/** What two runs of one program have in common: without names, addresses and times that no two runs share. */

import { isDeepStrictEqual } from "node:util";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Each pattern with what stands for it; an address with a mask is a setting and stays. */
const OF_THIS_RUN: readonly (readonly [RegExp, string])[] = [
    [/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, "<id>"],
    [/\b[0-9a-f]{32}\b/g, "<id>"],
    [/\b(?:[0-9a-f]{2}:){15}[0-9a-f]{2}\b/g, "<fingerprint>"],
    [/\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, "<mac>"],
    [/\b(?:\d{1,3}\.){3}\d{1,3}\b(?!\/)/g, "<address>"],
    [/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?/g, "<time>"],
    [/ssh-\w+ \S+/g, "<public key>"],
    [/-[0-9a-f]{7}$/g, "-<random>"],
];

/** Marks a secret in a state. Source: pulumi/pulumi, sdk/go/common/resource/sig. */
const SECRET = "4dabf18193072939515e22adb298388d";

export function comparable(value: Json): Json {
    if (typeof value === "string") {
        return OF_THIS_RUN.reduce((text, [pattern, mark]) => text.replace(pattern, mark), value);
    }
    if (typeof value !== "object" || value === null) {
        return value;
    }
    if (isList(value)) {
        const list = value.map(comparable);
        // A set of ids is in the order of the ids.
        return list.every((item) => typeof item === "string") ? list.toSorted() : list;
    }
    if (SECRET in value) {
        return "<secret>";
    }
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, comparable(item)]));
}

/** Drops keys at every depth, but no properties of these names, which have a mapping of their own. */
export function without(value: Json, keys: readonly string[]): Json {
    if (typeof value !== "object" || value === null) {
        return value;
    }
    if (isList(value)) {
        return value.map((item) => without(item, keys));
    }
    const rest = Object.entries(value).filter(([key, item]) => !(keys.includes(key) && typeof item === "string"));
    return Object.fromEntries(rest.map(([key, item]) => [key, without(item, keys)]));
}

/** Where two values are not the same, each place with both of them. */
export function differences(ours: Json | undefined, theirs: Json | undefined, place = ""): string[] {
    if (isDeepStrictEqual(ours, theirs)) {
        return [];
    }
    if (isMapping(ours) && isMapping(theirs)) {
        const keys = new Set([...Object.keys(ours), ...Object.keys(theirs)]);
        return [...keys].flatMap((key) => differences(ours[key], theirs[key], `${place}.${key}`));
    }
    return [`${place}: ${JSON.stringify(ours)} / ${JSON.stringify(theirs)}`];
}

function isMapping(
    value: Json | undefined,
): value is Exclude<Json, null | boolean | number | string | readonly Json[]> {
    return typeof value === "object" && value !== null && !isList(value);
}

function isList(value: Json): value is readonly Json[] {
    return Array.isArray(value);
}
