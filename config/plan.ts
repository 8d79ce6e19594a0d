import type { AwsConfig } from "./aws";
import { planBackup, type BackupConfig, type BackupPlan } from "./backup";
import type { BaselineConfig, SourceFile } from "./baseline";
import { harborLogPort, type HarborConfig } from "./harbor";
import { defaultFailover } from "./load-balancer";
import { planCloud, planPlace, requirementsFor, rolesOf } from "./plan-machines";
import type { OpenstackConfig } from "./openstack";
import { planRegistry } from "./plan-registry";
import { planStorage, storageOn, type StoragePlan } from "./plan-storage";
import { scheduleTimes, type ScheduleTimes } from "./schedule";
import type { CertificateConfig, GarbageCollectionConfig, StackConfig, UserConfig } from "./schema";
import type { StorageConfig } from "./storage";
import { namedNodes, writeOutMachines } from "./topology";

/** Everything that is decided before any resource is declared. Components add nothing to it. */
export interface Plan {
    /** The stack's name; part of every name on a machine. */
    readonly stack: string;
    /** The name that clients use. */
    readonly publicName: string;
    /** What stands before an image's name: the public name, with the port unless it is 443. */
    readonly registryHost: string;
    readonly registryUrl: string;
    readonly machines: readonly MachinePlan[];
    /** There when a machine is of kind openstack. */
    readonly cloud?: CloudPlan;
    /** What every machine of kind existing or openstack gets. */
    readonly baseline: BaselineConfig;
    readonly certificate: CertificatePlan;
    readonly storage: StoragePlan;
    /** There when storage is of kind aws. */
    readonly aws?: AwsConfig;
    readonly registry: RegistryPlan;
    readonly nodes: readonly NodePlan[];
    readonly loadBalancer: LoadBalancerPlan;
}

/** What a machine is for. */
export type Role = "node" | "load-balancer" | "storage";

export interface MachinePlan {
    readonly name: string;
    /** Its entry in the stack file: with `count` that of several machines. */
    readonly entry: string;
    readonly roles: readonly Role[];
    /** Absolute, or below `~/` of the user that commands run as. */
    readonly directory: string;
    /** A higher one sets the machine up again from nothing. */
    readonly generation: number;
    readonly requirements: MachineRequirements;
    /**
     * The TCP ports that this stack needs free, or holds. The purpose is the setting that chooses the port, for example
     * `registry.port`; where none does, what needs it, for example `Harbor's log service`.
     */
    readonly ports: readonly { readonly port: number; readonly purpose: string }[];
    /** The compose projects that run here. */
    readonly projects: readonly string[];
    /** The engine of the node that is here, and its project. */
    readonly engine?: { readonly name: RegistryPlan["engine"]; readonly project: string };
    readonly images: ImagesPlan;
    /** What is unpacked here, its images loaded. */
    readonly installer?: InstallerPlan;
    /** Which machine it is, and how it is reached. */
    readonly place: PlacePlan;
}

/** What a machine must be and have for what runs on it: looked at before anything is changed there. */
export interface MachineRequirements {
    readonly cpus: number;
    /** What the kernel leaves of it to programs. */
    readonly memoryMiB: number;
    /** Where the data is kept, and where Docker's images are. */
    readonly freeDiskGiB: number;
    /** Of Docker Engine, or newer. */
    readonly dockerVersion: string;
    /** Of the compose plugin, or newer. */
    readonly composeVersion: string;
    /** Whether scripts must run as root. */
    readonly root: boolean;
    /** Whether the clock must be right. */
    readonly clock: boolean;
    /** A name that must have an address on the machine; absent where none must. */
    readonly resolves?: string;
    /** Names that no other containers may have. */
    readonly containerNames: readonly string[];
}

export type PlacePlan = LocalPlan | ExistingPlan | OpenstackMachinePlan;

/** The machine that runs the program. */
export interface LocalPlan {
    readonly kind: "local";
}

