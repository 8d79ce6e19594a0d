import { isIPv4 } from "node:net";
import { harborLogPort, sharedOpenConnections } from "./harbor";
import { machineNames } from "./topology";

/** What is wrong with a stack file although each key by itself is right. */
export interface Contradiction {
    readonly path: readonly PropertyKey[];
    /** What was expected; where it does not begin with `expected`, a value that is there is put before it. */
    readonly message: string;
}

/** The part of a stack file at a path, whatever shape it has. */
export function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
    return path.reduce<unknown>(
        (value, key) =>
            typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined,
        root,
    );
}

/** The entries of a mapping; none where it is something else. */
function entriesAt(root: unknown, path: readonly PropertyKey[]): [string, unknown][] {
    const value = valueAt(root, path);
    return typeof value === "object" && value !== null ? Object.entries(value) : [];
}

/**
 * The checks across keys. They are made even when the file has other mistakes, so any part may be missing or wrong: what
 * the schema finds by itself is not said again here.
 */
export function contradictions(file: unknown): Contradiction[] {
    return [
        ...[roles, counts, several, ports, sshPorts, reach, openstack, login, kept],
        ...[engine, harbor, storage, ownStorage, volumes, aws],
    ].flatMap((check) => check(file));
}

/** Where a stack file names a machine. */
interface Naming {
    readonly path: readonly PropertyKey[];
    readonly machine: unknown;
}

/** Where the nodes' machines are named. */
function nodesOf(file: unknown): Naming[] {
    const shared = entriesAt(file, ["topology", "nodes"]).map(([index, machine]): Naming => ({
        path: ["topology", "nodes", Number(index)],
        machine,
    }));
    return valueAt(file, ["topology", "kind"]) === "shared"
        ? shared
        : [{ path: ["topology", "node"], machine: valueAt(file, ["topology", "node"]) }];
}

/** Where the machines are named that state is kept on. */
function storageOf(file: unknown): Naming[] {
    return ["database", "cache"].flatMap((part) =>
        valueAt(file, ["storage", part, "kind"]) === "machine"
            ? [{ path: ["storage", part, "machine"], machine: valueAt(file, ["storage", part, "machine"]) }]
            : [],
    );
}

/** Where machines are named that there is one of. */
function singleMachinesOf(file: unknown): Naming[] {
    const path = ["topology", "loadBalancer"];
    return [{ path, machine: valueAt(file, path) }, ...storageOf(file)];
}

function countOf(file: unknown, machine: unknown): number | undefined {
    const count = valueAt(file, ["machines", machine as PropertyKey, "count"]);
    return typeof count === "number" ? count : undefined;
}

const isTogether = (file: unknown) => {
    const balancer = valueAt(file, ["topology", "loadBalancer"]);
    return nodesOf(file).some(({ machine }) => machine === balancer);
};

const kindOf = (file: unknown, machine: unknown) => valueAt(file, ["machines", machine as PropertyKey, "kind"]);

function roles(file: unknown): Contradiction[] {
    const machines = entriesAt(file, ["machines"]).map(([name]) => name);
    return [...nodesOf(file), ...singleMachinesOf(file)].flatMap(({ path, machine }) =>
        // A file without machines has that mistake already.
        typeof machine !== "string" || machines.length === 0 || machines.includes(machine)
            ? []
            : [{ path, message: `is not one of the machines; there is: ${machines.join(", ")}` }],
    );
}

