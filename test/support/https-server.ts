import type { RequestListener } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface HttpsServer {
    readonly port: number;
    /** Cuts whatever is connected; the port is free then. */
    close(): Promise<void>;
}

/** An https server of a test's own, on 127.0.0.1. @param port by default a free one */
export async function startHttpsServer(
    identity: { readonly key: string; readonly cert: string },
    listener: RequestListener,
    port = 0,
): Promise<HttpsServer> {
    const server = createServer({ key: identity.key, cert: identity.cert }, listener);
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    return {
        port: (server.address() as AddressInfo).port,
        close: () =>
            new Promise((resolve) => {
                server.close(() => resolve());
                server.closeAllConnections();
            }),
    };
}
