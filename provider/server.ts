import * as grpc from "@grpc/grpc-js";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { Struct } from "google-protobuf/google/protobuf/struct_pb";
import { PluginInfo } from "@pulumi/pulumi/proto/plugin_pb";
import { ResourceProviderService } from "@pulumi/pulumi/proto/provider_grpc_pb";
import * as proto from "@pulumi/pulumi/proto/provider_pb";
import { z } from "zod";
import { connect, Harbor, type Connection } from "./client";
import { afterRead, checkInputs, difference, plannedState, stateOf, type AnyResource, type Failure } from "./resource";
import { equal, hasUnknown, markSecrets, omit, pick, plain, present, textsIn, type Values } from "./values";
import { within } from "./within";

/**
 * The ResourceProvider service, on Pulumi's protocol itself: the server in `@pulumi/pulumi/provider` (3.248) drops the
 * provider's configuration, tells no preview from an update, and prints the stack of every error.
 *
 * The engine strips the marks of secrets from what it sends about resources, since this plugin does not claim to accept
 * them, and puts those of the program back on what it gets; those that a resource's type knows are added here.
 */

const PACKAGE = "harborage";
const VERSION = "0.1.0";

const configuration = z.strictObject({
    url: z
        .string("expected a URL, for example https://registry.example.com")
        .refine(
            (url) => URL.canParse(url) && new URL(url).protocol === "https:" && new URL(url).pathname === "/",
            "expected the registry's URL, for example https://registry.example.com or https://registry.example.com:8443",
        ),
    address: z
        .string()
        .refine(
            (address) => URL.canParse(`https://${address}`) && new URL(`https://${address}`).pathname === "/",
            "expected HOST or HOST:PORT, for example 192.0.2.10:443",
        )
        .optional(),
    caCertificate: z.string().includes("-----BEGIN CERTIFICATE-----", "expected a certificate in PEM").optional(),
    username: z.string("expected a user's name").min(1).default("admin"),
    password: z.string("expected the user's password").min(1, "expected the user's password"),
});

type Answer<Request, Response> = (request: Request, signal: AbortSignal) => Response | Promise<Response>;

/** What all requests about one resource carry. */
interface ResourceRequest {
    getUrn(): string;
    getTimeout?(): number;
}

export class ProviderServer {
    private readonly cancelled = new AbortController();
    private connection: { readonly settings: Connection; readonly agent: ReturnType<typeof connect> } | undefined;

    /**
     * @param types by token, such as `harborage:harbor:Project`
     * @param warn shows a warning about a resource
     */
    constructor(
        private readonly types: Readonly<Record<string, AnyResource>>,
        private readonly warn: (urn: string, text: string) => void,
    ) {}

    /** Serves on a free port of 127.0.0.1, and returns it. */
    start(): Promise<number> {
        const server = new grpc.Server({ "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 });
        // What is not here is answered UNIMPLEMENTED by the library, which the engine takes for an older plugin.
        server.addService(ResourceProviderService, {
            getPluginInfo: unary(() => new PluginInfo().setVersion(VERSION)),
            getSchema: unary(() =>
                new proto.GetSchemaResponse().setSchema(JSON.stringify({ name: PACKAGE, version: VERSION })),
            ),
            attach: unary(() => new Empty()),
            cancel: unary(() => {
                this.cancelled.abort();
                return new Empty();
            }),
            checkConfig: unary((request: proto.CheckRequest) => {
                const news = omit(fromStruct(request.getNews()), ["version"]);
                const { inputs, failures } = checkInputs(configuration, news);
                return checked(inputs, failures, ["password"]);
            }),
            diffConfig: unary((request: proto.DiffRequest) =>
                // Another address or password is the same Harbor: nothing is made anew.
                differs(!equal(fromStruct(request.getOldInputs()), fromStruct(request.getNews()))),
            ),
            configure: unary((request: proto.ConfigureRequest) => this.configure(request)),
            check: this.about((type, request: proto.CheckRequest) => {
                const { inputs, failures } = checkInputs(type.inputs, fromStruct(request.getNews()));
                const together =
                    failures.length === 0 && !hasUnknown(inputs) ? type.checkTogether?.(inputs) : undefined;
                return checked(inputs, together ?? failures, type.secrets);
            }),
            diff: this.about(async (type, request: proto.DiffRequest, harbor) => {
                const [state, inputs] = [fromStruct(request.getOlds()), fromStruct(request.getNews())];
                if (type.examine !== undefined && !hasUnknown(inputs)) {
                    await type.examine(harbor(), state, inputs, (text) => this.warn(request.getUrn(), text));
                }
                const { changed, replaces, deleteBeforeReplace } = difference(type, state, inputs);
                return differs(changed.length > 0)
                    .setDiffsList([...changed])
                    .setReplacesList([...replaces])
                    .setDeletebeforereplace(deleteBeforeReplace);
            }),
            create: this.about(async (type, request: proto.CreateRequest, harbor) => {
                const inputs = fromStruct(request.getProperties());
                if (request.getPreview()) {
                    return new proto.CreateResponse().setProperties(
                        toStruct(plannedState(type, undefined, inputs), type.secrets),
                    );
                }
                const { id, outputs } = await type.create(harbor(), inputs);
                return new proto.CreateResponse()
                    .setId(id)
                    .setProperties(toStruct(stateOf(type, inputs, outputs), type.secrets));
            }),
            read: this.about(async (type, request: proto.ReadRequest, harbor) => {
                const recorded = fromStruct(request.getProperties());
                const known = Object.keys(recorded).length === 0 ? undefined : recorded;
                const found = await type.read(harbor(), request.getId(), known);
                // Without an id: it is gone.
                if (found === undefined) {
                    return new proto.ReadResponse();
                }
                const { state, inputs } = afterRead(type, fromStruct(request.getInputs()), found);
                return new proto.ReadResponse()
                    .setId(request.getId())
                    .setProperties(toStruct(state, type.secrets))
                    .setInputs(toStruct(inputs, type.secrets));
            }),
            update: this.about(async (type, request: proto.UpdateRequest, harbor) => {
                const [state, inputs] = [fromStruct(request.getOlds()), fromStruct(request.getNews())];
                if (request.getPreview()) {
                    return new proto.UpdateResponse().setProperties(
                        toStruct(plannedState(type, state, inputs), type.secrets),
                    );
                }
                const outputs = await type.update(harbor(), request.getId(), state, inputs);
                return new proto.UpdateResponse().setProperties(toStruct(stateOf(type, inputs, outputs), type.secrets));
            }),
            delete: this.about(async (type, request: proto.DeleteRequest, harbor) => {
                await type.delete(harbor(), request.getId(), fromStruct(request.getProperties()));
                return new Empty();
            }),
        });
        return new Promise((resolve, reject) =>
            server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) =>
                error ? reject(error) : resolve(port),
            ),
        );
    }