/** A machine that exists and is reached by SSH. */
export interface ExistingPlan {
    readonly kind: "existing";
    readonly ssh: SshPlan & { readonly bastion?: SshPlan };
    /** Where the stack's other machines reach it. */
    readonly privateAddress: string;
    /** The block device for the data, by a name that stays. */
    readonly dataDevice?: string;
}

/** How a machine is reached by SSH. */
export interface SshPlan {
    readonly address: string;
    readonly port: number;
    readonly user: string;
    /** As OpenSSH writes it; absent where any key is accepted. */
    readonly hostKey?: string;
    /** The name of the secret with the private key; absent where the SSH agent has it. */
    readonly privateKey?: string;
}

/** A VM that is made. */
export interface OpenstackMachinePlan {
    readonly kind: "openstack";
    readonly image: string;
    readonly flavor: string;
    /** What the flavor must have at least. */
    readonly minimum: Pick<MachineRequirements, "cpus" | "memoryMiB">;
    readonly user: string;
    readonly floatingIp: boolean;
    /** The machine that SSH goes through, by name; absent where it is reached directly. */
    readonly jump?: string;
    readonly address?: string;
    readonly availabilityZone?: string;
    readonly bootVolume?: VolumePlan;
    readonly dataVolume?: VolumePlan & { readonly deleteData: boolean };
    readonly metadata: Readonly<Record<string, string>>;
}

export interface VolumePlan {
    readonly sizeGiB: number;
    /** Absent: the cloud's default. */
    readonly type?: string;
}

/** The OpenStack of the machines of kind openstack, and what surrounds them. */
export interface CloudPlan extends Pick<
    OpenstackConfig,
    "auth" | "network" | "sshKey" | "antiAffinity" | "bootMinutes"
> {
    readonly rules: readonly SecurityRule[];
}

/** What may come in; everything else is refused. */
export interface SecurityRule {
    /** The machines that let it in. */
    readonly role: Role;
    /** A TCP port. */
    readonly port: number;
    /** Who it may come from: a range of addresses, or the machines of a role. */
    readonly from: { readonly cidr: string } | { readonly role: Role };
    readonly why: string;
}

/** The images that a machine needs, and where from. */
export interface ImagesPlan {
    readonly references: readonly string[];
    /** A `docker save` tar that holds them; they are pulled when there is none. */
    readonly bundle?: SourceFile;
}

export interface CertificatePlan extends CertificateConfig {
    /** The public name and further ones; what the machine itself is called is added by the machine. */
    readonly names: readonly string[];
}

/** Harbor's own installer. */
export interface InstallerPlan {
    readonly version: string;
    readonly file: SourceFile;
}

export type RegistryPlan = DistributionPlan | HarborPlan;

export interface DistributionPlan {
    readonly engine: "distribution";
    readonly image: string;
    /** The first one is the administrator. */
    readonly users: readonly [UserConfig, ...UserConfig[]];
    readonly logLevel: string;
    readonly garbageCollection: GarbageCollectionPlan;
    /** Whether there are several nodes. */
    readonly isShared: boolean;
    /** The compose project that collects garbage for several nodes, on the load balancer's machine. */
    readonly collectorProject: string;
}

export interface GarbageCollectionPlan extends Omit<GarbageCollectionConfig, "schedule"> {
    /** The times, in UTC, each field of cron spelled out. */
    readonly times: ScheduleTimes;
}

export interface HarborPlan {
    readonly engine: "harbor";
    readonly publicName: string;
    /** The URL that clients use; tokens name it. */
    readonly publicUrl: string;
    readonly config: HarborConfig;
    /** Where the logs of jobs go: STD_OUTPUT, FILE, DB. */
    readonly jobLoggers: readonly string[];
    /** How many connections to the database each component may open. */
    readonly maxOpenConnections: number;
    readonly storage: HarborStorage;
    /** When Harbor does what by itself, as five fields of cron; absent where it does not. */
    readonly schedules: {
        readonly garbageCollection?: string;
        readonly scan?: string;
        readonly auditLog?: string;
    };
}

