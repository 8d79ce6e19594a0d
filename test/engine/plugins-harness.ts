import { strict as assert } from "node:assert";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import * as grpc from "@grpc/grpc-js";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { Struct } from "google-protobuf/google/protobuf/struct_pb";
import { EngineService } from "@pulumi/pulumi/proto/engine_grpc_pb";
import { LogSeverity, type LogRequest } from "@pulumi/pulumi/proto/engine_pb";
import { ResourceProviderClient } from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as proto from "@pulumi/pulumi/proto/provider_pb";
import type { Values } from "../../toolchain/plugins/lib/values";
import { builtPlugin } from "../../toolchain/stand-ins";

export type PluginName = "random" | "tls" | "command" | "openstack";

export interface LogEntry {
    readonly message: string;
    readonly urn: string;
    readonly severity: "debug" | "info" | "warning" | "error";
    readonly ephemeral: boolean;
}

export interface Diffed {
    readonly changes: "unknown" | "none" | "some";
    readonly replaces: readonly string[];
    readonly diffs: readonly string[];
    readonly deleteBeforeReplace: boolean;
    /** By property path: "add", "update-replace" and so on. */
    readonly detailed: Readonly<Record<string, string>>;
}

export interface Created {
    readonly id: string;
    readonly properties: Values;
}

const ROOT = path.resolve(__dirname, "../..");
const KINDS = ["add", "add-replace", "delete", "delete-replace", "update", "update-replace"] as const;
const CHANGES = ["unknown", "none", "some"] as const;
const SEVERITIES = {
    [LogSeverity.DEBUG]: "debug",
    [LogSeverity.INFO]: "info",
    [LogSeverity.WARNING]: "warning",
    [LogSeverity.ERROR]: "error",
} as const;

/**
 * The executable that the tests of a plugin run instead of the stand-in, from HARBORAGE_PLUGIN_RANDOM and so
 * on: with the official plugin there, the same tests say whether the stand-in behaves like it.
 */
export function officialPlugin(name: PluginName): string | undefined {
    return process.env[`HARBORAGE_PLUGIN_${name.toUpperCase()}`];
}

/** Waits for what a plugin does meanwhile, for half a minute at most. */
export async function eventually(condition: () => boolean): Promise<void> {
    for (let waited = 0; !condition(); waited += 20) {
        assert.ok(waited < 30_000, `not within half a minute: ${String(condition)}`);
        await sleep(20);
    }
}

/** An engine as far as plugins see it: an address that takes log messages. */
export class FakeEngine {
    readonly logs: LogEntry[] = [];
    private readonly server = new grpc.Server();

    async start(): Promise<string> {
        const log: grpc.handleUnaryCall<LogRequest, Empty> = ({ request }, done) => {
            this.logs.push({
                message: request.getMessage(),
                urn: request.getUrn(),
                severity: SEVERITIES[request.getSeverity()],
                ephemeral: request.getEphemeral(),
            });
            done(null, new Empty());
        };
        this.server.addService(EngineService, { log });
        const port = await new Promise<number>((resolve, reject) =>
            this.server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
                error ? reject(error) : resolve(bound),
            ),
        );
        return `127.0.0.1:${port}`;
    }

    stop(): void {
        this.server.forceShutdown();
    }
}

/** A plugin's process, and the ResourceProvider protocol spoken as the engine speaks it. */
export class PluginProcess {
    private constructor(
        readonly name: PluginName,
        readonly process: ChildProcess,
        readonly engine: FakeEngine,
        readonly client: ResourceProviderClient,
    ) {}

