import { z } from "zod";
import {
    certificatePem,
    flag,
    httpUrl,
    integer,
    machineDirectory,
    object,
    schedule,
    secretName,
    text,
    variants,
} from "./fields";
import type { ScheduleTimes } from "./schedule";

/** The part of the stack file's schema that says when a Harbor node is backed up, and where to. */

const pathDestination = object(
    {
        kind: z.literal("path"),
        path: machineDirectory
            .optional()
            .describe(
                "A folder on the node's machine, such as where a network file system is mounted. A folder with the node's name is made in it. Default: `backups` beside Harbor's data.",
            ),
    },
    "{kind: path, path: /mnt/backups}",
).describe("A folder on the node's machine.");

const s3Destination = object(
    {
        kind: z.literal("s3"),
        bucket: text(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "the name of a bucket", "acme-backups").describe(
            "The bucket.",
        ),
        region: text(/^[a-z0-9-]+$/, "a region", "eu-central-1").describe(
            "Its region; for servers that have none, us-east-1.",
        ),
        prefix: text(
            /^[A-Za-z0-9_.-]+(?:\/[A-Za-z0-9_.-]+)*$/,
            "a prefix of letters, digits and _ . - /, without / at its ends",
            "harbor/prod",
        ).describe("What the names of the objects begin with; the node's name comes behind it."),
        endpoint: httpUrl("https://s3.example.com")
            .refine((url) => !url.endsWith("/"), {
                error: "expected a URL without / at its end, for example https://s3.example.com",
            })
            .optional()
            .describe("The server, where it is not Amazon's."),
        accessKey: secretName.describe("The name of the secret that holds the access key's id."),
        secretKey: secretName.describe("The name of the secret that holds the secret access key."),
        caCertificate: certificatePem
            .optional()
            .describe("The CA of the server's certificate, where the world does not know it."),
    },
    "{kind: s3, bucket: acme-backups, region: eu-central-1, prefix: harbor/prod, accessKey: backupKey, secretKey: backupSecret}",
).describe("A bucket of S3, or of a server that speaks its language.");

/** `harborage:registry.backup`. */
export const backup = object(
    {
        enabled: flag()
            .default(true)
            .describe(
                "Whether backups are made by themselves. Before an upgrade, and when asked for, one is made in any case.",
            ),
        schedule: schedule("30 2 * * *"),
        keep: integer(1, 1000, "a number of backups", 14)
            .default(14)
            .describe(
                "How many scheduled backups are kept; of those made before upgrades, before restores or by hand, the same number.",
            ),
        destination: variants("kind", [pathDestination, s3Destination], ["path", "s3"], "{kind: path}")
            .prefault({ kind: "path" })
            .describe("Where backups are kept."),
    },
    "{schedule: 30 2 * * *}",
);

/** What `registry.backup` says, with every default filled in. */
export type BackupConfig = z.output<typeof backup>;

/** When a node is backed up, and where to. */
export interface BackupPlan {
    readonly enabled: boolean;
    /** The times, in UTC, each field of cron spelled out. */
    readonly times: ScheduleTimes;
    readonly keep: number;
    /** The node's folder on its machine: with its backups, or, for S3, with what is on its way there. */
    readonly folder: string;
    /** Absent: backups stay in the folder. */
    readonly s3?: S3Plan;
}

/** A place in an object store. */
export interface S3Plan {
    /** The server's URL. */
    readonly endpoint: string;
    readonly region: string;
    readonly bucket: string;
    /** What the names of the node's objects begin with. */
    readonly prefix: string;
    /** The names of secrets. */
    readonly accessKey: string;
    readonly secretKey: string;
    /** PEM; absent where the world knows the CA. */
    readonly caCertificate?: string;
}

/**
 * @param times `config.schedule`, spelled out
 * @param node the node's name: two nodes may be backed up to the same place
 * @param dataDirectory where the node keeps its data
 */
export function planBackup(
    config: BackupConfig,
    times: ScheduleTimes,
    node: string,
    dataDirectory: string,
): BackupPlan {
    const { enabled, keep, destination } = config;
    const common = { enabled, keep, times };
    if (destination.kind === "path") {
        const folder = destination.path === undefined ? `${dataDirectory}/backups` : `${destination.path}/${node}`;
        return { ...common, folder };
    }
    const { bucket, region, prefix, accessKey, secretKey, caCertificate } = destination;
    const s3 = {
        endpoint: destination.endpoint ?? `https://s3.${region}.amazonaws.com`,
        region,
        bucket,
        prefix: `${prefix}/${node}`,
        accessKey,
        secretKey,
        ...(caCertificate === undefined ? {} : { caCertificate }),
    };
    return { ...common, folder: `${dataDirectory}/backups`, s3 };
}
