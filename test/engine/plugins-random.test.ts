import { strict as assert } from "node:assert";
import { compareSync } from "bcryptjs";
import { after, before, describe, it } from "mocha";
import {
    isSecret,
    plain,
    plainValues,
    secret,
    textOf,
    UNKNOWN,
    type Value,
    type Values,
} from "../../toolchain/plugins/lib/values";
import { PluginProcess, type Created } from "./plugins-harness";

const PASSWORD = "random:index/randomPassword:RandomPassword";
const BYTES = "random:index/randomBytes:RandomBytes";
const ID = "random:index/randomId:RandomId";

describe("plugin random", function () {
    this.timeout(60_000);
    let plugin: PluginProcess;
    before(async () => {
        plugin = await PluginProcess.start("random");
    });
    after(() => plugin.stop());

    const text = (created: Created, name: string): string => textOf(plain(created.properties[name] ?? null));

    /** The difference that new inputs make to a resource that was created with others. */
    async function diff(type: string, olds: Values, news: Values): ReturnType<PluginProcess["diff"]> {
        const { id, properties } = await plugin.create(plugin.urn(type), olds);
        return plugin.diff(plugin.urn(type), id, plainValues(properties), olds, news);
    }

    describe("RandomPassword", () => {
        const create = (inputs: Values): Promise<Created> => plugin.create(plugin.urn(PASSWORD), inputs);

        it("makes a password of the length, with all classes by default", async () => {
            const { id, properties } = await create({ length: 200 });
            assert.equal(id, "none");
            const result = textOf(plain(properties["result"] ?? null));
            assert.match(result, /^[A-Za-z0-9!@#$%&*()\-_=+[\]{}<>:?]{200}$/);
            for (const characters of [/[a-z]/, /[A-Z]/, /[0-9]/, /[^A-Za-z0-9]/]) {
                assert.match(result, characters);
            }
            const defaults = { lower: true, upper: true, numeric: true, number: true, special: true };
            for (const [name, value] of Object.entries(defaults)) {
                assert.equal(properties[name], value, name);
            }
            for (const name of ["minLower", "minUpper", "minNumeric", "minSpecial"]) {
                assert.equal(properties[name], 0, name);
            }
        });

        it("keeps result and bcryptHash secret, and nothing else", async () => {
            const { properties } = await create({ length: 20, keepers: { a: "b" } });
            const secrets = Object.keys(properties).filter(
                (name) => !name.startsWith("__") && isSecret(properties[name]),
            );
            assert.deepEqual(secrets.sort(), ["bcryptHash", "result"]);
        });

        it("gives a bcrypt hash of the password, of cost 10", async () => {
            const created = await create({ length: 20 });
            assert.match(text(created, "bcryptHash"), /^\$2a\$10\$.{53}$/);
            assert.ok(compareSync(text(created, "result"), text(created, "bcryptHash")));
        });

        it("leaves out the classes that are off", async () => {
            const digits = await create({ length: 50, special: false, upper: false, lower: false });
            assert.match(text(digits, "result"), /^[0-9]{50}$/);
            const letters = await create({ length: 50, special: false, numeric: false });
            assert.match(text(letters, "result"), /^[A-Za-z]{50}$/);
        });

        it("takes its own special characters and the least numbers of each class", async () => {
            const inputs = {
                length: 12,
                overrideSpecial: "_%",
                minSpecial: 4,
                minUpper: 3,
                minLower: 2,
                minNumeric: 3,
            };
            const result = text(await create(inputs), "result");
            assert.match(result, /^[A-Za-z0-9_%]{12}$/);
            const count = (characters: RegExp): number => (result.match(characters) ?? []).length;
            assert.deepEqual([count(/[_%]/g), count(/[A-Z]/g), count(/[a-z]/g), count(/[0-9]/g)], [4, 3, 2, 3]);
        });

        it("makes another one each time", async () => {
            assert.notEqual(text(await create({ length: 20 }), "result"), text(await create({ length: 20 }), "result"));
        });

        for (const [what, inputs] of [
            ["no length", {}],
            ["a length of 0", { length: 0 }],
            ["a length below the least numbers", { length: 3, minUpper: 2, minLower: 2 }],
            ["no class at all", { length: 5, upper: false, lower: false, numeric: false, special: false }],
        ] as const) {
            it(`refuses ${what}`, async () => {
                const { failuresList } = await plugin.check(plugin.urn(PASSWORD), inputs);
                assert.equal(failuresList.length, 1);
            });
        }

        it("in a preview knows all but the result", async () => {
            const { properties } = await plugin.create(plugin.urn(PASSWORD), { length: 20 }, { preview: true });
            assert.equal(properties["length"], 20);
            assert.equal(properties["special"], true);
            for (const name of ["result", "bcryptHash", "id"]) {
                assert.equal(properties[name], UNKNOWN, name);
            }
        });

        for (const [what, news, replaces] of [
            ["the same inputs", {}, []],
            ["a default written out", { special: true }, []],
            ["another length", { length: 21 }, ["length"]],
            ["an unknown length", { length: UNKNOWN }, ["length"]],
            ["another class", { special: false }, ["special"]],
            ["other special characters", { overrideSpecial: "_" }, ["overrideSpecial"]],
            ["a least number", { minUpper: 2 }, ["minUpper"]],
            ["a new keeper", { keepers: { a: "1", b: "2" } }, ["keepers"]],
            ["another keeper", { keepers: { a: "2" } }, ["keepers"]],
            ["no digits", { numeric: false }, ["number", "numeric"]],
        ] as const) {
            it(`with ${what} ${replaces.length > 0 ? "replaces" : "changes nothing"}`, async () => {
                const olds: Values = { length: 20, keepers: { a: "1" } };
                const result = await diff(PASSWORD, olds, { ...olds, ...(news as unknown as Values) });
                assert.equal(result.changes, replaces.length > 0 ? "some" : "none");
                assert.deepEqual(result.replaces, replaces);
                assert.deepEqual(result.diffs, replaces);
                assert.equal(result.deleteBeforeReplace, false);
            });
        }
    });

    describe("RandomBytes", () => {
        it("makes bytes, secret in both forms; the id is the base64 text", async () => {
            const { id, properties } = await plugin.create(plugin.urn(BYTES), { length: 16 });
            const base64 = plain(properties["base64"] ?? null);
            const bytes = Buffer.from(textOf(base64), "base64");
            assert.equal(bytes.length, 16);
            assert.equal(id, base64);
            assert.deepEqual(properties["base64"], secret(bytes.toString("base64")));
            assert.deepEqual(properties["hex"], secret(bytes.toString("hex")));
            assert.equal(properties["length"], 16);
        });

        it("refuses a length of 0", async () => {
            assert.equal((await plugin.check(plugin.urn(BYTES), { length: 0 })).failuresList.length, 1);
        });

        it("is replaced by another length or other keepers", async () => {
            assert.deepEqual((await diff(BYTES, { length: 16 }, { length: 16 })).changes, "none");
            assert.deepEqual((await diff(BYTES, { length: 16 }, { length: 17 })).replaces, ["length"]);
            const keepers: Values = { length: 16, keepers: { a: "1" } };
            assert.deepEqual((await diff(BYTES, { length: 16 }, keepers)).replaces, ["keepers"]);
        });
    });

    describe("RandomId", () => {
        it("makes an id in all forms, with the prefix before each; nothing is secret", async () => {
            const { id, properties } = await plugin.create(plugin.urn(ID), { byteLength: 8, prefix: "p-" });
            const bytes = Buffer.from(id, "base64url");
            assert.equal(bytes.length, 8);
            const expected: Record<string, Value> = {
                id,
                b64Url: `p-${id}`,
                b64Std: `p-${bytes.toString("base64")}`,
                hex: `p-${bytes.toString("hex")}`,
                dec: `p-${BigInt(`0x${bytes.toString("hex")}`).toString()}`,
                byteLength: 8,
                prefix: "p-",
            };
            for (const [name, value] of Object.entries(expected)) {
                assert.equal(properties[name], value, name);
            }
        });

        it("is replaced by another length, prefix or other keepers", async () => {
            const olds: Values = { byteLength: 8, prefix: "p-" };
            assert.deepEqual((await diff(ID, olds, olds)).changes, "none");
            assert.deepEqual((await diff(ID, olds, { ...olds, byteLength: 9 })).replaces, ["byteLength"]);
            assert.deepEqual((await diff(ID, olds, { byteLength: 8 })).replaces, ["prefix"]);
            assert.deepEqual((await diff(ID, olds, { ...olds, keepers: { a: "1" } })).replaces, ["keepers"]);
        });
    });

    for (const [type, inputs] of [
        [PASSWORD, { length: 20 }],
        [BYTES, { length: 16 }],
        [ID, { byteLength: 8 }],
    ] as const) {
        it(`${type}: a refresh and an update keep the values, a delete does nothing`, async () => {
            const urn = plugin.urn(type);
            const { id, properties } = await plugin.create(urn, inputs);
            const state = plainValues(properties);
            const read = await plugin.read(urn, id, state, inputs);
            assert.equal(read.id, id);
            assert.deepEqual(read.properties, properties);
            assert.deepEqual(read.inputs, inputs);
            assert.deepEqual(await plugin.update(urn, id, state, inputs, inputs), properties);
            await plugin.delete(urn, id, state, inputs);
        });
    }
});
