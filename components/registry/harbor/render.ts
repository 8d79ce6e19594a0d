import { Document, stringify } from "yaml";
import type { HarborPlan, NamedVolume, NodePlan } from "../../../config/plan";
import { composePath } from "../../compose-stack/render-files";
import type { CachePlace, DatabasePlace, ObjectPlace } from "../../storage/places";

/**
 * What Harbor is given: harbor.yml for its own `prepare`, and a compose file that is laid over the one that `prepare`
 * writes. Keys and services are those of make/harbor.yml.tmpl and make/photon/prepare/templates of Harbor's sources.
 */

/** Words that the generate hook replaces by what only the machine knows, or by secrets. */
export const placeholder = {
    data: "HARBORAGE_DATA",
    release: "HARBORAGE_RELEASE",
    secret: (name: HarborYmlSecret) => `HARBORAGE_SECRET_${name}`,
} as const;

/** The secrets of harbor.yml. */
export type HarborYmlSecret =
    "admin" | "database" | "redis" | "s3_access_key" | "s3_secret_key" | "github_token" | "jaeger";

/** Where Harbor keeps its state, given and made places alike. */
export interface HarborPlaces {
    readonly objects: Local<"objects"> | ({ readonly kind: "external" } & ObjectPlace);
    readonly database: Local<"database"> | ({ readonly kind: "external" } & DatabasePlace);
    readonly cache: Local<"cache"> | ({ readonly kind: "external" } & CachePlace);
    readonly jobLogs: HarborPlan["storage"]["jobLogs"];
}

/** On the node or on a volume of it. */
type Local<Part extends keyof HarborPlan["storage"]> = Extract<
    HarborPlan["storage"][Part],
    { kind: "node" | "volume" }
>;

/** A plan with the places that its storage came to. */
export type SettledPlan = Omit<HarborPlan, "storage"> & { readonly storage: HarborPlaces };

export interface ExternalPlaces {
    readonly objects?: ObjectPlace | undefined;
    readonly database?: DatabasePlace | undefined;
    readonly cache?: CachePlace | undefined;
}

/**
 * @param external the places of what is neither on the node nor on a volume of it
 * @throws Error where one of these is missing
 */
export function settle(plan: HarborPlan, external: ExternalPlaces): SettledPlan {
    const { objects, database, cache, jobLogs } = plan.storage;
    const place = <T>(part: keyof ExternalPlaces, value: T | undefined) => {
        if (value === undefined) {
            throw new Error(`no place of storage.${part}`);
        }
        return { kind: "external" as const, ...value };
    };
    return {
        ...plan,
        storage: {
            objects: isLocal(objects) ? objects : place("objects", external.objects),
            database: isLocal(database) ? database : place("database", external.database),
            cache: isLocal(cache) ? cache : place("cache", external.cache),
            jobLogs,
        },
    };
}

function isLocal<T extends { readonly kind: string }>(part: T): part is Extract<T, { kind: "node" | "volume" }> {
    return part.kind === "node" || part.kind === "volume";
}

/** The CAs that connections to Harbor's storage are verified with, by their names in a release. */
export const trustFile = {
    objects: "trust/objects.crt",
    cache: "trust/cache.crt",
    database: "trust/database.crt",
} as const;

/** In a release: the CA of the stack, which other nodes and the load balancer are verified with. */
export const stackTrustFile = "trust/stack.crt";

/** In a release: what a node serves HTTPS with, below `secrets`. */
export const serverFiles = { certificate: "root/server.crt", privateKey: "root/server.key" } as const;

/** In a release, where the certificates for internal TLS are. */
export const internalTlsFolder = "secrets/root/tls";

/** The metrics' port inside of Harbor's network; `prepare` would publish it under the same number. */
const metricsPort = 9090;

/** The format of harbor.yml that is written; `prepare migrate` brings it to that of a newer version. */
function format(version: string): string {
    return version.startsWith("2.14.") ? "2.14.0" : "2.15.0";
}

