import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { format, resolveConfig } from "prettier";
import { z } from "zod";
import { renderReference, type JsonSchema } from "./reference";
import { stackSchema } from "./schema";

/** What is made from the schema of the stack file, by its path in the project: `npm run generate` writes it. */
const project = join(__dirname, "..");

/** The settings below `harborage:` as JSON Schema. Draft 7: what YAML editors know. */
export function settingsSchema(): JsonSchema {
    return z.toJSONSchema(stackSchema, { io: "input", target: "draft-7" }) as JsonSchema;
}

/** A whole `Pulumi.<stack>.yaml` as JSON Schema: our keys, secrets beside them, and what Pulumi itself keeps there. */
export function stackFileSchema(): JsonSchema {
    const { $schema = "", properties = {}, required = [] } = settingsSchema();
    const ours = Object.fromEntries(Object.entries(properties).map(([key, value]) => [`harborage:${key}`, value]));
    return {
        $schema,
        title: "A stack file of Harborage (Pulumi.<stack>.yaml)",
        type: "object",
        properties: {
            config: {
                description: "The settings, each key with its namespace.",
                type: "object",
                properties: ours,
                // The configuration of providers and other programs.
                patternProperties: { "^(?!harborage:)[^:]+:.+$": true },
                additionalProperties: {
                    description: "A secret of its own, set with `pulumi config set --secret NAME`.",
                    type: "object",
                    properties: { secure: { type: "string", description: "The encrypted value." } },
                    required: ["secure"],
                    additionalProperties: false,
                },
                required: required.map((key) => `harborage:${key}`),
            },
        },
        required: ["config"],
    };
}

/** Every generated file, formatted as the project's other files are. */
export async function generatedFiles(): Promise<Record<string, string>> {
    const example = readFileSync(join(project, "Pulumi.dev.yaml"), "utf8");
    const texts = {
        "config/stack-file.schema.json": JSON.stringify(stackFileSchema()),
        "docs/configuration.md": renderReference(settingsSchema(), example),
    };
    const formatted = Object.entries(texts).map(async ([path, text]) => {
        const filepath = join(project, path);
        return [path, await format(text, { ...(await resolveConfig(filepath)), filepath })] as const;
    });
    return Object.fromEntries(await Promise.all(formatted));
}

async function main(): Promise<void> {
    for (const [path, text] of Object.entries(await generatedFiles())) {
        writeFileSync(join(project, path), text);
        console.log(`wrote ${path}`);
    }
}

if (require.main === module) {
    main().catch((error: unknown) => {
        console.error(error);
        process.exitCode = 1;
    });
}
