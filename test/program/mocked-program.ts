import os from "node:os";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import * as pulumi from "@pulumi/pulumi";

/**
 * Runs index.ts under Pulumi's mocks and sends what it declares to the parent process: a process of its own for each run,
 * as in a real one. Everything that differs between machines or runs is made the same.
 */

/** A resource as the program registered it; secrets are `{secret: value}`. */
export interface Registered {
    readonly type: string;
    readonly name: string;
    /** `TYPE NAME` */
    readonly parent: string;
    readonly custom: boolean;
    readonly provider: string;
    readonly inputs: Readonly<Record<string, unknown>>;
    /** `TYPE NAME` of each; the parent's children are among those of a component. */
    readonly dependsOn: readonly string[];
    readonly deleteBeforeReplace: boolean;
    readonly protect: boolean;
    /** `TYPE NAME` of what takes it along; empty where nothing does. */
    readonly deletedWith: string;
    readonly ignoreChanges: readonly string[];
    readonly replaceOnChanges: readonly string[];
    /** The names of its hooks, by what they are called at. */
    readonly hooks: Readonly<Record<string, readonly string[]>>;
}

/** What the program asked a provider. */
export interface Question {
    readonly token: string;
    readonly inputs: Readonly<Record<string, unknown>>;
    readonly provider: string;
    /** How many resources were registered when the answer was given. */
    readonly answeredAfter: number;
}

export interface ProgramRun {
    readonly resources: readonly Registered[];
    readonly questions: readonly Question[];
    readonly outputs: Readonly<Record<string, unknown>>;
    /** What stopped the program, and whether it is printed without a stack trace. */
    readonly error?: { readonly message: string; readonly isRunError: boolean };
}

/** The part of a request to register a resource that is looked at. */
interface Request {
    getType(): string;
    getName(): string;
    getParent(): string;
    getCustom(): boolean;
    getProvider(): string;
    getObject(): { toJavaScript(): Record<string, unknown> } | undefined;
    getDependenciesList(): string[];
    getDeletebeforereplace(): boolean;
    getProtect(): boolean;
    getAdditionalsecretoutputsList(): string[];
    getDeletedwith(): string;
    getIgnorechangesList(): string[];
    getReplaceonchangesList(): string[];
    getHooks(): Hooks | undefined;
}

interface Hooks {
    getBeforeCreateList(): string[];
    getBeforeUpdateList(): string[];
    getBeforeDeleteList(): string[];
    getAfterCreateList(): string[];
    getAfterUpdateList(): string[];
    getAfterDeleteList(): string[];
    getOnErrorList(): string[];
}

interface OutputsRequest {
    getUrn(): string;
    getOutputs(): { toJavaScript(): Record<string, unknown> } | undefined;
}

type Callback = (error: unknown, response: unknown) => void;

interface Monitor {
    registerResource(request: Request, callback: Callback): Promise<void>;
    registerResourceOutputs(request: OutputsRequest, callback: Callback): void;
    /** Pulumi's mocks have no hooks. */
    registerResourceHook?(request: unknown, callback: Callback): void;
    registerErrorHook?(request: unknown, callback: Callback): void;
}

/** How the engine marks a secret (pulumi/sdk/go/common/resource/plugin, SecretSig). */
const signature = "4dabf18193072939515e22adb298388d";
const secretSignature = "1b47061264138c4ac30d75fd1eb44270";

function readable(value: unknown): unknown {
    if (Array.isArray(value)) {
        return value.map(readable);
    }
    if (typeof value !== "object" || value === null) {
        return value;
    }
    const object = value as Record<string, unknown>;
    return object[signature] === secretSignature
        ? { secret: readable(object["value"]) }
        : Object.fromEntries(Object.entries(object).map(([key, each]) => [key, readable(each)]));
}

/** `urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME` as `TYPE NAME`. */
function short(urn: string): string {
    const [, , types = "", name = ""] = urn.split("::");
    return urn === "" ? "" : `${types.split("$").at(-1) ?? ""} ${name}`;
}

/** A provider as resources refer to it: `URN::ID`. */
function shortProvider(reference: string): string {
    return reference === "" ? "" : short(reference.split("::").slice(0, -1).join("::"));
}

/** A number from 10 to 249, another one for most other names. */
function numberOf(name: string): number {
    return 10 + Buffer.from(name).reduce((sum, byte) => (sum * 31 + byte) % 240, 7);
}

