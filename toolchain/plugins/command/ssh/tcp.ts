import { connect, type Socket } from "node:net";
import { errnoText } from "../go-text";

/** `host:port` as Go writes it. */
export function address(host: string, port: number): string {
    return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/**
 * Opens a TCP connection.
 *
 * @param timeout seconds; 0 for none
 * @throws Error with the text of Go's net package.
 */
export function dialTcp(host: string, port: number, timeout: number, signal: AbortSignal): Promise<Socket> {
    return new Promise((resolve, reject) => {
        let found = host;
        const socket = connect({ host, port: Math.trunc(port), noDelay: true });
        const fail = (message: string): void => {
            socket.destroy();
            reject(new Error(message));
        };
        const timer =
            timeout > 0
                ? setTimeout(() => fail(`dial tcp ${address(found, port)}: i/o timeout`), timeout * 1000)
                : undefined;
        const aborted = (): void => fail((signal.reason as Error).message);
        const done = (): void => {
            clearTimeout(timer);
            signal.removeEventListener("abort", aborted);
        };
        signal.addEventListener("abort", aborted, { once: true });
        socket.on("lookup", (_error, ip) => (found = ip || found));
        socket.once("connect", () => {
            done();
            socket.removeAllListeners("error");
            resolve(socket);
        });
        socket.once("close", done);
        socket.once("error", (error) => fail(`dial tcp${problem(error, found, port)}`));
    });
}

function problem(error: NodeJS.ErrnoException, host: string, port: number): string {
    const first = error instanceof AggregateError ? (error.errors[0] as NodeJS.ErrnoException) : error;
    return first.syscall === "getaddrinfo"
        ? `: lookup ${host}: ${errnoText(first)}`
        : ` ${address((first as { address?: string }).address ?? host, port)}: connect: ${errnoText(first)}`;
}
