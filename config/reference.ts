/** The part of JSON Schema that the stack file's schema uses. */
export interface JsonSchema {
    readonly $schema?: string;
    readonly title?: string;
    readonly description?: string;
    readonly type?: string;
    readonly const?: unknown;
    readonly enum?: readonly unknown[];
    readonly default?: unknown;
    readonly examples?: readonly unknown[];
    readonly minimum?: number;
    readonly maximum?: number;
    readonly pattern?: string;
    readonly items?: JsonSchema;
    readonly oneOf?: readonly JsonSchema[];
    readonly properties?: Readonly<Record<string, JsonSchema>>;
    readonly patternProperties?: Readonly<Record<string, JsonSchema | true>>;
    readonly propertyNames?: JsonSchema;
    readonly additionalProperties?: boolean | JsonSchema;
    readonly required?: readonly string[];
}

/** One `##` of the configuration reference. */
interface Section {
    readonly heading: string;
    readonly text: string;
}

const anchor = (heading: string) =>
    heading
        .toLowerCase()
        .replace(/[^a-z0-9 -]/g, "")
        .replaceAll(" ", "-");

/** In one cell of a table. */
const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("\n", " ");

/** A value as it is written in a stack file, in one line. */
function written(value: unknown): string {
    if (Array.isArray(value)) {
        return `[${value.map(written).join(", ")}]`;
    }
    if (typeof value === "object" && value !== null) {
        return `{${Object.entries(value)
            .map(([key, entry]) => `${key}: ${written(entry)}`)
            .join(", ")}}`;
    }
    return String(value);
}

const code = (value: unknown) => `\`${cell(written(value))}\``;

function variantsOf(schema: JsonSchema): readonly JsonSchema[] {
    return schema.oneOf ?? (schema.properties === undefined ? [] : [schema]);
}

/** The key that tells variants apart, and its value: `["kind", "local"]`. */
function discriminator(variant: JsonSchema): readonly [string, unknown] | undefined {
    const found = Object.entries(variant.properties ?? {}).find(([, property]) => property.const !== undefined);
    return found === undefined ? undefined : [found[0], found[1].const];
}

function typeOf(schema: JsonSchema): string {
    if (schema.const !== undefined) {
        return code(schema.const);
    }
    if (schema.enum !== undefined) {
        return schema.enum.map(code).join(", ");
    }
    switch (schema.type) {
        case "integer":
            return `${String(schema.minimum)} to ${String(schema.maximum)}`;
        case "boolean":
            return "`true`, `false`";
        case "array":
            return `list of ${schema.items?.properties === undefined ? typeOf(schema.items ?? {}) : "mappings"}`;
        case "string":
            return "text";
        default:
            return "mapping";
    }
}

/** The sections that a key leads to: one for each variant, each item of a list, each value of a mapping by name. */
function children(path: string, schema: JsonSchema): { path: string; schema: JsonSchema }[] {
    const { additionalProperties, items } = schema;
    if (typeof additionalProperties === "object") {
        return children(`${path}.NAME`, additionalProperties);
    }
    if (items !== undefined) {
        return children(`${path}[]`, items);
    }
    return variantsOf(schema).map((variant) => ({ path, schema: variant }));
}

function headingOf(path: string, variant: JsonSchema): string {
    const told = discriminator(variant);
    return told === undefined ? path : `${path} with ${told[0]} ${String(told[1])}`;
}

function table(path: string, schema: JsonSchema): string {
    const rows = Object.entries(schema.properties ?? {}).map(([key, property]) => {
        const full = path === "" ? key : `${path}.${key}`;
        const further = children(full, property).map((child) => headingOf(child.path, child.schema));
        const links = further.map((heading) => `[${heading}](#${anchor(heading)})`).join(", ");
        const isRequired = schema.required?.includes(key) ?? false;
        const fallback = isRequired ? "**required**" : property.default === undefined ? "" : code(property.default);
        const meaning = property.const === undefined ? (property.description ?? "") : "Chooses this variant.";
        const [example] = property.examples ?? [];
        return [
            code(full),
            typeOf(property),
            fallback,
            `${cell(meaning)}${links === "" ? "" : ` See ${links}.`}`,
            example === undefined ? "" : code(example),
        ];
    });
    return [["Key", "Value", "Default", "Meaning", "Example"], ["---", "---", "---", "---", "---"], ...rows]
        .map((row) => `| ${row.join(" | ")} |`)
        .join("\n");
}

function sections(path: string, schema: JsonSchema): Section[] {
    return Object.entries(schema.properties ?? {})
        .flatMap(([key, property]) => children(path === "" ? key : `${path}.${key}`, property))
        .flatMap(({ path: place, schema: variant }) => [
            {
                heading: headingOf(place, variant),
                text: [variant.description, table(place, variant)].filter((part) => part !== undefined).join("\n\n"),
            },
            ...sections(place, variant),
        ]);
}

/**
 * docs/configuration.md: every key of a stack file.
 *
 * @param settings the keys below `harborage:`
 * @param example a whole stack file
 */
export function renderReference(settings: JsonSchema, example: string): string {
    const parts = sections("", settings).map(({ heading, text }) => `## ${heading}\n\n${text}`);
    return `<!-- Made from config/schema.ts by \`npm run generate\`; do not edit. -->

# Configuration

Everything that a person decides about a stack is in \`Pulumi.<stack>.yaml\`, below \`config:\`, in keys that start with
\`harborage:\`. This is all of \`Pulumi.dev.yaml\`:

\`\`\`yaml
${example.trimEnd()}
\`\`\`

The first line gives completion and checks in editors that know the YAML language server. \`up\` and \`preview\` check the
whole file before anything is done, and report every mistake with its path, what was expected and an example.

The tables leave the prefix \`harborage:\` out. \`NAME\` is a name of your choice, \`[]\` each item of a list.

## Secrets

A secret is a key of its own, and settings refer to it by its name. With \`registry.users\` as
\`[{name: ci, password: ciPassword}]\`:

\`\`\`sh
pulumi config set --secret ciPassword --stack prod
\`\`\`

A secret in plain text, a secret inside a setting, and a secret that nothing refers to are mistakes.

## Settings

${table("", settings)}

${parts.join("\n\n")}
`;
}
