import os from "node:os";
import { createRequire } from "node:module";
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
}

export interface ProgramRun {
    readonly resources: readonly Registered[];
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
}

interface OutputsRequest {
    getUrn(): string;
    getOutputs(): { toJavaScript(): Record<string, unknown> } | undefined;
}

type Callback = (error: unknown, response: unknown) => void;

interface Monitor {
    registerResource(request: Request, callback: Callback): Promise<void>;
    registerResourceOutputs(request: OutputsRequest, callback: Callback): void;
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
            return { privateKeyPem: pem("PRIVATE KEY") };
        case "tls:index/certRequest:CertRequest":
            return { certRequestPem: pem("CERTIFICATE REQUEST") };
        case "tls:index/selfSignedCert:SelfSignedCert":
        case "tls:index/locallySignedCert:LocallySignedCert":
            return { certPem: pem("CERTIFICATE") };
        default:
            return { stdout: "", stderr: "" };
    }
}

function recorded(request: Request): Registered {
    return {
        type: request.getType(),
        name: request.getName(),
        parent: short(request.getParent()),
        custom: request.getCustom(),
        provider: request.getProvider(),
        inputs: readable(request.getObject()?.toJavaScript() ?? {}) as Record<string, unknown>,
        dependsOn: request.getDependenciesList().map(short).sort(),
        deleteBeforeReplace: request.getDeletebeforereplace(),
        protect: request.getProtect(),
    };
}

async function run(stack: string): Promise<ProgramRun> {
    os.hostname = () => "this-host";
    os.networkInterfaces = () => ({
        eth0: [{ address: "192.0.2.7", family: "IPv4", internal: false, netmask: "", mac: "", cidr: null }],
    });
    const secretOutputs = new Map<string, readonly string[]>();
    await pulumi.runtime.setMocks(
        {
            call: ({ token }) => {
                throw new Error(`the program asks a provider for ${token}`);
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
    const resources: Registered[] = [];
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
    // What fails in an output is not thrown here, but rejects a promise that nobody waits for.
    const failed = new Promise<never>((_, reject) => process.on("unhandledRejection", reject));
    try {
        // Loaded at this moment, as the engine does it.
        const program = pulumi.runtime.runInPulumiStack(() =>
            Promise.resolve(createRequire(__filename)("../../index") as unknown),
        );
        await Promise.race([program.then(() => pulumi.runtime.disconnect()), failed]);
        return { resources, outputs };
    } catch (error) {
        const isRunError = pulumi.RunError.isInstance(error);
        return {
            resources,
            outputs,
            error: { message: error instanceof Error ? error.message : String(error), isRunError },
        };
    }
}

const [stack = "dev"] = process.argv.slice(2);
void run(stack).then((result) => process.send?.(result, () => process.exit()));
