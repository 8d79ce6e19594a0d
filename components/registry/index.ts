import * as pulumi from "@pulumi/pulumi";
import type { DistributionPlan, NodePlan, Plan } from "../../config/plan";
import type { Certificates } from "../certificates";
import type { ComposeStack, ComposeStackArgs } from "../compose-stack";
import { drainNode, restoreNode, type LoadBalancer, type Upstream } from "../load-balancer";
import { machineNamed, nodeAddress, type Machine } from "../machines";
import type { Storage } from "../storage";
import { Collector, Credentials, DistributionNode } from "./distribution";
import { HarborNode, HarborSecrets, HarborSettings, quiesceOthers } from "./harbor";
import { createPair, createPairSettings, httpsOf, type Pair } from "./pair";

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
    /** What must be done before clients may reach it. */
    readonly ready: readonly pulumi.Resource[];
    /** What there is more of where the engine is Harbor. */
    readonly harbor?: {
        readonly secrets: HarborSecrets;
        /** There where one node is active and the other its standby. */
        readonly pair?: Pair;
    };
}

export interface RegistryNode {
    /** Where the load balancer reaches it. */
    readonly upstream: pulumi.Output<Upstream>;
    /** Done when the node is healthy. */
    readonly released: pulumi.CustomResource;
    /** Done when it can be sent requests. */
    readonly ready: readonly pulumi.Resource[];
}

export interface RegistryArgs {
    readonly plan: Plan;
    readonly machines: ReadonlyMap<string, Machine>;
    readonly storage: Storage;
    readonly certificates: Certificates;
    /** A secret of the stack file, by name. */
    readonly secret: (name: string) => pulumi.Output<string>;
}

/** What a node of either engine is made of. */
interface Place {
    readonly node: NodePlan;
    readonly machine: Machine;
    readonly address: pulumi.Output<string>;
    readonly beforeRelease: ComposeStackArgs["beforeRelease"];
}

/** The nodes of a plan, with what they share. */
export function createRegistry(args: RegistryArgs): Registry {
    const { plan, storage, secret } = args;
    const { stack, registry } = plan;
    if (registry.engine === "distribution") {
        const credentials = new Credentials("registry", { registry, secret });
        const nodes = inTurn(
            args,
            [],
            (place) =>
                new DistributionNode(place.node.name, {
                    stack,
                    registry,
                    credentials,
                    objects: storage.objects,
                    nginxImage: plan.loadBalancer.image,
                    ...place,
                }),
        );
        return {
            administrator: credentials.administrator,
            nodes,
            ready: [...readyOf(nodes), ...collect(args, registry, nodes)],
        };
    }
    const backupOf = ({ name, backup }: NodePlan) => {
        if (backup === undefined) {
            throw new Error(`no backup in the plan of ${name}, which runs Harbor`);
        }
        return backup;
    };
    const secrets = new HarborSecrets("registry", { plan: registry, storage, secret });
    const pair = createPair(args, registry, secrets);
    const nodes = inTurn(
        args,
        [...quiesceOthers(args, registry.config.version), ...(pair?.ready ?? [])],
        (place) =>
            new HarborNode(place.node.name, {
                stack,
                plan: registry,
                secrets,
                storage,
                secret,
                backup: backupOf(place.node),
                ...(pair && { https: httpsOf(args, place.node) }),
                ...place,
            }),
    );
    return {
        administrator: { name: "admin", password: secrets.adminPassword },
        nodes,
        ready: readyOf(nodes),
        harbor: { secrets, ...(pair && { pair }) },
    };
}

const readyOf = (nodes: readonly RegistryNode[]) => nodes.flatMap(({ ready }) => ready);

/**
 * What collects garbage for several nodes. It asks all of them what they write, so it knows a new one before the load
 * balancer does.
 */
function collect(
    { plan: { stack, loadBalancer }, machines, storage: { objects } }: RegistryArgs,
    registry: DistributionPlan,
    nodes: readonly RegistryNode[],
): pulumi.Resource[] {
    if (!registry.isShared || objects === undefined) {
        return [];
    }
    const collector = new Collector(
        "collector",
        {
            stack,
            registry,
            project: registry.collectorProject,
            machine: machineNamed(machines, loadBalancer.machine),
            objects,
            nodes: nodes.map(({ upstream }) => upstream),
        },
        { dependsOn: readyOf(nodes) },
    );
    return [collector.released];
}

/**
 * Makes nodes so that changes go from one to the next: out of rotation, changed, healthy, back in rotation. What is heavy
 * (images, files) is done on all of them at the same time, before.
 *
 * @param first what must be done before the first node changes
 */
function inTurn(
    { plan, machines, storage }: RegistryArgs,
    first: readonly pulumi.Resource[],
    create: (place: Place) => Pick<ComposeStack, "released" | "change">,
): RegistryNode[] {
    const nodes: RegistryNode[] = [];
    for (const node of plan.nodes) {
        const machine = machineNamed(machines, node.machine);
        const address = nodeAddress(node, machine);
        const waits = [...storage.ready, ...first, ...(nodes.at(-1)?.ready ?? [])];
        const rotation = (change: pulumi.Output<string>) => ({
            machine: machineNamed(machines, plan.loadBalancer.machine),
            plan: plan.loadBalancer,
            node: node.name,
            change,
        });
        const isAlone = plan.nodes.length === 1;
        const { released, change } = create({
            node,
            machine,
            address,
            beforeRelease: (changed) =>
                isAlone ? waits : [drainNode(`${node.name}-drain`, rotation(changed), { dependsOn: waits })],
        });
        nodes.push({
            upstream: pulumi
                .all([address, node.peer === undefined ? undefined : machine.prepared.id])
                .apply(([host, id]) => ({
                    name: node.name,
                    address: host,
                    port: node.port,
                    ...(id === undefined ? {} : { machine: id }),
                })),
            released,
            ready: isAlone
                ? [released]
                : [restoreNode(`${node.name}-restore`, rotation(change), { dependsOn: released })],
        });
    }
    return nodes;
}

export interface SettingsArgs {
    readonly plan: Plan;
    readonly machines: ReadonlyMap<string, Machine>;
    readonly registry: Registry;
    readonly balancer: LoadBalancer;
    readonly certificates: Certificates;
}

/** What only the registry's own API can set, once clients can reach it: nothing where the engine has no such thing. */
export function createSettings(args: SettingsArgs): void {
    const { plan, machines, registry, balancer, certificates } = args;
    const [node] = registry.nodes;
    if (plan.registry.engine !== "harbor" || registry.harbor === undefined || node === undefined) {
        return;
    }
    const { secrets, pair } = registry.harbor;
    if (pair !== undefined) {
        createPairSettings({ ...args, registry: plan.registry, secrets, pair, nodes: registry.nodes });
        return;
    }
    const { address } = machineNamed(machines, plan.loadBalancer.machine);
    new HarborSettings(
        "harbor",
        {
            plan: plan.registry,
            secrets,
            api: {
                address: pulumi.interpolate`${address}:${plan.loadBalancer.httpsPort}`,
                caCertificate: certificates.caCertificate,
            },
            node: node.released,
        },
        { dependsOn: balancer.released },
    );
}