    /** @param config the provider's inputs */
    static async start(
        name: PluginName,
        environment: Record<string, string> = {},
        config: Values = {},
    ): Promise<PluginProcess> {
        const engine = new FakeEngine();
        const address = await engine.start();
        const executable = officialPlugin(name) ?? (name === "openstack" ? await builtPlugin(name) : undefined);
        const [command, args] =
            executable === undefined
                ? [process.execPath, ["--import", "tsx", path.join(ROOT, "toolchain/plugins", `${name}.ts`)]]
                : [executable, []];
        const child = spawn(command, [...args, address], {
            cwd: ROOT,
            env: { ...process.env, ...environment },
            stdio: ["ignore", "pipe", "inherit"],
        });
        const port = await new Promise<string>((resolve, reject) => {
            createInterface(child.stdout).once("line", resolve);
            child.once("error", reject);
            child.once("exit", (code) => reject(new Error(`the plugin ${name} ended with ${code} before it served`)));
        });
        const client = new ResourceProviderClient(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
            "grpc.max_receive_message_length": -1,
        });
        const plugin = new PluginProcess(name, child, engine, client);
        await plugin.configure(config);
        return plugin;
    }

    private configure(config: Values): Promise<proto.ConfigureResponse> {
        const request = new proto.ConfigureRequest()
            .setAcceptsecrets(true)
            .setAcceptresources(true)
            .setSendsOldInputs(true)
            .setSendsOldInputsToDelete(true)
            .setArgs(struct(config));
        return this.call((done) => this.client.configure(request, done));
    }

    /** A URN of a resource of this plugin in the stack "test-plugins". */
    urn(type: string, name = "it", stack = "test-plugins"): string {
        return `urn:pulumi:${stack}::harborage::${type}::${name}`;
    }

    async check(
        urn: string,
        news: Values,
        olds: Values = {},
    ): Promise<proto.CheckResponse.AsObject & { checked: Values }> {
        const request = named(new proto.CheckRequest(), urn).setNews(struct(news)).setOlds(struct(olds));
        const response = await this.call<proto.CheckResponse>((done) => this.client.check(request, done));
        return { ...response.toObject(), checked: values(response.getInputs()) };
    }

    async diff(urn: string, id: string, state: Values, oldInputs: Values, news: Values): Promise<Diffed> {
        const request = named(new proto.DiffRequest(), urn)
            .setId(id)
            .setOlds(struct(state))
            .setOldInputs(struct(oldInputs))
            .setNews(struct(news));
        const response = await this.call<proto.DiffResponse>((done) => this.client.diff(request, done));
        const detailed: Record<string, string> = {};
        response.getDetaileddiffMap().forEach((change, key) => {
            detailed[key] = KINDS[change.getKind()];
        });
        return {
            changes: CHANGES[response.getChanges()],
            replaces: response.getReplacesList().sort(),
            diffs: response.getDiffsList().sort(),
            deleteBeforeReplace: response.getDeletebeforereplace(),
            detailed,
        };
    }

    async create(urn: string, inputs: Values, options: { preview?: boolean; timeout?: number } = {}): Promise<Created> {
        const request = named(new proto.CreateRequest(), urn)
            .setProperties(struct(inputs))
            .setPreview(options.preview ?? false)
            .setTimeout(options.timeout ?? 0);
        const response = await this.call<proto.CreateResponse>((done) => this.client.create(request, done));
        return { id: response.getId(), properties: values(response.getProperties()) };
    }

    async read(urn: string, id: string, state: Values, inputs: Values): Promise<Created & { inputs: Values }> {
        const request = named(new proto.ReadRequest(), urn)
            .setId(id)
            .setProperties(struct(state))
            .setInputs(struct(inputs));
        const response = await this.call<proto.ReadResponse>((done) => this.client.read(request, done));
        return {
            id: response.getId(),
            properties: values(response.getProperties()),
            inputs: values(response.getInputs()),
        };
    }

    async update(
        urn: string,
        id: string,
        state: Values,
        oldInputs: Values,
        news: Values,
        preview = false,
    ): Promise<Values> {
        const request = named(new proto.UpdateRequest(), urn)
            .setId(id)
            .setOlds(struct(state))
            .setOldInputs(struct(oldInputs))
            .setNews(struct(news))
            .setPreview(preview);
        const response = await this.call<proto.UpdateResponse>((done) => this.client.update(request, done));
        return values(response.getProperties());
    }

    async delete(urn: string, id: string, state: Values, oldInputs: Values): Promise<void> {
        const request = named(new proto.DeleteRequest(), urn)
            .setId(id)
            .setProperties(struct(state))
            .setOldInputs(struct(oldInputs));
        await this.call<Empty>((done) => this.client.delete(request, done));
    }

    async invoke(token: string, inputs: Values): Promise<Values> {
        const request = new proto.InvokeRequest().setTok(token).setArgs(struct(inputs));
        const response = await this.call<proto.InvokeResponse>((done) => this.client.invoke(request, done));
        return values(response.getReturn());
    }

    cancel(): Promise<Empty> {
        return this.call((done) => this.client.cancel(new Empty(), done));
    }

    /** The provider's inputs, in the stack "test-plugins" if no other is named. */
    async checkConfig(news: Values, stack?: string): Promise<proto.CheckResponse.AsObject> {
        const urn = this.urn(`pulumi:providers:${this.name}`, "it", stack);
        const request = named(new proto.CheckRequest(), urn).setNews(struct(news)).setOlds(struct({}));
        return (await this.call<proto.CheckResponse>((done) => this.client.checkConfig(request, done))).toObject();
    }

    /** One call; an error is the message alone, as the engine shows it. */
    call<Response>(
        method: (done: (error: grpc.ServiceError | null, response: Response) => void) => unknown,
    ): Promise<Response> {
        return new Promise((resolve, reject) =>
            method((error, response) => (error ? reject(new Error(error.details)) : resolve(response))),
        );
    }

    async stop(): Promise<void> {
        this.client.close();
        this.engine.stop();
        if (this.process.exitCode === null && this.process.signalCode === null) {
            this.process.kill("SIGKILL");
            await once(this.process, "exit");
        }
    }
}

interface OnResource {
    setUrn(urn: string): unknown;
    setType(type: string): unknown;
    setName(name: string): unknown;
}

function named<Request extends OnResource>(request: Request, urn: string): Request {
    const [, , type, name] = urn.split("::");
    request.setUrn(urn);
    request.setType(type ?? "");
    request.setName(name ?? "");
    return request;
}

function struct(input: Values): Struct {
    return Struct.fromJavaScript(input);
}

function values(output: Struct | undefined): Values {
    return output?.toJavaScript() ?? {};
}