/** Where Harbor keeps its state, with the names of the volumes that it is on. */
export type HarborStorage = {
    readonly [Part in keyof StorageConfig]:
        | Exclude<StorageConfig[Part], { kind: "volume" }>
        | Extract<NamedVolume, { kind: Extract<StorageConfig[Part], { kind: "volume" }>["kind"] }>;
};

/** A named volume of Docker. */
export interface NamedVolume {
    readonly kind: "volume";
    readonly name: string;
    readonly driver: string;
    readonly options: Readonly<Record<string, string>>;
}

export interface NodePlan {
    readonly name: string;
    /** The machine that it runs on. */
    readonly machine: string;
    /** What the node is to the load balancer; with topology `replicated`, as the stack file has it: a failover may have changed it. */
    readonly role: "active" | "standby";
    /** Whether it has its state for itself, or is the first or another one of several that share it. */
    readonly rank: "only" | "first" | "other";
    readonly project: string;
    readonly port: number;
    /** Where the node keeps its data. */
    readonly dataDirectory: string;
    /** Whether its data goes when the node goes. */
    readonly deleteData: boolean;
    /** Whether only its own machine reaches it: the load balancer is there too. */
    readonly isInternal: boolean;
    /** Whether it serves HTTPS, with a certificate of the stack's CA, instead of plain HTTP. */
    readonly tls: boolean;
    /** The node that it replicates to, and that replicates to it; absent where none does. */
    readonly peer?: string;
    /** The image of the node's own nginx, where the load balancer is on another machine: it refuses pushes while garbage is collected. */
    readonly gateImage?: string;
    /**
     * When Harbor is backed up, and where to; absent with another engine. Where nodes share a database, the first one
     * backs it up.
     */
    readonly backup?: BackupPlan;
}

export interface LoadBalancerPlan {
    readonly machine: string;
    readonly project: string;
    readonly image: string;
    /** What clients ask for: the public name, with the port unless it is 443. */
    readonly host: string;
    readonly httpsPort: number;
    readonly httpPort: number;
    readonly hstsSeconds: number;
    /** How it chooses a node: the fewer requests of two at random or of all, or always the same for a client's address. */
    readonly method: "random" | "least_conn" | "ip_hash";
    /** How long a node's requests may take to end before the node is stopped, in seconds. */
    readonly drainSeconds: number;
    /** Between two looks at the nodes, in seconds. */
    readonly probeSeconds: number;
    /** What the nodes run. */
    readonly engine: RegistryPlan["engine"];
    /** The nodes that it sends requests to, by name. */
    readonly nodes: readonly string[];
    /** There where one node is active and the other its standby. */
    readonly failover?: FailoverPlan;
}

/** How the load balancer of an active node and a standby chooses. Who is active is what its agent says, not the plan. */
export interface FailoverPlan {
    /** Where TLS ends: at the load balancer, or at the node. */
    readonly mode: "http" | "stream";
    /** How many rounds in a row the active node gives no answer before the standby takes over. */
    readonly misses: number;
    /** The node that is to be active, by name. */
    readonly active: string;
    /** Which change of the active node the stack file knows of; absent where it says none. */
    readonly epoch?: number;
    /** The port that leads to a node whichever is active, by the node's name. */
    readonly adminPorts: Readonly<Record<string, number>>;
    /** Where these ports may be used from. */
    readonly adminCidrs: readonly string[];
}

/**
 * The official images, by the digest of their multi-platform index. nginx must know `http2 on` (1.25.1).
 */
export const defaultImages = {
    registry:
        "docker.io/library/registry:3.1.2@sha256:ddf754342cfc8acc51a56d5d0ab6af06826461864460636d8bd5c546dab2a7b8",
    postgres:
        "docker.io/library/postgres:17.10@sha256:7958605b474b3d264a969cb3a123d6aa00ad1e1fe9da8a69984dabb704d93317",
    valkey: "docker.io/valkey/valkey:8.1.3@sha256:fea8b3e67b15729d4bb70589eb03367bab9ad1ee89c876f54327fc7c6e618571",
    nginx: "docker.io/library/nginx:1.30.1@sha256:842a3f99afd73859b5c647f8be6f0000849be286674e30d9dbcf7a6902a69487",
} as const;

