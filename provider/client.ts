import * as tls from "node:tls";
import { Agent, buildConnector, interceptors, request, type Dispatcher } from "undici";
import { within } from "./within";

/** Where a Harbor is, and how its API is entered. */
export interface Connection {
    /** `https://name[:port]`, as clients call it. */
    readonly url: string;
    /** Connect to this `host[:port]` instead; the name in {@link url} stays the one that is asked for and verified. */
    readonly address?: string | undefined;
    /** PEM. Default: the CAs that Node brings. */
    readonly caCertificate?: string | undefined;
    readonly username: string;
    readonly password: string;
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

interface Call {
    readonly query?: Readonly<Record<string, string | number>>;
    readonly body?: unknown;
    /** Beside the API, and without anybody's password. */
    readonly beside?: boolean;
}

interface Answer {
    readonly text: string;
    readonly location: string;
}

/** Times in milliseconds. */
const CONNECT_TIMEOUT = 10_000;
/** From the first try of a call to the end of the last one. On a starved machine Harbor takes more than a minute to answer. */
const CALL_DEADLINE = 180_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5_000;

/**
 * After a wrong password Harbor holds its answer back for 1.5 s and meanwhile refuses every login of that user at once,
 * right passwords too (src/core/auth/authenticator.go). A quick 401 may be such a one, and is asked again.
 */
const LOGIN_LOCK = 1_500;
const LOGIN_PAUSE = 2_000;
const LOGIN_TRIES = 3;
/**
 * A 500 may be a database that is starting, or of `PUT /users/ID/password` one of those refused logins: its handler crashes
 * (src/server/v2.0/handler/user.go, matchUserID). One that stays is an answer.
 */
const SERVER_ERROR_TRIES = 3;

/** The request did not get to Harbor, so that it may be repeated whatever it asks for. */
const NOT_SENT = new Set([
    "ECONNREFUSED",
    "ENOTFOUND",
    "EAI_AGAIN",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "UND_ERR_CONNECT_TIMEOUT",
]);
/** It may have got there. */
const LOST = new Set([
    "ECONNRESET",
    "EPIPE",
    "ETIMEDOUT",
    "UND_ERR_SOCKET",
    "UND_ERR_HEADERS_TIMEOUT",
    "UND_ERR_BODY_TIMEOUT",
]);

/** What Harbor answered when it did not do what it was asked for. */
export class HarborError extends Error {
    constructor(
        readonly status: number,
        /** Harbor's own words; empty when something else answered, such as a load balancer. */
        readonly reason: string,
    ) {
        super(
            status === 403 && reason === ""
                ? "what is before Harbor answered 403; is this machine in loadBalancer.adminCidrs?"
                : `Harbor answered ${status}${reason === "" ? "" : `: ${reason}`}`,
        );
    }
}

export function isStatus(error: unknown, ...statuses: readonly number[]): boolean {
    return error instanceof HarborError && statuses.includes(error.status);
}

/**
 * Harbor's API, version 2.0. Harbor asks for a CSRF token only in requests that carry a session's cookie
 * (src/server/middleware/csrf): these carry none, and no cookie that comes back is kept.
 */
export class Harbor {
    private readonly api: string;

    /**
     * @param signal ends what is under way
     * @param deadline of each call, in milliseconds
     */
    constructor(
        private readonly connection: Connection,
        private readonly agent: Dispatcher,
        private readonly signal: AbortSignal,
        private readonly deadline = CALL_DEADLINE,
    ) {
        this.api = `${connection.url.replace(/\/+$/, "")}/api/v2.0`;
    }

    /** The same Harbor, entered as another user. */
    as(username: string, password: string): Harbor {
        return new Harbor({ ...this.connection, username, password }, this.agent, this.signal, this.deadline);
    }

    /** Undefined where Harbor answers with an empty body or `null`. */
    async get<Body>(path: string, query?: Call["query"]): Promise<Body | undefined> {
        const { text } = await this.call("GET", path, query === undefined ? {} : { query });
        return this.parsed(text) as Body | undefined;
    }

