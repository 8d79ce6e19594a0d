import { isIPv4 } from "node:net";
import {
    countOf,
    entriesAt,
    hasSeveralNodes,
    isTogether,
    kindOf,
    nodesOf,
    singleMachinesOf,
    sshPort,
    storageOf,
    valueAt,
    type Contradiction,
    type Naming,
} from "./raw-file";
import { machineNames } from "./topology";

/** The checks across keys that are about machines: which there are, what is on them, how they reach each other. */

export function roles(file: unknown): Contradiction[] {
    const machines = entriesAt(file, ["machines"]).map(([name]) => name);
    return [...nodesOf(file), ...singleMachinesOf(file)].flatMap(({ path, machine }) =>
        // A file without machines has that mistake already.
        typeof machine !== "string" || machines.length === 0 || machines.includes(machine)
            ? []
            : [{ path, message: `is not one of the machines; there is: ${machines.join(", ")}` }],
    );
}

/** Machines that an entry with `count` stands for. */
export function counts(file: unknown): Contradiction[] {
    const entries = entriesAt(file, ["machines"]);
    const singles = [...singleMachinesOf(file), ...(hasSeveralNodes(file) ? [] : nodesOf(file))].flatMap(
        ({ path, machine }) =>
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

export function ports(file: unknown): Contradiction[] {
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

export function sshPorts(file: unknown): Contradiction[] {
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
export function reach(file: unknown): Contradiction[] {
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

export function openstack(file: unknown): Contradiction[] {
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

export function login(file: unknown): Contradiction[] {
    const path = ["openstack", "auth"];
    return valueAt(file, [...path, "cloud"]) === undefined
        ? []
        : entriesAt(file, path)
              .filter(([key, value]) => value !== undefined && !besideCloud.includes(key))
              .map(([key]) => ({ path: [...path, key], message: "has no effect beside cloud; clouds.yaml says it" }));
}

/** On a VM everything goes with the VM, and what stays is its volume. */
export function kept(file: unknown): Contradiction[] {
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
