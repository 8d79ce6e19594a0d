import * as grpc from "@grpc/grpc-js";
import { EngineService } from "@pulumi/pulumi/proto/engine_grpc_pb";
import * as engine from "@pulumi/pulumi/proto/engine_pb";
import { ResourceMonitorService } from "@pulumi/pulumi/proto/resource_grpc_pb";
import * as resource from "@pulumi/pulumi/proto/resource_pb";
import * as provider from "@pulumi/pulumi/proto/provider_pb";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";

/** What a program told the engine while it ran. */
export interface Observed {
    /** Type tokens of the registered resources, in order. */
    registered: string[];
    /** Error messages that the program logged. */
    errors: string[];
    /** Whether the program said that it had declared everything. */
    finished: boolean;
}

/** A running stand-in for the Pulumi engine. */
export interface FakeEngine {
    /** `host:port`, for `--monitor` and `--engine`. */
    address: string;
    /** What the current program did; `reset` starts a new record. */
    observed: () => Observed;
    reset: () => void;
    close: () => void;
}

type Unary<Req, Res> = grpc.handleUnaryCall<Req, Res>;

/**
 * Starts a resource monitor and engine that accept everything at once, so that only the program's own time is measured.
 * Registered resources come back with their inputs as outputs; nothing is created.
 */
export async function startFakeEngine(): Promise<FakeEngine> {
    let seen: Observed = { registered: [], errors: [], finished: false };
    let root = "";

    const supportsFeature: Unary<resource.SupportsFeatureRequest, resource.SupportsFeatureResponse> = (_call, done) => {
        const answer = new resource.SupportsFeatureResponse();
        answer.setHassupport(true);
        done(null, answer);
    };
    const registerResource: Unary<resource.RegisterResourceRequest, resource.RegisterResourceResponse> = (
        { request },
        done,
    ) => {
        seen.registered.push(request.getType());
        const answer = new resource.RegisterResourceResponse();
        answer.setUrn(`urn:pulumi:bench::harborage::${request.getType()}::${request.getName()}`);
        if (request.getCustom()) {
            answer.setId(`id-${request.getName()}`);
        }
        answer.setObject(request.getObject());
        done(null, answer);
    };
    const registerPackage: Unary<resource.RegisterPackageRequest, resource.RegisterPackageResponse> = (_call, done) => {
        const answer = new resource.RegisterPackageResponse();
        answer.setRef("package");
        done(null, answer);
    };
    const invoke: Unary<resource.ResourceInvokeRequest, provider.InvokeResponse> = ({ request }, done) => {
        const answer = new provider.InvokeResponse();
        answer.setReturn(request.getArgs());
        done(null, answer);
    };
    const shutdown: Unary<Empty, Empty> = (_call, done) => {
        seen.finished = true;
        done(null, new Empty());
    };
    const log: Unary<engine.LogRequest, Empty> = ({ request }, done) => {
        if (request.getSeverity() === engine.LogSeverity.ERROR) {
            seen.errors.push(request.getMessage());
        }
        done(null, new Empty());
    };
    const getRoot: Unary<engine.GetRootResourceRequest, engine.GetRootResourceResponse> = (_call, done) => {
        const answer = new engine.GetRootResourceResponse();
        answer.setUrn(root);
        done(null, answer);
    };
    const setRoot: Unary<engine.SetRootResourceRequest, engine.SetRootResourceResponse> = ({ request }, done) => {
        root = request.getUrn();
        done(null, new engine.SetRootResourceResponse());
    };
    const nothing: Unary<unknown, Empty> = (_call, done) => {
        done(null, new Empty());
    };

    const server = new grpc.Server();
    server.addService(ResourceMonitorService, {
        supportsFeature,
        registerResource,
        registerPackage,
        invoke,
        registerResourceOutputs: nothing,
        registerResourceHook: nothing,
        signalAndWaitForShutdown: shutdown,
    });
    server.addService(EngineService, {
        log,
        getRootResource: getRoot,
        setRootResource: setRoot,
        requirePulumiVersion: (_call: unknown, done: grpc.sendUnaryData<engine.RequirePulumiVersionResponse>): void => {
            done(null, new engine.RequirePulumiVersionResponse());
        },
    });
    const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
            if (error) {
                reject(error);
            } else {
                resolve(bound);
            }
        });
    });
    return {
        address: `127.0.0.1:${String(port)}`,
        observed: () => seen,
        reset: () => {
            seen = { registered: [], errors: [], finished: false };
            root = "";
        },
        close: () => {
            server.forceShutdown();
        },
    };
}
