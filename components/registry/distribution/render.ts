import { stringify } from "yaml";
import type { DistributionPlan, NodePlan } from "../../../config/plan";
import type { ScheduleTimes } from "../../../config/schedule";
import { composePath, contentLabel, serviceLog } from "../../compose-stack/render-files";
import { gateChecks, gateMaps, gateVolume, metricsPath, retrySeconds } from "../../load-balancer/gate";
import { hostAndPort, type Upstream } from "../../load-balancer/upstream";
import type { ObjectPlace } from "../../storage/places";

/** Where a release's files are inside the containers. */
const release = "/etc/harborage/current";

/** Ports inside the compose project's own network. */
const servicePort = 5000;
const debugPort = 5001;
const gatePort = 8080;

/** Where the images are in the container, where they are on the node. */
const imagesFolder = "/var/lib/registry";

/** The secret files that `config.sh` puts into the configuration, below `secrets/service/`. */
export const configSecrets = { http: "http-secret", accessKey: "s3-access-key", secretKey: "s3-secret-key" } as const;

/** The release's file with the CA of the server that has the bucket. */
export const objectsCaFile = "registry/objects-ca.pem";

/** Stands for a secret file, as a whole YAML value. */
const secretFile = (file: string) => `@${file}@`;

/**
 * The configuration of CNCF Distribution (distribution.github.io/distribution/about/configuration). `config.sh` puts the
 * secrets in when the container starts, so that this text can be shown in previews.
 *
 * There is no blob descriptor cache: it would outlive a garbage collection, and a layer that is pushed again after it
 * was collected would be answered with "exists already".
 *
 * @param objects where images are that are not on the node
 */
export function renderConfig(registry: DistributionPlan, objects?: ObjectPlace): string {
    return stringify({
        version: 0.1,
        log: { level: registry.logLevel, fields: { service: "registry" } },
        storage: {
            ...(objects === undefined ? { filesystem: { rootdirectory: imagesFolder } } : bucketDriver(objects)),
            delete: { enabled: true },
            maintenance: { uploadpurging: { enabled: true, age: "168h", interval: "24h", dryrun: false } },
        },
        auth: { htpasswd: { realm: "Harborage", path: `${release}/secrets/service/htpasswd` } },
        http: {
            addr: `:${String(servicePort)}`,
            secret: secretFile(configSecrets.http),
            headers: { "X-Content-Type-Options": ["nosniff"] },
            debug: { addr: `:${String(debugPort)}`, prometheus: { enabled: true, path: "/metrics" } },
        },
        // The node answers 503 once this says so: one without its bucket has to be out of rotation within 15 s.
        health: {
            storagedriver: {
                enabled: true,
                ...(objects === undefined ? { interval: "10s", threshold: 3 } : { interval: "4s", threshold: 2 }),
            },
        },
    });
}

/** The driver for S3 (registry/storage/driver/s3-aws/s3.go), with keys or with the machine's role. */
function bucketDriver(objects: ObjectPlace): object {
    const { bucket, region, endpoint, rootDirectory, hasKey, encrypt, storageClass, redirect } = objects;
    return {
        s3: {
            bucket,
            region,
            // Servers other than Amazon's seldom have a name for each bucket.
            ...(endpoint === undefined
                ? {}
                : { regionendpoint: endpoint, forcepathstyle: true, secure: endpoint.startsWith("https://") }),
            rootdirectory: rootDirectory,
            ...(hasKey
                ? {
                      accesskey: secretFile(configSecrets.accessKey),
                      secretkey: secretFile(configSecrets.secretKey),
                  }
                : {}),
            v4auth: true,
            encrypt,
            storageclass: storageClass,
        },
        redirect: { disable: !redirect },
    };
}

/** The configuration that the collector of several nodes needs: where images are, and nothing that serves them. */
export function renderCollectorConfig(registry: DistributionPlan, objects: ObjectPlace): string {
    return stringify({
        version: 0.1,
        log: { level: registry.logLevel, fields: { service: "collector" } },
        storage: { ...bucketDriver(objects), delete: { enabled: true } },
    });
}

