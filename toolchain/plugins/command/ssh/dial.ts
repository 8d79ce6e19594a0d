import type { Duplex } from "node:stream";
import type { Client } from "ssh2";
import type { Context } from "../../lib/resource";
import type { Connection, Endpoint } from "./connection";
import { handshake } from "./handshake";
import { prepareLogin, type Login } from "./login";
import { dialWithRetry } from "./retry";
import { dialTcp } from "./tcp";

/**
 * Logs in to a machine, if need be through another, does something there and hangs up.
 *
 * @throws Error with the text of the official plugin when that fails.
 */
export async function connected<Result>(
    context: Context,
    connection: Connection,
    use: (client: Client) => Promise<Result>,
): Promise<Result> {
    const login = await prepareLogin(connection);
    if (connection.proxy === undefined) {
        return hangingUp(await dial(context, "Dial", connection, login), use);
    }
    const { proxy } = connection;
    const proxyClient = await inProxy(async () => dial(context, "Dial proxy", proxy, await prepareLogin(proxy)));
    return hangingUp(proxyClient, async () =>
        hangingUp(await inProxy(() => dialThrough(context, proxyClient, connection, login)), use),
    );
}

async function hangingUp<Result>(client: Client, use: (client: Client) => Promise<Result>): Promise<Result> {
    try {
        return await use(client);
    } finally {
        client.destroy();
    }
}

function dial(context: Context, what: string, endpoint: Endpoint, login: Login): Promise<Client> {
    const { host, port, perDialTimeout, dialErrorLimit, user } = endpoint;
    return dialWithRetry(context, what, dialErrorLimit, async () => {
        const socket = await dialTcp(host, port, perDialTimeout, context.signal);
        return handshake(socket, user, login, context.signal);
    });
}

async function dialThrough(context: Context, proxy: Client, to: Connection, login: Login): Promise<Client> {
    const stream = await dialWithRetry(context, "Dial from proxy", to.dialErrorLimit, () => forward(proxy, to));
    let ended = false;
    return dialWithRetry(context, "Dial", to.dialErrorLimit, async () => {
        // As in the official plugin, which opens no other stream: it then fails with this, not with the first reason.
        if (ended) {
            throw new Error("ssh: handshake failed: EOF");
        }
        ended = true;
        return handshake(stream, to.user, login, context.signal);
    });
}

function forward(proxy: Client, { host, port }: Endpoint): Promise<Duplex> {
    return new Promise((resolve, reject) =>
        proxy.forwardOut("127.0.0.1", 0, host, Math.trunc(port), (error, stream) =>
            error ? reject(new Error(rejection(error))) : resolve(stream),
        ),
    );
}

/** By number: RFC 4254, section 5.1. */
const REASONS = [
    "",
    "administratively prohibited",
    "connect failed",
    "unknown channel type",
    "resource shortage",
] as const;

function rejection(error: Error & { reason?: unknown }): string {
    const reason = typeof error.reason === "number" ? REASONS[error.reason] : undefined;
    return reason === undefined
        ? "EOF"
        : `ssh: rejected: ${reason} (${error.message.replace("(SSH) Channel open failure: ", "")})`;
}

async function inProxy<Result>(step: () => Promise<Result>): Promise<Result> {
    try {
        return await step();
    } catch (error) {
        throw new Error(`proxy: ${(error as Error).message}`, { cause: error });
    }
}