/** Harbor writes the values of a storage driver into YAML as they are: a string needs quotes that it keeps. */
const quoted = (value: string) => JSON.stringify(value);

function storageService({ storage }: SettledPlan, node: NodePlan): object {
    const { objects } = storage;
    if (objects.kind !== "external") {
        return {
            // Not only the storage: all of Harbor trusts it.
            ...(node.tls ? { ca_bundle: `${placeholder.release}/${stackTrustFile}` } : {}),
            // Never 1: `prepare` takes it for true.
            filesystem: { maxthreads: 100 },
        };
    }
    const { bucket, region, endpoint, rootDirectory, encrypt, storageClass, redirect } = objects;
    return {
        ...(objects.caCertificate === undefined ? {} : { ca_bundle: `${placeholder.release}/${trustFile.objects}` }),
        s3: {
            region: quoted(region),
            bucket: quoted(bucket),
            ...(objects.hasKey
                ? {
                      accesskey: placeholder.secret("s3_access_key"),
                      secretkey: placeholder.secret("s3_secret_key"),
                  }
                : {}),
            ...(endpoint === undefined ? {} : { regionendpoint: quoted(endpoint) }),
            ...(encrypt ? { encrypt: true } : {}),
            secure: endpoint?.startsWith("http:") !== true,
            v4auth: true,
            rootdirectory: quoted(rootDirectory),
            storageclass: storageClass,
        },
        redirect: { disable: !redirect },
    };
}

function databaseSettings({ storage, config, maxOpenConnections }: SettledPlan): object {
    const { maxIdleConnections, connectionMinutes, idleMinutes } = config.database;
    const pool = {
        max_idle_conns: Math.min(maxIdleConnections, maxOpenConnections),
        max_open_conns: maxOpenConnections,
        conn_max_lifetime: `${String(connectionMinutes)}m`,
        conn_max_idle_time: `${String(idleMinutes)}m`,
    };
    const password = placeholder.secret("database");
    if (storage.database.kind !== "external") {
        return { database: { password, ...pool } };
    }
    const { host, port, name, user, sslMode } = storage.database;
    return {
        external_database: {
            harbor: { host, port, db_name: name, username: user, password, ssl_mode: sslMode, ...pool },
        },
    };
}

function redisSettings({ storage: { cache } }: SettledPlan): object {
    if (cache.kind !== "external") {
        return {};
    }
    const { indexes } = cache;
    return {
        external_redis: {
            host: cache.host,
            password: cache.hasPassword ? placeholder.secret("redis") : "",
            ...(cache.username === undefined ? {} : { username: cache.username }),
            ...(cache.sentinelMaster === undefined ? {} : { sentinel_master_set: cache.sentinelMaster }),
            tlsOptions: {
                enable: cache.tls,
                // The key must be there with TLS, even without a value.
                rootCA: cache.caCertificate === undefined ? null : `${placeholder.release}/${trustFile.cache}`,
            },
            registry_db_index: indexes.registry,
            jobservice_db_index: indexes.jobs,
            trivy_db_index: indexes.trivy,
            idle_timeout_seconds: cache.idleSeconds,
            ...(indexes.harbor === undefined ? {} : { harbor_db_index: indexes.harbor }),
            ...(indexes.cacheLayer === undefined ? {} : { cache_layer_db_index: indexes.cacheLayer }),
        },
    };
}

function trivySettings({ trivy }: HarborPlan["config"]): object {
    return trivy.enabled
        ? {
              trivy: {
                  ignore_unfixed: trivy.ignoreUnfixed,
                  skip_update: trivy.skipUpdate,
                  skip_java_db_update: trivy.skipJavaDbUpdate,
                  offline_scan: trivy.offlineScan,
                  security_check: trivy.securityChecks.join(","),
                  insecure: trivy.insecure,
                  timeout: `${String(trivy.timeoutMinutes)}m0s`,
                  ...(trivy.dbRepository === undefined ? {} : { db_repository: trivy.dbRepository }),
                  ...(trivy.javaDbRepository === undefined ? {} : { java_db_repository: trivy.javaDbRepository }),
                  ...(trivy.githubToken === undefined ? {} : { github_token: placeholder.secret("github_token") }),
              },
          }
        : {};
}

