import { z } from "zod";
import { backup } from "./backup";
import { sourceFile } from "./baseline";
import {
    choice,
    cidr,
    dnsNameOrAddress,
    flag,
    httpUrl,
    integer,
    object,
    port,
    schedule,
    secretName,
    text,
    variants,
} from "./fields";

/**
 * The part of the stack file's schema that is about the engine Harbor. Names and meanings follow Harbor's own harbor.yml
 * (make/harbor.yml.tmpl of its sources); defaults are Harbor's where nothing else is said.
 */

const hostAndPort = text(
    /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?:\d{1,5}$/,
    "a host and its port",
    "collector.example.com:4318",
);

const trivy = object(
    {
        enabled: flag().default(true).describe("Whether images can be scanned for vulnerabilities."),
        skipUpdate: flag()
            .default(false)
            .describe("Never downloads the vulnerability database: for sites without a way out."),
        skipJavaDbUpdate: flag().default(false).describe("The same for the database of Java archives."),
        offlineScan: flag().default(false).describe("Asks nobody outside while it scans."),
        ignoreUnfixed: flag().default(false).describe("Leaves out what has no fix yet."),
        securityChecks: z
            .array(choice(["vuln", "config", "secret"]), "expected a list of: vuln, config, secret")
            .min(1, "expected at least one of: vuln, config, secret")
            .default(["vuln"])
            .describe("What it looks for."),
        insecure: flag().default(false).describe("Does not verify the registry's certificate."),
        timeoutMinutes: integer(1, 30, "minutes", 5).default(5).describe("How long a scan may take."),
        dbRepository: text(/^[a-z0-9][A-Za-z0-9.:_/-]*$/, "a repository", "mirror.example.com/aquasecurity/trivy-db")
            .optional()
            .describe(
                "Where the vulnerability database comes from. Default: the one of its authors. From Harbor 2.15 on.",
            ),
        javaDbRepository: text(
            /^[a-z0-9][A-Za-z0-9.:_/-]*$/,
            "a repository",
            "mirror.example.com/aquasecurity/trivy-java-db",
        )
            .optional()
            .describe("The same for the database of Java archives."),
        githubToken: secretName
            .optional()
            .describe("The name of the secret that holds a GitHub token, against the limit of anonymous downloads."),
    },
    "{enabled: true, skipUpdate: true, offlineScan: true}",
);

/** How many connections to the database a component may open by default where there are several nodes. */
export const sharedOpenConnections = 80;

const database = object(
    {
        maxIdleConnections: integer(1, 10_000, "connections", 100)
            .default(100)
            .describe("How many connections are kept open without work, per component."),
        maxOpenConnections: integer(1, 100_000, "connections", 900)
            .optional()
            .describe(
                "How many connections there may be, per component. All nodes together must stay below what the database allows. Default: 900; 80 with several nodes.",
            ),
        connectionMinutes: integer(0, 10_000, "minutes", 5)
            .default(5)
            .describe("How long a connection is used; 0 is for ever."),
        idleMinutes: integer(0, 10_000, "minutes", 0)
            .default(0)
            .describe("How long a connection may be without work; 0 is for ever."),
    },
    "{maxOpenConnections: 200}",
);

const jobs = object(
    {
        workers: integer(1, 1000, "workers", 10).default(10).describe("How many jobs run at the same time."),
        maxHours: integer(24, 8760, "hours", 24).default(24).describe("How long a job may take."),
        loggers: z
            .array(choice(["STD_OUTPUT", "FILE", "DB"]), "expected a list of: STD_OUTPUT, FILE, DB")
            .min(1, "expected at least one of: STD_OUTPUT, FILE, DB")
            .optional()
            .describe(
                "Where the logs of jobs go. With DB they are in the database and can be read through every node. Default: STD_OUTPUT and FILE; with several nodes STD_OUTPUT and DB.",
            ),
        keepLogDays: integer(1, 3650, "days", 14).default(14).describe("How long they are kept."),
    },
    "{workers: 10, loggers: [STD_OUTPUT, DB]}",
);

const log = object(
    {
        level: choice(["debug", "info", "warning", "error", "fatal"]).default("info").describe("What is logged."),
        rotateCount: integer(1, 1000, "files", 10)
            .default(10)
            .describe("How many old files of each component are kept."),
        rotateMiB: integer(1, 10_000, "MiB", 50)
            .default(50)
            .describe("The size at which a new file is begun. Logs are read with `docker logs`."),
        external: object(
            {
                protocol: choice(["tcp", "udp"]).describe("How it is reached."),
                host: dnsNameOrAddress.describe("Where it is."),
                port: port(514).describe("Its port."),
            },
            "{protocol: tcp, host: syslog.example.com, port: 514}",
        )
            .optional()
            .describe("A syslog server that gets the logs: they are not in files then."),
    },
    "{level: info}",
);