/** Machines that an entry with `count` stands for. */
function counts(file: unknown): Contradiction[] {
    const entries = entriesAt(file, ["machines"]);
    const isShared = valueAt(file, ["topology", "kind"]) === "shared";
    const singles = [...singleMachinesOf(file), ...(isShared ? [] : nodesOf(file))].flatMap(({ path, machine }) =>
        countOf(file, machine) === undefined
            ? []
            : [{ path, message: "expected a machine without count: one of several is not meant" }],
    );
    const each = entries.flatMap(([entry, machine]): Contradiction[] => {
        const count = valueAt(machine, ["count"]);
        const path = ["machines", entry];
        if (typeof count !== "number") {
            return valueAt(machine, ["generations"]) === undefined
                ? []
                : [{ path: [...path, "generations"], message: "has no effect without count; expected generation" }];
        }
        const names = machineNames(entry, Math.min(count, 100));
        const taken = names.find((name) => entries.some(([other]) => other === name));
        return [
            ...(taken === undefined
                ? []
                : [{ path: ["machines", taken], message: `is also one of those that ${entry} stands for; rename it` }]),
            ...(valueAt(machine, ["address"]) === undefined
                ? []
                : [{ path: [...path, "address"], message: "cannot be that of several machines; remove it" }]),
            ...entriesAt(machine, ["generations"])
                .filter(([name]) => !names.includes(name))
                .map(([name]) => ({
                    path: [...path, "generations", name],
                    message: `is none of its machines; expected one of: ${names.join(", ")}`,
                })),
        ];
    });
    return [...singles, ...each];
}

/** What several nodes need: each can answer for the others only when no state is on any of them. */
function several(file: unknown): Contradiction[] {
    if (valueAt(file, ["topology", "kind"]) !== "shared") {
        return [];
    }
    const nodes = nodesOf(file);
    const number = nodes.reduce((sum, { machine }) => sum + (countOf(file, machine) ?? 1), 0);
    const isHarbor = valueAt(file, ["registry", "engine"]) === "harbor";
    const kinds: readonly (readonly [part: string, kinds: readonly string[]])[] = [
        ["objects", ["external", "aws"]],
        ...(isHarbor ? [["database", ["external", "machine", "aws"]] as const] : []),
        ...(isHarbor ? [["cache", ["external", "machine", "aws"]] as const] : []),
        ...(isHarbor ? [["jobLogs", ["node"]] as const] : []),
    ];
    const loggers = valueAt(file, ["registry", "jobs", "loggers"]);
    return [
        ...(nodes.length > 0 && number < 2
            ? [
                  {
                      path: ["topology", "nodes"],
                      message: "expected at least two machines, for example one with count: 3, or kind: single for one",
                  },
              ]
            : []),
        ...(isTogether(file)
            ? [
                  {
                      path: ["topology", "loadBalancer"],
                      message: "expected a machine that is none of the nodes: the end of a node must not end it",
                  },
              ]
            : []),
        ...kinds
            .filter(([part, allowed]) => !allowed.includes(valueAt(file, ["storage", part, "kind"]) as string))
            .map(([part, allowed]) => ({
                path: ["storage", part, "kind"],
                message:
                    part === "jobLogs"
                        ? "has no effect with several nodes: the logs of jobs are in the database"
                        : `expected ${allowed.join(" or ")}: several nodes share it`,
            })),
        ...connections(file, number),
        ...(isHarbor && Array.isArray(loggers) && !loggers.includes("DB")
            ? [
                  {
                      path: ["registry", "jobs", "loggers"],
                      message: "expected DB among them: with several nodes a log in a file is on one of them only",
                  },
              ]
            : []),
    ];
}

/** Whether a database that the stack runs takes as many connections as its nodes may open. */
function connections(file: unknown, nodes: number): Contradiction[] {
    const taken = valueAt(file, ["storage", "database", "maxConnections"]);
    const path = ["registry", "database", "maxOpenConnections"];
    const each = valueAt(file, path) ?? sharedOpenConnections;
    const components = valueAt(file, ["registry", "metrics", "enabled"]) === true ? 3 : 2;
    if (valueAt(file, ["registry", "engine"]) !== "harbor" || typeof taken !== "number" || typeof each !== "number") {
        return [];
    }
    const wanted = nodes * components * each;
    return wanted <= taken
        ? []
        : [
              {
                  path: ["storage", "database", "maxConnections"],
                  message: `expected at least ${String(wanted)}: ${String(nodes)} nodes with ${String(components)} components that open ${String(each)} each (registry.database.maxOpenConnections)`,
              },
          ];
}

function ports(file: unknown): Contradiction[] {
    const port = valueAt(file, ["registry", "port"]);
    const taken = ["httpsPort", "httpPort"].map((key) => valueAt(file, ["loadBalancer", key]));
    return [
        ...(isTogether(file) && port !== undefined && taken.includes(port)
            ? [
                  {
                      path: ["registry", "port"],
                      message: "expected another port than the load balancer's on the same machine, for example 5000",
                  },
              ]
            : []),
        ...storagePorts(file),
    ];
}

