import * as grpc from "@grpc/grpc-js";
import { EngineClient } from "@pulumi/pulumi/proto/engine_grpc_pb";
import { LogRequest, LogSeverity } from "@pulumi/pulumi/proto/engine_pb";

export type Severity = "debug" | "info" | "warning" | "error";

/** How long the engine may be out of reach before it counts as gone, in milliseconds: at first, and once it was reached. */
const NEVER_CAME = 60_000;
const GONE_AFTER = 2_000;

const SEVERITIES = {
    debug: LogSeverity.DEBUG,
    info: LogSeverity.INFO,
    warning: LogSeverity.WARNING,
    error: LogSeverity.ERROR,
} as const;

/** The engine that started this plugin: takes its messages, and its end is the plugin's end. */
export class Engine {
    private readonly client: EngineClient;

    /** @param address host:port, as given on the command line or by Attach. */
    constructor(address: string) {
        this.client = new EngineClient(address, grpc.credentials.createInsecure(), {
            "grpc.max_receive_message_length": -1,
            "grpc.max_send_message_length": -1,
            // An idle channel would be closed after half an hour and be taken for an engine that is gone.
            "grpc.client_idle_timeout_ms": 2_147_483_647,
        });
    }

    /**
     * Writes a message for a resource (or, with an empty URN, for the whole stack). Ephemeral messages show
     * while the resource is worked on and are not kept in the final output. Never fails: an engine that is
     * gone cannot be told.
     */
    log(message: string, urn: string, severity: Severity = "info", ephemeral = false): Promise<void> {
        const request = new LogRequest()
            .setMessage(message)
            .setUrn(urn)
            .setSeverity(SEVERITIES[severity])
            .setEphemeral(ephemeral);
        return new Promise((resolve) => this.client.log(request, () => resolve()));
    }

    /** Calls back once when the engine has gone away, also when it was killed. */
    onGone(callback: () => void): void {
        const channel = this.client.getChannel();
        let timer: NodeJS.Timeout | undefined;
        let patience = NEVER_CAME;
        const look = (): void => {
            const state = channel.getConnectivityState(true);
            if (state === grpc.connectivityState.SHUTDOWN) {
                clearTimeout(timer);
                return;
            }
            if (state === grpc.connectivityState.READY) {
                clearTimeout(timer);
                timer = undefined;
                patience = GONE_AFTER;
            } else {
                timer ??= setTimeout(callback, patience);
            }
            channel.watchConnectivityState(state, Infinity, look);
        };
        look();
    }

    close(): void {
        this.client.close();
    }
}
