import { createHash, randomFillSync } from "node:crypto";
import { Agent, request as httpsRequest } from "node:https";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import type { Access } from "./client";
import { sha256 } from "./image";
import { randomNumbers } from "./random";

const kibibyte = 1024;
const indexType = "application/vnd.oci.image.manifest.v1+json";

/** A request that was not answered as it had to be: an operation ends with its first one. */
export interface RequestFailure {
    /** For example `PATCH /v2/load/app-1/blobs/uploads/…`. */
    readonly request: string;
    /** Milliseconds since 1970, when it had failed. */
    readonly at: number;
    /** Undefined when there was no answer. */
    readonly status?: number;
    /** What was answered, or the error of the connection. */
    readonly reason: string;
    /** Whether it was sent on a connection that had been used before: one that the server may have been closing. */
    readonly reused: boolean;
}

export interface Blob {
    readonly digest: string;
    readonly size: number;
}

/** An image that a registry has acknowledged: what it must have from then on. */
export interface PushedImage {
    readonly repository: string;
    readonly tag: string;
    /** Of the manifest. */
    readonly digest: string;
    /** Config and layers. */
    readonly blobs: readonly Blob[];
}

/** How a layer is sent: as containerd does, as Docker does, in pieces, or not at all when another repository has it. */
export type Way = "whole" | "stream" | "chunks" | "mount";

export interface Operation {
    readonly kind: "push" | "pull" | "call";
    /** For a push: how its layers went. */
    readonly way?: Way;
    /** Milliseconds since 1970. */
    readonly began: number;
    readonly milliseconds: number;
    /** Requests that were sent, with those for tokens. */
    readonly requests: number;
    /** What was acknowledged by a push. */
    readonly image?: PushedImage;
    /** Undefined when it was acknowledged, or when everything that it asked for came and had the right digest. */
    readonly failure?: RequestFailure;
}

export interface LoadOptions {
    readonly access: Required<Access>;
    /** How many pushes go on at once. Default: 4. */
    readonly pushers?: number;
    /** How many pulls go on at once. Default: 4. */
    readonly pullers?: number;
    /** How many requests of {@link LoadOptions.calls} go on at once. Default: 1. */
    readonly callers?: number;
    /** After so many pushes it ends; without a number when it is told to. */
    readonly pushes?: number;
    readonly pulls?: number;
    /** Paths that are asked for with the password, in turns, and must answer 200. Default: none. */
    readonly calls?: readonly string[];
    /** What stands before the names of repositories; a project, for Harbor. Default: `load`. */
    readonly prefix?: string;
    /** Default: 8. */
    readonly repositories?: number;
    /** After so long without an end a request has failed, seconds. Default: 60. */
    readonly requestSeconds?: number;
    /** For sizes and for what is pulled. Default: 1. */
    readonly seed?: number;
}

class Failed extends Error {
    constructor(readonly failure: RequestFailure) {
        super(`${failure.request}: ${failure.reason}`);
    }
}

interface RequestOptions {
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: Buffer;
    /** `Authorization`. */
    readonly authorization?: string;
    /** Statuses that are no failure. */
    readonly expect: readonly number[];
}

interface Answer {
    readonly status: number;
    readonly headers: IncomingHttpHeaders;
    readonly body: Buffer;
    readonly digest: string;
}

/**
 * A client of the registry's API that sends what Docker, containerd and skopeo send and repeats nothing. Connections are
 * kept and used again.
 */
export class LoadClient {
    private readonly agent = new Agent({ keepAlive: true, maxSockets: Infinity });
    private readonly origin: string;
    /** How the registry wants to be shown who asks; undefined until it was asked. */
    private challenge: Promise<Challenge> | undefined;

    constructor(
        readonly access: Required<Access>,
        private readonly requestSeconds = 60,
    ) {
        this.origin = `https://${access.port === 443 ? access.name : `${access.name}:${access.port}`}`;
    }

    close(): void {
        this.agent.destroy();
    }

    /** Runs one operation; never rejects. */
    async operation(
        kind: Operation["kind"],
        work: (session: Session) => Promise<PushedImage | undefined>,
        way?: Way,
    ): Promise<Operation> {
        const began = Date.now();
        const session = new Session(this);
        const done = (more: Pick<Operation, "image" | "failure">): Operation => ({
            kind,
            ...(way === undefined ? {} : { way }),
            began,
            milliseconds: Date.now() - began,
            requests: session.requests,
            ...more,
        });
        try {
            const image = await work(session);
            return done(image === undefined ? {} : { image });
        } catch (error) {
            if (error instanceof Failed) {
                return done({ failure: error.failure });
            }
            throw error;
        }
    }

