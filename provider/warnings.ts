import * as grpc from "@grpc/grpc-js";
import { EngineClient } from "@pulumi/pulumi/proto/engine_grpc_pb";
import { LogRequest, LogSeverity } from "@pulumi/pulumi/proto/engine_pb";

/**
 * Shows warnings beside the resource that they are about.
 *
 * @param engine where it listens; without one they are not shown
 */
export function warnings(engine: string | undefined): (urn: string, text: string) => void {
    if (engine === undefined) {
        return () => undefined;
    }
    const client = new EngineClient(engine, grpc.credentials.createInsecure());
    return (urn, text) => {
        const request = new LogRequest().setSeverity(LogSeverity.WARNING).setUrn(urn).setMessage(text);
        // An engine that is not there any more shows nothing.
        client.log(request, () => undefined);
    };
}