/** What runs where, for a stack file: a pure function. */
export function makePlan(stack: string, config: StackConfig): Plan {
    const { topology, registry, loadBalancer, storage, images } = config;
    const project = (role: string) => `harborage-${stack}-${role}`;
    const image = {
        registry: images.registry ?? defaultImages.registry,
        nginx: images.nginx ?? defaultImages.nginx,
        postgres: images.postgres ?? defaultImages.postgres,
        valkey: images.valkey ?? defaultImages.valkey,
    };
    const named = writeOutMachines(config.machines);
    const directoryOf = (name: string) =>
        named.find((each) => each.name === name)?.machine.directory ?? `~/.local/share/harborage/${stack}`;
    const storagePlan = planStorage(config, { project, directoryOf, images: image });
    const together = namedNodes(topology).includes(topology.loadBalancer);

    const nodeNames = planNodeNames(config);
    const failover = planFailover(config, nodeNames);
    const nodes = named
        .filter((machine) => rolesOf(config, machine).includes("node"))
        .map(({ name }, index): NodePlan => {
            const dataDirectory = `${directoryOf(name)}/data/registry`;
            const isGated = registry.engine === "distribution" && !together;
            return {
                name,
                machine: name,
                role: failover === undefined || failover.active === name ? "active" : "standby",
                rank: topology.kind !== "shared" ? "only" : index === 0 ? "first" : "other",
                project: project("registry"),
                port: registry.port,
                dataDirectory,
                deleteData: storage.objects.kind === "node" && storage.objects.deleteData,
                isInternal: together,
                tls: failover !== undefined,
                ...(failover === undefined ? {} : { peer: nodeNames.find((each) => each !== name) ?? name }),
                ...(isGated ? { gateImage: image.nginx } : {}),
                ...(registry.engine === "harbor"
                    ? {
                          backup: planNodeBackup(
                              registry.backup,
                              name,
                              dataDirectory,
                              index === 0 || failover !== undefined,
                          ),
                      }
                    : {}),
            };
        });
    const registryHost =
        loadBalancer.httpsPort === 443 ? config.publicName : `${config.publicName}:${String(loadBalancer.httpsPort)}`;
    const registryUrl = `https://${registryHost}`;
    const balancer: LoadBalancerPlan = {
        machine: topology.loadBalancer,
        project: project("lb"),
        image: image.nginx,
        host: registryHost,
        httpsPort: loadBalancer.httpsPort,
        httpPort: loadBalancer.httpPort,
        hstsSeconds: loadBalancer.mode === "http" ? loadBalancer.hstsSeconds : 0,
        method: (loadBalancer.mode === "http" ? loadBalancer.method : undefined) ?? "random",
        drainSeconds: loadBalancer.drainSeconds,
        probeSeconds: loadBalancer.probeSeconds,
        engine: registry.engine,
        nodes: nodes.map(({ name }) => name),
        ...(failover === undefined ? {} : { failover }),
    };

    const machines = named.map((machine): MachinePlan => {
        const { name, entry } = machine;
        const roles = rolesOf(config, machine);
        const node = nodes.find((each) => each.machine === name);
        const isBalancer = roles.includes("load-balancer");
        const collects = isBalancer && registry.engine === "distribution" && topology.kind === "shared";
        const stored = storageOn(storagePlan, machine);
        const references = [
            ...((node && registry.engine === "distribution") || collects ? [image.registry] : []),
            ...(isBalancer || node?.gateImage !== undefined ? [image.nginx] : []),
            ...stored.map((each) => each.image),
        ];
        return {
            name,
            entry,
            roles,
            directory: directoryOf(name),
            generation: machine.machine.generation,
            requirements: requirementsFor(config, machine),
            ports: [
                ...(isBalancer ? [{ port: balancer.httpsPort, purpose: "loadBalancer.httpsPort" }] : []),
                ...(isBalancer ? [{ port: balancer.httpPort, purpose: "loadBalancer.httpPort" }] : []),
                ...(isBalancer ? adminPorts(failover) : []),
                ...(node ? nodePorts(registry) : []),
                ...stored.map(({ port, purpose }) => ({ port, purpose })),
            ],
            ...(node ? { engine: { name: registry.engine, project: node.project } } : {}),
            projects: [
                ...(node ? [node.project] : []),
                ...(isBalancer ? [balancer.project] : []),
                ...(collects ? [project("collector")] : []),
                ...stored.map((each) => each.project),
            ],
            // A machine that needs none is sent none.
            images: {
                references,
                ...(images.bundle === undefined || references.length === 0 ? {} : { bundle: images.bundle }),
            },
            ...(node && registry.engine === "harbor"
                ? { installer: { version: registry.version, file: registry.installer } }
                : {}),
            place: planPlace(config, machine),
        };
    });

    return {
        stack,
        publicName: config.publicName,
        registryHost,
        registryUrl,
        machines,
        ...planCloud(config),
        baseline: config.baseline,
        certificate: {
            ...config.certificate,
            names: [...new Set([config.publicName, ...config.additionalNames])],
        },
        storage: storagePlan,
        ...(config.aws === undefined ? {} : { aws: config.aws }),
        registry: planRegistry(config, {
            stack,
            registryUrl,
            image: image.registry,
            collectorProject: project("collector"),
        }),
        nodes,
        loadBalancer: balancer,
    };
}