/** What the providers would answer: other values for other names, and the same ones in each run. */
function state(type: string, name: string, inputs: Record<string, unknown>): Record<string, unknown> {
    const pem = (label: string) =>
        `-----BEGIN ${label}-----\n${Buffer.from(`${name} ${label}`).toString("base64")}\n-----END ${label}-----\n`;
    switch (type) {
        case "random:index/randomPassword:RandomPassword":
            return { result: `password of ${name}`.padEnd(Number(inputs["length"]), ".") };
        case "random:index/randomBytes:RandomBytes":
            return { base64: Buffer.from(name.padEnd(32)).subarray(0, Number(inputs["length"])).toString("base64") };
        case "random:index/randomId:RandomId":
            return { hex: Buffer.from(name.padEnd(32)).subarray(0, Number(inputs["byteLength"])).toString("hex") };
        case "tls:index/privateKey:PrivateKey":
            return {
                privateKeyPem: pem("PRIVATE KEY"),
                privateKeyOpenssh: pem("OPENSSH PRIVATE KEY"),
                publicKeyOpenssh: `ssh-ed25519 ${Buffer.from(`public key of ${name}`).toString("base64")}\n`,
            };
        case "tls:index/certRequest:CertRequest":
            return { certRequestPem: pem("CERTIFICATE REQUEST") };
        case "tls:index/selfSignedCert:SelfSignedCert":
        case "tls:index/locallySignedCert:LocallySignedCert":
            return { certPem: pem("CERTIFICATE") };
        case "openstack:networking/port:Port": {
            const [fixed] = inputs["fixedIps"] as { ipAddress?: string }[];
            return { allFixedIps: [fixed?.ipAddress ?? `10.42.0.${String(numberOf(name))}`] };
        }
        case "openstack:networking/floatingIp:FloatingIp":
            return { address: `203.0.113.${String(numberOf(name))}` };
        case "aws:s3/bucket:Bucket":
            return { arn: `arn:aws:s3:::${String(inputs["bucket"])}` };
        case "aws:iam/accessKey:AccessKey":
            return { secret: `secret key of ${name}` };
        case "aws:rds/instance:Instance":
            return { address: `${String(inputs["identifier"])}.rds.amazonaws.com` };
        case "aws:elasticache/replicationGroup:ReplicationGroup":
            return { primaryEndpointAddress: `${String(inputs["replicationGroupId"])}.cache.amazonaws.com` };
        case "harborage:index:ActiveNode":
            return { seenEpoch: 4 };
        case "harborage:harbor:RobotAccount":
            return { fullName: `robot$${String(inputs["name"])}` };
        case "harborage:harbor:RegistryEndpoint":
            return { registryId: numberOf(name) };
        case "command:local:Command":
        case "command:remote:Command":
            return { stdout: "", stderr: "" };
        default:
            return {};
    }
}

/**
 * What a cloud would answer. It has whatever it is asked for, but nothing with a name that begins with `missing`, several
 * things with one that begins with `several`, several subnets in the network `crowded`, and small flavors with one that begins with `small`; it lets nobody in who asks
 * for one that begins with `refused`.
 */
async function answer(token: string, inputs: Record<string, unknown>): Promise<Record<string, unknown>> {
    // As a real one, it takes its time: what does not wait for the answer is registered meanwhile.
    await sleep(50);
    const asked = inputs as { name?: string; networkId?: string };
    const name = asked.name ?? asked.networkId?.replace("id of ", "") ?? "";
    const error = (text: string) => {
        const details = `invocation of ${token} returned an error: 1 error occurred:\n\t* ${text}\n\n`;
        // As gRPC has it.
        return Object.assign(new Error(details), { details });
    };
    if (name.startsWith("missing")) {
        throw error("Your query returned no results. Please change your search criteria and try again");
    }
    if (name.startsWith("several") || (token.includes("getSubnet") && name === "crowded")) {
        throw error("Your query returned more than one result. Please try a more specific search criteria");
    }
    if (name.startsWith("refused")) {
        throw error("The request you have made requires authentication.");
    }
    const id = `id of ${name}`;
    switch (token) {
        case "openstack:images/getImage:getImage":
        case "openstack:networking/getNetwork:getNetwork":
        case "openstack:networking/getSubnet:getSubnet":
            return { id, name };
        case "openstack:compute/getFlavor:getFlavor":
            return { id, name, ...(name.startsWith("small") ? { vcpus: 1, ram: 256 } : { vcpus: 2, ram: 4096 }) };
        default:
            throw new Error(`the program asks a provider for ${token}`);
    }
}

