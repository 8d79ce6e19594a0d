import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import Ajv from "ajv";
import fc from "fast-check";
import { describe, it } from "mocha";
import { parse } from "yaml";
import { generatedFiles, settingsSchema, stackFileSchema } from "../../config/generate";
import type { JsonSchema } from "../../config/reference";
import { minimal, validDraft, type Draft } from "./support/stack-files";

const project = join(__dirname, "..", "..");

/** A draft as it is in a YAML file. */
function document({ settings, secrets }: Draft): unknown {
    const entries = [
        ...Object.entries(settings).map(([key, value]) => [key, value] as const),
        ...secrets.map((name) => [name, { secure: "v1:abc:def" }] as const),
    ];
    return { config: Object.fromEntries(entries.map(([key, value]) => [`harborage:${key}`, value])) };
}

const validate = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true }).compile(stackFileSchema());

/** Where a document is wrong. */
function problems(value: unknown): string[] {
    validate(value);
    return (validate.errors ?? []).map(({ instancePath }) => instancePath);
}

function withSettings(settings: Readonly<Record<string, unknown>>): unknown {
    return document({ stack: "test", settings: { ...minimal, ...settings }, secrets: [] });
}

describe("generated files", () => {
    it("are what the generator writes (npm run generate)", async () => {
        for (const [path, text] of Object.entries(await generatedFiles())) {
            const file = join(project, path);
            assert.equal(existsSync(file) ? readFileSync(file, "utf8") : "missing", text, path);
        }
    });

    it("accept the stack files of the project", () => {
        for (const stack of ["dev", "staging"]) {
            const text = readFileSync(join(project, `Pulumi.${stack}.yaml`), "utf8");
            assert.deepEqual(problems(parse(text)), [], stack);
            assert.match(text, /\$schema=\.\/config\/stack-file\.schema\.json/, stack);
        }
    });

    it("accept every stack file that the program accepts", () => {
        fc.assert(fc.property(validDraft, (draft) => assert.deepEqual(problems(document(draft)), [])));
    });

    it("accept what Pulumi itself keeps in a stack file", () => {
        const value = withSettings({}) as { config: object };
        const config = { ...value.config, "aws:region": "eu-central-1", "other:key": { secure: "v1:abc" } };
        assert.deepEqual(problems({ config, encryptionsalt: "v1:abc", secretsprovider: "awskms://x" }), []);
    });

    const refused: [string, unknown, string][] = [
        ["an unknown setting", withSettings({ colour: "red" }), "/config/harborage:colour"],
        ["a secret in plain text", withSettings({ ciPassword: "hunter2" }), "/config/harborage:ciPassword"],
        [
            "a key without a namespace",
            { config: { ...(withSettings({}) as { config: object }).config, publicName: "x" } },
            "/config/publicName",
        ],
        [
            "a kind of machine that there is not",
            withSettings({ machines: { box: { kind: "vmware" } } }),
            "/config/harborage:machines/box/kind",
        ],
        [
            "a wrong port",
            withSettings({ loadBalancer: { mode: "http", httpsPort: 70000 } }),
            "/config/harborage:loadBalancer/httpsPort",
        ],
        [
            "a misspelt key",
            withSettings({ registry: { engine: "distribution", prot: 5000 } }),
            "/config/harborage:registry",
        ],
        ["a missing setting", { config: { "harborage:publicName": "localhost" } }, "/config"],
    ];
    for (const [what, value, place] of refused) {
        it(`refuse ${what}`, () => assert.ok(problems(value).includes(place), problems(value).join(" ")));
    }

    /** Every schema below one, with its path. */
    function parts(schema: JsonSchema, path = ""): { path: string; schema: JsonSchema }[] {
        const { properties = {}, items, oneOf = [], additionalProperties } = schema;
        return [
            { path, schema },
            ...Object.entries(properties).flatMap(([key, part]) => parts(part, `${path}.${key}`)),
            ...(items === undefined ? [] : parts(items, `${path}[]`)),
            ...oneOf.flatMap((part) => parts(part, path)),
            ...(typeof additionalProperties === "object" ? parts(additionalProperties, `${path}.NAME`) : []),
        ];
    }

    it("have examples and defaults that are valid themselves", () => {
        let count = 0;
        for (const { path, schema } of parts(settingsSchema())) {
            const isValid = new Ajv({ allowUnionTypes: true }).compile(schema);
            for (const value of [...(schema.examples ?? []), ...("default" in schema ? [schema.default] : [])]) {
                assert.ok(isValid(value), `${path}: ${JSON.stringify(value)}`);
                count += 1;
            }
        }
        assert.ok(count > 30, String(count));
    });

    it("describe every setting, in the reference too", () => {
        const reference = readFileSync(join(project, "docs/configuration.md"), "utf8");
        for (const { path, schema } of parts(settingsSchema())) {
            if (schema.const === undefined && /\.[a-zA-Z0-9]+$/.test(path) && !path.endsWith(".NAME")) {
                assert.ok(
                    schema.description !== undefined || schema.properties !== undefined,
                    `${path} has no description`,
                );
                assert.ok(reference.includes(`| \`${path.slice(1)}\``), `${path} is not in the reference`);
            }
        }
        const anchors = new Set(
            [...reference.matchAll(/^## (.*)$/gm)].map(([, heading = ""]) =>
                heading
                    .toLowerCase()
                    .replace(/[^a-z0-9 -]/g, "")
                    .replaceAll(" ", "-"),
            ),
        );
        for (const [, target = ""] of reference.matchAll(/\]\(#([^)]*)\)/g)) {
            assert.ok(anchors.has(target), `the link #${target} leads nowhere`);
        }
    });
});