/** The times of collection as `collect.sh` reads them: a word and its numbers on each line. */
export function renderSchedule(times: ScheduleTimes): string {
    return [
        `minutes ${times.minutes.join(" ")}`,
        `hours ${times.hours.join(" ")}`,
        `days ${times.days.join(" ")}`,
        `months ${times.months.join(" ")}`,
        `weekdays ${times.weekdays.join(" ")}`,
        "",
    ].join("\n");
}

/**
 * nginx.conf of a node whose load balancer is on another machine: it passes everything on, and refuses pushes while garbage
 * is collected on the node. Where another machine collects for several nodes, it shows that one the registry's counters.
 * Numbers as in the load balancer's.
 */
export function renderGate({ isShared }: Pick<DistributionPlan, "isShared">): string {
    return `worker_processes auto;
worker_rlimit_nofile 65535;
pid /tmp/nginx.pid;
error_log /dev/stderr warn;

events {
    worker_connections 8192;
}

http {
    server_tokens off;
    access_log off;
    client_body_temp_path /tmp/client-body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    client_max_body_size 0;
    client_body_timeout 900s;
    send_timeout 900s;
    keepalive_timeout 75s;

${gateMaps}
    server {
        listen ${String(gatePort)};

${gateChecks}
        location = /healthz {
            return 200;
        }

        # By way of a variable Docker's DNS is asked again: the registry's container may get another address.
        resolver 127.0.0.11 valid=2s;
        set $registry registry:${String(servicePort)};
${isShared ? renderMetrics() : ""}        location / {
            proxy_pass http://$registry;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_connect_timeout 3s;
            proxy_read_timeout 900s;
            proxy_send_timeout 900s;
        }
    }
}
`;
}

/** For the `server` block of a node's nginx. This path alone: the same port has the registry's debugger. */
function renderMetrics(): string {
    return `        location = ${metricsPath} {
            set $metrics registry:${String(debugPort)};
            proxy_pass http://$metrics/metrics;
            proxy_connect_timeout 3s;
            proxy_read_timeout 5s;
        }

`;
}

export interface ComposeArgs {
    readonly stack: string;
    readonly registry: DistributionPlan;
    readonly node: NodePlan;
    /** Where images are that are not on the node. */
    readonly objects?: ObjectPlace | undefined;
    /** The address of the machine that the load balancer reaches the node at. */
    readonly address: string;
    /** The texts that the registry reads at its start. */
    readonly startFiles: readonly string[];
    /** The texts that the collector reads at its start. */
    readonly collectorFiles: readonly string[];
}

/** What all services here have. */
function hardened({ image }: DistributionPlan, objects: ObjectPlace | undefined) {
    return {
        image,
        user: "${HARBORAGE_USER}",
        restart: "always",
        read_only: true,
        cap_drop: ["ALL"],
        security_opt: ["no-new-privileges"],
        // A folder that the image has, with this mode: one that Docker made itself would be root's alone from the second
        // start of the container on (seen with runc 1.1: the folder's mode wins over the one given here).
        // The images' folder is a volume of the image, and would be one without a name where nothing is mounted there.
        tmpfs: ["/tmp:mode=1777", ...(objects === undefined ? [] : [imagesFolder])],
        environment: {
            // Without it the tracing library looks for a collector on this machine.
            OTEL_TRACES_EXPORTER: "none",
            ...(objects?.caCertificate === undefined ? {} : { AWS_CA_BUNDLE: `${release}/${objectsCaFile}` }),
        },
        logging: serviceLog(),
    };
}

/** A compose volume with the gate's flags, for who sets them. */
const flagsVolume = gateVolume.replace(/:ro$/, "");

/** How long no write may be in flight until a registry is quiet, in seconds. */
const quietSeconds = 3;

/**
 * The service that collects.
 *
 * @param environment what else `collect.sh` is told
 */
function collectorService(
    registry: DistributionPlan,
    objects: ObjectPlace | undefined,
    environment: Readonly<Record<"METRICS" | "QUIET_SECONDS", string>> & { readonly ASKED?: string },
) {
    const { enabled, deleteUntagged, drainMinutes, times } = registry.garbageCollection;
    const common = hardened(registry, objects);
    return {
        ...common,
        entrypoint: ["/bin/sh", `${release}/registry/collect.sh`],
        command: [enabled ? "schedule" : "wait"],
        environment: {
            ...common.environment,
            ...environment,
            DELETE_UNTAGGED: String(deleteUntagged),
            DRAIN_SECONDS: String(drainMinutes * 60),
            ...(objects === undefined ? { IMAGES: imagesFolder } : {}),
            EITHER_DAY: String(times.eitherDay),
        },
    };
}

