import { assetOf } from "./assets";
import type { ChangeKind } from "./resource";
import { isObject, isSecret, isUnknown, type Value, type Values } from "./values";

/**
 * The differences of two sets of inputs by property path, as pulumi-go-provider reports them: only what is
 * deepest, so that a new list element is `triggers[2]`, and a new list as a whole `triggers`. That a value
 * became secret is a difference.
 */
export function objectDifferences(olds: Values, news: Values): Map<string, ChangeKind> {
    const differences = new Map<string, ChangeKind>();
    compareObjects([], olds, news, differences);
    return differences;
}

type Path = readonly (string | number)[];

function compare(path: Path, old: Value | undefined, now: Value | undefined, into: Map<string, ChangeKind>): void {
    if (old === undefined || old === null) {
        if (now !== undefined && now !== null) {
            into.set(pathText(path), "add");
        }
    } else if (now === undefined || now === null) {
        into.set(pathText(path), "delete");
    } else if (isSecret(old) && isSecret(now)) {
        // The inside of a secret is not shown, not even by the names of what changed in it.
        const inside = new Map<string, ChangeKind>();
        compare(path, old["value"], now["value"], inside);
        if (inside.size > 0) {
            into.set(pathText(path), "update");
        }
    } else if (isSecret(old) || isSecret(now) || isUnknown(old) || isUnknown(now)) {
        into.set(pathText(path), "update");
    } else if (Array.isArray(old) && Array.isArray(now)) {
        for (let index = 0; index < Math.max(old.length, now.length); index++) {
            compare([...path, index], old[index], now[index], into);
        }
    } else if (assetOf(old) !== undefined || assetOf(now) !== undefined) {
        const [before, after] = [assetOf(old), assetOf(now)];
        // By content: a file may move.
        if (before?.kind !== after?.kind || before?.hash !== after?.hash) {
            into.set(pathText(path), "update");
        }
    } else if (isObject(old) && isObject(now)) {
        compareObjects(path, old, now, into);
    } else if (old !== now) {
        into.set(pathText(path), "update");
    }
}

function compareObjects(path: Path, olds: Values, news: Values, into: Map<string, ChangeKind>): void {
    for (const key of new Set([...Object.keys(olds), ...Object.keys(news)])) {
        compare([...path, key], olds[key], news[key], into);
    }
}

/** As resource.PropertyPath prints it: `a.b[0]["c.d"]`. */
export function pathText(path: Path): string {
    return path
        .map((step, index) => {
            if (typeof step === "number") {
                return `[${step}]`;
            }
            if (/[."[\]]/.test(step)) {
                return `["${step.replaceAll('"', '\\"')}"]`;
            }
            return index === 0 ? step : `.${step}`;
        })
        .join("");
}

/** The top-level property of a path. */
export function topLevel(path: string): string {
    return /^[^.[]+/.exec(path)?.[0] ?? path;
}