function traceSettings({ trace }: HarborPlan["config"]): object {
    if (trace === undefined) {
        return {};
    }
    const { exporter } = trace;
    const settings =
        exporter.kind === "otel"
            ? {
                  otel: {
                      endpoint: exporter.endpoint,
                      url_path: exporter.urlPath,
                      compression: exporter.compression,
                      insecure: exporter.insecure,
                      timeout: exporter.timeoutSeconds,
                  },
              }
            : exporter.kind === "jaeger"
              ? {
                    jaeger: {
                        endpoint: exporter.endpoint,
                        ...(exporter.username === undefined ? {} : { username: exporter.username }),
                        ...(exporter.password === undefined ? {} : { password: placeholder.secret("jaeger") }),
                    },
                }
              : { jaeger: { agent_host: exporter.host, agent_port: exporter.port } };
    return {
        trace: {
            enabled: true,
            sample_rate: trace.sampleRate,
            ...(trace.namespace === undefined ? {} : { namespace: trace.namespace }),
            ...(Object.keys(trace.attributes).length === 0 ? {} : { attributes: trace.attributes }),
            ...settings,
        },
    };
}

/** What Harbor's `prepare` reads, with placeholders where only the machine or a secret has the value. */
export function renderHarborYml(plan: SettledPlan, node: NodePlan): string {
    const { config } = plan;
    const { proxy, log } = config;
    return stringify(
        {
            hostname: plan.publicName,
            external_url: plan.publicUrl,
            http: { port: node.port },
            ...(node.tls
                ? {
                      https: {
                          port: node.port,
                          certificate: `${placeholder.release}/secrets/${serverFiles.certificate}`,
                          private_key: `${placeholder.release}/secrets/${serverFiles.privateKey}`,
                      },
                  }
                : {}),
            harbor_admin_password: placeholder.secret("admin"),
            // `prepare` finds this line by grep.
            data_volume: placeholder.data,
            ...databaseSettings(plan),
            storage_service: storageService(plan, node),
            ...trivySettings(config),
            jobservice: {
                max_job_workers: config.jobs.workers,
                max_job_duration_hours: config.jobs.maxHours,
                job_loggers: plan.jobLoggers,
                logger_sweeper_duration: config.jobs.keepLogDays,
            },
            notification: {
                webhook_job_max_retry: config.webhooks.retries,
                webhook_job_http_client_timeout: config.webhooks.timeoutSeconds,
            },
            log: {
                level: log.level,
                local: {
                    rotate_count: log.rotateCount,
                    rotate_size: `${String(log.rotateMiB)}M`,
                    location: `${placeholder.data}/logs`,
                },
                ...(log.external === undefined ? {} : { external_endpoint: log.external }),
            },
            _version: format(config.version),
            ...redisSettings(plan),
            proxy: {
                http_proxy: proxy?.http ?? null,
                https_proxy: proxy?.https ?? null,
                no_proxy: proxy === undefined || proxy.noProxy.length === 0 ? null : proxy.noProxy.join(","),
                components: proxy?.components ?? [],
            },
            ...(config.metrics.enabled ? { metric: { enabled: true, port: metricsPort, path: "/metrics" } } : {}),
            ...traceSettings(config),
            upload_purging: {
                enabled: config.uploadPurging.enabled,
                age: `${String(config.uploadPurging.ageHours)}h`,
                interval: `${String(config.uploadPurging.intervalHours)}h`,
                dryrun: config.uploadPurging.dryRun,
            },
            cache: { enabled: config.cache.enabled, expire_hours: config.cache.expireHours },
            core: { quota_update_provider: config.quotaUpdates },
            ...(config.internalTls
                ? { internal_tls: { enabled: true, dir: `${placeholder.release}/${internalTlsFolder}` } }
                : {}),
        },
        { lineWidth: 0 },
    );
}

