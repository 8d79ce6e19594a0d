import { isMap, parseDocument, type Document } from "yaml";
import { Problem } from "./problem";

/** Key of the machines in a stack file. */
const MACHINES = "harborage:machines";

/** Key of the images in a stack file, see the program's configuration reference. */
const IMAGES = "harborage:images";

/** What the toolchain puts into a stack file when images cannot be pulled. */
export interface StandInImages {
    /** Plain tags, as they are in the bundle. */
    readonly registry: string;
    readonly nginx: string;
    readonly bundle: {
        /** A `docker save` archive on this machine, absolute. */
        readonly path: string;
        readonly sha256: string;
    };
}

export interface StackFileParts {
    /** Name of the committed file, for messages. */
    readonly name: string;
    /** Text of the committed file; empty when there is none. */
    readonly committed: string;
    /** Text of the file that was generated before; empty when there was none. */
    readonly previous: string;
    /** The salt that the stack's passphrase goes with; absent means that of the previous file, if any. */
    readonly salt: string | undefined;
    /** Images to name, `keep` to name those of the previous file, `none` to name none. */
    readonly images: StandInImages | "keep" | "none";
}

/**
 * The stack file that a stack of this machine runs with: the committed one, completed by what belongs to this machine.
 * Secrets set with `config set --secret` are in the previous generated file only, since no other machine could decrypt
 * them; they are carried over.
 *
 * @throws Problem when the committed file is not YAML or not a mapping
 */
export function generateStackFile({ name, committed, previous, salt, images }: StackFileParts): string {
    const file = parse(committed, name);
    const before = parse(previous, "the generated stack file");
    const knownSalt = salt ?? before.get("encryptionsalt");
    if (knownSalt !== undefined) {
        file.set("encryptionsalt", knownSalt);
    }
    const own = configOf(before);
    for (const [key, value] of Object.entries(own)) {
        if (isSecret(value) && !file.hasIn(["config", key])) {
            file.setIn(["config", key], value);
        }
    }
    // A stack file that names images itself knows better than this machine.
    if (!file.hasIn(["config", IMAGES]) && images !== "none") {
        const chosen = images === "keep" ? own[IMAGES] : images;
        if (chosen !== undefined) {
            file.setIn(["config", IMAGES], chosen);
        }
    }
    return `# Generated from ${name} for this machine; edit that one.\n${file.toString({ lineWidth: 0 })}`;
}

/** The keys of the secrets that only the generated file has. */
export function ownSecrets(committed: string, generated: string): string[] {
    const known = configOf(parse(committed, "the stack file"));
    const secrets = Object.entries(configOf(parse(generated, "the generated stack file"))).filter(([, value]) =>
        isSecret(value),
    );
    return secrets.map(([key]) => key).filter((key) => !(key in known));
}

/** Whether a stack file asks for containers, and leaves it open where their images come from. */
export function needsImages(committed: string, name: string): boolean {
    const keys = Object.keys(configOf(parse(committed, name)));
    return keys.some((key) => key.startsWith("harborage:")) && !keys.includes(IMAGES);
}

/** The kinds of the machines that a stack file names, each once. Whether they make sense is for the program to say. */
export function machineKinds(committed: string, name: string): string[] {
    const machines = structured(configOf(parse(committed, name))[MACHINES]);
    const kinds = Object.values(machines ?? {}).map((machine) => (machine as { kind?: unknown } | null)?.kind);
    return [...new Set(kinds.filter((kind) => typeof kind === "string"))];
}

/** A value as Pulumi reads it: `config set` writes mappings as JSON in a string. */
function structured(value: unknown): object | undefined {
    if (typeof value !== "string") {
        return typeof value === "object" && value !== null ? value : undefined;
    }
    try {
        const parsed = JSON.parse(value) as unknown;
        return typeof parsed === "object" && parsed !== null ? parsed : undefined;
    } catch {
        return undefined;
    }
}

function parse(text: string, name: string): Document {
    const document: Document = parseDocument(text);
    const [error] = document.errors;
    if (error !== undefined) {
        throw new Problem(`${name}: ${error.message}`);
    }
    document.contents ??= document.createNode({});
    if (!isMap(document.contents)) {
        throw new Problem(
            `${name}: expected a mapping with the key "config", for example\nconfig:\n  harborage:publicName: localhost`,
        );
    }
    // `config:` with nothing below it is what one gets by commenting all of it out.
    if (document.get("config") === undefined) {
        document.delete("config");
    }
    return document;
}

function configOf(document: Document): Readonly<Record<string, unknown>> {
    const plain = document.toJS() as { config?: Record<string, unknown> };
    return plain.config ?? {};
}

function isSecret(value: unknown): boolean {
    return typeof value === "object" && value !== null && "secure" in value;
}
