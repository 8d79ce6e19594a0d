import { Provider } from "@pulumi/aws/provider";
import type { AwsConfig } from "../../../config/aws";
import type { StoragePlan } from "../../../config/plan-storage";
import { AwsCache } from "./cache";
import { AwsDatabase } from "./database";
import { AwsObjects } from "./objects";

export interface AwsStorageArgs {
    readonly stack: string;
    /** Absent where nothing is of kind aws. */
    readonly account: AwsConfig | undefined;
    readonly storage: StoragePlan;
}

/** What of a stack's storage is made in AWS. */
export interface AwsStorage {
    readonly objects?: AwsObjects;
    readonly database?: AwsDatabase;
    readonly cache?: AwsCache;
}

/**
 * Makes the storage of kind aws.
 *
 * @throws Error where the plan has such storage and no account (the schema refuses such stack files)
 */
export function createAwsStorage({
    stack,
    account,
    storage: { objects, database, cache },
}: AwsStorageArgs): AwsStorage {
    if (account === undefined) {
        throw new Error("storage of kind aws without an account");
    }
    const provider = new Provider("aws", {
        region: account.region,
        ...(account.profile === undefined ? {} : { profile: account.profile }),
        defaultTags: { tags: { ...account.tags, "harborage:stack": stack } },
    });
    const all = { stack, account, provider };
    return {
        ...(objects.kind === "aws" ? { objects: new AwsObjects("objects", { ...all, config: objects }) } : {}),
        ...(database.kind === "aws" ? { database: new AwsDatabase("database", { ...all, config: database }) } : {}),
        ...(cache.kind === "aws" ? { cache: new AwsCache("cache", { ...all, config: cache }) } : {}),
    };
}
