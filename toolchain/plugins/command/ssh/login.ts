import { connect } from "node:net";
import type { AnyAuthMethod, AuthenticationType, NextAuthHandler } from "ssh2";
import { errnoText } from "../go-text";
import type { Endpoint } from "./connection";
import { parseHostKey, type HostKey } from "./host-key";
import { parsePrivateKey } from "./private-key";

/** What a connection's settings come to: whom to believe, and the ways to log in, in order. */
export interface Login {
    readonly hostKey: HostKey | undefined;
    readonly methods: readonly AnyAuthMethod[];
}

/**
 * Reads keys and looks for the agent: what is wrong here is not tried again.
 *
 * @throws Error with the text of the official plugin.
 */
export async function prepareLogin(endpoint: Endpoint): Promise<Login> {
    const { user: username, password } = endpoint;
    const hostKey = endpoint.hostKey === undefined ? undefined : parseHostKey(endpoint.hostKey);
    const methods: AnyAuthMethod[] = [];
    if (endpoint.privateKey !== undefined) {
        const key = parsePrivateKey(endpoint.privateKey, endpoint.privateKeyPassword);
        methods.push({ type: "publickey", username, key });
    }
    if (password !== undefined) {
        methods.push({ type: "password", username, password });
        methods.push({
            type: "keyboard-interactive",
            username,
            prompt: (_name, _instructions, _language, prompts, finish) => finish(prompts.map(() => password)),
        });
    }
    const agent = endpoint.agentSocketPath ?? (process.env["SSH_AUTH_SOCK"] || undefined);
    if (agent !== undefined) {
        await reach(agent);
        methods.push({ type: "agent", username, agent });
    }
    return { hostKey, methods };
}

/** An agent that is gone is an error, even when a private key is there to log in with. */
function reach(socketPath: string): Promise<void> {
    return new Promise((resolve, reject) => {
        const socket = connect(socketPath, () => {
            socket.destroy();
            resolve();
        });
        socket.once("error", (error) => reject(new Error(`dial unix ${socketPath}: connect: ${errnoText(error)}`)));
    });
}

/** Which method is tried next, as Go's x/crypto/ssh picks it: each kind once, so that a key rules out the agent. */
export class Attempts {
    /** As Go names them in its errors. */
    readonly tried: string[] = [];

    constructor(
        private readonly username: string,
        private readonly methods: readonly AnyAuthMethod[],
    ) {}

    readonly next = (offered: readonly AuthenticationType[] | null, _partial: boolean, next: NextAuthHandler): void => {
        if (this.tried.length === 0) {
            this.tried.push("none");
            next({ type: "none", username: this.username });
            return;
        }
        const method = this.methods.find(
            (candidate) => !this.tried.includes(goName(candidate)) && offered?.some((one) => one === goName(candidate)),
        );
        if (method === undefined) {
            // ssh2 takes false for "no more", which its types do not know.
            (next as unknown as (method: false) => void)(false);
            return;
        }
        this.tried.push(goName(method));
        next(method);
    };
}

function goName({ type }: AnyAuthMethod): string {
    return type === "agent" ? "publickey" : type;
}