const proxy = object(
    {
        http: httpUrl("http://proxy.example.com:3128").optional().describe("For http."),
        https: httpUrl("http://proxy.example.com:3128").optional().describe("For https."),
        noProxy: z
            .array(
                text(/^[^\s,]+$/, "a name, domain or range", ".example.com"),
                "expected a list of names, for example [.example.com]",
            )
            .default([])
            .describe("What is reached without it. Harbor's own components always are."),
        components: z
            .array(choice(["core", "jobservice", "trivy"]), "expected a list of: core, jobservice, trivy")
            .default(["core", "jobservice", "trivy"])
            .describe("What uses it. Replication needs core and jobservice."),
    },
    "{http: http://proxy.example.com:3128, https: http://proxy.example.com:3128}",
);

const metrics = object(
    {
        enabled: flag().default(false).describe("Whether there are metrics for Prometheus."),
        port: port(9090)
            .default(9090)
            .describe(
                "The node's port for them, at the address that the load balancer reaches the node at: `/metrics`, and `/metrics?comp=core`, `jobservice` or `registry` of one component.",
            ),
        cidrs: z
            .array(cidr, "expected a list of ranges, for example [192.0.2.0/24]")
            .default([])
            .describe(
                "Who may read them. With any range the node listens at all its addresses; a VM's security group lets these in alone.",
            ),
    },
    "{enabled: true, cidrs: [192.0.2.0/24]}",
);

