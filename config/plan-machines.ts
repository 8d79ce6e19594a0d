import { isDeepStrictEqual } from "node:util";
import { defaultFailover } from "./load-balancer";
import type { ExistingConfig, OpenstackMachineConfig } from "./machines";
import type {
    CloudPlan,
    MachineRequirements,
    OpenstackMachinePlan,
    PlacePlan,
    Role,
    SecurityRule,
    SshPlan,
} from "./plan";
import { present } from "./present";
import type { StackConfig } from "./schema";
import { namedNodes, writeOutMachines, type NamedMachine } from "./topology";

/** The part of the plan that is about machines: which they are, how they are reached, and what may reach them. */

type Requirements = Omit<MachineRequirements, "resolves"> & {
    /** Whether clients' name for the registry must have an address on the machine. */
    readonly resolvesPublicName: boolean;
};

/** For nginx or CNCF Distribution: their own memory stays below 200 MiB; the rest is the system and Docker. */
const leastRequirements: Requirements = {
    cpus: 1,
    memoryMiB: 512,
    freeDiskGiB: 5,
    dockerVersion: "20.10",
    composeVersion: "2.17",
    root: false,
    clock: false,
    resolvesPublicName: false,
    containerNames: [],
};

/** What a node needs, by the registry engine. */
const nodeRequirements: Readonly<Record<"distribution" | "harbor", Requirements>> = {
    distribution: leastRequirements,
    // goharbor.io/docs, "Harbor Installation Prerequisites": 2 CPUs, 4 GiB, of which the kernel keeps some, 40 GB. Its
    // files belong to several users, its tokens are refused where clocks differ by a minute, and its compose file names
    // containers (make/photon/prepare/templates/docker_compose). `!override` in a compose file is there since 2.24.4.
    harbor: {
        cpus: 2,
        memoryMiB: 3700,
        freeDiskGiB: 40,
        dockerVersion: "20.10.10",
        composeVersion: "2.24.4",
        root: true,
        clock: true,
        resolvesPublicName: true,
        containerNames: [
            "harbor-log",
            "registry",
            "registryctl",
            "harbor-db",
            "harbor-core",
            "harbor-portal",
            "harbor-jobservice",
            "redis",
            "nginx",
            "trivy-adapter",
            "harbor-exporter",
        ],
    },
};

/** The entries of the stack file's machines that state is kept on. */
function storageMachines({ storage: { database, cache } }: StackConfig): string[] {
    return [database, cache].flatMap((part) => (part.kind === "machine" ? [part.machine] : []));
}

/** What a machine is for. */
export function rolesOf(config: StackConfig, { entry }: NamedMachine): readonly Role[] {
    return [
        ...(namedNodes(config.topology).includes(entry) ? ["node" as const] : []),
        ...(config.topology.loadBalancer === entry ? ["load-balancer" as const] : []),
        ...(storageMachines(config).includes(entry) ? ["storage" as const] : []),
    ];
}

/** Whether Harbor is told where the public name leads, so that nodes that replicate to each other need no DNS. */
const isTold = ({ topology }: StackConfig) => topology.kind === "replicated";

/** What a machine must be and have. */
export function requirementsFor(config: StackConfig, named: NamedMachine): MachineRequirements {
    const isNode = rolesOf(config, named).includes("node");
    const { resolvesPublicName, ...fixed } = isNode ? nodeRequirements[config.registry.engine] : leastRequirements;
    return {
        ...fixed,
        freeDiskGiB: named.machine.minimumFreeDiskGiB ?? fixed.freeDiskGiB,
        // The address of a VM may be made by the same `up` that looks at it.
        ...(resolvesPublicName && named.machine.kind !== "openstack" && !isTold(config)
            ? { resolves: config.publicName }
            : {}),
    };
}

/** Where a machine is. */
export function planPlace(config: StackConfig, named: NamedMachine): PlacePlan {
    const { machine } = named;
    switch (machine.kind) {
        case "existing":
            return {
                kind: "existing",
                ssh: { ...planSsh(machine), ...(machine.bastion && { bastion: planSsh(machine.bastion) }) },
                privateAddress: machine.privateAddress ?? machine.address,
                ...(machine.dataDevice === undefined ? {} : { dataDevice: machine.dataDevice }),
            };
        case "openstack":
            return planVm(config, machine, requirementsFor(config, named));
        default:
            return { kind: "local" };
    }
}

function planSsh(ssh: Pick<ExistingConfig, "address" | "port" | "user" | "hostKey" | "privateKey">): SshPlan {
    const { address, port, user, hostKey, privateKey } = ssh;
    return {
        address,
        port,
        user,
        ...(hostKey === "accept-any" ? {} : { hostKey }),
        ...(privateKey === undefined ? {} : { privateKey }),
    };
}

function planVm(
    config: StackConfig,
    machine: OpenstackMachineConfig,
    { cpus, memoryMiB }: MachineRequirements,
): OpenstackMachinePlan {
    const { image, flavor, user, floatingIp, address, availabilityZone, bootVolume, dataVolume, metadata } = machine;
    const jump = machine.floatingIp ? undefined : jumpMachine(config);
    return {
        kind: "openstack",
        image,
        flavor,
        minimum: { cpus, memoryMiB },
        user,
        floatingIp,
        metadata,
        ...(jump === undefined ? {} : { jump }),
        ...(address === undefined ? {} : { address }),
        ...(availabilityZone === undefined ? {} : { availabilityZone }),
        ...(bootVolume === undefined ? {} : { bootVolume: present(bootVolume) }),
        ...(dataVolume === undefined ? {} : { dataVolume: present(dataVolume) }),
    };
}