    private configure(request: proto.ConfigureRequest): proto.ConfigureResponse {
        const given = pick(fromStruct(request.getArgs()), Object.keys(configuration.shape));
        const { inputs, failures } = checkInputs(configuration, given);
        if (failures.length > 0) {
            const mistakes = failures.map(({ property, reason }) => `${property}: ${reason}`);
            throw new Error(`${PACKAGE}: the provider's ${mistakes.join("; ")}`);
        }
        const settings = inputs as unknown as Connection;
        this.connection = { settings, agent: connect(settings) };
        return new proto.ConfigureResponse().setSupportspreview(true);
    }

    /** A method about one resource. Its errors say which, and no secret of it. */
    private about<Request extends ResourceRequest, Response>(
        method: (type: AnyResource, request: Request, harbor: () => Harbor) => Response | Promise<Response>,
    ): grpc.handleUnaryCall<Request, Response> {
        return unary(async (request, hungUp) => {
            const [, , types = "", name = ""] = request.getUrn().split("::");
            const token = types.split("$").pop() ?? "";
            const type = this.types[token];
            if (type === undefined) {
                throw new Error(`there is no resource type ${token}; there are ${Object.keys(this.types).join(", ")}`);
            }
            try {
                const limit = (request.getTimeout?.() ?? 0) * 1000;
                return await within(limit, [this.cancelled.signal, hungUp], async (signal) =>
                    method(type, request, () => this.harbor(signal)),
                );
            } catch (error) {
                const text = error instanceof Error ? error.message : String(error);
                const about = `${PACKAGE}: ${type.title} ${name}: ${text}`;
                throw new Error(without(this.secretsOf(type, request), about), { cause: error });
            }
        });
    }

    private harbor(signal: AbortSignal): Harbor {
        if (this.connection === undefined) {
            throw new Error("the provider has not been configured");
        }
        const { settings, agent } = this.connection;
        return new Harbor(settings, agent, signal);
    }

    private secretsOf(type: AnyResource, request: object): string[] {
        const structs = ["getOlds", "getNews", "getProperties", "getInputs"].flatMap((getter) => {
            const get = (request as Record<string, unknown>)[getter];
            return typeof get === "function" ? [fromStruct((get as () => Struct | undefined).call(request))] : [];
        });
        const password = this.connection?.settings.password ?? "";
        return [password, ...structs.flatMap((values) => textsIn(Object.values(pick(values, type.secrets))))];
    }
}

/** A method whose errors become gRPC errors with the message alone. */
function unary<Request, Response>(answer: Answer<Request, Response>): grpc.handleUnaryCall<Request, Response> {
    return (call, callback) => {
        const hungUp = new AbortController();
        call.once("cancelled", () => hungUp.abort());
        Promise.resolve()
            .then(() => answer(call.request, hungUp.signal))
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

/** The text with these secrets taken out; unknown ones and those too short to be told from other text are left. */
function without(secrets: readonly string[], text: string): string {
    return secrets
        .filter((secret) => secret.length >= 4 && !hasUnknown(secret))
        .reduce((rest, secret) => rest.replaceAll(secret, "[secret]"), text);
}

/** The engine shows the value of a property that is named as wrong, also when it is secret: those are named in the reason. */
function checked(inputs: Values, failures: readonly Failure[], secrets: readonly string[]): proto.CheckResponse {
    const isSecret = (property: string): boolean => secrets.includes(property.split(".")[0] ?? "");
    return new proto.CheckResponse()
        .setInputs(toStruct(inputs, secrets))
        .setFailuresList(
            failures.map(({ property, reason }) =>
                isSecret(property)
                    ? new proto.CheckFailure().setReason(`${property}: ${reason}`)
                    : new proto.CheckFailure().setProperty(property).setReason(reason),
            ),
        );
}

function differs(different: boolean): proto.DiffResponse {
    const { DIFF_SOME, DIFF_NONE } = proto.DiffResponse.DiffChanges;
    return new proto.DiffResponse().setChanges(different ? DIFF_SOME : DIFF_NONE);
}

function fromStruct(struct: Struct | undefined): Values {
    return present(plain(struct?.toJavaScript() ?? {}) as Values);
}

function toStruct(values: Values, secrets: readonly string[]): Struct {
    return Struct.fromJavaScript(markSecrets(values, secrets) as Parameters<typeof Struct.fromJavaScript>[0]);
}
