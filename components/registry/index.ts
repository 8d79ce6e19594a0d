import * as pulumi from "@pulumi/pulumi";
import type { NodePlan, Plan } from "../../config/plan";
import type { Certificates } from "../certificates";
import type { LoadBalancer, Upstream } from "../load-balancer";
import { machineNamed, nodeAddress, type Machine } from "../machines";
import type { Storage } from "../storage";
import { Credentials, DistributionNode } from "./distribution";
import { HarborNode, HarborSecrets, HarborSettings, quiesceOthers } from "./harbor";

/** Who may do everything. */
export interface Administrator {
    readonly name: string;
    /** Secret. */
    readonly password: pulumi.Output<string>;
}

/** A registry that runs on its nodes, of whichever engine. */
export interface Registry {
    readonly administrator: Administrator;
    readonly nodes: readonly RegistryNode[];
    /** What there is more of where the engine is Harbor. */
    readonly harbor?: HarborSecrets;
}

export interface RegistryNode {
    /** Where the load balancer reaches it. */
    readonly upstream: pulumi.Output<Upstream>;
    /** Done when the node is healthy. */
    readonly released: pulumi.CustomResource;
}

export interface RegistryArgs {
    readonly plan: Plan;
    readonly machines: ReadonlyMap<string, Machine>;
    readonly storage: Storage;
    /** A secret of the stack file, by name. */
    readonly secret: (name: string) => pulumi.Output<string>;
}

/** What a node of either engine is made of. */
interface Place {
    readonly node: NodePlan;
    readonly machine: Machine;
    readonly address: pulumi.Output<string>;
    readonly beforeRelease: () => readonly pulumi.Resource[];
}

/** The nodes of a plan, with what they share. */
export function createRegistry(args: RegistryArgs): Registry {
    const { plan, storage, secret } = args;
    const { stack, registry } = plan;
    if (registry.engine === "distribution") {
        const credentials = new Credentials("registry", { registry, secret });
        return {
            administrator: credentials.administrator,
            nodes: inTurn(
                args,
                [],
                (place) =>
                    new DistributionNode(place.node.name, {
                        stack,
                        registry,
                        credentials,
                        objects: storage.objects,
                        ...place,
                    }),
            ),
        };
    }
    const backupOf = ({ name, backup }: NodePlan) => {
        if (backup === undefined) {
            throw new Error(`no backup in the plan of ${name}, which runs Harbor`);
        }
        return backup;
    };
    const secrets = new HarborSecrets("registry", { plan: registry, storage, secret });
    return {
        administrator: { name: "admin", password: secrets.adminPassword },
        nodes: inTurn(
            args,
            quiesceOthers(args, registry.config.version),
            (place) =>
                new HarborNode(place.node.name, {
                    stack,
                    plan: registry,
                    secrets,
                    storage,
                    secret,
                    backup: backupOf(place.node),
                    ...place,
                }),
        ),
        harbor: secrets,
    };
}

/**
 * Makes nodes so that changes go from one to the next, each with a health gate; what is heavy (images, files) is done on
 * all of them at the same time.
 *
 * @param first what must be done before the first node changes
 */
function inTurn(
    { plan, machines, storage }: RegistryArgs,
    first: readonly pulumi.Resource[],
    create: (place: Place) => { readonly released: pulumi.CustomResource },
): RegistryNode[] {
    const nodes: RegistryNode[] = [];
    for (const node of plan.nodes) {
        const machine = machineNamed(machines, node.machine);
        const address = nodeAddress(node, machine);
        const before = nodes.at(-1);
        const { released } = create({
            node,
            machine,
            address,
            beforeRelease: () => [...storage.ready, ...first, ...(before === undefined ? [] : [before.released])],
        });
        nodes.push({
            upstream: address.apply((host) => ({ name: node.name, address: host, port: node.port })),
            released,
        });
    }
    return nodes;
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
