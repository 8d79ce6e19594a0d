import * as pulumi from "@pulumi/pulumi";
import type { NodePlan, Plan } from "../../config/plan";
import type { Certificates } from "../certificates";
import type { LoadBalancer, Upstream } from "../load-balancer";
import { machineNamed, nodeAddress, type Machine } from "../machines";
import { Credentials, DistributionNode } from "./distribution";
import { HarborNode, HarborSecrets, HarborSettings } from "./harbor";

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
        readonly released: pulumi.CustomResource;
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
    const onEachNode = (create: (place: Place) => { readonly released: pulumi.CustomResource }) =>
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
    const backupOf = ({ name, backup }: NodePlan) => {
        if (backup === undefined) {
            throw new Error(`no backup in the plan of ${name}, which runs Harbor`);
        }
        return backup;
    };
    const secrets = new HarborSecrets("registry", { plan: registry, secret });
    return {
        administrator: { name: "admin", password: secrets.adminPassword },
        nodes: onEachNode(
            (place) =>
                new HarborNode(place.node.name, {
                    stack,
                    plan: registry,
                    secrets,
                    secret,
                    backup: backupOf(place.node),
                    ...place,
                }),
        ),
        harbor: secrets,
    };
}

export interface SettingsArgs {
    readonly plan: Plan;
    readonly registry: Registry;
    readonly balancer: LoadBalancer;
    readonly balancerMachine: Machine;
    readonly certificates: Certificates;
}

/** What only the registry's own API can set, once clients can reach it: nothing where the engine has no such thing. */
export function createSettings({ plan, registry, balancer, balancerMachine, certificates }: SettingsArgs): void {
    const [node] = registry.nodes;
    if (plan.registry.engine !== "harbor" || registry.harbor === undefined || node === undefined) {
        return;
    }
    new HarborSettings(
        "harbor",
        {
            plan: plan.registry,
            secrets: registry.harbor,
            address: pulumi.interpolate`${balancerMachine.address}:${plan.loadBalancer.httpsPort}`,
            caCertificate: certificates.caCertificate,
            node: node.released,
        },
        { dependsOn: balancer.released },
    );
}