/** The ports of a database and a cache on machines against what else is there. */
function storagePorts(file: unknown): Contradiction[] {
    const at = (...path: string[]) => valueAt(file, path);
    const balancer = at("topology", "loadBalancer");
    const nodes = nodesOf(file).map(({ machine }) => machine);
    const databaseMachine = at("storage", "database", "machine");
    return storageOf(file).flatMap(({ path, machine }) => {
        const [, part = ""] = path as string[];
        const port = at("storage", part, "port");
        const holders: [held: boolean, port: unknown, name: string][] = [
            [machine === balancer, at("loadBalancer", "httpsPort"), "the load balancer"],
            [machine === balancer, at("loadBalancer", "httpPort"), "the load balancer"],
            [nodes.includes(machine), at("registry", "port"), "the node"],
            [part === "cache" && machine === databaseMachine, at("storage", "database", "port"), "the database"],
            [true, sshPort(file, machine), "SSH"],
        ];
        const holder = holders.find(([held, other]) => held && other !== undefined && other === port);
        return holder === undefined
            ? []
            : [
                  {
                      path: ["storage", part, "port"],
                      message: `expected another port than that of ${holder[2]} on the same machine`,
                  },
              ];
    });
}

/** Where SSH answers on a machine; undefined on this one. */
function sshPort(file: unknown, machine: unknown): unknown {
    const kind = kindOf(file, machine);
    return kind === "openstack"
        ? 22
        : kind === "existing"
          ? valueAt(file, ["machines", machine as PropertyKey, "port"])
          : undefined;
}

function sshPorts(file: unknown): Contradiction[] {
    const balancer = valueAt(file, ["topology", "loadBalancer"]);
    const settings: (readonly [machines: unknown[], ...path: string[]])[] = [
        [nodesOf(file).map(({ machine }) => machine), "registry", "port"],
        [[balancer], "loadBalancer", "httpsPort"],
        [[balancer], "loadBalancer", "httpPort"],
    ];
    return settings.flatMap(([machines, ...path]) => {
        const port = valueAt(file, path);
        return port !== undefined && machines.some((machine) => sshPort(file, machine) === port)
            ? [{ path, message: "expected another port than SSH's on the same machine, for example 5000" }]
            : [];
    });
}

/** Whether machines can reach each other as they must. */
function reach(file: unknown): Contradiction[] {
    const balancer = valueAt(file, ["topology", "loadBalancer"]);
    const path = ["topology", "loadBalancer"];
    const nodes = nodesOf(file);
    const storage = storageOf(file)
        .filter(({ machine }) => kindOf(file, machine) === "local")
        .map((naming) => ({
            path: naming.path,
            message: "expected a machine that nodes can reach: what is on this machine answers to this machine only",
        }));
    if (isTogether(file)) {
        return storage;
    }
    const local = nodes.find(({ machine }) => kindOf(file, machine) === "local");
    if (local !== undefined) {
        return [
            {
                path,
                message: `expected ${String(local.machine)}: a node on this machine answers to a load balancer on this machine only`,
            },
            ...storage,
        ];
    }
    const isCut =
        nodes.some(({ machine }) => kindOf(file, machine) === "openstack") && kindOf(file, balancer) === "local";
    return [
        ...(isCut
            ? [
                  {
                      path,
                      message:
                          "expected a machine of kind openstack or existing: the node's security group must name the load balancer's address",
                  },
              ]
            : []),
        ...storage,
    ];
}