    /**
     * Who may do what, as `Authorization`.
     *
     * @param scopes such as `repository:load/app:pull,push`
     */
    async authorization(session: Session, scopes: readonly string[]): Promise<string> {
        this.challenge ??= this.ask();
        let challenge: Challenge;
        try {
            challenge = await this.challenge;
        } catch (error) {
            this.challenge = undefined;
            throw error;
        }
        if (challenge.kind === "basic") {
            return this.basic();
        }
        const url = new URL(challenge.realm);
        if (url.origin !== this.origin) {
            throw new Error(`the realm of tokens is ${challenge.realm}, and the registry is ${this.origin}`);
        }
        url.searchParams.set("service", challenge.service);
        url.searchParams.set("account", this.access.login.name);
        for (const scope of scopes) {
            url.searchParams.append("scope", scope);
        }
        const place = `${url.pathname}${url.search}`;
        const { body } = await session.request("GET", place, { authorization: this.basic(), expect: [200] });
        const { token } = JSON.parse(body.toString()) as { token: string };
        return `Bearer ${token}`;
    }

    basic(): string {
        const { name, password } = this.access.login;
        return `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
    }

    private async ask(): Promise<Challenge> {
        const { headers } = await this.request("GET", "/v2/", { expect: [401] });
        const header = headers["www-authenticate"] ?? "";
        const value = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(header)?.[1] ?? "";
        return /^bearer /i.test(header)
            ? { kind: "bearer", realm: value("realm"), service: value("service") }
            : { kind: "basic" };
    }

    /** Where an upload goes on, from the answer to its last request. */
    place(location: string | undefined): URL {
        const url = new URL(location ?? "", this.origin);
        if (url.origin !== this.origin) {
            throw new Error(`an upload goes on at ${url.origin}, and the registry is ${this.origin}`);
        }
        return url;
    }

    /** @throws Failed */
    async request(method: string, path: string, options: RequestOptions): Promise<Answer> {
        // What has come meanwhile is read first: a kept connection that the server has closed is not used again then.
        await nextTurn();
        await nextTurn();
        return this.send(method, path, options);
    }

    private send(method: string, path: string, options: RequestOptions): Promise<Answer> {
        const { name, port, address, ca } = this.access;
        const { body, authorization, headers, expect } = options;
        return new Promise((resolve, reject) => {
            const request = httpsRequest({
                host: address,
                port,
                servername: name,
                ca,
                agent: this.agent,
                method,
                path,
                headers: {
                    Host: new URL(this.origin).host,
                    "User-Agent": "harborage-load",
                    ...(authorization === undefined ? {} : { Authorization: authorization }),
                    ...(body === undefined
                        ? method === "GET" || method === "HEAD"
                            ? {}
                            : { "Content-Length": "0" }
                        : { "Content-Length": String(body.length) }),
                    ...headers,
                },
            });
            const fail = (reason: string, status?: number) =>
                reject(
                    new Failed({
                        request: `${method} ${path.replace(/\?.*/, "?…")}`,
                        at: Date.now(),
                        ...(status === undefined ? {} : { status }),
                        reason,
                        reused: request.reusedSocket,
                    }),
                );
            const timer = setTimeout(() => {
                fail(`no end after ${this.requestSeconds} s`);
                request.destroy();
            }, this.requestSeconds * 1000);
            const read = async (response: IncomingMessage) => {
                const status = response.statusCode ?? 0;
                const hash = createHash("sha256");
                const parts: Buffer[] = [];
                for await (const part of response as AsyncIterable<Buffer>) {
                    hash.update(part);
                    parts.push(part);
                }
                const content = Buffer.concat(parts);
                if (!expect.includes(status)) {
                    fail(`status ${status}: ${content.toString().slice(0, 300).trim()}`, status);
                } else {
                    resolve({
                        status,
                        headers: response.headers,
                        body: content,
                        digest: `sha256:${hash.digest("hex")}`,
                    });
                }
            };
            request.once("close", () => clearTimeout(timer));
            request.once("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
            request.once("response", (response) => {
                read(response).catch((error: unknown) => fail(`cut off: ${String(error)}`, response.statusCode));
            });
            request.end(body);
        });
    }
}

type Challenge =
    { readonly kind: "basic" } | { readonly kind: "bearer"; readonly realm: string; readonly service: string };

/** The requests of one operation. */
export class Session {
    requests = 0;
    constructor(private readonly client: LoadClient) {}

    request(method: string, path: string, options: RequestOptions): Promise<Answer> {
        this.requests += 1;
        return this.client.request(method, path, options);
    }

    /** A request with the user's password. */
    call(path: string): Promise<Answer> {
        return this.request("GET", path, { authorization: this.client.basic(), expect: [200] });
    }

    /**
     * Pushes an image: blobs, then the manifest under its tag.
     *
     * @param layers each with its way; of one that is mounted, the repository that has it
     */
    async push(repository: string, tag: string, layers: readonly Layer[]): Promise<PushedImage> {
        const mounted = layers.flatMap(({ from }) => (from === undefined ? [] : [`repository:${from}:pull`]));
        const scopes = [`repository:${repository}:pull,push`, ...new Set(mounted)];
        const authorization = await this.client.authorization(this, scopes);
        const root = `/v2/${repository}`;
        const blobs: Blob[] = [];
        for (const layer of layers) {
            blobs.push(await this.upload(root, authorization, layer));
        }
        const config = Buffer.from(
            JSON.stringify({
                architecture: "amd64",
                os: "linux",
                config: { Labels: { image: `${repository}:${tag}` } },
                rootfs: { type: "layers", diff_ids: blobs.map(({ digest }) => digest) },
            }),
        );
        const top = await this.upload(root, authorization, { content: config, way: "whole" });
        const manifest = Buffer.from(
            JSON.stringify({
                schemaVersion: 2,
                mediaType: indexType,
                config: { mediaType: "application/vnd.oci.image.config.v1+json", ...top },
                layers: blobs.map((blob) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar", ...blob })),
            }),
        );
        await this.request("PUT", `${root}/manifests/${tag}`, {
            authorization,
            headers: { "Content-Type": indexType },
            body: manifest,
            expect: [201],
        });
        return { repository, tag, digest: `sha256:${sha256(manifest)}`, blobs: [top, ...blobs] };
    }

    private async upload(root: string, authorization: string, layer: Layer): Promise<Blob> {
        const { content, way, chunk = Math.ceil(content.length / 3), from } = layer;
        const blob = { digest: `sha256:${sha256(content)}`, size: content.length };
        // As every client does first; it is there when it was pushed to this repository before.
        const head = await this.request("HEAD", `${root}/blobs/${blob.digest}`, { authorization, expect: [200, 404] });
        if (head.status === 200) {
            return blob;
        }
        const uploads = `${root}/blobs/uploads/`;
        const mount = way === "mount" ? `?mount=${blob.digest}&from=${encodeURIComponent(from ?? "")}` : "";
        const opened = await this.request("POST", `${uploads}${mount}`, {
            authorization,
            expect: way === "mount" ? [201, 202] : [202],
        });
        if (opened.status === 201) {
            return blob;
        }
        let place = this.client.place(opened.headers.location);
        const send = async (part: Buffer, headers: Record<string, string>) => {
            const { headers: answered } = await this.request("PATCH", `${place.pathname}${place.search}`, {
                authorization,
                headers: { "Content-Type": "application/octet-stream", ...headers },
                body: part,
                expect: [202],
            });
            place = this.client.place(answered.location);
        };
        let rest = content;
        if (way === "stream") {
            await send(content, {});
            rest = content.subarray(content.length);
        } else if (way === "chunks") {
            for (let begin = 0; begin < content.length; begin += chunk) {
                const part = content.subarray(begin, begin + chunk);
                await send(part, { "Content-Range": `${begin}-${begin + part.length - 1}` });
            }
            rest = content.subarray(content.length);
        }
        place.searchParams.set("digest", blob.digest);
        await this.request("PUT", `${place.pathname}${place.search}`, {
            authorization,
            ...(rest.length > 0 ? { body: rest, headers: { "Content-Type": "application/octet-stream" } } : {}),
            expect: [201],
        });
        return blob;
    }

    /**
     * Pulls an image, and checks every digest and size.
     *
     * @param reference the tag or the digest; the manifest must be the image's
     */
    async pull(image: PushedImage, reference: string): Promise<undefined> {
        const { repository, digest, blobs } = image;
        const authorization = await this.client.authorization(this, [`repository:${repository}:pull`]);
        const get = async (path: string, expected: string, size?: number) => {
            const place = `/v2/${repository}/${path}`;
            const headers = { Accept: indexType };
            const answer = await this.request("GET", place, { authorization, headers, expect: [200] });
            if (answer.digest !== expected || (size !== undefined && answer.body.length !== size)) {
                throw new Failed({
                    request: `GET ${place}`,
                    at: Date.now(),
                    status: 200,
                    reason: `${answer.body.length} bytes with ${answer.digest}; expected ${size ?? ""} with ${expected}`,
                    reused: false,
                });
            }
        };
        await get(`manifests/${reference}`, digest);
        for (const blob of blobs) {
            await get(`blobs/${blob.digest}`, blob.digest, blob.size);
        }
        return undefined;
    }
}

export interface Layer {
    readonly content: Buffer;
    readonly way: Way;
    /** The size of a chunk, bytes. Default: a third. */
    readonly chunk?: number;
    /** For `mount`: the repository that has it. */
    readonly from?: string;
}

/** Bytes that no registry has seen. */
export function newContent(size: number): Buffer {
    return randomFillSync(Buffer.allocUnsafe(size));
}

const ways: readonly Way[] = ["whole", "stream", "chunks", "mount"];

/** What came of the operations of one kind. */
export interface Count {
    readonly acknowledged: number;
    readonly failed: number;
    /** The longest that one took, seconds. */
    readonly slowest: number;
}

/**
 * Pushes, pulls and calls of an API that go on at the same time. Call {@link stop}, or {@link done} when there are totals.
 *
 * ```ts
 * const load = Load.start({ access, pushes: 1000, pulls: 1000 });
 * await load.done;
 * assert.deepEqual(load.failures(), []);
 * assert.deepEqual(await load.verify(), []);
 * ```
 */
export class Load {
    /** In the order in which they ended. */
    readonly operations: Operation[] = [];
    readonly done: Promise<void>;
    private stopped = false;
    private ended = false;
    private begun = { push: 0, pull: 0, call: 0 };
    private pushing = true;
    private readonly client: LoadClient;
    private readonly random: () => number;
    private readonly images: PushedImage[] = [];
    /** The last layer that each repository is known to have. */
    private readonly layers = new Map<string, Buffer>();
    private readonly name = `t${Date.now().toString(36)}`;

    private constructor(private readonly options: LoadOptions) {
        const { pushers = 4, pullers = 4, calls = [], callers = calls.length > 0 ? 1 : 0 } = options;
        this.client = new LoadClient(options.access, options.requestSeconds);
        this.random = randomNumbers(options.seed ?? 1);
        const several = (count: number, work: () => Promise<void>) => Array.from({ length: count }, work);
        const pushing = Promise.all(several(pushers, () => this.keepPushing())).finally(() => (this.pushing = false));
        this.done = Promise.all([
            pushing,
            ...several(pullers, () => this.keepPulling()),
            ...several(callers, () => this.keepCalling(calls)),
        ])
            .then(() => undefined)
            .finally(() => {
                this.ended = true;
                this.client.close();
            });
        // Who waits for it later is told; until then it is no error of this process.
        this.done.catch(() => undefined);
    }

    static start(options: LoadOptions): Load {
        return new Load(options);
    }

    /** Begins nothing more, and waits for what is going on. */
    async stop(): Promise<void> {
        this.stopped = true;
        await this.done;
    }

    /**
     * Waits until so many operations more have ended, or all have.
     *
     * @param kind those that count. Default: of which kind ever
     */
    async more(operations: number, kind?: Operation["kind"]): Promise<void> {
        const all = () => this.operations.filter((operation) => kind === undefined || operation.kind === kind).length;
        const goal = all() + operations;
        while (all() < goal && !this.ended) {
            await sleep(20);
        }
    }

    failures(): Operation[] {
        return this.operations.filter(({ failure }) => failure !== undefined);
    }

    acknowledged(): readonly PushedImage[] {
        return this.images;
    }

    count(kind: Operation["kind"]): Count {
        const all = this.operations.filter((operation) => operation.kind === kind);
        const failed = all.filter(({ failure }) => failure !== undefined).length;
        const slowest = Math.max(0, ...all.map(({ milliseconds }) => milliseconds)) / 1000;
        return { acknowledged: all.length - failed, failed, slowest };
    }

    /** In one line, for people. */
    summary(): string {
        const kinds = (["push", "pull", "call"] as const)
            .filter((kind) => this.operations.some((operation) => operation.kind === kind))
            .map((kind) => {
                const { acknowledged, failed, slowest } = this.count(kind);
                return `${acknowledged} × ${kind}, ${failed} failed, slowest ${slowest.toFixed(1)} s`;
            });
        const requests = this.operations.reduce((sum, operation) => sum + operation.requests, 0);
        return `${kinds.join("; ")}; ${requests} requests`;
    }

    /** What failed and when, one line each, for people. */
    complaints(limit = 20): string[] {
        return this.failures()
            .slice(0, limit)
            .map(({ kind, way = "", failure }) => {
                const { at = 0, request = "", reason = "", reused = false } = failure ?? {};
                const time = new Date(at).toISOString().slice(11, 23);
                const text = reason.replace(/\s+/g, " ").slice(0, 160);
                return `${time} ${kind} ${way}: ${request}: ${text}${reused ? " (on a kept connection)" : ""}`;
            });
    }

    /**
     * Pulls every image whose push was acknowledged, and checks each byte of it.
     *
     * @param access another way to the registry, for example one node. Default: that of the load
     * @returns what is not there, one line each
     */
    async verify(access: Required<Access> = this.options.access): Promise<string[]> {
        const client = new LoadClient(access);
        const left = [...this.images];
        const wrong: string[] = [];
        const worker = async () => {
            for (let image = left.pop(); image !== undefined; image = left.pop()) {
                const pushed = image;
                // By its tag: with that the digest of the manifest is checked as well.
                const { failure } = await client.operation("pull", (session) => session.pull(pushed, pushed.tag));
                if (failure !== undefined) {
                    wrong.push(`${pushed.repository}:${pushed.tag}: ${failure.request}: ${failure.reason}`);
                }
            }
        };
        await Promise.all(Array.from({ length: 4 }, worker));
        client.close();
        return wrong;
    }

    private mayBegin(kind: Operation["kind"], total: number | undefined): boolean {
        const may = !this.stopped && this.begun[kind] < (total ?? Infinity);
        this.begun[kind] += may ? 1 : 0;
        return may;
    }

    private async keepPushing(): Promise<void> {
        const { pushes, prefix = "load", repositories = 8 } = this.options;
        while (this.mayBegin("push", pushes)) {
            const number = this.begun.push;
            const repository = `${prefix}/app-${number % repositories}`;
            const way = ways[number % ways.length] ?? "whole";
            const layers = this.newLayers(repository, way);
            const work = (session: Session) => session.push(repository, `${this.name}-${number}`, layers);
            const operation = await this.client.operation("push", work, way);
            this.operations.push(operation);
            if (operation.image !== undefined) {
                this.images.push(operation.image);
                this.layers.set(repository, layers[0]?.content ?? Buffer.alloc(0));
            }
        }
    }

    /** One layer or two, of 4 to 256 KiB; where one is mounted, another is new. */
    private newLayers(repository: string, way: Way): Layer[] {
        const fresh = () => newContent(Math.round((4 + this.random() * 252) * kibibyte));
        const others = [...this.layers].filter(([name]) => name !== repository);
        const [from, content] = others[Math.floor(this.random() * others.length)] ?? [];
        if (way === "mount") {
            const own: Layer = { content: fresh(), way: "stream" };
            return content === undefined || from === undefined ? [own] : [own, { content, way, from }];
        }
        return this.random() < 0.5
            ? [{ content: fresh(), way }]
            : [fresh(), fresh()].map((each) => ({ content: each, way }));
    }

    private async keepPulling(): Promise<void> {
        for (;;) {
            while (this.images.length === 0 && this.pushing && !this.stopped) {
                await sleep(20);
            }
            if (this.images.length === 0 || !this.mayBegin("pull", this.options.pulls)) {
                return;
            }
            // Half of them are what has just been pushed, maybe by way of another node.
            const newest = this.random() < 0.5 ? Math.max(0, this.images.length - 5) : 0;
            const image = this.images[newest + Math.floor(this.random() * (this.images.length - newest))];
            if (image !== undefined) {
                const reference = this.random() < 0.5 ? image.tag : image.digest;
                this.operations.push(await this.client.operation("pull", (session) => session.pull(image, reference)));
            }
        }
    }

    private async keepCalling(paths: readonly string[]): Promise<void> {
        while ((this.pushing || this.options.pushes === undefined) && this.mayBegin("call", undefined)) {
            const path = paths[this.begun.call % paths.length] ?? "/";
            this.operations.push(
                await this.client.operation("call", async (session) => {
                    await session.call(path);
                    return undefined;
                }),
            );
            await sleep(100);
        }
    }
}
