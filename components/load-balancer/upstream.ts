/** A node as the load balancer reaches it. */
export interface Upstream {
    readonly name: string;
    readonly address: string;
    readonly port: number;
}

/** Where a node listens, as URLs and nginx have it. */
export function hostAndPort({ address, port }: Upstream): string {
    return `${address.includes(":") ? `[${address}]` : address}:${String(port)}`;
}
