import type * as pulumi from "@pulumi/pulumi";
import type { NodePlan, Plan } from "../../config/plan";
import type { Upstream } from "../load-balancer";
import { machineNamed, nodeAddress, type Machine } from "../machines";
import { Credentials, DistributionNode } from "./distribution";
import { HarborNode, HarborSecrets } from "./harbor";

/** Who may do everything. */
export interface Administrator {
    readonly name: string;
    /** Secret. */
    readonly password: pulumi.Output<string>;
}

/** A registry that runs on its nodes, of whichever engine. */
export interface Registry {
    readonly administrator: Administrator;
    readonly nodes: readonly {
        /** Where the load balancer reaches it. */
        readonly upstream: pulumi.Output<Upstream>;
        /** Done when the node is healthy. */
        readonly released: pulumi.Resource;
    }[];
    /** What there is more of where the engine is Harbor. */
    readonly harbor?: HarborSecrets;
}

interface Place {
    readonly node: NodePlan;
    readonly machine: Machine;
    readonly address: pulumi.Output<string>;
}

/**
 * The nodes of a plan, with what they share.
 *
 * @param secret a secret of the stack file, by name
 */
export function createRegistry(
    plan: Plan,
    machines: ReadonlyMap<string, Machine>,
    secret: (name: string) => pulumi.Output<string>,
): Registry {
    const { stack, registry } = plan;
    const onEachNode = (create: (place: Place) => { readonly released: pulumi.Resource }) =>
        plan.nodes.map((node) => {
            const machine = machineNamed(machines, node.machine);
            const address = nodeAddress(node, machine);
            return {
                upstream: address.apply((host) => ({ address: host, port: node.port })),
                released: create({ node, machine, address }).released,
            };
        });
    if (registry.engine === "distribution") {
        const credentials = new Credentials("registry", { registry, secret });
        return {
            administrator: credentials.administrator,
            nodes: onEachNode(
                (place) => new DistributionNode(place.node.name, { stack, registry, credentials, ...place }),
            ),
        };
    }
    const secrets = new HarborSecrets("registry", { plan: registry, secret });
    return {
        administrator: { name: "admin", password: secrets.adminPassword },
        nodes: onEachNode(
            (place) => new HarborNode(place.node.name, { stack, plan: registry, secrets, secret, ...place }),
        ),
        harbor: secrets,
    };
}
