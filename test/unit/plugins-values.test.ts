import { strict as assert } from "node:assert";
import fc from "fast-check";
import { describe, it } from "mocha";
import { objectDifferences, pathText, topLevel } from "../../toolchain/plugins/lib/object-diff";
import {
    containsSecret,
    containsUnknown,
    equal,
    isUnknown,
    plain,
    plainValues,
    secret,
    textOf,
    UNKNOWN,
    type Value,
    type Values,
} from "../../toolchain/plugins/lib/values";

// Without nulls, which Pulumi takes for absent, and with keys that no object has by itself.
const anyValues = fc
    .dictionary(fc.string({ unit: fc.constantFrom("a", "b", "c."), minLength: 1 }), fc.jsonValue())
    .map((values) => JSON.parse(JSON.stringify(values), (_key, value: Value) => value ?? 0) as Values);

describe("plugins: property values", () => {
    it("secrets are marked once, and plain takes the marks off at every depth", () => {
        assert.deepEqual(secret(secret("a")), secret("a"));
        assert.deepEqual(plain([secret({ a: secret("b") })]), [{ a: "b" }]);
        assert.deepEqual(plainValues({ a: secret("b"), c: 1 }), { a: "b", c: 1 });
        assert.equal(containsSecret({ a: [{ b: secret(1) }] }), true);
        assert.equal(containsSecret({ a: [{ b: 1 }] }), false);
    });

    it("unknown values are found in secrets, lists and objects", () => {
        assert.equal(isUnknown(UNKNOWN), true);
        assert.equal(isUnknown("text"), false);
        assert.equal(containsUnknown([{ a: secret(UNKNOWN) }]), true);
    });

    it("equality is deep and does not count secrecy", () => {
        assert.equal(equal({ a: [1, secret("b")] }, { a: [1, "b"] }), true);
        assert.equal(equal({ a: 1 }, { a: 1, b: undefined as never }), true);
        assert.equal(equal([1, 2], [1]), false);
        assert.equal(equal({ a: null }, { a: 0 }), false);
    });

    it("texts are of primitives only", () => {
        assert.deepEqual(["a", 1, true, null, undefined, ["a"], {}].map(textOf), ["a", "1", "true", "", "", "", ""]);
    });
});

describe("plugins: differences of inputs", () => {
    it("names the deepest paths", () => {
        const olds: Values = { a: "1", list: [1, 2], map: { x: 1, "y.z": 2 }, gone: true };
        const news: Values = { a: "2", list: [1, 3, 4], map: { x: 1 }, added: { deep: 1 } };
        assert.deepEqual(Object.fromEntries(objectDifferences(olds, news)), {
            a: "update",
            "list[1]": "update",
            "list[2]": "add",
            'map["y.z"]': "delete",
            gone: "delete",
            added: "add",
        });
    });

    it("takes a value that becomes secret for a difference, and two equal secrets for none", () => {
        assert.equal(objectDifferences({ a: "1" }, { a: secret("1") }).get("a"), "update");
        assert.equal(objectDifferences({ a: secret("1") }, { a: secret("1") }).size, 0);
        assert.equal(objectDifferences({ a: secret(["1"]) }, { a: secret(["2"]) }).get("a"), "update");
    });

    it("takes an unknown value for a difference", () => {
        assert.equal(objectDifferences({ a: UNKNOWN }, { a: UNKNOWN }).get("a"), "update");
    });

    it("finds none between equal inputs, and one wherever they are not", () => {
        fc.assert(fc.property(anyValues, (values) => objectDifferences(values, structuredClone(values)).size === 0));
        fc.assert(fc.property(anyValues, anyValues, (a, b) => objectDifferences(a, b).size > 0 === !equal(a, b)));
    });

    it("writes paths as Pulumi does, and takes their first part", () => {
        assert.equal(pathText(["a", "b", 0, "c.d"]), 'a.b[0]["c.d"]');
        assert.equal(topLevel('environment["a.b"]'), "environment");
        assert.equal(topLevel("triggers[0].x"), "triggers");
        assert.equal(topLevel("stdin"), "stdin");
    });
});