/** What Harbor never asks a proxy for (INTERNAL_NO_PROXY_DN in prepare/g.py). */
const ownNames = [
    "127.0.0.1",
    "localhost",
    ".local",
    ".internal",
    "log",
    "db",
    "redis",
    "nginx",
    "core",
    "portal",
    "postgresql",
    "jobservice",
    "registry",
    "registryctl",
    "trivy-adapter",
    "exporter",
];

export interface OverrideArgs {
    readonly stack: string;
    readonly plan: SettledPlan;
    readonly node: NodePlan;
    /** The address of the machine that the load balancer reaches the node at. */
    readonly address: string;
    /** What it replicates with; absent where it does not. */
    readonly replication?: Replication;
    /** The service that makes backups. */
    readonly backup: Service;
}

/** Where a node that replicates finds the others. */
export interface Replication {
    /** Of the load balancer: where the public name leads, which tokens are asked for at. */
    readonly balancerAddress: string;
    /** Of the node that it replicates to. */
    readonly peerAddress: string;
}

type Service = Readonly<Record<string, unknown>>;

/**
 * The compose file that is laid over Harbor's own: the stack's secrets in place of those that `prepare` makes anew each
 * time, volumes, and the addresses that ports are published at.
 */
export function renderOverride({ stack, plan, node, address, replication, backup }: OverrideArgs): string {
    const { config, storage } = plan;
    const { objects, database, cache, jobLogs } = storage;
    const labels = { "harborage.stack": stack };
    const metricsAddress = config.metrics.cidrs.length > 0 ? "0.0.0.0" : address;
    // Docker would give an empty volume to whom the folder belongs that the image has in its place.
    const mount = (part: { kind: string; name?: string }, target: string) =>
        part.kind === "volume" ? { volumes: [`${part.name ?? ""}:${target}:nocopy`] } : {};
    const others = replication === undefined ? [] : [plan.publicName, replication.peerAddress];
    // `prepare` joins a Python set: the order is another one each time, and the containers would be made anew.
    const noProxy = [...new Set([...ownNames, ...others, ...(config.proxy?.noProxy ?? [])])].sort().join(",");
    const proxied = (component: "core" | "jobservice" | "trivy"): Service =>
        config.proxy?.components.includes(component) === true ? { environment: { NO_PROXY: noProxy } } : {};
    // What copies between nodes asks for tokens at the public name, whether or not there is DNS.
    const replicating = (): Service =>
        replication === undefined ? {} : { extra_hosts: [`${plan.publicName}:${replication.balancerAddress}`] };

    // What is in this folder is trusted by the programs of the images (make/photon/common/install_cert.sh).
    const trusted = "/harbor_cust_cert";
    const trust = [
        // `prepare` forgets it unless data_volume is /data (make/photon/prepare/utils/cert.py, prepare_trust_ca).
        ...(config.internalTls
            ? [
                  `${composePath(node.dataDirectory)}/secret/tls/harbor_internal_ca.crt:${trusted}/harbor_internal_ca.crt:ro`,
              ]
            : []),
        // harbor.yml has no setting for it.
        ...(database.kind === "external" && database.caCertificate !== undefined
            ? [`./${trustFile.database}:${trusted}/harborage_database_ca.crt:ro`]
            : []),
    ];
    const trusting = [
        "registry",
        "registryctl",
        "core",
        "jobservice",
        "proxy",
        ...(config.trivy.enabled ? ["trivy-adapter"] : []),
        ...(config.metrics.enabled ? ["exporter"] : []),
    ];
    // With Harbor's own way, by its log service, Docker does not start the others after a reboot: it starts all at once, what
    // cannot reach the log service fails, and Docker does not try again.
    const { rotateCount, rotateMiB, external } = config.log;
    const logging = () =>
        external === undefined
            ? {
                  logging: {
                      driver: "json-file",
                      options: { "max-size": `${String(rotateMiB)}m`, "max-file": String(rotateCount + 1) },
                  },
              }
            : {};
    const services: Record<string, Service> = {
        log: {},
        registry: {
            // The image's own entrypoint, with the secret for uploads from a file: not in the environment, where
            // `docker inspect` would show it.
            entrypoint: ["/bin/sh", "/etc/harborage/start.sh"],
            environment: { REGISTRY_AUTH_HTPASSWD_PATH: "/etc/harborage/passwd" },
            volumes: [
                "./registry/start.sh:/etc/harborage/start.sh:ro",
                "./secrets/service/passwd:/etc/harborage/passwd:ro",
                "./secrets/service/http-secret:/etc/harborage/http-secret:ro",
                ...(mount(objects, "/storage").volumes ?? []),
            ],
        },
        registryctl: { env_file: ["./secrets/root/registryctl.env"], ...mount(objects, "/storage") },
        ...(database.kind === "external" ? {} : { postgresql: mount(database, "/var/lib/postgresql/data") }),
        core: { env_file: ["./secrets/root/core.env"], ...proxied("core"), ...replicating() },
        portal: {},
        jobservice: {
            env_file: ["./secrets/root/jobservice.env"],
            ...mount(jobLogs, "/var/log/jobs"),
            ...proxied("jobservice"),
            ...replicating(),
        },
        ...(cache.kind === "external" ? {} : { redis: {} }),
        proxy: {
            ports: [
                `${address}:${String(node.port)}:${node.tls ? "8443" : "8080"}`,
                ...(config.metrics.enabled
                    ? [`${metricsAddress}:${String(config.metrics.port)}:${String(metricsPort)}`]
                    : []),
            ],
        },
        ...(config.trivy.enabled ? { "trivy-adapter": proxied("trivy") } : {}),
        ...(config.metrics.enabled ? { exporter: {} } : {}),
        backup,
    };
    const volumes = namedVolumes(plan);
    const document = new Document({
        services: Object.fromEntries(
            Object.entries(services).map(([name, service]) => {
                const volumes = [
                    ...((service["volumes"] ?? []) as string[]),
                    ...(trusting.includes(name) ? trust : []),
                ];
                return [name, { labels, ...logging(), ...service, ...(volumes.length > 0 ? { volumes } : {}) }];
            }),
        ),
        ...(volumes.length === 0
            ? {}
            : {
                  // Made by the generate hook: what compose does not know as its own, it never deletes.
                  volumes: Object.fromEntries(volumes.map(({ name }) => [name, { name, external: true }])),
              }),
    });
    // In place of the ports of Harbor's file, which are open to everybody.
    const ports = document.getIn(["services", "proxy", "ports"], true) as { tag?: string };
    ports.tag = "!override";
    return document.toString({ lineWidth: 0 });
}