function openstack(file: unknown): Contradiction[] {
    const vms = entriesAt(file, ["machines"]).filter(([name]) => kindOf(file, name) === "openstack");
    const cloud = valueAt(file, ["openstack"]);
    if (vms.length === 0) {
        return cloud === undefined
            ? []
            : [{ path: ["openstack"], message: "is for nothing: no machine is of kind openstack; remove it" }];
    }
    if (cloud === undefined) {
        return [
            {
                path: ["openstack"],
                message:
                    "is needed by the machines of kind openstack, for example {network: {kind: own, externalNetwork: public}, sshCidrs: [192.0.2.0/24]}",
            },
        ];
    }
    const floating = vms.some(([, machine]) => valueAt(machine, ["floatingIp"]) === true);
    const withoutExternal =
        valueAt(cloud, ["network", "kind"]) === "existing" &&
        valueAt(cloud, ["network", "externalNetwork"]) === undefined;
    return [
        ...(floating && withoutExternal
            ? [
                  {
                      path: ["openstack", "network", "externalNetwork"],
                      message: "is needed for floating IPs: the network that they come from, for example public",
                  },
              ]
            : []),
        ...unused(
            file,
            vms.map(([name]) => name),
        ),
        ...vms.flatMap(([name, machine]) => addressMistakes(name, machine, cloud)),
    ];
}

/** What stands beside the name of a cloud in clouds.yaml and counts all the same. */
const besideCloud = ["cloud", "region", "caFile"];

function login(file: unknown): Contradiction[] {
    const path = ["openstack", "auth"];
    return valueAt(file, [...path, "cloud"]) === undefined
        ? []
        : entriesAt(file, path)
              .filter(([key, value]) => value !== undefined && !besideCloud.includes(key))
              .map(([key]) => ({ path: [...path, key], message: "has no effect beside cloud; clouds.yaml says it" }));
}

/** On a VM everything goes with the VM, and what stays is its volume. */
function kept(file: unknown): Contradiction[] {
    const objects = nodesOf(file).map(({ machine }): Naming => ({ path: ["storage", "objects"], machine }));
    const stored = storageOf(file).map(({ path, machine }): Naming => ({ path: path.slice(0, -1), machine }));
    const isNode = valueAt(file, ["storage", "objects", "kind"]) === "node";
    return [...(isNode ? objects.slice(0, 1) : []), ...stored]
        .filter(
            ({ path, machine }) =>
                kindOf(file, machine) === "openstack" && valueAt(file, [...path, "deleteData"]) === true,
        )
        .map(({ path, machine }) => ({
            path: [...path, "deleteData"],
            message: `has no effect on a VM, where data goes with its volume; say it there: machines.${String(machine)}.dataVolume.deleteData`,
        }));
}

/** A VM without a role would cost and do nothing. */
function unused(file: unknown, vms: readonly string[]): Contradiction[] {
    const used = [...nodesOf(file), ...singleMachinesOf(file)].map(({ machine }) => machine);
    return vms
        .filter((name) => !used.includes(name))
        .map((name) => ({
            path: ["machines", name],
            message: "is for nothing: no part of the stack is on it; remove it",
        }));
}

function addressMistakes(name: string, machine: unknown, cloud: unknown): Contradiction[] {
    const address = valueAt(machine, ["address"]);
    const range = valueAt(cloud, ["network", "cidr"]);
    return typeof address === "string" && typeof range === "string" && !isInRange(address, range)
        ? [{ path: ["machines", name, "address"], message: `is not in the network's range ${range}` }]
        : [];
}

function isInRange(address: string, range: string): boolean {
    const [network = "", bits = "0"] = range.split("/");
    const size = 2 ** (32 - Number(bits));
    const block = (each: string) =>
        Math.floor(each.split(".").reduce((sum, part) => sum * 256 + Number(part), 0) / size);
    return !isIPv4(address) || !isIPv4(network) || block(address) === block(network);
}

/** What the engine CNCF Distribution has no use for. */
function engine(file: unknown): Contradiction[] {
    if (valueAt(file, ["registry", "engine"]) !== "distribution") {
        return [];
    }
    const kinds: readonly (readonly [part: string, kinds: readonly string[]])[] = [
        ["objects", ["volume"]],
        ...["database", "cache", "jobLogs"].map((part) => [part, ["volume", "external", "machine", "aws"]] as const),
    ];
    return kinds
        .filter(([part, refused]) => refused.includes(valueAt(file, ["storage", part, "kind"]) as string))
        .map(([part]) => ({
            path: ["storage", part, "kind"],
            message: `is for engine harbor; expected node${part === "objects" ? ", external or aws" : ""} with engine distribution`,
        }));
}

