import fc from "fast-check";
import type { StackFile } from "../../../config/stack-file";
import { cronLine } from "./cron";

/** A stack file as a person thinks of it: settings as values, secrets by name. */
export interface Draft {
    readonly stack: string;
    readonly settings: Readonly<Record<string, unknown>>;
    readonly secrets: readonly string[];
}

/** The settings of `Pulumi.dev.yaml`. */
export const minimal = {
    publicName: "localhost",
    machines: { box: { kind: "local" } },
    topology: { kind: "single", node: "box", loadBalancer: "box" },
    registry: { engine: "distribution", users: [{ name: "admin" }] },
} as const;

/** What the engine makes of a draft: text stays text, everything else is JSON. */
export function stackFile({ stack, settings, secrets }: Draft): StackFile {
    const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
    return {
        stack,
        values: Object.fromEntries([
            ...Object.entries(settings).map(([key, value]) => [key, text(value)] as const),
            ...secrets.map((name) => [name, `value of ${name}`] as const),
        ]),
        secretKeys: new Set(secrets),
    };
}

/** A stack file with some settings other than those of `minimal`. */
export function fileWith(settings: Readonly<Record<string, unknown>>, secrets: readonly string[] = []): StackFile {
    return stackFile({ stack: "test", settings: { ...minimal, ...settings }, secrets });
}

/** Keys that may be left out. */
function partial(model: Readonly<Record<string, fc.Arbitrary<unknown>>>): fc.Arbitrary<Record<string, unknown>> {
    return fc.record(model, { requiredKeys: [] });
}

const text = (pattern: RegExp) => fc.stringMatching(pattern);
const digest = text(/^[0-9a-f]{64}$/);
/** Names that objects have without being given them are names like any other. */
const machineName = fc.oneof(text(/^[a-z]([a-z0-9-]{0,12}[a-z0-9])?$/), fc.constantFrom("constructor", "valueof"));
const secretName = fc.oneof(text(/^secret[A-Za-z0-9]{0,8}$/), fc.constantFrom("constructor", "toString"));

const users = fc
    .uniqueArray(
        fc.record(
            { name: text(/^[A-Za-z0-9][A-Za-z0-9._-]{0,10}$/), password: secretName },
            {
                requiredKeys: ["name"],
            },
        ),
        { minLength: 1, maxLength: 4, selector: ({ name }) => name },
    )
    // fast-check's records may have no prototype; a stack file's have one.
    .map((list) => list.map((user) => ({ ...user })));

const certificate = fc
    .record({ validity: fc.integer({ min: 61, max: 825 }), more: fc.integer({ min: 0, max: 30_000 }) })
    .chain(({ validity, more }) =>
        partial({
            validityDays: fc.constant(validity),
            renewBeforeDays: fc.integer({ min: 1, max: 60 }),
            caValidityDays: fc.constant(825 + more),
        }),
    )
    .map((values) => ({ kind: "own-ca", ...values }));

const images = fc.oneof(
    partial({
        registry: digest.map((hex) => `mirror.example.com:5000/registry:3@sha256:${hex}`),
        nginx: digest.map((hex) => `nginx@sha256:${hex}`),
    }),
    digest.map((sha256) => ({
        registry: "registry:3.1.2",
        nginx: "nginx:1.30.1",
        bundle: { path: "/srv/images.tar", sha256 },
    })),
);

/** Stack files that the schema must accept. */
export const validDraft: fc.Arbitrary<Draft> = fc
    .record({
        stack: text(/^[a-z0-9][a-z0-9_-]{0,12}$/),
        publicName: fc.oneof(fc.domain(), fc.constant("localhost")),
        names: fc.array(fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6()), { maxLength: 3 }),
        machine: machineName,
        settings: partial({
            directory: text(/^(~\/|\/)[A-Za-z0-9_]([A-Za-z0-9_/-]{0,12}[A-Za-z0-9])?$/),
            generation: fc.integer({ min: 1, max: 1_000_000 }),
            minimumFreeDiskGiB: fc.integer({ min: 1, max: 100_000 }),
        }),
        ports: fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { minLength: 3, maxLength: 3 }),
        users,
        collection: partial({
            enabled: fc.boolean(),
            schedule: cronLine,
            deleteUntagged: fc.boolean(),
            drainMinutes: fc.integer({ min: 1, max: 240 }),
        }),
        logLevel: fc.constantFrom("error", "warn", "info", "debug"),
        hstsSeconds: fc.integer({ min: 0, max: 63_072_000 }),
        deleteData: fc.boolean(),
        certificate,
        images,
        left: fc.subarray(["additionalNames", "storage", "certificate", "images"]),
    })
    .map((parts) => {
        const [httpsPort, httpPort, port] = parts.ports;
        const settings = {
            publicName: parts.publicName,
            additionalNames: parts.names,
            machines: { [parts.machine]: { kind: "local", ...parts.settings } },
            topology: { kind: "single", node: parts.machine, loadBalancer: parts.machine },
            registry: {
                engine: "distribution",
                port,
                users: parts.users,
                garbageCollection: { ...parts.collection },
                logLevel: parts.logLevel,
            },
            storage: { objects: { kind: "node", deleteData: parts.deleteData } },
            loadBalancer: { mode: "http", httpsPort, httpPort, hstsSeconds: parts.hstsSeconds },
            certificate: parts.certificate,
            images: { ...parts.images },
        };
        return {
            stack: parts.stack,
            settings: Object.fromEntries(Object.entries(settings).filter(([key]) => !parts.left.includes(key))),
            secrets: [...new Set(parts.users.flatMap(({ password }) => password ?? []))],
        };
    });
