import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { format, resolveConfig } from "prettier";
import { scriptText } from "../../components/machines/script-text";
import { isSecret, type ProgramRun, type Registered } from "./program";

/**
 * The resource graph of a stack as a person reviews it: secrets are masked, long texts are lists of lines, and scripts are
 * named, not repeated.
 */

const project = join(__dirname, "../..");

const shellFiles = readdirSync(join(project, "components"), { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith(".sh") && !name.endsWith("/lib.sh"),
);

/** The scripts that run on machines, by what bash reads of them. */
const scripts = new Map(
    shellFiles
        .filter((name) => name.includes("scripts/"))
        .map((name) => [
            scriptText(join(project, "components", name)).replace(/main "\$@".*\n$/, ""),
            `components/${name}`,
        ]),
);

/** The shell files that are sent to machines as they are, by their text. */
const sentFiles = new Map(
    shellFiles
        .filter((name) => !name.includes("scripts/"))
        .map((name) => [readFileSync(join(project, "components", name), "utf8"), `components/${name}`]),
);

/** Standard input of a command: which script, and the data that it reads. */
function readableScript(stdin: string): unknown {
    const found = [...scripts].find(([text]) => stdin.startsWith(text));
    if (found === undefined) {
        return stdin.split("\n");
    }
    const [, data = ""] = /<<'[A-Z-]+'\n([^]*\n)[A-Z-]+\n$/.exec(stdin.slice(found[0].length)) ?? [];
    const short = [...sentFiles].reduce((current, [text, name]) => current.replace(text, () => `[${name}]\n`), data);
    return { script: found[1], ...(data === "" ? {} : { data: short.trimEnd().split("\n") }) };
}

/** Hashes of files change with every line of them, which is seen already. */
function withoutHashes(text: string, hashes: readonly string[]): string {
    return hashes.reduce((current, hash) => current.replaceAll(hash, "[hash of the files]"), text);
}

function readableValue(value: unknown, hashes: readonly string[]): unknown {
    if (isSecret(value)) {
        return "[secret]";
    }
    if (typeof value === "string") {
        const text = withoutHashes(value, hashes);
        return text.includes("\n") ? text.trimEnd().split("\n") : text;
    }
    if (Array.isArray(value)) {
        return value.map((each) => readableValue(each, hashes));
    }
    return typeof value === "object" && value !== null
        ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, readableValue(each, hashes)]))
        : value;
}

/** A hook that is a plain function has a name that the SDK makes of the resource's. */
function readableHooks({ type, name, hooks }: Registered): Record<string, readonly string[]> {
    const readable = (hook: string) => (hook.startsWith(`${type}_${name}_`) ? "(function)" : hook);
    return Object.fromEntries(Object.entries(hooks).map(([when, names]) => [when, names.map(readable)]));
}

function readableResource(resource: Registered, hashes: readonly string[]): Record<string, unknown> {
    const { type, name, parent, inputs, dependsOn, deleteBeforeReplace, protect, provider } = resource;
    const { deletedWith, ignoreChanges, replaceOnChanges } = resource;
    const hooks = readableHooks(resource);
    const readable = Object.entries(inputs).map(([key, value]) => [
        key,
        key === "stdin" && typeof value === "string" ? readableScript(value) : readableValue(value, hashes),
    ]);
    return {
        type,
        name,
        ...(parent === "" ? {} : { parent }),
        ...(provider === "" ? {} : { provider }),
        ...(dependsOn.length === 0 ? {} : { dependsOn }),
        ...(deleteBeforeReplace ? { deleteBeforeReplace } : {}),
        ...(protect ? { protect } : {}),
        ...(deletedWith === "" ? {} : { deletedWith }),
        ...(ignoreChanges.length === 0 ? {} : { ignoreChanges }),
        ...(replaceOnChanges.length === 0 ? {} : { replaceOnChanges }),
        ...(Object.keys(hooks).length === 0 ? {} : { hooks }),
        ...(readable.length === 0 ? {} : { inputs: Object.fromEntries(readable) as unknown }),
    };
}

/** The data of scripts that put files onto machines. */
function filesHashes({ resources }: ProgramRun): string[] {
    return resources.flatMap(({ inputs }) => {
        const [, data] =
            typeof inputs["stdin"] === "string"
                ? (/<<'[A-Z-]+'\n(@@ [^]*\n)[A-Z-]+\n$/.exec(inputs["stdin"]) ?? [])
                : [];
        return data === undefined ? [] : [createHash("sha256").update(data).digest("hex")];
    });
}

/** A text that is the same for the same graph, on every machine; formatted as the project's other files are. */
export async function renderGolden(run: ProgramRun): Promise<string> {
    const hashes = filesHashes(run);
    const key = ({ parent, type, name }: Registered) => `${parent} ${type} ${name}`;
    const resources = [...run.resources]
        .sort((a, b) => (key(a) < key(b) ? -1 : 1))
        .map((resource) => readableResource(resource, hashes));
    const questions = run.questions
        .map(({ token, inputs, provider }) => JSON.stringify({ token, provider, inputs }))
        .sort()
        .map((question) => JSON.parse(question) as unknown);
    const text = JSON.stringify({
        ...(questions.length === 0 ? {} : { questions }),
        resources,
        outputs: readableValue(run.outputs, hashes),
    });
    const filepath = goldenPath("any");
    return format(text, { ...(await resolveConfig(filepath)), filepath });
}

/** The stacks whose graphs are kept. */
export const goldenStacks = ["dev", "staging", "prod"] as const;

/** Where the graph of a stack is kept. */
export function goldenPath(stack: string): string {
    return join(__dirname, `${stack}.golden.json`);
}

/** The graph of a stack as it was reviewed; undefined when there is none yet. */
export function readGolden(stack: string): string | undefined {
    try {
        return readFileSync(goldenPath(stack), "utf8");
    } catch {
        return undefined;
    }
}
