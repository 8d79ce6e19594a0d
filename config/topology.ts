import { z } from "zod";
import { eachOnce, integer, object, resourceName, variants } from "./fields";
import type { MachineConfig } from "./machines";

/** The part of the stack file's schema that says which machine runs what. */

const loadBalancer = resourceName.describe("The machine that runs the load balancer.");

const singleTopology = object(
    {
        kind: z.literal("single"),
        node: resourceName.describe("The machine that runs the registry."),
        loadBalancer: loadBalancer.describe("The machine that runs the load balancer: the same, or another."),
    },
    "{kind: single, node: box, loadBalancer: box}",
).describe("One registry node.");

const sharedTopology = object(
    {
        kind: z.literal("shared"),
        nodes: z
            .array(resourceName, "expected a list of machines, for example [node]")
            .min(1, "expected at least one machine, for example [node]")
            .superRefine(eachOnce((name) => name, [], "is there twice; name each machine once"))
            .meta({ examples: [["node"]] })
            .describe(
                "The machines that run the registry, at least two. The name of a machine with `count` stands for all of them.",
            ),
        loadBalancer: loadBalancer.describe("The machine that runs the load balancer: none of the nodes."),
    },
    "{kind: shared, nodes: [node], loadBalancer: lb}",
).describe("Several active nodes that share their state, which is on none of them.");

const replicatedTopology = object(
    {
        kind: z.literal("replicated"),
        nodes: z
            .array(resourceName, "expected a list of machines, for example [first, second]")
            .min(1, "expected two machines, for example [first, second]")
            .superRefine(eachOnce((name) => name, [], "is there twice; name each machine once"))
            .meta({ examples: [["first", "second"]] })
            .describe("The two machines that run the registry: two names, or that of one with `count: 2`."),
        active: resourceName
            .optional()
            .describe(
                "The node that answers clients; another one here is a planned switchover. With `count`, one of its machines, such as node-2. Default: the first one.",
            ),
        epoch: integer(1, 1_000_000_000, "a number", 4)
            .optional()
            .describe(
                "Which change of the active node this file knows of. Only needed to switch back after a failover; the error then says which number.",
            ),
        loadBalancer: loadBalancer.describe("The machine that runs the load balancer: none of the nodes."),
    },
    "{kind: replicated, nodes: [first, second], loadBalancer: lb}",
).describe(
    "An active node that answers clients and a standby that it replicates to, each with state of its own. When the active dies, the load balancer changes to the standby.",
);

/** `harborage:topology`. */
export const topology = variants(
    "kind",
    [singleTopology, sharedTopology, replicatedTopology],
    ["single", "shared", "replicated"],
    "{kind: single, node: box, loadBalancer: box}",
);

export type TopologyConfig = z.output<typeof topology>;

/** The machines that run the registry, by the names that the stack file gives them. */
export function namedNodes(config: TopologyConfig): readonly string[] {
    return config.kind === "single" ? [config.node] : config.nodes;
}

/** The names of the machines that an entry of `machines` stands for. */
export function machineNames(name: string, count: number | undefined): string[] {
    return count === undefined ? [name] : Array.from({ length: count }, (_, index) => `${name}-${String(index + 1)}`);
}

/** A machine of a stack file: with `count` one of several. */
export interface NamedMachine {
    readonly name: string;
    /** Its entry in the stack file. */
    readonly entry: string;
    readonly machine: MachineConfig;
}

/** Every machine, those of an entry with `count` one by one. */
export function writeOutMachines(machines: Readonly<Record<string, MachineConfig>>): NamedMachine[] {
    return Object.entries(machines).flatMap(([entry, machine]): NamedMachine[] => {
        if (machine.kind !== "openstack") {
            return [{ name: entry, entry, machine }];
        }
        return machineNames(entry, machine.count).map((name) => ({
            name,
            entry,
            machine: { ...machine, generation: machine.generations?.[name] ?? machine.generation },
        }));
    });
}
