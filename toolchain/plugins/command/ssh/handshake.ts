import type { Duplex } from "node:stream";
import { Client, type ConnectConfig, type ServerHostKeyAlgorithm } from "ssh2";
import { errnoText } from "../go-text";
import { Attempts, type Login } from "./login";

/**
 * Makes an SSH connection of a stream, which it ends when that fails.
 *
 * @throws Error `ssh: handshake failed: …` as Go's x/crypto/ssh says it.
 */
export function handshake(stream: Duplex, username: string, login: Login, signal: AbortSignal): Promise<Client> {
    const attempts = new Attempts(username, login.methods);
    const { hostKey } = login;
    let peerOffers = "";
    let denied = false;
    const config: ConnectConfig = {
        sock: stream,
        username,
        // Only dialing has a time limit.
        readyTimeout: 0,
        authHandler: attempts.next,
        ...(hostKey && { algorithms: { serverHostKey: [hostKey.type as ServerHostKeyAlgorithm] } }),
        hostVerifier: (key: Buffer) => {
            denied = hostKey !== undefined && !key.equals(hostKey.blob);
            return !denied;
        },
        // The one way to learn what the server has, when it has no key of the expected type.
        debug: (line) => {
            peerOffers = /^Handshake: \(remote\) Host key format: (.*)$/.exec(line)?.[1] ?? peerOffers;
        },
    };
    const explain = (error: NodeJS.ErrnoException & { level?: string }): string => {
        if (denied) {
            return "ssh: host key mismatch";
        }
        if (error.level === "client-authentication") {
            const tried = attempts.tried.join(" ");
            return `ssh: unable to authenticate, attempted methods [${tried}], no supported methods remain`;
        }
        if (error.message.endsWith("no matching host key format")) {
            const offers = peerOffers.replaceAll(",", " ");
            return `ssh: no common algorithm for host key; we offered: [${hostKey?.type}], peer offered: [${offers}]`;
        }
        if (typeof error.code === "number") {
            return `ssh: disconnect, reason ${String(error.code)}: ${error.message}`;
        }
        return error.message === "Connection lost before handshake" ? "EOF" : errnoText(error);
    };
    return new Promise((resolve, reject) => {
        const client = new Client();
        const fail = (message: string): void => {
            signal.removeEventListener("abort", aborted);
            stream.destroy();
            reject(new Error(message));
        };
        const aborted = (): void => fail((signal.reason as Error).message);
        signal.addEventListener("abort", aborted, { once: true });
        // Stays for the connection's life: a loss later on shows at what uses the connection.
        client.on("error", (error) => fail(`ssh: handshake failed: ${explain(error)}`));
        client.once("close", () => fail("ssh: handshake failed: EOF"));
        client.once("ready", () => {
            signal.removeEventListener("abort", aborted);
            resolve(client);
        });
        client.connect(config);
    });
}
