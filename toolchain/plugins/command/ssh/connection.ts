import type { Struct } from "../go-struct";

/** A machine with an SSH server, and how to log in. After Check all defaults are there. */
export interface Endpoint {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly password?: string;
    readonly privateKey?: string;
    readonly privateKeyPassword?: string;
    /** Default: what SSH_AUTH_SOCK says. */
    readonly agentSocketPath?: string;
    /** How often dialing may fail before it counts as failed; -1 for ever. */
    readonly dialErrorLimit: number;
    /** Seconds for a TCP connection; 0 for as long as it takes. What comes after that connection has no limit. */
    readonly perDialTimeout: number;
    /** The server's public key as in known_hosts without the name. Without one any server is believed. */
    readonly hostKey?: string;
}

export interface Connection extends Endpoint {
    /** A machine to go through. */
    readonly proxy?: Endpoint;
}

const ENDPOINT: Struct["fields"] = {
    host: { type: "string", required: true },
    port: { type: "float64", default: 22 },
    user: { type: "string", default: "root" },
    password: { type: "string", secret: true },
    privateKey: { type: "string", secret: true },
    privateKeyPassword: { type: "string", secret: true },
    agentSocketPath: { type: "string" },
    dialErrorLimit: { type: "int", default: 10 },
    perDialTimeout: { type: "int", default: 15 },
    hostKey: { type: "string" },
};

/** The input `connection` of the resources of command:remote. */
export const CONNECTION: Struct = {
    name: "remote.Connection",
    fields: { ...ENDPOINT, proxy: { type: { name: "remote.ProxyConnection", fields: ENDPOINT } } },
};
