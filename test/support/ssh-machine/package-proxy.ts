import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { aptSources } from "../../../toolchain/images/root-fs";

/** An HTTP proxy that forwards to the hosts of this machine's package sources, and to nobody else. */
export class PackageProxy {
    private constructor(
        private readonly server: Server,
        /** `http://ADDRESS:PORT`. */
        readonly url: string,
    ) {}

    /** @param address of this machine, to listen on */
    static async open(address: string): Promise<PackageProxy> {
        const hosts = new Set(aptSources().map(({ uri }) => new URL(uri).host));
        const server = createServer((asked, answer) => forward(hosts, asked, answer));
        server.on("connect", (asked: IncomingMessage, client: Duplex) => tunnel(hosts, asked, client));
        await new Promise<void>((done, failed) => server.once("error", failed).listen(0, address, done));
        return new PackageProxy(server, `http://${address}:${(server.address() as AddressInfo).port}`);
    }

    async close(): Promise<void> {
        this.server.closeAllConnections();
        await new Promise((done) => this.server.close(done));
    }
}

function forward(hosts: ReadonlySet<string>, asked: IncomingMessage, answer: ServerResponse): void {
    const url = URL.canParse(asked.url ?? "") ? new URL(asked.url ?? "") : undefined;
    if (url?.protocol !== "http:" || !hosts.has(url.host)) {
        answer.writeHead(403, "Not a package source").end();
        return;
    }
    const onward = request(url, { method: asked.method ?? "GET", headers: asked.headers }, (got) => {
        answer.writeHead(got.statusCode ?? 502, got.headers);
        got.pipe(answer);
    });
    onward.once("error", () => (answer.headersSent ? answer.destroy() : answer.writeHead(502).end()));
    asked.pipe(onward);
}

/** For sources with https: `CONNECT HOST:443`. */
function tunnel(hosts: ReadonlySet<string>, asked: IncomingMessage, client: Duplex): void {
    const [host = "", port = ""] = (asked.url ?? "").split(":");
    if (port !== "443" || !hosts.has(host)) {
        client.end("HTTP/1.1 403 Not a package source\r\n\r\n");
        return;
    }
    const onward = connect(443, host, () => {
        client.write("HTTP/1.1 200 OK\r\n\r\n");
        client.pipe(onward).pipe(client);
    });
    onward.once("error", () => client.destroy());
    client.once("error", () => onward.destroy());
}
