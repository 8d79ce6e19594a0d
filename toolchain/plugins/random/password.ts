import { randomInt } from "node:crypto";
import { hash } from "bcryptjs";
import { atLeast, bridged, type Attribute } from "../lib/bridged";
import type { CheckFailure } from "../lib/resource";
import { textOf, type Values } from "../lib/values";

const CLASSES = {
    numeric: "0123456789",
    lower: "abcdefghijklmnopqrstuvwxyz",
    upper: "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    special: "!@#$%&*()-_=+[]{}<>:?",
} as const;

type Class = keyof typeof CLASSES;

const MINIMA: Readonly<Record<Class, string>> = {
    numeric: "minNumeric",
    lower: "minLower",
    upper: "minUpper",
    special: "minSpecial",
};

const CLASS_NAMES = Object.keys(CLASSES) as Class[];
const ON: Attribute = { type: "boolean", input: "optional", default: true, replaces: "always" };
const MINIMUM: Attribute = { type: "integer", input: "optional", default: 0, replaces: "always" };

/** The rounds of bcrypt that the official plugin uses, and the longest password that bcrypt takes, in bytes. */
const BCRYPT_COST = 10;
const BCRYPT_LONGEST = 72;

/** random.RandomPassword: letters, digits and special characters in random places, and their bcrypt hash. */
export const randomPassword = bridged({
    schemaVersion: 3,
    attributes: {
        length: { type: "integer", input: "required", replaces: "always", check: atLeast(1) },
        special: ON,
        upper: ON,
        lower: ON,
        numeric: ON,
        // The old name of `numeric`, which the state keeps beside it.
        number: ON,
        minNumeric: MINIMUM,
        minUpper: MINIMUM,
        minLower: MINIMUM,
        minSpecial: MINIMUM,
        overrideSpecial: { type: "string", input: "optional", replaces: "always" },
        keepers: { type: "string map", input: "optional", replaces: "always" },
        result: { type: "string", secret: true, stays: true },
        bcryptHash: { type: "string", secret: true, stays: true },
        id: { type: "string", stays: true },
    },
    checkAll(inputs) {
        const failures: CheckFailure[] = [];
        const sum = CLASS_NAMES.reduce((total, name) => total + Number(inputs[MINIMA[name]] ?? 0), 0);
        if (Number(inputs["length"]) < sum) {
            failures.push({
                property: "",
                reason: `Property 'length' must be at least the sum of minUpper, minLower, minNumeric and minSpecial, got: ${textOf(inputs["length"])}`,
            });
        }
        if (CLASS_NAMES.every((name) => inputs[name] === false)) {
            failures.push({ property: "", reason: "At least one of special, upper, lower, numeric must be true" });
        }
        return failures;
    },
    normalize(inputs) {
        const numeric = inputs["numeric"] ?? inputs["number"] ?? true;
        return { ...inputs, numeric, number: numeric };
    },
    async create(planned) {
        const result = password(planned);
        const bcryptHash = await hash(cut(result, BCRYPT_LONGEST), BCRYPT_COST);
        return { id: "none", computed: { id: "none", result, bcryptHash: bcryptHash.replace(/^\$2[by]\$/, "$2a$") } };
    },
});

function password(planned: Values): string {
    const special = textOf(planned["overrideSpecial"]) || CLASSES.special;
    const charactersOf = (name: Class): string => (name === "special" ? special : CLASSES[name]);
    const all = CLASS_NAMES.filter((name) => planned[name] === true)
        .map(charactersOf)
        .join("");
    if (all === "") {
        throw new Error("Random Read Error: the character set specified is empty");
    }
    const characters = CLASS_NAMES.flatMap((name) => pick(charactersOf(name), Number(planned[MINIMA[name]])));
    characters.push(...pick(all, Number(planned["length"]) - characters.length));
    for (let last = characters.length - 1; last > 0; last--) {
        const other = randomInt(last + 1);
        [characters[last], characters[other]] = [characters[other] ?? "", characters[last] ?? ""];
    }
    return characters.join("");
}

function pick(from: string, count: number): string[] {
    const characters = Array.from(from);
    return Array.from({ length: Math.max(0, count) }, () => characters[randomInt(characters.length)] ?? "");
}

function cut(text: string, bytes: number): string {
    return Buffer.from(text, "utf8").subarray(0, bytes).toString("utf8");
}