const trace = object(
    {
        sampleRate: z
            .number("expected a share from 0 to 1, for example 0.1")
            .min(0, "expected a share from 0 to 1, for example 0.1")
            .max(1, "expected a share from 0 to 1, for example 0.1")
            .default(1)
            .meta({ examples: [0.1] })
            .describe("The share of requests that is traced."),
        namespace: text(/^[A-Za-z0-9_.-]+$/, "a name", "harbor")
            .optional()
            .describe("Tells several Harbors apart."),
        attributes: z
            .record(
                text(/^[A-Za-z0-9_.-]+$/, "a name", "application"),
                text(/^[^\s"'\\$]+$/, "a word", "harbor"),
                "expected texts by name, for example {application: harbor}",
            )
            .default({})
            .describe("What every trace carries."),
        exporter: variants(
            "kind",
            [
                object(
                    {
                        kind: z.literal("otel"),
                        endpoint: hostAndPort.describe("The collector."),
                        urlPath: text(/^\/[A-Za-z0-9_/-]*$/, "a path", "/v1/traces")
                            .default("/v1/traces")
                            .describe("Its path."),
                        compression: flag().default(false).describe("Whether what is sent is compressed."),
                        insecure: flag().default(false).describe("Whether it is sent without TLS."),
                        timeoutSeconds: integer(1, 600, "seconds", 10)
                            .default(10)
                            .describe("How long sending may take."),
                    },
                    "{kind: otel, endpoint: collector.example.com:4318}",
                ).describe("An OpenTelemetry collector, by HTTP."),
                object(
                    {
                        kind: z.literal("jaeger"),
                        endpoint: httpUrl("http://jaeger.example.com:14268/api/traces").describe("The collector."),
                        username: text(/^[A-Za-z0-9_.@-]+$/, "a name", "harbor")
                            .optional()
                            .describe("Who to log in as."),
                        password: secretName.optional().describe("The name of the secret that holds the password."),
                    },
                    "{kind: jaeger, endpoint: http://jaeger.example.com:14268/api/traces}",
                ).describe("A Jaeger collector, 1.26 or newer."),
                object(
                    {
                        kind: z.literal("jaeger-agent"),
                        host: dnsNameOrAddress.describe("The agent."),
                        port: port(6831).default(6831).describe("Its port for jaeger.thrift in compact mode."),
                    },
                    "{kind: jaeger-agent, host: jaeger.example.com}",
                ).describe("A Jaeger agent."),
            ],
            ["otel", "jaeger", "jaeger-agent"],
            "{kind: otel, endpoint: collector.example.com:4318}",
        ).describe("Where traces go."),
    },
    "{exporter: {kind: otel, endpoint: collector.example.com:4318}}",
);

const uploadPurging = object(
    {
        enabled: flag().default(true).describe("Whether uploads that were never finished are removed."),
        ageHours: integer(2, 87_600, "hours", 168).default(168).describe("How old they must be."),
        intervalHours: integer(2, 8760, "hours", 24).default(24).describe("How often it is done."),
        dryRun: flag().default(false).describe("Only logs what would be removed."),
    },
    "{ageHours: 168}",
);

const cache = object(
    {
        enabled: flag().default(false).describe("Whether manifests and projects are cached, for many pulls at once."),
        expireHours: integer(1, 8760, "hours", 24).default(24).describe("How long."),
    },
    "{enabled: true}",
);

const garbageCollection = object(
    {
        enabled: flag().default(true).describe("Whether collection runs by itself."),
        schedule: schedule("0 3 * * *"),
        deleteUntagged: flag()
            .default(false)
            .describe(
                "Whether artifacts without a tag are deleted too. Images that are used by digest alone would be lost.",
            ),
        workers: integer(1, 5, "workers", 1).default(1).describe("How many delete at the same time."),
    },
    "{schedule: 0 3 * * *}",
);

const scan = object(
    {
        enabled: flag().default(true).describe("Whether all images are scanned by themselves. Only with trivy."),
        schedule: schedule("0 1 * * *"),
    },
    "{schedule: 0 1 * * *}",
);

const auditLog = object(
    {
        purge: flag().default(true).describe("Whether old entries are deleted."),
        schedule: schedule("0 2 * * *"),
        keepDays: integer(1, 36_500, "days", 365).default(365).describe("How long entries are kept."),
    },
    "{keepDays: 365}",
);

const secrets = object(
    {
        secretKey: secretName
            .optional()
            .describe(
                "The name of the secret that holds the key that Harbor encrypts stored passwords with, 16 letters and digits. Default: a generated one.",
            ),
    },
    "{secretKey: harborSecretKey}",
);

/** `harborage:registry` with `engine: harbor`. */
export const harborRegistry = object(
    {
        engine: z.literal("harbor"),
        version: text(/^2\.(?:1[4-9]|[2-9]\d)\.\d+$/, "a version of Harbor, 2.14.0 or newer", "2.15.2").describe(
            "The version of Harbor. A newer one upgrades: a backup is made first.",
        ),
        installer: sourceFile("Harbor's installer, online or offline", "harbor-offline-installer-v2.15.2.tgz").describe(
            "Harbor's own installer of that version. The offline one holds the images; the online one pulls them.",
        ),
        port: port(8080).default(8080).describe("The node's port. Only the load balancer uses it."),
        adminPassword: secretName
            .optional()
            .describe(
                "The name of the secret that holds the password of the user admin: 8 to 128 characters, with an upper-case letter, a lower-case letter and a digit. Default: a generated one.",
            ),
        secrets: secrets
            .prefault({})
            .describe(
                "Secrets that have to be given where data of another Harbor is taken over; else they are generated.",
            ),
        database: database.prefault({}).describe("Harbor's connections to its database."),
        trivy: trivy.prefault({}).describe("The scanner for vulnerabilities."),
        jobs: jobs.prefault({}).describe("What works in the background: replication, scans, collection."),
        webhooks: object(
            {
                retries: integer(0, 100, "times", 3).default(3).describe("How often a webhook is tried again."),
                timeoutSeconds: integer(1, 600, "seconds", 3).default(3).describe("How long one may take."),
            },
            "{retries: 3}",
        )
            .prefault({})
            .describe("How webhooks are sent."),
        log: log.prefault({}).describe("What is logged and how much of it is kept."),
        proxy: proxy.optional().describe("The proxy through which Harbor reaches what is outside."),
        metrics: metrics.prefault({}).describe("Metrics for Prometheus."),
        trace: trace.optional().describe("Traces of requests."),
        cache: cache.prefault({}).describe("A cache in Redis in front of the database."),
        quotaUpdates: choice(["db", "redis"])
            .default("db")
            .describe("Where usage of quotas is counted: `redis` is for many pushes into one project at once."),
        uploadPurging: uploadPurging.prefault({}).describe("What happens to unfinished uploads."),
        internalTls: flag()
            .default(false)
            .describe("Whether Harbor's components talk TLS to each other, with certificates that the stack makes."),
        garbageCollection: garbageCollection.prefault({}).describe("Frees the bytes of deleted images."),
        scan: scan.prefault({}).describe("Scans all images on a schedule."),
        auditLog: auditLog.prefault({}).describe("How long the audit log is kept."),
        backup: backup.prefault({}).describe("Backups of the database and of Harbor's keys; not of the images."),
        settings: z
            .record(
                text(
                    /^[a-z][a-z0-9_]*$/,
                    "the name of a setting as Harbor's API has it",
                    "project_creation_restriction",
                ),
                z.union([z.string(), z.number(), z.boolean()], "expected text, a number, true or false"),
                "expected settings by name, for example {project_creation_restriction: adminonly}",
            )
            .default({})
            .describe(
                "Further settings of Harbor's system configuration, by the names of its API (PUT /api/v2.0/configurations).",
            ),
        healthMinutes: integer(1, 240, "minutes", 10)
            .default(10)
            .describe("How long Harbor may take until it is healthy, migrations of its database included."),
    },
    "{engine: harbor, version: 2.15.2, installer: {path: /srv/harbor-offline-installer-v2.15.2.tgz, sha256: 9f86d0…}}",
).describe("Harbor 2: projects, users, quotas, scanning, replication.");

export type HarborConfig = z.output<typeof harborRegistry>;

/** The port of this machine that all of Harbor's containers log to; its compose file has no setting for it. */
export const harborLogPort = 1514;