export interface CollectorComposeArgs {
    readonly stack: string;
    readonly registry: DistributionPlan;
    readonly project: string;
    readonly objects: ObjectPlace;
    /** The nodes as the load balancer reaches them. */
    readonly nodes: readonly Upstream[];
    /** The texts that the collector reads at its start. */
    readonly files: readonly string[];
}

/** The compose file of what collects for several nodes, on the load balancer's machine: its gate is before all of them. */
export function renderCollectorCompose(args: CollectorComposeArgs): string {
    const { stack, registry, project, objects, nodes, files } = args;
    const metrics = nodes.map((node) => `http://${hostAndPort(node)}${metricsPath}`);
    return stringify({
        name: project,
        services: {
            collector: {
                ...collectorService(registry, objects, {
                    METRICS: metrics.join(" "),
                    // What the load balancer let in before may reach a node only then.
                    QUIET_SECONDS: String(retrySeconds + quietSeconds),
                    ASKED: "/gate/asked",
                }),
                labels: { "harborage.stack": stack, "harborage.config": contentLabel(...files) },
                // Reaches nodes as the load balancer does.
                network_mode: "host",
                volumes: ["${HARBORAGE_STACK}:/etc/harborage:ro", flagsVolume],
            },
        },
    });
}

/** The compose file of a node: the registry, and beside it, where it is the only node, the collector. */
export function renderCompose(args: ComposeArgs): string {
    const { registry, node, stack, objects } = args;
    const common = hardened(registry, objects);
    const publish = (port: number) => ({ ports: [`${args.address}:${String(node.port)}:${String(port)}`] });
    const volumes = [
        `\${HARBORAGE_STACK}:/etc/harborage:ro`,
        ...(objects === undefined ? [`${composePath(node.dataDirectory)}:${imagesFolder}`] : []),
    ];
    const labels = (texts: readonly string[]) => ({
        "harborage.stack": stack,
        "harborage.config": contentLabel(...texts),
        ...(objects?.hasKey === true ? { "harborage.keys": "${HARBORAGE_KEYS}" } : {}),
    });
    return stringify({
        name: node.project,
        services: {
            registry: {
                ...common,
                labels: labels(args.startFiles),
                entrypoint: ["/bin/sh", `${release}/registry/start.sh`],
                command: [],
                ...(node.gateImage === undefined ? publish(servicePort) : {}),
                volumes,
                healthcheck: {
                    test: [
                        "CMD",
                        "wget",
                        "-q",
                        "-O",
                        "/dev/null",
                        `http://127.0.0.1:${String(debugPort)}/debug/health`,
                    ],
                    interval: "3s",
                    timeout: "5s",
                    retries: 5,
                },
            },
            ...(registry.isShared
                ? {}
                : {
                      collector: {
                          ...collectorService(registry, objects, {
                              METRICS: `http://registry:${String(debugPort)}/metrics`,
                              QUIET_SECONDS: String(quietSeconds),
                          }),
                          labels: labels(args.collectorFiles),
                          volumes: [...volumes, flagsVolume],
                          depends_on: ["registry"],
                      },
                  }),
            ...(node.gateImage === undefined
                ? {}
                : {
                      gate: {
                          ...common,
                          image: node.gateImage,
                          labels: { "harborage.stack": stack, "harborage.config": contentLabel(renderGate(registry)) },
                          entrypoint: ["nginx", "-c", `${release}/gate/nginx.conf`, "-g", "daemon off;"],
                          command: [],
                          ...publish(gatePort),
                          volumes: ["${HARBORAGE_STACK}:/etc/harborage:ro", gateVolume],
                          healthcheck: {
                              test: [
                                  "CMD",
                                  "curl",
                                  "--silent",
                                  "--fail",
                                  "--max-time",
                                  "4",
                                  `http://127.0.0.1:${String(gatePort)}/healthz`,
                              ],
                              interval: "3s",
                              timeout: "5s",
                              retries: 5,
                          },
                          depends_on: ["registry"],
                      },
                  }),
        },
    });
}
