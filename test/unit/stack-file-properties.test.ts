import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "mocha";
import { makePlan } from "../../config/plan";
import { parseStackFile, StackFileError, type StackFile } from "../../config/stack-file";
import { localDraft, stackFile, validDraft, type Draft } from "./support/stack-files";

type Path = readonly (string | number)[];

/** As messages show it. */
function shown(path: Path): string {
    return path.reduce<string>(
        (text, part, index) =>
            typeof part === "number" ? `${text}[${part}]` : `${text}${index === 0 ? "" : "."}${part}`,
        "harborage:",
    );
}

function isMapping(value: unknown): value is Record<string, unknown> {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Every place in a value, itself first. */
function places(value: unknown, path: Path = []): { path: Path; value: unknown }[] {
    const further = Array.isArray(value)
        ? value.flatMap((each, index) => places(each, [...path, index]))
        : isMapping(value)
          ? Object.entries(value).flatMap(([key, each]) => places(each, [...path, key]))
          : [];
    return [{ path, value }, ...further];
}

/** A copy with one place changed; `undefined` removes it. */
function changed(value: unknown, [head, ...rest]: Path, to: unknown): unknown {
    if (head === undefined) {
        return to;
    }
    if (Array.isArray(value)) {
        return value.map((each: unknown, index) => (index === head ? changed(each, rest, to) : each));
    }
    assert.ok(isMapping(value));
    const entries = Object.entries(value).map(([key, each]) => [key, key === head ? changed(each, rest, to) : each]);
    const missing = Object.hasOwn(value, String(head)) ? [] : [[head, to]];
    return Object.fromEntries([...entries, ...missing].filter(([, each]) => each !== undefined));
}

/** A value that is certainly of another type; text at the top may be anything that is text. */
function otherType(value: unknown): unknown[] {
    switch (typeof value) {
        case "string":
            return [{}, []];
        case "number":
            return ["twelve", 1.5, {}, true];
        case "boolean":
            return ["yes", 1, []];
        default:
            return Array.isArray(value) ? ["text", { key: 1 }] : ["text", [1]];
    }
}

/** Keys that a mapping cannot do without. */
const required = new Set(
    ["kind", "engine", "mode", "node", "name", "hostKey", "flavor", "image", "sizeGiB", "network", "sshCidrs"].concat([
        "publicKey",
        "sha256",
        "uri",
        "suite",
        "key",
    ]),
);
const requiredAtTop = new Set(["publicName", "machines", "topology", "registry"]);

interface Mutation {
    readonly what: string;
    readonly path: Path;
    /** Made when it is chosen: there are many. */
    readonly settings: () => unknown;
}

/** Docker knows the keys of its configuration; the schema takes whatever is there. */
const isFree = (path: Path) => path.slice(0, 3).join(".") === "baseline.docker.daemon";

function mutations({ settings }: Draft): Mutation[] {
    return places(settings)
        .filter(({ path }) => path.length > 0 && !(isFree(path) && path.length > 3))
        .flatMap(({ path, value }): Mutation[] => {
            const key = path.at(-1);
            const isNamed = path.at(-2) === "machines";
            return [
                ...otherType(value).map((to) => ({ what: "type", path, settings: () => changed(settings, path, to) })),
                ...(isMapping(value) && key !== "machines" && !isFree(path)
                    ? [
                          {
                              what: "unknown",
                              path: [...path, "extra"],
                              settings: () => changed(settings, [...path, "extra"], 1),
                          },
                      ]
                    : []),
                ...((path.length === 1 ? requiredAtTop : required).has(String(key)) && !isNamed
                    ? [{ what: "removed", path, settings: () => changed(settings, path, undefined) }]
                    : []),
            ];
        });
}

function mistakes(file: StackFile): string[] {
    try {
        parseStackFile(file);
        return [];
    } catch (error) {
        assert.ok(error instanceof StackFileError, `not a StackFileError: ${String(error)}`);
        assert.ok(error.mistakes.length > 0);
        for (const { path, message } of error.mistakes) {
            assert.match(path, /^harborage:|^the stack's name$/);
            assert.match(message, /^\S.*\S$/);
        }
        return error.mistakes.map(({ path }) => path);
    }
}

describe("stack files, whatever is in them", () => {
    it("are accepted when they are valid", () => {
        fc.assert(fc.property(validDraft, (draft) => assert.deepEqual(mistakes(stackFile(draft)), [])));
    });

    it("name the place of any one mistake", () => {
        const seen = new Set<string>();
        fc.assert(
            fc.property(validDraft, fc.nat(), (draft, choice) => {
                const all = mutations(draft);
                const mutation = all[choice % all.length];
                const settings = mutation?.settings();
                assert.ok(mutation !== undefined && isMapping(settings));
                const found = mistakes(stackFile({ ...draft, settings }));
                const place = shown(mutation.path);
                assert.ok(
                    found.includes(place),
                    `${mutation.what} at ${place}; found: ${found.join(" ") || "nothing"}`,
                );
                seen.add(mutation.what);
            }),
            { numRuns: 1000 },
        );
        assert.deepEqual([...seen].sort(), ["removed", "type", "unknown"]);
    });

    it("name the places of all mistakes together", () => {
        fc.assert(
            fc.property(validDraft, fc.array(fc.nat(), { minLength: 2, maxLength: 6 }), (draft, choices) => {
                const keys = Object.keys(draft.settings);
                // One mistake below each of some settings, so that none hides another.
                const chosen = [...new Set(choices.map((choice) => choice % keys.length))].map((index) => {
                    const all = mutations(draft).filter(({ what, path }) => what === "type" && path[0] === keys[index]);
                    return all[choices[0] === undefined ? 0 : choices[0] % all.length];
                });
                const settings = chosen.reduce<Record<string, unknown>>((current, mutation) => {
                    const key = String(mutation?.path[0]);
                    const wrong = mutation?.settings();
                    assert.ok(isMapping(wrong));
                    return { ...current, [key]: wrong[key] };
                }, draft.settings);
                const found = mistakes(stackFile({ ...draft, settings }));
                for (const mutation of chosen) {
                    assert.ok(
                        found.includes(shown(mutation?.path ?? [])),
                        `${shown(mutation?.path ?? [])} in ${found.join(" ")}`,
                    );
                }
            }),
        );
    });

    it("end in mistakes or a plan, and in nothing else", () => {
        const key = fc.oneof(
            fc.constantFrom("publicName", "machines", "topology", "registry", "images", "openstack", "baseline"),
            fc.string(),
        );
        const value = fc.oneof(fc.string(), fc.json());
        fc.assert(
            fc.property(fc.string(), fc.dictionary(key, value), fc.array(key), (stack, values, secretKeys) => {
                const file = { stack, values, secretKeys: new Set(secretKeys) };
                if (mistakes(file).length === 0) {
                    makePlan(stack, parseStackFile(file));
                }
            }),
            { numRuns: 500 },
        );
    });

    it("with mixed-up names end in mistakes or a plan whose names resolve", () => {
        const name = fc.constantFrom("box", "bax", "constructor", "valueof", "Box", "", "__proto__");
        fc.assert(
            fc.property(localDraft, name, name, name, (draft, machine, node, loadBalancer) => {
                const machines = Object.fromEntries([[machine, { kind: "local" }]]);
                const topology = { kind: "single", node, loadBalancer };
                const file = stackFile({ ...draft, settings: { ...draft.settings, machines, topology } });
                if (mistakes(file).length > 0) {
                    return;
                }
                const plan = makePlan(draft.stack, parseStackFile(file));
                assert.deepEqual(
                    [plan.nodes[0]?.machine, plan.loadBalancer.machine].map((each) =>
                        plan.machines.some((one) => one.name === each),
                    ),
                    [true, true],
                );
            }),
        );
    });
});