    /**
     * What the load balancer itself says at the same address, beside the API: nobody logs in there.
     *
     * @param deadline in milliseconds
     */
    async beside(path: string, deadline: number): Promise<unknown> {
        const { connection, agent, signal } = this;
        const { text } = await new Harbor(connection, agent, signal, deadline).call("GET", path, { beside: true });
        return this.parsed(text);
    }

    /** Like {@link get}, and undefined also when there is no such thing. */
    async find<Body>(path: string): Promise<Body | undefined> {
        try {
            return await this.get<Body>(path);
        } catch (error) {
            if (isStatus(error, 404)) {
                return undefined;
            }
            throw error;
        }
    }

    /** All pages of a list. */
    async list<Item>(path: string, query: Readonly<Record<string, string>> = {}): Promise<Item[]> {
        const size = 100;
        const items: Item[] = [];
        for (let page = 1; ; page++) {
            const found = (await this.get<Item[]>(path, { ...query, page, page_size: size })) ?? [];
            items.push(...found);
            if (found.length < size) {
                return items;
            }
        }
    }

    /** What the answer holds, and the id of what was made, which Harbor puts at the end of a Location header. */
    async post(path: string, body: unknown): Promise<{ readonly id: number; readonly body: unknown }> {
        const { text, location } = await this.call("POST", path, { body });
        return { id: Number(/\d+$/.exec(location)?.[0]), body: this.parsed(text) };
    }

    async put(path: string, body: unknown): Promise<void> {
        await this.call("PUT", path, { body });
    }

    async patch(path: string, body: unknown): Promise<unknown> {
        const { text } = await this.call("PATCH", path, { body });
        return this.parsed(text);
    }

    /** Also when it is gone already. */
    async delete(path: string): Promise<void> {
        try {
            await this.call("DELETE", path, {});
        } catch (error) {
            if (!isStatus(error, 404)) {
                throw error;
            }
        }
    }

    private parsed(text: string): unknown {
        if (text === "") {
            return undefined;
        }
        try {
            return (JSON.parse(text) as unknown) ?? undefined;
        } catch {
            throw new Error(`what answers at ${this.connection.url} is no Harbor: it does not answer with JSON`);
        }
    }

    private call(method: Method, path: string, call: Call): Promise<Answer> {
        return within(this.deadline, [this.signal], async (signal) => {
            let last = "nothing came back";
            const failed = (failure: Failure): void => {
                const { statusCode = 0, message } = failure;
                last = statusCode >= 300 ? `the last answer was ${statusCode}` : message;
            };
            try {
                return await this.ask(method, path, call, signal, failed);
            } catch (error) {
                throw error instanceof HarborError ? error : this.unreachable(error, signal, last);
            }
        });
    }

