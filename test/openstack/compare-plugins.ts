/**
 * Compares the stand-in for the openstack plugin with the official one, on a real OpenStack. It is run by hand:
 *
 *     HARBORAGE_PLUGIN_OPENSTACK=FILE node --import tsx test/openstack/compare-plugins.ts
 *
 * FILE is the official plugin. The OS_* variables of an openrc file say where the cloud is, without them only the schemas
 * are compared; the COMPARE_* variables below say what it has. Everything that is made is deleted again; there are two
 * small servers at a time.
 */
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { localEngine, type Engine } from "../../toolchain/engine";
import { pluginPins } from "../../toolchain/pins";
import { builtPlugin } from "../../toolchain/stand-ins";
import { projectDirectory } from "../support/launcher";
import { run } from "../support/processes";
import { comparable, differences, without, type Json } from "./compare-values";

const SETTINGS = {
    image: process.env["COMPARE_IMAGE"] ?? "debian-12",
    flavor: process.env["COMPARE_FLAVOR"] ?? "m1.micro",
    largerFlavor: process.env["COMPARE_LARGER_FLAVOR"] ?? "m1.small",
    network: process.env["COMPARE_NETWORK"] ?? "public",
    volumeType: process.env["COMPARE_VOLUME_TYPE"] ?? "nfs",
};

const STEPS = ["create", "update", "replace"] as const;

/** Stand-ins serve no others. */
const STACK = "test-compare";

/** A step of the program may take this long, in seconds: servers are made and resized one after the other. */
const STEP_SECONDS = 900;

/** What is to be the same, by a name for it. */
type Findings = Map<string, Json>;

interface Metadata {
    readonly op: string;
    readonly urn: string;
    readonly type: string;
    readonly diffs?: readonly string[];
    readonly keys?: readonly string[];
    readonly detailedDiff?: Json;
}

interface Package {
    readonly provider: Description;
    readonly resources: Readonly<Record<string, Description>>;
    readonly functions: Readonly<Record<string, Description>>;
    readonly types: Readonly<Record<string, Description>>;
}

/** What is compared of a resource, a function or a type. */
type Description = Readonly<
    Partial<Record<"inputProperties" | "requiredInputs" | "properties" | "required" | "inputs" | "outputs", Json>>
>;

/** Pulumi with one openstack plugin and nothing else, in a folder of its own. */
class Bench {
    private readonly folder = mkdtempSync(join(tmpdir(), "harborage-compare-"));
    private readonly events = join(this.folder, "events.json");
    private readonly project = join(this.folder, "project");

    constructor(
        private readonly engine: Engine,
        private readonly plugin: string,
    ) {
        for (const { name, version } of pluginPins(["openstack"])) {
            const directory = join(this.folder, "home", "plugins", `resource-${name}-v${version}`);
            mkdirSync(directory, { recursive: true });
            copyFileSync(plugin, join(directory, `pulumi-resource-${name}`));
        }
        mkdirSync(join(this.folder, "state"));
        mkdirSync(this.project);
        const runtime = { name: "nodejs", options: { typescript: true } };
        this.write("Pulumi.yaml", { name: "compare", runtime });
        this.write("package.json", { name: "compare", main: "index.ts" });
        const compilerOptions = { module: "node16", moduleResolution: "node16", target: "es2022", noCheck: true };
        this.write("tsconfig.json", { compilerOptions });
        // Both benches have one at the same time, and keys have no ids but their names.
        const settings = { ...SETTINGS, key: randomBytes(4).toString("hex").slice(1) };
        const config = Object.entries(settings).map(([key, value]) => [`compare:${key}`, value]);
        this.write(`Pulumi.${STACK}.yaml`, { config: Object.fromEntries(config) as Json });
        copyFileSync(join(__dirname, "compare-program.ts"), join(this.project, "index.ts"));
        symlinkSync(join(projectDirectory, "node_modules"), join(this.project, "node_modules"));
    }

    private write(name: string, content: Json): void {
        writeFileSync(join(this.project, name), JSON.stringify(content));
    }

    private pulumi(...words: readonly string[]): Promise<string> {
        return run(this.engine.cli, [...words, "--non-interactive"], {
            cwd: this.project,
            env: {
                ...this.engine.env,
                PULUMI_HOME: join(this.folder, "home"),
                PULUMI_BACKEND_URL: pathToFileURL(join(this.folder, "state")).href,
                PULUMI_CONFIG_PASSPHRASE: "compare",
                // Without this variable there is no --event-log.
                PULUMI_DEBUG_COMMANDS: "true",
            },
            seconds: STEP_SECONDS,
        });
    }

    async schema(): Promise<Package> {
        return JSON.parse(await this.pulumi("package", "get-schema", this.plugin)) as Package;
    }

