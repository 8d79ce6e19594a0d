import type { StackConfig } from "./schema";
import type { StorageConfig } from "./storage";
import type { NamedMachine } from "./topology";

/** The part of the plan that is about state that is on no node. */

/** A database or a cache that the stack runs on a machine. */
export interface MachineStoragePlan {
    readonly kind: "machine";
    readonly machine: string;
    readonly project: string;
    readonly image: string;
    readonly port: number;
    readonly dataDirectory: string;
    /** Whether its data goes when it goes. */
    readonly deleteData: boolean;
}

export interface MachineDatabasePlan extends MachineStoragePlan {
    /** How many connections it takes. */
    readonly maxConnections: number;
}

/** Where state is kept, with what runs on machines of the stack. */
export interface StoragePlan {
    readonly objects: StorageConfig["objects"];
    readonly database: Exclude<StorageConfig["database"], { kind: "machine" }> | MachineDatabasePlan;
    readonly cache: Exclude<StorageConfig["cache"], { kind: "machine" }> | MachineStoragePlan;
}

export interface StorageSurroundings {
    /** The name of a compose project, by what it is for. */
    readonly project: (role: string) => string;
    /** A machine's folder, by its name. */
    readonly directoryOf: (machine: string) => string;
    readonly images: { readonly postgres: string; readonly valkey: string };
}

/** What storage there is, and what of it runs where. */
export function planStorage(
    { storage: { objects, database, cache } }: StackConfig,
    { project, directoryOf, images }: StorageSurroundings,
): StoragePlan {
    return {
        objects,
        database:
            database.kind === "machine"
                ? {
                      ...database,
                      project: project("database"),
                      image: images.postgres,
                      dataDirectory: `${directoryOf(database.machine)}/data/database`,
                  }
                : database,
        cache:
            cache.kind === "machine"
                ? {
                      ...cache,
                      project: project("cache"),
                      image: images.valkey,
                      dataDirectory: `${directoryOf(cache.machine)}/data/cache`,
                  }
                : cache,
    };
}

/** What of a stack's storage runs on a machine, each with the setting that chooses its port. */
export function storageOn(
    { database, cache }: StoragePlan,
    { name }: NamedMachine,
): (MachineStoragePlan & { readonly purpose: string })[] {
    return [
        ...(database.kind === "machine" ? [{ ...database, purpose: "storage.database.port" }] : []),
        ...(cache.kind === "machine" ? [{ ...cache, purpose: "storage.cache.port" }] : []),
    ].filter(({ machine }) => machine === name);
}
