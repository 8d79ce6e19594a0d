import { z } from "zod";
import { ownRanges } from "./aws";
import {
    certificatePem,
    choice,
    dnsNameOrAddress,
    flag,
    httpUrl,
    integer,
    object,
    port,
    resourceName,
    secretName,
    text,
    variants,
} from "./fields";

/** The part of the stack file's schema that says where state is kept. */

/** A named volume of Docker; names of some drivers take no `_`. */
const volume = (what: string, example: string) =>
    object(
        {
            kind: z.literal("volume"),
            name: text(/^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/, "a name of letters, digits, . and -", example)
                .optional()
                .describe(`The volume's name. Default: harborage-STACK-${what}.`),
            driver: text(/^[A-Za-z0-9][A-Za-z0-9_./:-]*$/, "the name of a volume driver", "local")
                .default("local")
                .describe("The volume driver, which must be installed on the machine."),
            options: z
                .record(
                    text(/^[A-Za-z0-9_.-]+$/, "the name of an option", "device"),
                    text(/^[^\n]*$/, "text", ":/export/registry"),
                    'expected texts by name, for example {type: nfs, device: ":/export/registry"}',
                )
                .default({})
                .describe("The driver's options."),
        },
        "{kind: volume, driver: local, options: {type: nfs, device: …}}",
    ).describe("On a named volume of Docker, outside of the machine. It is never deleted.");

const nodeObjects = object(
    {
        kind: z.literal("node"),
        deleteData: flag()
            .default(false)
            .describe(
                "Whether `destroy` deletes the images that were pushed, and with engine harbor everything else that is kept on the node. Apply it with `up` before `destroy`.",
            ),
    },
    "{kind: node}",
).describe("In the machine's directory on the node.");

const storageClass = choice(["STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING"])
    .default("STANDARD")
    .describe("The storage class.");

const redirect = flag()
    .default(false)
    .describe("Whether clients are sent to the server for layers; they must be able to reach it.");

const externalObjects = object(
    {
        kind: z.literal("external"),
        bucket: text(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "a bucket", "registry").describe(
            "The bucket. It must exist.",
        ),
        region: text(/^[a-z0-9-]+$/, "a region", "eu-central-1").describe("Its region."),
        endpoint: httpUrl("https://s3.example.com").optional().describe("The server, where it is not Amazon's."),
        rootDirectory: text(/^\/[A-Za-z0-9_./-]*$/, "a folder", "/harbor")
            .default("/")
            .describe("The folder in the bucket that everything is below."),
        accessKey: secretName.optional().describe("The name of the secret that holds the access key."),
        secretKey: secretName
            .optional()
            .describe("The name of the secret that holds the secret key. Without keys the machine's role is used."),
        caCertificate: certificatePem
            .optional()
            .describe("The CA of the server's certificate. Default: the public ones."),
        encrypt: flag().default(false).describe("Whether objects are stored encrypted by the server."),
        storageClass,
        redirect,
    },
    "{kind: external, bucket: registry, region: eu-central-1, accessKey: s3AccessKey, secretKey: s3SecretKey}",
)
    .refine((value) => (value.accessKey === undefined) === (value.secretKey === undefined), {
        path: ["secretKey"],
        error: "expected accessKey and secretKey, or neither, for example {accessKey: s3AccessKey, secretKey: s3SecretKey}",
    })
    .describe("In a bucket that exists, in S3 or in a server that speaks it.");

/** Whether what is made in AWS goes with the stack. */
const awsDeleteData = (what: string) =>
    flag()
        .default(false)
        .describe(
            `Whether \`destroy\` may delete ${what}. Until then it is protected, in AWS and in the stack. Apply it with \`up\` before \`destroy\`.`,
        );

const awsObjects = object(
    {
        kind: z.literal("aws"),
        bucket: text(
            // AWS, "General purpose bucket naming rules"; a dot would break the wildcard certificate of virtual hosts.
            /^(?!xn--|sthree-)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/,
            "a name of 3 to 63 lower-case letters, digits and hyphens",
            "acme-registry",
        )
            .optional()
            .describe(
                "The bucket's name, which nobody else in the world has. Default: harborage-STACK- and what makes it unique. A bucket cannot be renamed.",
            ),
        keepDeletedDays: integer(0, 365, "days", 7)
            .default(7)
            .describe(
                "How long what was deleted or overwritten can be brought back, by versions of the bucket. 0: not at all. Until then it costs as what is there does.",
            ),
        storageClass,
        redirect,
        deleteData: awsDeleteData("the bucket with all images"),
    },
    "{kind: aws}",
).describe("In a bucket in S3 that the stack makes, with a user who may use that bucket and nothing else.");

