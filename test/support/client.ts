import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type PeerCertificate } from "node:tls";
import { attempt, type Ran } from "./processes";

export interface Login {
    readonly name: string;
    readonly password: string;
}

/** Where a registry is and how to get in. */
export interface Access {
    /** The name that the certificate has. */
    readonly name: string;
    readonly port: number;
    /** The address that the name stands for. Default: the machine's. */
    readonly address?: string;
    /** The CA to trust, PEM. */
    readonly ca: string;
    /** Nobody when it is not given. */
    readonly login?: Login;
}

export interface Answer {
    readonly status: number;
    readonly headers: IncomingHttpHeaders;
    readonly body: string;
}

export interface RequestOptions {
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: Buffer | string;
}

/** An address of this machine that is not loopback: Docker would not check a certificate there. */
export function machineAddress(): string {
    const found = Object.entries(networkInterfaces())
        .filter(([name]) => !/^(?:docker|br-|veth|hbswitch)/.test(name))
        .flatMap(([, infos]) => infos ?? [])
        .find((info) => info.family === "IPv4" && !info.internal);
    if (found === undefined) {
        throw new Error("this machine has no address but loopback; these tests need one");
    }
    return found.address;
}

function send(access: Access, method: string, path: string, options: RequestOptions): Promise<IncomingMessage> {
    const { name, port, ca, login, address = machineAddress() } = access;
    return new Promise((resolve, reject) => {
        const request = httpsRequest(
            {
                host: address,
                port,
                servername: name,
                method,
                path,
                ca,
                agent: false,
                headers: {
                    Host: port === 443 ? name : `${name}:${port}`,
                    Accept: "application/vnd.oci.image.manifest.v1+json, */*",
                    ...(login === undefined ? {} : { Authorization: basic(login) }),
                    ...options.headers,
                },
            },
            resolve,
        );
        request.once("error", reject).end(options.body);
    });
}

function basic({ name, password }: Login): string {
    return `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
}

/** A request of the registry's API, over verified TLS. */
export async function ask(access: Access, method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const response = await send(access, method, path, options);
    const body = await buffer(response);
    return { status: response.statusCode ?? 0, headers: response.headers, body: body.toString() };
}

/** The status of a plain request for the API's root: 200 for who may log in, 401 for others. */
export async function loginStatus(access: Access, login: Login): Promise<number> {
    return (await ask({ ...access, login }, "GET", "/v2/")).status;
}

/** A pull of a blob that takes its time until it is told to go on. */
export class SlowPull {
    /** Bytes so far. */
    received = 0;
    finished = false;
    private hurried = false;
    private constructor(private readonly response: IncomingMessage) {}

    static async start(access: Access, path: string): Promise<SlowPull> {
        const response = await send(access, "GET", path, {});
        if (response.statusCode !== 200) {
            throw new Error(`${path}: status ${response.statusCode}`);
        }
        return new SlowPull(response);
    }

    /** The SHA-256 of what came, hexadecimal; fails when the connection is cut. */
    async digest(): Promise<string> {
        const hash = createHash("sha256");
        for await (const chunk of this.response as AsyncIterable<Buffer>) {
            hash.update(chunk);
            this.received += chunk.length;
            if (!this.hurried) {
                await sleep(20);
            }
        }
        this.finished = true;
        return hash.digest("hex");
    }

    hurry(): void {
        this.hurried = true;
    }
}

/** The certificate that is served. */
export function servedCertificate({ name, port, ca, address = machineAddress() }: Access): Promise<PeerCertificate> {
    return new Promise((resolve, reject) => {
        const socket = connect({ host: address, port, servername: name, ca }, () => {
            resolve(socket.getPeerCertificate());
            socket.end();
        });
        socket.once("error", reject);
    });
}

/** Whether anything listens on a port of this machine. */
export function answers(port: number): Promise<boolean> {
    return new Promise((resolve) => {
        const socket = connect({ host: machineAddress(), port, rejectUnauthorized: false }, () => {
            socket.end();
            resolve(true);
        });
        socket.once("error", () => resolve(false));
    });
}

/** skopeo with settings of its own: nothing of this machine's users or of its trust is used or changed. */
export class Skopeo {
    private readonly authFile: string;

    /**
     * @param folder  for its files; made when it is not there
     * @param certificates the folder with the CA to trust, or undefined for what the system trusts
     * @param wrapper a program that runs skopeo, with its arguments. Default: none
     */
    constructor(
        readonly folder: string,
        readonly certificates?: string,
        private readonly wrapper: readonly string[] = [],
    ) {
        mkdirSync(folder, { recursive: true });
        this.authFile = join(folder, "auth.json");
        writeFileSync(this.authFile, "{}");
        writeFileSync(join(folder, "policy.json"), JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
    }

    private run(command: string, args: readonly string[], input = ""): Promise<Ran> {
        const skopeo = ["skopeo", "--policy", join(this.folder, "policy.json"), command, ...args];
        const [program = "", ...words] = [...this.wrapper, ...skopeo];
        return attempt(program, words, { input });
    }

    private trust(option: string): string[] {
        return this.certificates === undefined ? [] : [option, this.certificates];
    }

    login(host: string, { name, password }: Login): Promise<Ran> {
        const args = ["--authfile", this.authFile, "--username", name, "--password-stdin", host];
        return this.run("login", [...this.trust("--cert-dir"), ...args], password);
    }

    /** @param reference HOST/REPOSITORY:TAG */
    push(layout: string, reference: string): Promise<Ran> {
        const args = ["--authfile", this.authFile, "--preserve-digests", `oci:${layout}:latest`];
        return this.run("copy", [...this.trust("--dest-cert-dir"), ...args, `docker://${reference}`]);
    }

    /** Pulls into an OCI layout; skopeo checks the digest of everything. */
    pull(reference: string, layout: string): Promise<Ran> {
        const args = ["--authfile", this.authFile, "--preserve-digests", `docker://${reference}`];
        return this.run("copy", [...this.trust("--src-cert-dir"), ...args, `oci:${layout}:latest`]);
    }

    delete(reference: string): Promise<Ran> {
        return this.run("delete", [...this.trust("--cert-dir"), "--authfile", this.authFile, `docker://${reference}`]);
    }

    /** The digest of the manifest that a tag stands for. */
    async digest(reference: string): Promise<string> {
        const args = ["--authfile", this.authFile, "--format", "{{.Digest}}", `docker://${reference}`];
        const ran = await this.run("inspect", ["--no-tags", ...this.trust("--cert-dir"), ...args]);
        return ran.code === 0 ? ran.stdout.trim() : ran.output;
    }
}

/** The digest of the manifest in an OCI layout. */
export function layoutDigest(layout: string): string {
    const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as { manifests: { digest: string }[] };
    return index.manifests[0]?.digest ?? "";
}
