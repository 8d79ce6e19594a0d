/** A node as the load balancer reaches it. */
export interface Upstream {
    readonly name: string;
    readonly address: string;
    readonly port: number;
    /** Which machine it is on: another value is another one, that may know nothing. There for an active node and a standby. */
    readonly machine?: string;
}

/** Where a node listens, as URLs and nginx have it. */
export function hostAndPort({ address, port }: Upstream): string {
    return `${address.includes(":") ? `[${address}]` : address}:${String(port)}`;
}