const externalDatabase = object(
    {
        kind: z.literal("external"),
        host: dnsNameOrAddress.describe("Where it is."),
        port: port(5432).default(5432).describe("Its port."),
        name: text(/^[A-Za-z_][A-Za-z0-9_-]*$/, "the name of a database", "registry")
            .default("registry")
            .describe("The database. It must exist."),
        user: text(/^[A-Za-z_][A-Za-z0-9_.-]*$/, "a user", "harbor").describe(
            "Who to log in as; owner of the database.",
        ),
        password: secretName.describe("The name of the secret that holds the password: letters and digits."),
        sslMode: choice(["disable", "require", "verify-ca", "verify-full"])
            .default("require")
            .describe("How the connection is secured."),
        caCertificate: certificatePem
            .optional()
            .describe("The CA of the server's certificate, for verify-ca and verify-full. Default: the public ones."),
    },
    "{kind: external, host: db.example.com, user: harbor, password: databasePassword}",
).describe("A PostgreSQL that exists, 12 or newer.");

const externalCache = object(
    {
        kind: z.literal("external"),
        host: text(
            /^[A-Za-z0-9][A-Za-z0-9.-]*:\d{1,5}(?:,[A-Za-z0-9][A-Za-z0-9.-]*:\d{1,5})*$/,
            "a host and its port, or those of all sentinels, with commas",
            "redis.example.com:6379",
        ).describe("Where it is; with `sentinelMaster` the sentinels."),
        username: text(/^[A-Za-z0-9_.-]+$/, "a user", "harbor")
            .optional()
            .describe("Who to log in as."),
        password: secretName.optional().describe("The name of the secret that holds the password."),
        sentinelMaster: text(/^[A-Za-z0-9_.-]+$/, "a name", "mymaster")
            .optional()
            .describe("The sentinels' master set."),
        tls: flag().default(false).describe("Whether the connection is TLS."),
        caCertificate: certificatePem.optional().describe("The CA of the server's certificate, with `tls`."),
        indexes: object(
            {
                // Harbor's `prepare` takes 0 for absent (get_redis_configs), here and below.
                registry: integer(1, 1000, "an index", 1).default(1).describe("The registry's."),
                jobs: integer(1, 1000, "an index", 2).default(2).describe("The jobs'."),
                trivy: integer(1, 1000, "an index", 5).default(5).describe("Trivy's."),
                harbor: integer(0, 1000, "an index", 6).optional().describe("What core keeps beside. Default: 0."),
                cacheLayer: integer(0, 1000, "an index", 7).optional().describe("The cache's. Default: 0."),
            },
            "{registry: 1}",
        )
            .prefault({})
            .describe("The numbers of the databases in Redis. Core uses 0."),
        idleSeconds: integer(1, 86_400, "seconds", 30)
            .default(30)
            .describe("How long a connection may be without work."),
    },
    "{kind: external, host: redis.example.com:6379, password: redisPassword}",
).describe("A Redis or Valkey that exists.");

const nodeDatabase = object({ kind: z.literal("node") }, "{kind: node}").describe("Harbor's own, on the node.");
const nodeCache = object({ kind: z.literal("node") }, "{kind: node}").describe("Harbor's own, on the node.");
const nodeJobLogs = object({ kind: z.literal("node") }, "{kind: node}").describe(
    "In the machine's directory on the node.",
);

const onMachine = (what: string, usualPort: number) => ({
    kind: z.literal("machine"),
    machine: resourceName.describe(`The machine that ${what} runs on.`),
    port: port(usualPort).default(usualPort).describe("Its port."),
    deleteData: flag()
        .default(false)
        .describe("Whether `destroy` deletes what it holds. Apply it with `up` before `destroy`."),
});

const machineDatabase = object(
    {
        ...onMachine("PostgreSQL", 5432),
        maxConnections: integer(20, 10_000, "connections", 1000)
            .default(1000)
            .describe("How many connections it takes, those of all nodes together."),
    },
    "{kind: machine, machine: db}",
).describe("A PostgreSQL that the stack runs on a machine, with TLS.");

const machineCache = object(onMachine("Valkey", 6379), "{kind: machine, machine: db}").describe(
    "A Valkey that the stack runs on a machine, with TLS.",
);

