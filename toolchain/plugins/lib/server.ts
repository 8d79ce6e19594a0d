import * as grpc from "@grpc/grpc-js";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { Struct } from "google-protobuf/google/protobuf/struct_pb";
import { PluginInfo, type PluginAttach } from "@pulumi/pulumi/proto/plugin_pb";
import { ResourceProviderService, type IResourceProviderServer } from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as proto from "@pulumi/pulumi/proto/provider_pb";
import { Engine } from "./engine";
import { Operations } from "./operations";
import type { Context, Difference, PropertyChange, ResourceType } from "./resource";
import { refusal } from "./stack-guard";
import { withoutNulls, type Values } from "./values";

export interface Plugin {
    /** As in the official plugin: "random". */
    readonly name: string;
    /** The version of the official plugin whose behaviour is offered. */
    readonly version: string;
    /** Whether inputs and state are handed over with their marks of secrets; else the engine puts these back. */
    readonly acceptSecrets: boolean;
    /** By type token, such as "random:index/randomBytes:RandomBytes". */
    readonly resources: Readonly<Record<string, ResourceType>>;
}

type Method<Request, Response> = grpc.handleUnaryCall<Request, Response>;

/** The ResourceProvider service of one stand-in, on gRPC. */
export class PluginServer {
    private readonly title: string;
    private readonly operations: Operations;
    private engine: Engine | undefined;
    private introduced = false;

    constructor(private readonly plugin: Plugin) {
        this.title = `${plugin.name} ${plugin.version}`;
        this.operations = new Operations();
    }