/** Who writes there, as user and group: Harbor's components and its database (DEFAULT_UID and PG_UID in prepare/g.py). */
const owners = { harbor: "10000:10000", database: "999:999" } as const;

/** The named volumes that Harbor's state is on, each with the user that writes there. */
export function namedVolumes({
    storage,
}: Pick<SettledPlan | HarborPlan, "storage">): (NamedVolume & { readonly owner: string })[] {
    const { objects, database, jobLogs } = storage;
    return [
        ...(objects.kind === "volume" ? [{ ...objects, owner: owners.harbor }] : []),
        ...(database.kind === "volume" ? [{ ...database, owner: owners.database }] : []),
        ...(jobLogs.kind === "volume" ? [{ ...jobLogs, owner: owners.harbor }] : []),
    ];
}

/** Where images and the database are, in one line that is another one when they are somewhere else. */
export function statePlaces({ objects, database }: HarborPlaces): string {
    const images =
        objects.kind === "external"
            ? `${objects.endpoint ?? "s3"}/${objects.bucket}${objects.rootDirectory}`
            : objects.kind === "volume"
              ? `volume:${objects.name}`
              : "node";
    const rows =
        database.kind === "external"
            ? `${database.host}:${String(database.port)}/${database.name}`
            : database.kind === "volume"
              ? `volume:${database.name}`
              : "node";
    return `storage.objects=${images},storage.database=${rows}`;
}
