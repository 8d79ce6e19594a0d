import type { StorageConfig } from "../../config/storage";

/**
 * Where state is that is not on a node, whether it was given or made: what nodes are told of it, but for secrets. The
 * fields are those of kind `external` in the stack file.
 */

type External<Part extends keyof StorageConfig> = Extract<StorageConfig[Part], { kind: "external" }>;

/** A bucket. */
export type ObjectPlace = Omit<External<"objects">, "kind" | "accessKey" | "secretKey"> & {
    /** Whether there is a key; else the machine's role is used. */
    readonly hasKey: boolean;
    /** How long, in seconds, the server may not know the key yet, nor what it may do. Default: it knows. */
    readonly settleSeconds?: number;
};

/** A PostgreSQL database. */
export type DatabasePlace = Omit<External<"database">, "kind" | "password">;

/** A Redis or Valkey. */
export type CachePlace = Omit<External<"cache">, "kind" | "password"> & { readonly hasPassword: boolean };

/** Where given objects are. */
export function objectPlace({ accessKey, ...given }: External<"objects">): ObjectPlace {
    return { ...without(given, "kind", "secretKey"), hasKey: accessKey !== undefined };
}

/** Where a given database is. */
export function databasePlace(given: External<"database">): DatabasePlace {
    return without(given, "kind", "password");
}

/** Where a given cache is. */
export function cachePlace({ password, ...given }: External<"cache">): CachePlace {
    return { ...without(given, "kind"), hasPassword: password !== undefined };
}

/** The database that the stack makes, and its user, wherever it is. */
export const ownDatabase = { name: "registry", user: "harbor" } as const;

/** How nodes use a cache that the stack makes, wherever it is. */
export const ownCache = {
    tls: true,
    hasPassword: true,
    indexes: { registry: 1, jobs: 2, trivy: 5 },
    idleSeconds: 30,
} as const satisfies Partial<CachePlace>;

function without<T extends object, Key extends keyof T>(value: T, ...keys: Key[]): Omit<T, Key> {
    return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key as Key))) as Omit<T, Key>;
}
