import type { Client, ClientChannel } from "ssh2";
import { exitFailure } from "./exit-failure";

/**
 * What ssh2 1.17 has and does not offer: a session in which variables are set one by one, each with the server's
 * answer, before the command begins. Its own exec() sets them without asking, and the command then runs without
 * what it was to have.
 */
interface Internals {
    readonly _chanMgr: { add(opened: Opened): number };
    readonly _protocol: {
        session(channel: number, window: number, packet: number): void;
        env(channel: number, name: string, value: string, wantReply: boolean): void;
        exec(channel: number, command: string, wantReply: boolean): void;
    };
}

interface Opened {
    (error: Error | undefined, channel: InternalChannel): void;
    type?: "session";
}

interface InternalChannel extends ClientChannel {
    readonly _callbacks: ((failed: unknown) => void)[];
    readonly incoming: { readonly state: string };
    readonly outgoing: { readonly id: number };
    subtype?: "exec";
}

const WINDOW = 2 * 1024 * 1024;
const PACKET = 32 * 1024;

interface Output {
    readonly stdout: (chunk: Buffer) => void;
    readonly stderr: (chunk: Buffer) => void;
}

/** One channel on which one command can be run. */
export class Session {
    private constructor(
        private readonly internals: Internals,
        private readonly channel: InternalChannel,
    ) {}

    static open(client: Client): Promise<Session> {
        const internals = client as unknown as Internals;
        return new Promise((resolve, reject) => {
            const opened: Opened = (error, channel) =>
                error ? reject(error) : resolve(new Session(internals, channel));
            opened.type = "session";
            internals._protocol.session(internals._chanMgr.add(opened), WINDOW, PACKET);
        });
    }

    /** @returns whether the server takes the variable: OpenSSH does what AcceptEnv lists. */
    setVariable(name: string, value: string): Promise<boolean> {
        return new Promise((resolve) => {
            if (this.isLost()) {
                resolve(false);
                return;
            }
            this.channel._callbacks.push((failed) => resolve(!failed));
            this.internals._protocol.env(this.channel.outgoing.id, name, value, true);
        });
    }

    /**
     * Runs the command.
     *
     * @returns what went wrong, in the words of Go's x/crypto/ssh.
     */
    run(command: string, stdin: string, output: Output): Promise<string | undefined> {
        const { channel } = this;
        return new Promise((resolve) => {
            if (this.isLost()) {
                resolve("EOF");
                return;
            }
            let status: number | null | undefined;
            let signal: string | undefined;
            let written = stdin === "";
            // All of this before the command starts: its end may come in one packet with the answer.
            channel.subtype = "exec";
            channel.on("data", output.stdout);
            channel.stderr.on("data", output.stderr);
            channel.once("exit", (code: number | null, by?: string) => {
                status = code;
                signal = by;
            });
            channel.once("close", () => {
                // A command that ends before it has taken all of its input counts as failed.
                resolve(exitFailure(status, signal) ?? (written ? undefined : "EOF"));
            });
            channel._callbacks.push((failed) => {
                if (failed) {
                    resolve(`ssh: command ${command} failed`);
                    return;
                }
                if (stdin !== "") {
                    channel.write(stdin, () => (written = true));
                }
                channel.end();
            });
            this.internals._protocol.exec(channel.outgoing.id, command, true);
        });
    }

    /** Then nothing comes any more, no answer and no end. */
    private isLost(): boolean {
        return this.channel.incoming.state === "closed";
    }
}
