import { connect as connectSocket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client, ClientChannel, ConnectConfig, VerifyCallback } from "ssh2";
import type { Connection } from "./machine";

/** How long a machine may take until it can be worked on. */
export interface Patience {
    /** Seconds until it is given up. */
    readonly seconds: number;
    /**
     * Whether it may be starting for the first time: its host key and its user are then made meanwhile, and a refusal is
     * not its last word.
     */
    readonly isNew: boolean;
}

/** The most seconds for one try to connect and to log in. */
const tryTime = 15;

/** Seconds between tries. */
const pause = 2;

/** Why a machine cannot be worked on. */
class Refusal extends Error {
    /** @param kind final: another try makes no sense; settling: one does while the machine starts for the first time; silent: one always does */
    constructor(
        message: string,
        readonly kind: "final" | "settling" | "silent",
    ) {
        super(message);
    }
}

/** Where the machines stand in the stack file. */
export interface Paths {
    readonly machine: string;
    /** The machine that SSH goes through. */
    readonly proxy?: string;
}

/**
 * Waits until a machine answers to SSH with the key that it must have, lets the user in, and lets it become root.
 *
 * @throws Error with what is wrong, where in the stack file, and what to do
 */
export async function reach(paths: Paths, connection: Connection, patience: Patience): Promise<void> {
    await checkAgent(paths.machine);
    const end = Date.now() + patience.seconds * 1000;
    for (;;) {
        const refusal = await tryOnce(paths, connection, patience, end).then(
            () => undefined,
            // A connection that breaks on the way.
            (error: unknown) => (error instanceof Refusal ? error : explain(paths.machine, connection, error as Error)),
        );
        if (refusal === undefined) {
            return;
        }
        const hopeless = refusal.kind === "final" || (refusal.kind === "settling" && !patience.isNew);
        if (hopeless || Date.now() + pause * 1000 > end) {
            const waited = hopeless ? "" : ` (waited ${String(patience.seconds)} s)`;
            throw new Error(`${refusal.message}${waited}`);
        }
        await sleep(pause * 1000);
    }
}

function agentSocket(): string | undefined {
    const { SSH_AUTH_SOCK: socket } = process.env;
    return socket === "" ? undefined : socket;
}

/** The command plugin connects to the agent even when it has a key, and fails on one that is gone. */
async function checkAgent(path: string): Promise<void> {
    const socket = agentSocket();
    if (socket === undefined) {
        return;
    }
    await new Promise<void>((resolve, reject) => {
        const client = connectSocket(socket, () => resolve());
        client.once("error", (error) => reject(error));
        client.once("connect", () => client.destroy());
    }).catch((error: unknown) => {
        throw new Error(
            `${path}: the SSH agent at SSH_AUTH_SOCK (${socket}) does not answer (${messageOf(error)}); start one, or unset the variable`,
        );
    });
}

/** @param end when the machine is given up, as Date.now() has it */
async function tryOnce(
    { machine: path, proxy: proxyPath = path }: Paths,
    connection: Connection,
    { seconds: patience, isNew }: Patience,
    end: number,
): Promise<void> {
    const { proxy } = connection;
    const seconds = Math.min(tryTime, patience);
    const through = proxy && (await logIn(proxyPath, proxy, seconds));
    try {
        if (through !== undefined && isNew) {
            await settle(proxyPath, through, end);
        }
        const socket = through && (await forward(path, connection, seconds, through));
        const client = await logIn(path, connection, seconds, socket);
        try {
            await becomeRoot(path, connection, client);
            if (isNew) {
                await settle(path, client, end);
            }
        } finally {
            client.end();
        }
    } finally {
        through?.end();
    }
}

function endpoint({ host, port = 22 }: Connection): string {
    return `${host}:${String(port)}`;
}

/**
 * Logs in.
 *
 * @param seconds how long it may take
 * @param sock the way through another machine; absent where it is direct
 */
async function logIn(path: string, connection: Connection, seconds: number, sock?: ClientChannel): Promise<Client> {
    // Loaded here and not at the top: a run that changes nothing on a machine does not need it.
    const { Client: SshClient, utils } = (await import("ssh2")).default;
    const { host, port = 22, user = "root", hostKey, privateKey } = connection;
    const pinned = hostKey === undefined ? undefined : utils.parseKey(hostKey);
    if (pinned instanceof Error) {
        throw new Refusal(`${path}.hostKey cannot be read: ${pinned.message}`, "final");
    }
    const agent = agentSocket();
    let shown: Buffer | undefined;
    const config: ConnectConfig = {
        host,
        port,
        username: user,
        readyTimeout: seconds * 1000,
        ...(privateKey === undefined ? {} : { privateKey }),
        ...(privateKey === undefined && agent !== undefined ? { agent } : {}),
        // ssh2's types have one list of names; the server's others are not asked for.
        ...(pinned === undefined ? {} : { algorithms: { serverHostKey: [pinned.type] as never } }),
        hostVerifier: (key: Buffer, verify: VerifyCallback) => {
            shown = key;
            verify(pinned === undefined || key.equals(pinned.getPublicSSH()));
        },
        ...(sock === undefined ? {} : { sock }),
    };
    return new Promise<Client>((resolve, reject) => {
        const client = new SshClient();
        client.once("ready", () => {
            client.removeAllListeners("error");
            // A connection that breaks later fails what it is used for.
            client.on("error", () => undefined);
            resolve(client);
        });
        // On and not once: after a timeout the end of the connection is an error as well.
        client.on("error", (error) => {
            client.end();
            reject(explain(path, connection, error, shown));
        });
        try {
            client.connect(config);
        } catch (error) {
            // A private key that it cannot read.
            reject(explain(path, connection, error as Error));
        }
    });
}