    /**
     * Serves on a free port of 127.0.0.1 until the engine is gone.
     *
     * @param engineAddress the engine's address; without one only the terminal ends the server.
     * @returns the port.
     */
    async start(engineAddress: string | undefined): Promise<number> {
        const server = new grpc.Server({
            "grpc.max_receive_message_length": -1,
            "grpc.max_send_message_length": -1,
        });
        server.addService(ResourceProviderService, this.service());
        const port = await new Promise<number>((resolve, reject) =>
            server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
                error ? reject(error) : resolve(bound),
            ),
        );
        if (engineAddress) {
            this.attach(engineAddress);
        }
        return port;
    }

    private attach(address: string): void {
        this.engine?.close();
        const engine = new Engine(address);
        this.engine = engine;
        engine.onGone(() => {
            if (this.engine === engine) {
                // Nobody is left to take the result; what still runs is ended and waited for, so that it cannot
                // work on the machine at the same time as the next update.
                void this.operations.end("engine is gone").then(() => process.exit(0));
            }
        });
    }

    private service(): grpc.UntypedServiceImplementation {
        const service: Partial<IResourceProviderServer> = {
            handshake: this.answer(() =>
                new proto.ProviderHandshakeResponse()
                    .setAcceptSecrets(this.plugin.acceptSecrets)
                    .setAcceptResources(true),
            ),
            getPluginInfo: this.answer(() => new PluginInfo().setVersion(`${this.plugin.version}+stand-in`)),
            attach: this.answer((request: PluginAttach) => {
                this.attach(request.getAddress());
                return new Empty();
            }),
            cancel: this.answer(() => {
                this.operations.cancel("context canceled");
                return new Empty();
            }),
            getSchema: this.answer(() =>
                new proto.GetSchemaResponse().setSchema(
                    JSON.stringify({
                        name: this.plugin.name,
                        version: this.plugin.version,
                        description: `Stand-in for the official plugin ${this.title}`,
                    }),
                ),
            ),
            checkConfig: this.answer((request: proto.CheckRequest) =>
                new proto.CheckResponse().setInputs(toStruct(fromStruct(request.getNews()))),
            ),
            diffConfig: this.answer(() =>
                new proto.DiffResponse().setChanges(proto.DiffResponse.DiffChanges.DIFF_NONE),
            ),
            configure: this.answer(async () => {
                await this.introduce();
                return new proto.ConfigureResponse()
                    .setAcceptsecrets(this.plugin.acceptSecrets)
                    .setAcceptresources(true)
                    .setSupportspreview(true);
            }),
            check: this.onResource((type, context, request: proto.CheckRequest) => this.check(type, context, request)),
            diff: this.onResource((type, context, request: proto.DiffRequest) => this.diff(type, context, request)),
            create: this.onResource((type, context, request: proto.CreateRequest) =>
                this.create(type, context, request),
            ),
            read: this.onResource((type, context, request: proto.ReadRequest) => this.read(type, context, request)),
            update: this.onResource((type, context, request: proto.UpdateRequest) =>
                this.update(type, context, request),
            ),
            delete: this.onResource(async (type, context, request: proto.DeleteRequest) => {
                await type.delete(context, { id: request.getId(), state: fromStruct(request.getProperties()) });
                return new Empty();
            }),
            invoke: this.answer((request: proto.InvokeRequest) => this.unknownFunction(request.getTok())),
            call: this.answer((request: proto.CallRequest) => this.unknownFunction(request.getTok())),
            construct: this.answer((request: proto.ConstructRequest) => this.unknownResource(request.getType())),
            parameterize: this.answer(() => {
                throw new Error(`${this.standIn()} takes no parameters`);
            }),
            getMapping: this.answer(() => new proto.GetMappingResponse()),
            getMappings: this.answer(() => new proto.GetMappingsResponse()),
        };
        return service as grpc.UntypedServiceImplementation;
    }

    private async check(
        type: ResourceType,
        context: Context,
        request: proto.CheckRequest,
    ): Promise<proto.CheckResponse> {
        const news = fromStruct(request.getNews());
        const { inputs, failures } = await type.check(context, { olds: fromStruct(request.getOlds()), news });
        return new proto.CheckResponse()
            .setInputs(toStruct(inputs))
            .setFailuresList(
                failures.map(({ property, reason }) =>
                    new proto.CheckFailure().setProperty(property).setReason(reason),
                ),
            );
    }

    private async diff(type: ResourceType, context: Context, request: proto.DiffRequest): Promise<proto.DiffResponse> {
        return diffResponse(
            await type.diff(context, {
                id: request.getId(),
                state: fromStruct(request.getOlds()),
                oldInputs: fromStruct(request.getOldInputs()),
                inputs: fromStruct(request.getNews()),
                ignore: request.getIgnorechangesList(),
            }),
        );
    }

    private async create(
        type: ResourceType,
        context: Context,
        request: proto.CreateRequest,
    ): Promise<proto.CreateResponse> {
        const inputs = fromStruct(request.getProperties());
        const { id, state } = await type.create(context, { inputs, preview: request.getPreview() });
        return new proto.CreateResponse().setId(id).setProperties(toStruct(state));
    }

    private async read(type: ResourceType, context: Context, request: proto.ReadRequest): Promise<proto.ReadResponse> {
        const { id, state, inputs } = await type.read(context, {
            id: request.getId(),
            state: fromStruct(request.getProperties()),
            inputs: fromStruct(request.getInputs()),
        });
        return new proto.ReadResponse().setId(id).setProperties(toStruct(state)).setInputs(toStruct(inputs));
    }

    private async update(
        type: ResourceType,
        context: Context,
        request: proto.UpdateRequest,
    ): Promise<proto.UpdateResponse> {
        const state = await type.update(context, {
            id: request.getId(),
            state: fromStruct(request.getOlds()),
            oldInputs: fromStruct(request.getOldInputs()),
            inputs: fromStruct(request.getNews()),
            ignore: request.getIgnorechangesList(),
            preview: request.getPreview(),
        });
        return new proto.UpdateResponse().setProperties(toStruct(state));
    }

    /** A method whose errors become gRPC errors with the message alone, never with a stack trace. */
    private answer<Request, Response>(
        method: (request: Request, call: grpc.ServerUnaryCall<Request, Response>) => Response | Promise<Response>,
    ): Method<Request, Response> {
        return (call, callback) => {
            Promise.resolve()
                .then(() => method(call.request, call))
                .then(
                    (response) => callback(null, response),
                    (error: unknown) =>
                        callback({
                            code: grpc.status.UNKNOWN,
                            details: error instanceof Error ? error.message : String(error),
                        }),
                );
        };
    }

    /** A method on one resource: finds its type, refuses foreign stacks and can be cancelled. */
    private onResource<
        Request extends { getUrn(): string; getType(): string; getName(): string; getTimeout?(): number },
        Response,
    >(
        method: (type: ResourceType, context: Context, request: Request) => Promise<Response>,
    ): Method<Request, Response> {
        return this.answer((request, call) => {
            const urn = request.getUrn();
            const parts = urn.split("::");
            const token = request.getType() || (parts[2]?.split("$").pop() ?? "");
            const type = this.plugin.resources[token] ?? this.unknownResource(token);
            const refused = refusal(urn, this.title);
            if (refused !== undefined) {
                if (request instanceof proto.CheckRequest) {
                    const failure = new proto.CheckFailure().setReason(refused);
                    return new proto.CheckResponse().setFailuresList([failure]) as Response;
                }
                throw new Error(refused);
            }
            return this.operations.run(call, request.getTimeout?.() ?? 0, (signal) => {
                const name = request.getName() || parts.slice(3).join("::");
                const log: Context["log"] = async (message, severity, ephemeral) =>
                    this.engine?.log(message, urn, severity, ephemeral);
                return method(type, { urn, name, signal, log }, request);
            });
        });
    }

    private unknownResource(token: string): never {
        const known = Object.keys(this.plugin.resources).join(", ");
        throw new Error(`${this.standIn()} has no resource type ${token}; it has ${known}`);
    }

    private unknownFunction(token: string): never {
        throw new Error(`${this.standIn()} has no function ${token}: it has no functions`);
    }

    private standIn(): string {
        return `the stand-in for the official plugin ${this.title}`;
    }

    private async introduce(): Promise<void> {
        if (!this.introduced) {
            this.introduced = true;
            await this.engine?.log(`${this.standIn()} is in use, as fits a stack of this machine only`, "");
        }
    }
}

function diffResponse(difference: Difference): proto.DiffResponse {
    const { DIFF_SOME, DIFF_NONE } = proto.DiffResponse.DiffChanges;
    const response = new proto.DiffResponse()
        .setChanges(difference.changed ? DIFF_SOME : DIFF_NONE)
        .setDiffsList([...difference.diffs])
        .setReplacesList([...difference.replaces])
        .setHasdetaileddiff(difference.detailed !== undefined);
    for (const [path, change] of difference.detailed ?? []) {
        response
            .getDetaileddiffMap()
            .set(path, new proto.PropertyDiff().setKind(changeKind(change)).setInputdiff(change.input));
    }
    return response;
}

function changeKind({ kind, replace }: PropertyChange): proto.PropertyDiff.Kind {
    const { ADD, ADD_REPLACE, DELETE, DELETE_REPLACE, UPDATE, UPDATE_REPLACE } = proto.PropertyDiff.Kind;
    switch (kind) {
        case "add":
            return replace ? ADD_REPLACE : ADD;
        case "delete":
            return replace ? DELETE_REPLACE : DELETE;
        case "update":
            return replace ? UPDATE_REPLACE : UPDATE;
    }
}

function fromStruct(struct: Struct | undefined): Values {
    return withoutNulls(struct?.toJavaScript() ?? {});
}

function toStruct(values: Values): Struct {
    return Struct.fromJavaScript(values);
}
