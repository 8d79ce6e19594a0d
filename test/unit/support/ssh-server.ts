import { connect, type AddressInfo } from "node:net";
import ssh2, { type Connection as Client, type ServerChannel } from "ssh2";
import type { SshKey } from "../../support/ssh-key";

const { Server, utils } = ssh2;

export interface SshServerArgs {
    readonly hostKey: SshKey;
    /** The one key that is let in. */
    readonly user: SshKey;
    /** What a command ends with. */
    readonly answer?: (command: string) => { readonly code: number; readonly error?: string };
    /** Default: any that is free. */
    readonly port?: number;
}

export interface SshServer {
    readonly port: number;
    /** What was asked of it, in order: logins as `login USER`, commands, and connections to others as `HOST:PORT`. */
    readonly log: readonly string[];
    close(): Promise<void>;
}

/** An SSH server in this process, on loopback: it lets one key in, answers to commands, and connects to others. */
export async function startSshServer(args: SshServerArgs): Promise<SshServer> {
    const { hostKey, user } = args;
    const allowed = utils.parseKey(user.public);
    if (allowed instanceof Error) {
        throw allowed;
    }
    const log: string[] = [];
    const clients = new Set<Client>();
    const server = new Server({ hostKeys: [hostKey.private] }, (client) => {
        clients.add(client);
        client.on("error", () => undefined);
        client.once("close", () => clients.delete(client));
        client.on("authentication", (context) => {
            const isAllowed =
                context.method === "publickey" &&
                context.key.data.equals(allowed.getPublicSSH()) &&
                (context.signature === undefined ||
                    allowed.verify(context.blob ?? Buffer.alloc(0), context.signature, context.hashAlgo));
            if (isAllowed) {
                context.accept();
            } else {
                context.reject(["publickey"]);
            }
            if (isAllowed && context.signature !== undefined) {
                log.push(`login ${context.username}`);
            }
        });
        client.on("session", (acceptSession) => {
            acceptSession().on("exec", (acceptCommand, _, { command }) => {
                log.push(command);
                const channel: ServerChannel = acceptCommand();
                const { code, error = "" } = args.answer?.(command) ?? { code: 0 };
                channel.stderr.write(error);
                channel.exit(code);
                channel.end();
            });
        });
        client.on("tcpip", (accept, reject, { destIP, destPort }) => {
            log.push(`${destIP}:${String(destPort)}`);
            const socket = connect(destPort, destIP, () => {
                const channel = accept();
                socket.pipe(channel).pipe(socket);
                channel.on("error", () => undefined).on("close", () => socket.destroy());
            });
            socket.once("error", () => reject());
        });
    });
    await new Promise<void>((done) => server.listen(args.port ?? 0, "127.0.0.1", done));
    return {
        port: (server.address() as AddressInfo).port,
        log,
        close: () =>
            new Promise((done) => {
                server.close(() => done());
                clients.forEach((client) => client.end());
            }),
    };
}
