import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** How a node answers: `sick` as Harbor does when a component is ill, `mute` takes connections and says nothing. */
export type Condition = "well" | "sick" | "mute" | "dead";

/** What a load balancer sees of a node with Harbor, on an address of its own. */
export class FakeNode {
    /** Requests of clients, not of probes. */
    requests = 0;
    /** How long a request of a client takes, in milliseconds. */
    milliseconds = 0;
    private condition: Condition = "dead";
    private server: Server | undefined;
    private readonly sockets = new Set<Socket>();

    constructor(
        readonly name: string,
        readonly address: string,
        readonly port: number,
    ) {}

    async become(condition: Condition): Promise<void> {
        this.condition = condition;
        if (condition === "dead") {
            this.server?.close();
            this.server = undefined;
            for (const socket of this.sockets) {
                socket.destroy();
            }
        } else if (this.server === undefined) {
            const server = createServer((request, response) => this.answer(request, response));
            server.keepAliveTimeout = 120_000;
            server.on("connection", (socket) => {
                this.sockets.add(socket);
                socket.on("close", () => this.sockets.delete(socket)).on("error", () => undefined);
            });
            this.server = server;
            await new Promise<void>((done) => server.listen(this.port, this.address, done));
        }
    }

    private answer(request: IncomingMessage, response: ServerResponse): void {
        request.resume();
        const isProbe = request.headers["user-agent"]?.startsWith("harborage-lb") === true;
        this.requests += isProbe ? 0 : 1;
        if (this.condition === "mute") {
            return;
        }
        const send = (status: number, body: unknown) => {
            response.writeHead(status, { "content-type": "application/json", "x-node": this.name });
            response.end(JSON.stringify(body));
        };
        const path = request.url ?? "";
        if (path === "/api/v2.0/health") {
            const status = this.condition === "sick" ? "unhealthy" : "healthy";
            const components = [
                { name: "core", status: "healthy" },
                { name: "jobservice", status },
            ];
            send(200, { components, status });
        } else if (path.startsWith("/service/token")) {
            send(200, { token: "a.b.c" });
        } else if (path === "/v2/") {
            send(401, {});
        } else if (path.includes("/uploads/lost")) {
            send(500, {});
        } else {
            setTimeout(() => send(200, { node: this.name }), this.milliseconds);
        }
    }
}