/** The nodes in the order of the stack file's topology. */
function planNodeNames(config: StackConfig): string[] {
    const named = writeOutMachines(config.machines);
    return namedNodes(config.topology).flatMap((entry) =>
        named.filter((each) => each.entry === entry).map(({ name }) => name),
    );
}

/** How the load balancer chooses between an active node and a standby; nothing with another topology. */
function planFailover({ topology, loadBalancer }: StackConfig, nodes: readonly string[]): FailoverPlan | undefined {
    const [first] = nodes;
    if (topology.kind !== "replicated" || first === undefined) {
        return undefined;
    }
    const adminPort = loadBalancer.adminPort ?? defaultFailover.adminPort;
    return {
        mode: loadBalancer.mode,
        misses: loadBalancer.failoverMisses ?? defaultFailover.failoverMisses,
        active: topology.active ?? first,
        ...(topology.epoch === undefined ? {} : { epoch: topology.epoch }),
        adminPorts: Object.fromEntries(nodes.map((name, index) => [name, adminPort + index])),
        adminCidrs: loadBalancer.adminCidrs ?? [],
    };
}

function adminPorts(failover: FailoverPlan | undefined): MachinePlan["ports"] {
    return Object.values(failover?.adminPorts ?? {}).map((port, index) => ({
        port,
        purpose: index === 0 ? "loadBalancer.adminPort" : "loadBalancer.adminPort, the next number",
    }));
}

/** The backups of a node; of nodes that share a database, the first one makes them. */
function planNodeBackup(config: BackupConfig, node: string, dataDirectory: string, isFirst: boolean): BackupPlan {
    return planBackup(
        isFirst ? config : { ...config, enabled: false },
        scheduleTimes(config.schedule),
        node,
        dataDirectory,
    );
}

/** The ports of a node, with the setting that each comes from. */
function nodePorts(registry: StackConfig["registry"]): MachinePlan["ports"] {
    const own = { port: registry.port, purpose: "registry.port" };
    if (registry.engine === "distribution") {
        return [own];
    }
    const { metrics } = registry;
    return [
        own,
        { port: harborLogPort, purpose: "Harbor's log service, which always has this one" },
        ...(metrics.enabled ? [{ port: metrics.port, purpose: "registry.metrics.port" }] : []),
    ];
}