function forward(path: string, connection: Connection, seconds: number, through: Client): Promise<ClientChannel> {
    const { host, port = 22 } = connection;
    return new Promise((resolve, reject) => {
        const timer = setTimeout(
            () =>
                reject(
                    new Refusal(
                        `${path}: ${endpoint(connection)} does not answer through its bastion; see whether the machine runs, and whether its sshd and firewall let the bastion in`,
                        "silent",
                    ),
                ),
            seconds * 1000,
        );
        through.forwardOut("127.0.0.1", 0, host, port, (error, channel) => {
            clearTimeout(timer);
            if (error === undefined) {
                resolve(channel);
            } else {
                reject(
                    new Refusal(
                        `${path}: its bastion cannot connect to ${endpoint(connection)}: ${error.message}; see whether the machine runs, and whether its sshd and firewall let the bastion in`,
                        "silent",
                    ),
                );
            }
        });
    });
}

/** What went wrong, in words that lead to what to do. */
function explain(path: string, connection: Connection, error: Error & { level?: string }, shown?: Buffer): Refusal {
    const { user = "root", privateKey } = connection;
    const place = endpoint(connection);
    const text = messageOf(error);
    if (error.level === "client-authentication") {
        const withoutKey =
            agentSocket() === undefined
                ? "asks for a key, and there is no SSH agent"
                : "accepts no key of the SSH agent";
        const refused = privateKey === undefined ? withoutKey : "does not accept the key of the stack file";
        return new Refusal(
            `${path}: ${place} ${refused} for the user ${user}; put the public key into ~${user}/.ssh/authorized_keys there, or name another user or key (${path}.user, ${path}.privateKey)`,
            "settling",
        );
    }
    if (/host denied|verification failed/i.test(text)) {
        return new Refusal(
            `${path}: ${place} answers with another host key${shown === undefined ? "" : ` (${typeOf(shown)} ${shown.toString("base64")})`} than the one that is expected; ` +
                `either another machine has this address, or somebody is in between. If the machine was set up again, put its new key into ${path}.hostKey`,
            "settling",
        );
    }
    if (/no matching host key format/i.test(text)) {
        return new Refusal(
            `${path}: ${place} has no host key of the type that is expected; put one that it has into ${path}.hostKey (ssh-keyscan shows them)`,
            "settling",
        );
    }
    if (text.includes("ENOTFOUND")) {
        return new Refusal(`${path}.address: there is no name ${connection.host} in DNS`, "final");
    }
    if (text.includes("Cannot parse privateKey")) {
        return new Refusal(`${path}: its private key cannot be read (${text})`, "final");
    }
    return new Refusal(
        `${path}: ${place} does not answer to SSH: ${text}; see whether the machine runs, and whether its sshd and every firewall in between let this machine in`,
        "silent",
    );
}

/** An SSH public key begins with the length and the name of its type. */
function typeOf(key: Buffer): string {
    return key.subarray(4, 4 + key.readUInt32BE(0)).toString();
}

async function becomeRoot(path: string, connection: Connection, client: Client): Promise<void> {
    const { user = "root" } = connection;
    if (user === "root") {
        return;
    }
    const [code, output] = await execute(client, "sudo -n true");
    if (typeof code !== "number") {
        throw new Refusal(`${path}: the connection to ${endpoint(connection)} broke; see its sshd's log`, "silent");
    }
    if (code !== 0) {
        throw new Refusal(
            `${path}: ${user} cannot become root on ${endpoint(connection)} (${output.trim()}); allow it with a file /etc/sudoers.d/${user} that holds "${user} ALL=(ALL) NOPASSWD: ALL", or name another user (${path}.user)`,
            "settling",
        );
    }
}

/** cloud-init restarts sshd on its way, and whoever connects at that moment is refused: its end is waited for. */
async function settle(path: string, client: Client, until: number): Promise<void> {
    const timer = setTimeout(() => client.end(), Math.max(until - Date.now(), 1000));
    const [code] = await execute(client, "! command -v cloud-init >/dev/null || cloud-init status --wait >/dev/null");
    clearTimeout(timer);
    if (typeof code !== "number") {
        throw new Refusal(`${path}: the connection broke while cloud-init was at work`, "silent");
    }
}

function execute(client: Client, command: string): Promise<[code: number | null, output: string]> {
    return new Promise((resolve, reject) => {
        client.exec(command, (error, channel) => {
            if (error !== undefined) {
                reject(error);
                return;
            }
            let output = "";
            const take = (chunk: Buffer) => (output += chunk.toString());
            channel.on("data", take);
            channel.stderr.on("data", take);
            channel.once("close", (code: number | null) => resolve([code, output]));
        });
    });
}

/** Node gives an error without a message when every address of a name failed. */
function messageOf(error: unknown): string {
    const { message, code } = error as { message?: string; code?: string };
    return message !== undefined && message !== "" ? message : (code ?? String(error));
}