/** The machine that those without a floating IP are reached through: the load balancer's, when it has one. */
function jumpMachine({ machines, topology }: StackConfig): string | undefined {
    const balancer = machines[topology.loadBalancer];
    return balancer?.kind === "openstack" && balancer.floatingIp ? topology.loadBalancer : undefined;
}

const sshPort = 22;

/** The cloud and who may reach what in it; nothing where no machine is in a cloud. */
export function planCloud(config: StackConfig): { cloud?: CloudPlan } {
    if (config.openstack === undefined) {
        return {};
    }
    const { auth, network, sshKey, antiAffinity, bootMinutes } = config.openstack;
    return { cloud: { auth, network, sshKey, antiAffinity, bootMinutes, rules: securityRules(config) } };
}

/** Where requests of the machines of a role come from, as a security group names it. */
function sourcesOf(config: StackConfig, role: Role): SecurityRule["from"][] {
    const those = writeOutMachines(config.machines).filter((named) => rolesOf(config, named).includes(role));
    return [
        ...(those.some(({ machine }) => machine.kind === "openstack") ? [{ role }] : []),
        ...those.flatMap(({ machine }) =>
            machine.kind === "existing" ? [{ cidr: `${machine.privateAddress ?? machine.address}/32` }] : [],
        ),
    ];
}

function opensSame(one: SecurityRule, other: SecurityRule): boolean {
    return one.role === other.role && one.port === other.port && isDeepStrictEqual(one.from, other.from);
}

/** The load balancer is the only public door; nodes take requests from it alone, and their storage from them alone. */
function securityRules(config: StackConfig): SecurityRule[] {
    const { clientCidrs = [], sshCidrs = [] } = config.openstack ?? {};
    const { httpsPort, httpPort } = config.loadBalancer;
    const { database, cache } = config.storage;
    const doors = clientCidrs.flatMap((cidr): SecurityRule[] => [
        { role: "load-balancer", port: httpsPort, from: { cidr }, why: "clients" },
        { role: "load-balancer", port: httpPort, from: { cidr }, why: "clients that are redirected to https" },
    ]);
    const behind: Role[] = ["node", ...(storageMachines(config).length > 0 ? ["storage" as const] : [])];
    const ssh = sshCidrs.flatMap((cidr): SecurityRule[] =>
        (["load-balancer", ...behind] as const).map((role) => ({ role, port: sshPort, from: { cidr }, why: "up" })),
    );
    const throughBalancer: SecurityRule[] =
        jumpMachine(config) === undefined
            ? []
            : behind.map((role) => ({
                  role,
                  port: sshPort,
                  from: { role: "load-balancer" },
                  why: "up, through the load balancer",
              }));
    const requests = sourcesOf(config, "load-balancer").map((from): SecurityRule => ({
        role: "node",
        port: config.registry.port,
        from,
        why: "requests that the load balancer passes on",
    }));
    const metrics =
        config.registry.engine === "harbor" && config.registry.metrics.enabled ? config.registry.metrics : undefined;
    const scrapes = (metrics?.cidrs ?? []).map((cidr): SecurityRule => ({
        role: "node",
        port: metrics?.port ?? 0,
        from: { cidr },
        why: "metrics",
    }));
    const stored = (
        [
            [database, "the database"],
            [cache, "the cache"],
        ] as const
    ).flatMap(([part, why]) =>
        part.kind === "machine"
            ? sourcesOf(config, "node").map((from): SecurityRule => ({ role: "storage", port: part.port, from, why }))
            : [],
    );
    // A machine that exists has its own firewall.
    const inCloud = (role: Role) => sourcesOf(config, role).some((from) => "role" in from);
    return [
        ...[doors, ssh, throughBalancer, requests, scrapes, stored],
        ...[replicationRules(config), adminRules(config)],
    ]
        .flat()
        .filter(({ role }) => inCloud(role))
        .filter((rule, index, all) => all.findIndex((other) => opensSame(rule, other)) === index);
}

/** Nodes that replicate to each other: one pushes to the other, which sends it to the load balancer for a token. */
function replicationRules(config: StackConfig): SecurityRule[] {
    return config.topology.kind !== "replicated"
        ? []
        : sourcesOf(config, "node").flatMap((from): SecurityRule[] => [
              { role: "node", port: config.registry.port, from, why: "replication" },
              {
                  role: "load-balancer",
                  port: config.loadBalancer.httpsPort,
                  from,
                  why: "nodes that ask for tokens",
              },
          ]);
}

/** The ports that lead to one of two nodes, whichever is active. */
function adminRules({ topology, loadBalancer }: StackConfig): SecurityRule[] {
    const first = loadBalancer.adminPort ?? defaultFailover.adminPort;
    return topology.kind !== "replicated"
        ? []
        : [first, first + 1].flatMap((port) =>
              (loadBalancer.adminCidrs ?? []).map((cidr): SecurityRule => ({
                  role: "load-balancer",
                  port,
                  from: { cidr },
                  why: "up and operators, to one of the nodes",
              })),
          );
}