/** The load balancer's ports have their own check against that of the registry. */
function harborPorts(file: unknown, metrics: boolean): Contradiction[] {
    const at = (...path: string[]) => valueAt(file, path);
    type Holder = readonly [port: unknown, name: string];
    const clash = (path: string[], others: readonly Holder[], example: number): Contradiction[] => {
        const holder = others.find(([other]) => other !== undefined && other === at(...path));
        return holder === undefined
            ? []
            : [{ path, message: `expected another port than that of ${holder[1]}, for example ${String(example)}` }];
    };
    const logService: Holder = [harborLogPort, "Harbor's log service"];
    const balancer: Holder[] = isTogether(file)
        ? ["httpsPort", "httpPort"].map((key) => [at("loadBalancer", key), "the load balancer"])
        : [];
    return [
        ...clash(["registry", "port"], [logService], 8080),
        ...(metrics
            ? clash(
                  ["registry", "metrics", "port"],
                  [logService, ...balancer, [at("registry", "port"), "Harbor itself"]],
                  9090,
              )
            : []),
    ];
}

function harbor(file: unknown): Contradiction[] {
    if (valueAt(file, ["registry", "engine"]) !== "harbor") {
        return [];
    }
    const metrics = valueAt(file, ["registry", "metrics", "enabled"]) === true;
    const mistakes = harborPorts(file, metrics);
    const version = valueAt(file, ["registry", "version"]);
    for (const key of ["dbRepository", "javaDbRepository"]) {
        const path = ["registry", "trivy", key];
        if (typeof version === "string" && version.startsWith("2.14.") && valueAt(file, path) !== undefined) {
            mistakes.push({ path, message: "has no effect before Harbor 2.15" });
        }
    }
    const proxy = valueAt(file, ["registry", "proxy"]);
    if (proxy !== undefined && valueAt(proxy, ["http"]) === undefined && valueAt(proxy, ["https"]) === undefined) {
        mistakes.push({
            path: ["registry", "proxy"],
            message: "is for nothing without http or https, for example {https: http://proxy.example.com:3128}",
        });
    }
    if (!metrics && entriesAt(file, ["registry", "metrics", "cidrs"]).length > 0) {
        mistakes.push({ path: ["registry", "metrics", "cidrs"], message: "has no effect without enabled: true" });
    }
    return mistakes;
}

/** What Harbor would not look at, or would make something else of. */
function storage(file: unknown): Contradiction[] {
    const of = (part: string, key: string) => valueAt(file, ["storage", part, key]);
    const isExternal = (part: string) => of(part, "kind") === "external";
    const isHttp = (url: unknown) => typeof url === "string" && url.startsWith("http:");
    const isThere = (...path: string[]) => valueAt(file, path) !== undefined;
    const destination = ["registry", "backup", "destination"];
    const sslMode = of("database", "sslMode");
    const host = of("cache", "host");
    const checks: [boolean, string[], string][] = [
        [
            isExternal("objects") && isHttp(of("objects", "endpoint")),
            ["storage", "objects", "caCertificate"],
            "has no effect with an endpoint of http; expected one of https",
        ],
        [
            isHttp(valueAt(file, [...destination, "endpoint"])),
            [...destination, "caCertificate"],
            "has no effect with an endpoint of http; expected one of https",
        ],
        [
            isExternal("database") && (sslMode === "disable" || sslMode === "require"),
            ["storage", "database", "caCertificate"],
            "has no effect without sslMode: verify-ca or verify-full",
        ],
        [
            isExternal("cache") && of("cache", "tls") !== true,
            ["storage", "cache", "caCertificate"],
            "has no effect without tls: true",
        ],
        // `prepare` would make user@host into userhost (get_redis_url).
        [
            isExternal("cache") && !isThere("storage", "cache", "password"),
            ["storage", "cache", "username"],
            "expected a password beside it: Harbor writes no user without one",
        ],
        [
            isExternal("cache") && typeof host === "string" && host.includes(",") && !of("cache", "sentinelMaster"),
            ["storage", "cache", "host"],
            "expected one host, or sentinelMaster beside the sentinels, for example redis.example.com:6379",
        ],
    ];
    return checks.flatMap(([wrong, path, message]) => (wrong && isThere(...path) ? [{ path, message }] : []));
}