function hooksOf(hooks: Hooks | undefined): Record<string, readonly string[]> {
    const all = {
        beforeCreate: hooks?.getBeforeCreateList(),
        beforeUpdate: hooks?.getBeforeUpdateList(),
        beforeDelete: hooks?.getBeforeDeleteList(),
        afterCreate: hooks?.getAfterCreateList(),
        afterUpdate: hooks?.getAfterUpdateList(),
        afterDelete: hooks?.getAfterDeleteList(),
        onError: hooks?.getOnErrorList(),
    };
    return Object.fromEntries(
        Object.entries(all).flatMap(([key, names = []]) => (names.length > 0 ? [[key, names]] : [])),
    );
}

function recorded(request: Request): Registered {
    return {
        type: request.getType(),
        name: request.getName(),
        parent: short(request.getParent()),
        custom: request.getCustom(),
        provider: shortProvider(request.getProvider()),
        inputs: readable(request.getObject()?.toJavaScript() ?? {}) as Record<string, unknown>,
        dependsOn: request.getDependenciesList().map(short).sort(),
        deleteBeforeReplace: request.getDeletebeforereplace(),
        protect: request.getProtect(),
        deletedWith: short(request.getDeletedwith()),
        ignoreChanges: request.getIgnorechangesList(),
        replaceOnChanges: request.getReplaceonchangesList(),
        hooks: hooksOf(request.getHooks()),
    };
}

async function run(stack: string): Promise<ProgramRun> {
    os.hostname = () => "this-host";
    os.networkInterfaces = () => ({
        eth0: [{ address: "192.0.2.7", family: "IPv4", internal: false, netmask: "", mac: "", cidr: null }],
    });
    const secretOutputs = new Map<string, readonly string[]>();
    const resources: Registered[] = [];
    const questions: Question[] = [];
    await pulumi.runtime.setMocks(
        {
            call: async ({ token, inputs, provider }) => {
                const asked = inputs as Record<string, unknown>;
                try {
                    return await answer(token, asked);
                } finally {
                    const all = { token, inputs: asked, provider: shortProvider(provider ?? "") };
                    questions.push({ ...all, answeredAfter: resources.length });
                }
            },
            newResource: ({ type, name, inputs }) => {
                const all = {
                    ...(inputs as Record<string, unknown>),
                    ...state(type, name, inputs as Record<string, unknown>),
                };
                const secrets = secretOutputs.get(`${type} ${name}`) ?? [];
                const entries = Object.entries(all).map(([key, value]) => [
                    key,
                    secrets.includes(key) ? pulumi.secret(value) : value,
                ]);
                return { id: `id of ${name}`, state: Object.fromEntries(entries) as Record<string, unknown> };
            },
        },
        "harborage",
        stack,
    );
    let outputs: Record<string, unknown> = {};
    const monitor = pulumi.runtime.getMonitor() as unknown as Monitor;
    const register = monitor.registerResource.bind(monitor);
    monitor.registerResource = (request, callback) => {
        secretOutputs.set(`${request.getType()} ${request.getName()}`, request.getAdditionalsecretoutputsList());
        resources.push(recorded(request));
        return register(request, callback);
    };
    const registerOutputs = monitor.registerResourceOutputs.bind(monitor);
    monitor.registerResourceOutputs = (request, callback) => {
        if (short(request.getUrn()).startsWith("pulumi:pulumi:Stack ")) {
            outputs = readable(request.getOutputs()?.toJavaScript() ?? {}) as Record<string, unknown>;
        }
        registerOutputs(request, callback);
    };
    const accept = (_: unknown, callback: Callback) => callback(null, {});
    monitor.registerResourceHook = accept;
    monitor.registerErrorHook = accept;
    // What fails in an output is not thrown here, but rejects a promise that nobody waits for.
    const failed = new Promise<never>((_, reject) => process.on("unhandledRejection", reject));
    try {
        // Loaded at this moment, as the engine does it.
        const program = pulumi.runtime.runInPulumiStack(() =>
            Promise.resolve(createRequire(__filename)("../../index") as unknown),
        );
        await Promise.race([program.then(() => pulumi.runtime.disconnect()), failed]);
        return { resources, questions, outputs };
    } catch (error) {
        if (questions.length > 0) {
            // What is declared although an answer was no comes now.
            await sleep(300);
        }
        const isRunError = pulumi.RunError.isInstance(error);
        return {
            resources,
            questions,
            outputs,
            error: { message: error instanceof Error ? error.message : String(error), isRunError },
        };
    }
}

const [stack = "dev"] = process.argv.slice(2);
// After a failure resources are waited for that never come, which the SDK would complain of at an exit without a code.
void run(stack).then((result) => process.send?.(result, () => process.exit(result.error === undefined ? 0 : 1)));
