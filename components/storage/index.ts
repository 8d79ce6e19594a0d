import { createRequire } from "node:module";
import * as pulumi from "@pulumi/pulumi";
import type { Plan } from "../../config/plan";
import { present } from "../../config/present";
import type { Certificates } from "../certificates";
import { machineNamed, type Machine } from "../machines";
import type * as aws from "./aws";
import {
    cachePlace,
    databasePlace,
    objectPlace,
    type CachePlace,
    type DatabasePlace,
    type ObjectPlace,
} from "./places";
import { Postgresql } from "./postgresql";
import { Valkey } from "./valkey";

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

export interface StorageArgs {
    readonly plan: Plan;
    readonly machines: ReadonlyMap<string, Machine>;
    readonly certificates: Certificates;
    /** A secret of the stack file, by name. */
    readonly secret: (name: string) => pulumi.Output<string>;
}

/** The storage of a plan: given, or made. */
export function createStorage({ plan, machines, certificates, secret }: StorageArgs): Storage {
    const { stack } = plan;
    const { objects, database, cache } = plan.storage;
    const given = (name: string | undefined) => (name === undefined ? undefined : secret(name));
    const made: aws.AwsStorage = [objects, database, cache].some(({ kind }) => kind === "aws")
        ? forAws().createAwsStorage({ stack, account: plan.aws, storage: plan.storage })
        : {};
    const on = (machine: string) => ({ stack, machine: machineNamed(machines, machine), certificates });
    const postgresql =
        database.kind === "machine"
            ? new Postgresql("database", { ...on(database.machine), plan: database })
            : undefined;
    const valkey = cache.kind === "machine" ? new Valkey("cache", { ...on(cache.machine), plan: cache }) : undefined;
    return {
        ...present({
            objects:
                objects.kind === "external"
                    ? present({
                          place: pulumi.output(objectPlace(objects)),
                          accessKey: given(objects.accessKey),
                          secretKey: given(objects.secretKey),
                      })
                    : made.objects,
            database:
                database.kind === "external"
                    ? { place: pulumi.output(databasePlace(database)), password: secret(database.password) }
                    : (postgresql ?? made.database),
            cache:
                cache.kind === "external"
                    ? present({ place: pulumi.output(cachePlace(cache)), password: given(cache.password) })
                    : (valkey ?? made.cache),
        }),
        ready: [
            ...[postgresql, valkey].flatMap((each) => each?.released ?? []),
            ...[made.objects, made.database, made.cache].flatMap((each) => each?.ready ?? []),
        ],
    };
}

/** Loaded where it is needed only: a start without it is 50 ms shorter. */
function forAws(): typeof aws {
    return createRequire(__filename)("./aws") as typeof aws;
}