const awsDatabase = object(
    {
        kind: z.literal("aws"),
        // Backups are made by the programs of Harbor's own database, which read no newer one.
        engineVersion: integer(13, 18, "a major version of PostgreSQL", 17)
            .default(17)
            .describe(
                "The major version of PostgreSQL. A higher one upgrades the database at the next `up`, and stops it meanwhile. Minor versions come by themselves.",
            ),
        instanceClass: text(/^db\.[a-z0-9-]+\.[a-z0-9]+$/, "a class of RDS", "db.m7g.large")
            .default("db.m7g.large")
            .describe("The instance class. Its memory says how many connections there are: about 110 for each GiB."),
        storageGiB: integer(20, 65_536, "GiB", 20).default(20).describe("The disk at the start."),
        maximumStorageGiB: integer(22, 65_536, "GiB", 100)
            .default(100)
            .describe("What the disk grows to by itself when it is nearly full."),
        multiAz: flag()
            .default(true)
            .describe("Whether a standby in another availability zone takes over when the database fails."),
        backupDays: integer(1, 35, "days", 14)
            .default(14)
            .describe("How long each moment of the past can be restored."),
        public: object(
            {
                allowedCidrs: ownRanges("the nodes' public addresses", 16, "203.0.113.7/32").describe(
                    "Who may connect: the addresses that requests of the nodes come from.",
                ),
            },
            "{allowedCidrs: [203.0.113.7/32]}",
        )
            .optional()
            .describe(
                "For nodes that come by the internet: the database gets a public address. Default: it has none, and takes connections from `aws.network.nodeCidrs`.",
            ),
        caCertificate: certificatePem
            .optional()
            .describe(
                "The CA of RDS in the region, for regions that are newer than this program. Default: the known one.",
            ),
        deleteData: awsDeleteData("the database, without a last snapshot and with its backups"),
    },
    "{kind: aws}",
)
    .refine((value) => value.maximumStorageGiB >= Math.ceil(value.storageGiB * 1.1), {
        path: ["maximumStorageGiB"],
        error: "expected at least a tenth more than storageGiB, which is what RDS asks for, for example 100 with storageGiB 20",
    })
    .describe("A PostgreSQL of Amazon RDS that the stack makes: encrypted, with TLS, backups and a standby.");

const awsCache = object(
    {
        kind: z.literal("aws"),
        engineVersion: text(/^\d+\.\d+$/, "a version of Valkey that ElastiCache has, in quotes", "8.0")
            .default("8.0")
            .describe("The version of Valkey. Patches come by themselves."),
        nodeType: text(/^cache\.[a-z0-9-]+\.[a-z0-9]+$/, "a node type of ElastiCache", "cache.t4g.small")
            .default("cache.t4g.small")
            .describe("The node type."),
        replicas: integer(0, 5, "replicas", 1)
            .default(1)
            .describe("How many replicas in other availability zones are ready to take over. 0: none."),
        snapshotDays: integer(1, 35, "days", 7).default(7).describe("How long daily snapshots are kept."),
        deleteData: awsDeleteData("the cache, without a last snapshot"),
    },
    "{kind: aws}",
).describe(
    "A Valkey of Amazon ElastiCache that the stack makes: encrypted, with TLS and a password. It has no public address: nodes must reach it, by a VPN for example.",
);

/** `harborage:storage`. */
export const storage = object(
    {
        objects: variants(
            "kind",
            [nodeObjects, volume("registry", "registry-data"), externalObjects, awsObjects],
            ["node", "volume", "external", "aws"],
            "{kind: node}",
        )
            .prefault({ kind: "node" })
            .describe("Where the pushed images are kept. volume: engine harbor."),
        database: variants(
            "kind",
            [nodeDatabase, volume("database", "registry-database"), externalDatabase, machineDatabase, awsDatabase],
            ["node", "volume", "external", "machine", "aws"],
            "{kind: node}",
        )
            .prefault({ kind: "node" })
            .describe("Harbor's database."),
        cache: variants(
            "kind",
            [nodeCache, externalCache, machineCache, awsCache],
            ["node", "external", "machine", "aws"],
            "{kind: node}",
        )
            .prefault({ kind: "node" })
            .describe("Harbor's Redis."),
        jobLogs: variants(
            "kind",
            [nodeJobLogs, volume("job-logs", "registry-job-logs")],
            ["node", "volume"],
            "{kind: node}",
        )
            .prefault({ kind: "node" })
            .describe("The logs of Harbor's jobs."),
    },
    "{objects: {kind: node}}",
);

export type StorageConfig = z.output<typeof storage>;
export type AwsObjectsConfig = Extract<StorageConfig["objects"], { kind: "aws" }>;
export type AwsDatabaseConfig = Extract<StorageConfig["database"], { kind: "aws" }>;
export type AwsCacheConfig = Extract<StorageConfig["cache"], { kind: "aws" }>;