/** What a database or a cache on a machine needs beside it. */
function ownStorage(file: unknown): Contradiction[] {
    const images: readonly (readonly [part: string, image: string, example: string])[] = [
        ["database", "postgres", "postgres:17.10"],
        ["cache", "valkey", "valkey:8.1.3"],
    ];
    const isOwn = (part: string) => valueAt(file, ["storage", part, "kind"]) === "machine";
    const isThere = (image: string) => valueAt(file, ["images", image]) !== undefined;
    const bundled = images
        .filter(([part, image]) => valueAt(file, ["images", "bundle"]) !== undefined && isOwn(part) && !isThere(image))
        .map(([, image, example]) => ({
            path: ["images", image],
            message: `expected the name that the image has in the bundle, for example ${example}`,
        }));
    // Backups are made by the programs of Harbor's own database, which is PostgreSQL 15 before 2.15.2.
    const version = valueAt(file, ["registry", "version"]);
    const isOld = typeof version === "string" && /^2\.(?:14\.\d+|15\.[01])$/.test(version);
    return isOld && isOwn("database") && !isThere("postgres")
        ? [
              ...bundled,
              {
                  path: ["images", "postgres"],
                  message: `expected an image of PostgreSQL 15 or older: Harbor ${version} cannot back up a newer one`,
              },
          ]
        : bundled;
}

/** Two parts in one volume would write over each other. */
function volumes(file: unknown): Contradiction[] {
    const names = ["objects", "database", "jobLogs"].flatMap((part): [string, unknown][] =>
        valueAt(file, ["storage", part, "kind"]) === "volume" ? [[part, valueAt(file, ["storage", part, "name"])]] : [],
    );
    return names.flatMap(([part, name], index) => {
        const other = names.slice(0, index).find(([, each]) => name !== undefined && each === name);
        return other === undefined
            ? []
            : [
                  {
                      path: ["storage", part, "name"],
                      message: `expected another volume than that of storage.${other[0]}, for example registry-${part.toLowerCase()}`,
                  },
              ];
    });
}

/** What storage of kind aws needs, and what is for nothing without it. */
function aws(file: unknown): Contradiction[] {
    const isMade = (part: string) => valueAt(file, ["storage", part, "kind"]) === "aws";
    const made = ["objects", "database", "cache"].filter(isMade);
    const settings = valueAt(file, ["aws"]);
    if (made.length === 0) {
        return settings === undefined
            ? []
            : [{ path: ["aws"], message: "is for nothing: no storage is of kind aws; remove it" }];
    }
    if (settings === undefined) {
        return [
            {
                path: ["aws"],
                message: `is needed by storage.${made.join(" and storage.")}, for example {region: eu-central-1}`,
            },
        ];
    }
    const network = valueAt(settings, ["network"]);
    const isPublic = valueAt(file, ["storage", "database", "public"]) !== undefined;
    const inside = made.filter((part) => part === "cache" || (part === "database" && !isPublic));
    const wrong: readonly (readonly [boolean, readonly string[], string])[] = [
        [
            network === undefined && made.some((part) => part !== "objects"),
            ["aws", "network"],
            "is needed by a database or a cache of kind aws, for example {vpc: vpc-0a1b2c3d4e5f60718, subnets: [subnet-0a1b2c3d4e5f60718, subnet-0b1c2d3e4f5a60719], nodeCidrs: [10.42.0.0/24]}",
        ],
        [
            network !== undefined && made.every((part) => part === "objects"),
            ["aws", "network"],
            "is for nothing: neither the database nor the cache is of kind aws; remove it",
        ],
        [
            network !== undefined && inside.length > 0 && valueAt(network, ["nodeCidrs"]) === undefined,
            ["aws", "network", "nodeCidrs"],
            `is needed by storage.${inside.join(" and storage.")}: the ranges that nodes come from, for example [10.42.0.0/24]`,
        ],
        [
            inside.length === 0 && made.includes("database") && valueAt(network, ["nodeCidrs"]) !== undefined,
            ["aws", "network", "nodeCidrs"],
            "has no effect: the database takes connections from storage.database.public.allowedCidrs; remove it",
        ],
    ];
    return wrong.flatMap(([is, path, message]) => (is ? [{ path, message }] : []));
}
