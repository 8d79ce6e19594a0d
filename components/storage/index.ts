import * as pulumi from "@pulumi/pulumi";
import type { StorageConfig } from "../../config/storage";
import {
    cachePlace,
    databasePlace,
    objectPlace,
    type CachePlace,
    type DatabasePlace,
    type ObjectPlace,
} from "./places";

export type { CachePlace, DatabasePlace, ObjectPlace } from "./places";

/** Where state is that is not on a node, as nodes reach it. A part that is on the node, or on a volume of it, is absent. */
export interface Storage {
    readonly objects?: ObjectStorage;
    readonly database?: DatabaseStorage;
    readonly cache?: CacheStorage;
    /** What must be there before nodes start. */
    readonly ready: readonly pulumi.Resource[];
}

export interface ObjectStorage {
    readonly place: pulumi.Output<ObjectPlace>;
    /** Absent where the machine's role is used. Secret. */
    readonly accessKey?: pulumi.Output<string>;
    readonly secretKey?: pulumi.Output<string>;
}

export interface DatabaseStorage {
    readonly place: pulumi.Output<DatabasePlace>;
    /** Secret. */
    readonly password: pulumi.Output<string>;
}

export interface CacheStorage {
    readonly place: pulumi.Output<CachePlace>;
    /** Absent where there is none. Secret. */
    readonly password?: pulumi.Output<string>;
}

/**
 * What a stack file names as storage, given or made.
 *
 * @param secret a secret of the stack file, by name
 */
export function createStorage(config: StorageConfig, secret: (name: string) => pulumi.Output<string>): Storage {
    const { objects, database, cache } = config;
    const given = (name: string | undefined) => (name === undefined ? undefined : secret(name));
    return {
        ...(objects.kind === "external"
            ? {
                  objects: {
                      place: pulumi.output(objectPlace(objects)),
                      ...present("accessKey", given(objects.accessKey)),
                      ...present("secretKey", given(objects.secretKey)),
                  },
              }
            : {}),
        ...(database.kind === "external"
            ? { database: { place: pulumi.output(databasePlace(database)), password: secret(database.password) } }
            : {}),
        ...(cache.kind === "external"
            ? { cache: { place: pulumi.output(cachePlace(cache)), ...present("password", given(cache.password)) } }
            : {}),
        ready: [],
    };
}

function present<Key extends string, T>(key: Key, value: T | undefined): Partial<Record<Key, T>> {
    return (value === undefined ? {} : { [key]: value }) as Partial<Record<Key, T>>;
}