    private async ask(
        method: Method,
        path: string,
        { query, body, beside = false }: Call,
        signal: AbortSignal,
        failed: (failure: Failure) => void,
    ): Promise<Answer> {
        const { url, username, password } = this.connection;
        const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
        const where = beside ? new URL(path, url) : this.api + path;
        const { statusCode, headers, ...response } = await request(where, {
            method,
            dispatcher: this.agent.compose(retrying(method, signal, failed)),
            signal,
            ...(query === undefined ? {} : { query }),
            headers: {
                accept: "application/json",
                ...(beside ? {} : { authorization }),
                // A project may have a name that looks like an id.
                "x-is-resource-name": "true",
                ...(body === undefined ? {} : { "content-type": "application/json" }),
            },
            ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        const text = await response.body.text();
        if (statusCode >= 300) {
            throw new HarborError(statusCode, reasonIn(text) + (statusCode === 401 ? ` (user ${username})` : ""));
        }
        return { text, location: typeof headers.location === "string" ? headers.location : "" };
    }

    private unreachable(error: unknown, signal: AbortSignal, last: string): Error {
        if (this.signal.aborted) {
            return new Error("cancelled");
        }
        const { url, address } = this.connection;
        const where = address === undefined ? url : `${url} at ${address}`;
        if (signal.aborted) {
            return new Error(`gave up on ${where} after ${this.deadline / 1000} s: ${last}`);
        }
        const { message } = error as Error;
        const hint = /certificate/i.test(message) ? "; caCertificate has to hold the CA that signed it" : "";
        return new Error(`cannot reach ${where}: ${message}${hint}`);
    }
}

/** Connections to one Harbor; they are kept open between calls. */
export function connect({ url, address, caCertificate }: Connection): Dispatcher {
    const { hostname, port } = new URL(url);
    const name = hostname.replace(/^\[|\]$/g, "");
    const target = new URL(`https://${address ?? hostname}`).hostname.replace(/^\[|\]$/g, "");
    const targetPort = /:(\d+)$/.exec(address ?? "")?.[1] ?? (port || "443");
    const connector = buildConnector({
        ...(caCertificate === undefined ? {} : { ca: caCertificate }),
        timeout: CONNECT_TIMEOUT,
        // Said here so that no variable of the environment can switch it off.
        rejectUnauthorized: true,
        // Against the URL's name, wherever the connection goes to.
        checkServerIdentity: (_, certificate) => tls.checkServerIdentity(name, certificate),
    });
    return new Agent({
        connect: (options, callback) => connector({ ...options, hostname: target, port: targetPort }, callback),
    });
}

/** Repeats a request where that is safe. While there is no connection, undici does not look at the signal by itself. */
function retrying(
    method: Method,
    signal: AbortSignal,
    failed: (failure: Failure) => void,
): Dispatcher.DispatcherComposeInterceptor {
    let begun = performance.now();
    return interceptors.retry({
        throwOnError: false,
        retry: (error, { state: { counter } }, done) => {
            failed(error);
            const pause = pauseBefore(error as Failure, method, counter, performance.now() - begun);
            if (pause === undefined) {
                done(error);
                return;
            }
            setTimeout(() => {
                begun = performance.now();
                done(signal.aborted ? error : null);
            }, pause);
        },
    });
}

interface Failure {
    readonly message: string;
    readonly code?: string;
    readonly statusCode?: number;
    readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
}

/**
 * How long to wait before the next try, in milliseconds; undefined when there is to be none.
 *
 * @param tries how many there were
 * @param took milliseconds until the last one failed
 */
export function pauseBefore(
    failure: Omit<Failure, "message">,
    method: Method,
    tries: number,
    took: number,
): number | undefined {
    const backoff = Math.min(FIRST_PAUSE * 2 ** (tries - 1), LONGEST_PAUSE);
    // Harbor may have done what a POST or PATCH asked for; a GET, PUT or DELETE comes to the same when it is done again.
    const repeatable = method !== "POST" && method !== "PATCH";
    const { statusCode: status, code = "" } = failure;
    if (status === undefined || status < 300) {
        return NOT_SENT.has(code) || (repeatable && LOST.has(code)) ? backoff : undefined;
    }
    if (status === 401) {
        return took < LOGIN_LOCK && tries < LOGIN_TRIES ? LOGIN_PAUSE : undefined;
    }
    // Whoever answers one of these has not begun with the request.
    if (status === 429 || status === 503) {
        const asked = Number(failure.headers?.["retry-after"]) * 1000;
        return asked > 0 ? Math.min(asked, CALL_DEADLINE) : backoff;
    }
    if (status === 500) {
        return repeatable && tries < SERVER_ERROR_TRIES ? LOGIN_PAUSE : undefined;
    }
    return repeatable && (status === 502 || status === 504) ? backoff : undefined;
}

/** Harbor's own errors are `{errors: [{code, message}]}`, those of its request validation `{code, message}`. */
function reasonIn(text: string): string {
    try {
        const body = JSON.parse(text) as { errors?: { message?: string }[]; message?: string } | null;
        return (body?.errors ?? [body ?? {}])
            .map(({ message }) => message ?? "")
            .filter((message) => message !== "")
            .join("; ")
            .replace(/\s*\n\s*/g, " ");
    } catch {
        return "";
    }
}
