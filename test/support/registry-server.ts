import { createHash, createPrivateKey, sign, X509Certificate } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { hashSync } from "bcryptjs";
import { stringify } from "yaml";
import { registryProgram } from "../../toolchain/images/build";
import type { Access } from "./client";
import { freePorts } from "./launcher";
import { start, until, type Running } from "./processes";
import { selfSigned } from "./self-signed";

const name = "registry.test";
const login = { name: "admin", password: "secret" } as const;
const issuer = "test";
const service = "registry";

/** What the door does with a request instead of passing it on: cuts the connection, or answers with a status. */
export type Fault = "cut" | number | undefined;

/**
 * A CNCF Distribution on this machine, without containers, behind a door that ends TLS, hands out tokens as Harbor does
 * where they are wanted, and can be told to fail. Images are in a folder.
 */
export class RegistryServer {
    private registry: Running | undefined;
    /** Says for each request what goes wrong. */
    fault: (request: IncomingMessage) => Fault = () => undefined;

    private constructor(
        private readonly program: string,
        private readonly folder: string,
        private readonly port: number,
        private readonly door: Server,
        private readonly certificate: { readonly key: string; readonly cert: string },
        private readonly tokens: boolean,
    ) {}

    /** @param tokens whether clients need a token, which the password gets. Default: the password itself */
    static async start(folder: string, tokens = false): Promise<RegistryServer> {
        const program = await registryProgram();
        const [port = 0] = await freePorts(1);
        const certificate = selfSigned([`DNS:${name}`]);
        const door = createServer({ key: certificate.key, cert: certificate.cert });
        await new Promise<void>((done) => door.listen(0, "127.0.0.1", done));
        const server = new RegistryServer(program, folder, port, door, certificate, tokens);
        door.on("request", (asked: IncomingMessage, answer: ServerResponse) => server.pass(asked, answer));
        server.configure();
        await server.boot();
        return server;
    }

    get access(): Required<Access> {
        const { port } = this.door.address() as AddressInfo;
        return { name, port, address: "127.0.0.1", ca: this.certificate.cert, login };
    }

    /** Where images are. */
    get data(): string {
        return join(this.folder, "data");
    }

    private configure(): void {
        mkdirSync(this.folder, { recursive: true });
        const file = (part: string, content: string) => {
            writeFileSync(join(this.folder, part), content);
            return join(this.folder, part);
        };
        const realm = `https://${name}:${this.access.port}/service/token`;
        const auth = this.tokens
            ? { token: { realm, service, issuer, rootcertbundle: file("root.crt", this.certificate.cert) } }
            : {
                  htpasswd: {
                      realm: "test",
                      path: file("htpasswd", `${login.name}:${hashSync(login.password, 4)}\n`),
                  },
              };
        file(
            "config.yml",
            stringify({
                version: 0.1,
                log: { level: "error" },
                storage: { filesystem: { rootdirectory: this.data } },
                http: { addr: `127.0.0.1:${this.port}`, secret: "shared", relativeurls: true },
                auth,
            }),
        );
    }

    /** Starts the registry behind the door. */
    async boot(): Promise<void> {
        this.registry = start(this.program, ["serve", join(this.folder, "config.yml")], {
            env: { OTEL_TRACES_EXPORTER: "none" },
            seconds: 3600,
        });
        const { registry } = this;
        await until(`the registry answers: ${registry.output()}`, 60, () =>
            fetch(`http://127.0.0.1:${this.port}/v2/`).then(
                ({ status }) => status === 401,
                () => false,
            ),
        );
    }

    /** Ends it in the middle of what it does. */
    async kill(): Promise<void> {
        this.registry?.kill("SIGKILL");
        await this.registry?.done;
    }

    async close(): Promise<void> {
        await this.kill();
        this.door.closeAllConnections();
        await new Promise((done) => this.door.close(done));
    }

    private pass(asked: IncomingMessage, answer: ServerResponse): void {
        const fault = this.fault(asked);
        if (fault === "cut") {
            asked.socket.destroy();
            return;
        }
        if (fault !== undefined) {
            asked.resume();
            answer.writeHead(fault).end("as told");
            return;
        }
        const path = asked.url ?? "";
        if (path.startsWith("/service/token?")) {
            this.giveToken(asked, answer);
            return;
        }
        const { port } = this;
        const onward = httpRequest(
            { host: "127.0.0.1", port, method: asked.method, path, headers: asked.headers },
            (got) => {
                answer.writeHead(got.statusCode ?? 502, got.headers);
                got.pipe(answer);
                got.once("error", () => answer.destroy());
            },
        );
        onward.once("error", () => (answer.headersSent ? answer.destroy() : answer.writeHead(502).end()));
        asked.pipe(onward);
    }

    /** As Harbor's token service: `?service=…&scope=repository:NAME:pull,push&scope=…` with the password. */
    private giveToken(asked: IncomingMessage, answer: ServerResponse): void {
        const expected = `Basic ${Buffer.from(`${login.name}:${login.password}`).toString("base64")}`;
        if (asked.headers.authorization !== expected) {
            answer.writeHead(401).end();
            return;
        }
        const scopes = new URL(asked.url ?? "", "https://x").searchParams.getAll("scope");
        const access = scopes.map((scope) => {
            const [, repository, actions = ""] = /^repository:(.+):([a-z,]+)$/.exec(scope) ?? [];
            return { type: "repository", name: repository, actions: actions.split(",") };
        });
        const now = Math.floor(Date.now() / 1000);
        const chain = [new X509Certificate(this.certificate.cert).raw.toString("base64")];
        const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
        const id = createHash("sha256").update(String(Math.random())).digest("hex");
        const claims = { iss: issuer, aud: service, sub: login.name, iat: now, nbf: now - 10, exp: now + 300, jti: id };
        const signed = `${encode({ typ: "JWT", alg: "ES256", x5c: chain })}.${encode({ ...claims, access })}`;
        const key = createPrivateKey(this.certificate.key);
        const signature = sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" });
        answer.writeHead(200, { "Content-Type": "application/json" });
        answer.end(JSON.stringify({ token: `${signed}.${signature.toString("base64url")}` }));
    }
}