    /**
     * Runs a command that works on resources.
     *
     * @returns what it did, by resource and in order; that of resources that do not need each other is by chance
     */
    async operations(...words: readonly string[]): Promise<ReadonlyMap<string, readonly Json[]>> {
        rmSync(this.events, { force: true });
        await this.pulumi(...words, "--yes", "--skip-preview", "--stack", STACK, "--event-log", this.events);
        const done = readFileSync(this.events, "utf8")
            .split("\n")
            .filter((line) => line !== "")
            .map((line) => JSON.parse(line) as { readonly resOutputsEvent?: { readonly metadata: Metadata } })
            .flatMap(({ resOutputsEvent }) => resOutputsEvent?.metadata ?? [])
            .filter(({ op, type }) => type !== "pulumi:pulumi:Stack" && op !== "same");
        const operations = new Map<string, Json[]>();
        for (const { op, urn, diffs = [], keys = [], detailedDiff = {} } of done) {
            const name = urn.split("::").at(-1) ?? urn;
            const before = operations.get(name) ?? [];
            operations.set(name, [...before, { op, diffs: diffs.toSorted(), keys: keys.toSorted(), detailedDiff }]);
        }
        return operations;
    }

    /** Each resource of the state by its URN. */
    async state(): Promise<ReadonlyMap<string, Json>> {
        const { deployment } = JSON.parse(await this.pulumi("stack", "export", "--stack", STACK)) as {
            deployment: { resources: readonly { readonly urn: string; readonly [key: string]: Json }[] };
        };
        const entries = deployment.resources.map((resource): [string, Json] => [
            resource.urn.split("::").slice(2).join("::"),
            comparable(without(resource, ["created", "modified", "provider"])),
        ]);
        return new Map(entries);
    }

    begin(): Promise<string> {
        return this.pulumi("stack", "init", STACK);
    }

    configure(step: string): Promise<string> {
        return this.pulumi("config", "set", "step", step, "--stack", STACK);
    }

    /** Deletes what may be left. */
    async clear(): Promise<void> {
        await this.pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK);
    }

    /** Takes the folder away, and with it all that Pulumi knows. */
    remove(): void {
        rmSync(this.folder, { recursive: true });
    }
}

/** The schema of what `names` holds: what is given and got, what must be there, is secret or makes a new one. */
function schemaFindings(schema: Package, names: Package): Findings {
    const findings: Findings = new Map([["provider", bare(schema.provider)]]);
    for (const kind of ["resources", "functions", "types"] as const) {
        for (const name of Object.keys(names[kind])) {
            findings.set(name, bare(schema[kind][name] ?? {}));
        }
    }
    return findings;
}

function bare({ inputProperties, requiredInputs, properties, required, inputs, outputs }: Description): Json {
    const parts = Object.entries({ inputProperties, requiredInputs, properties, required, inputs, outputs });
    const given = parts.filter((part): part is [string, Json] => part[1] !== undefined);
    return comparable(without(Object.fromEntries(given), ["description", "deprecationMessage"]));
}

/** Creates, updates, replaces and deletes everything with one plugin. */
async function lifeFindings(bench: Bench): Promise<Findings> {
    const findings: Findings = new Map();
    const run = async (when: string, ...words: readonly string[]): Promise<void> => {
        const operations = await bench.operations(...words);
        findings.set(`${when}: resources worked on`, [...operations.keys()].toSorted());
        operations.forEach((list, name) => findings.set(`${when}: operations on ${name}`, list));
    };
    await bench.begin();
    try {
        for (const step of STEPS) {
            await bench.configure(step);
            await run(step, "up");
            for (const [urn, resource] of await bench.state()) {
                findings.set(`${step}: state of ${urn}`, resource);
            }
            await run(`${step}, again`, "up");
            await run(`${step}, refresh`, "refresh");
        }
        await run("delete", "destroy");
    } finally {
        await bench.clear();
    }
    return findings;
}

/** Says what is not the same; true when everything is. */
function report(title: string, ours: Findings, theirs: Findings): boolean {
    const names = [...new Set([...ours.keys(), ...theirs.keys()])];
    const different = names.filter((name) => !isDeepStrictEqual(ours.get(name), theirs.get(name)));
    for (const name of different) {
        console.log([name, ...differences(ours.get(name), theirs.get(name))].join("\n    "));
    }
    console.log(`${title}: ${names.length - different.length} of ${names.length} findings are the same`);
    return different.length === 0;
}

async function main(): Promise<void> {
    const official = process.env["HARBORAGE_PLUGIN_OPENSTACK"];
    if (official === undefined) {
        throw new Error("HARBORAGE_PLUGIN_OPENSTACK must name the official plugin");
    }
    const engine = await localEngine([]);
    const benches = [new Bench(engine, await builtPlugin("openstack")), new Bench(engine, official)] as const;
    let same = await compareSchemas(...benches);
    if (process.env["OS_AUTH_URL"] !== undefined) {
        same = (await compareLives(...benches)) && same;
    }
    benches.forEach((bench) => bench.remove());
    process.exitCode = same ? 0 : 1;
}

async function compareSchemas(ours: Bench, theirs: Bench): Promise<boolean> {
    const schema = await ours.schema();
    return report("schema", schemaFindings(schema, schema), schemaFindings(await theirs.schema(), schema));
}

async function compareLives(ours: Bench, theirs: Bench): Promise<boolean> {
    const began = Date.now();
    // At the same time: each waits for the cloud most of the time.
    const [life, official] = await Promise.all([lifeFindings(ours), lifeFindings(theirs)]);
    const operations = [...life].flatMap(([name, list]) => (name.includes(": operations on ") ? list : []));
    console.log(`${operations.length} operations with each plugin in ${Math.round((Date.now() - began) / 1000)} s`);
    return report("life", life, official);
}

main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
});
