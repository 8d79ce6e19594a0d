import * as pulumi from "@pulumi/pulumi";
import type { HarborPlan, NodePlan, Plan } from "../../config/plan";
import type { Certificates } from "../certificates";
import { ActiveNode, type Provider } from "../harbor-api";
import { activateNode, trustNodes, type LoadBalancer, type Upstream } from "../load-balancer";
import { hostAndPort } from "../load-balancer/upstream";
import { machineNamed, nodeAddress, type Machine } from "../machines";
import { adminOf, HarborSettings, type HarborSecrets, type HttpsArgs } from "./harbor";
import { Replication, type Replica } from "./replication";

/** What an active node and its standby have in common before they run. */
export interface Pair {
    /** Which is to be active. */
    readonly activeNode: ActiveNode;
    /** What must be done before anything of either is touched. */
    readonly ready: readonly pulumi.Resource[];
    /** The API of each, by the node's name, whichever is active. */
    readonly apis: ReadonlyMap<string, Provider>;
}

export interface PairArgs {
    readonly plan: Plan;
    readonly machines: ReadonlyMap<string, Machine>;
    readonly certificates: Certificates;
}

/** Nothing where the plan has no such nodes. */
export function createPair(
    { plan, machines, certificates }: PairArgs,
    registry: HarborPlan,
    secrets: HarborSecrets,
): Pair | undefined {
    const { failover, machine, project } = plan.loadBalancer;
    if (failover === undefined) {
        return undefined;
    }
    const balancer = machineNamed(machines, machine);
    const { address } = balancer;
    const { caCertificate } = certificates;
    const apis = new Map(
        Object.entries(failover.adminPorts).map(([name, port]) => [
            name,
            adminOf(
                `harbor-${name}`,
                { plan: registry, secrets },
                { address: pulumi.interpolate`${address}:${port}`, caCertificate },
            ),
        ]),
    );
    const activeNode = new ActiveNode(
        "active-node",
        { node: failover.active, ...(failover.epoch === undefined ? {} : { epoch: failover.epoch }) },
        // The agent answers behind the door to each of them.
        { provider: apiOf(apis, failover.active) },
    );
    const trust = trustNodes(
        "load-balancer-trust",
        { machine: balancer, project, caCertificate },
        { dependsOn: [balancer.prepared.ready, activeNode] },
    );
    // The hold that one machine's change takes ends when the first node is well again: none may still be changed then.
    const prepared = plan.nodes.map(({ machine: each }) => machineNamed(machines, each).prepared.ready);
    return { activeNode, ready: [activeNode, trust, ...prepared], apis };
}

/** What a node of a pair serves HTTPS with, and where it finds the other one. */
export function httpsOf({ plan, machines, certificates }: PairArgs, node: NodePlan): HttpsArgs {
    const machine = machineNamed(machines, node.machine);
    const balancer = machineNamed(machines, plan.loadBalancer.machine);
    const peer = nodeNamed(plan, node.peer);
    return {
        server: certificates.issue(`${node.name}-server`, plan.publicName, [
            plan.publicName,
            machine.privateAddress,
            machine.hostname,
        ]),
        caCertificate: certificates.caCertificate,
        replication: pulumi
            .all([balancer.privateAddress, nodeAddress(peer, machineNamed(machines, peer.machine))])
            .apply(([balancerAddress, peerAddress]) => ({ balancerAddress, peerAddress })),
    };
}

export interface PairedNode {
    readonly upstream: pulumi.Output<Upstream>;
    readonly released: pulumi.CustomResource;
}

export interface PairSettingsArgs extends PairArgs {
    readonly registry: HarborPlan;
    readonly secrets: HarborSecrets;
    readonly pair: Pair;
    /** In the order of the plan. */
    readonly nodes: readonly PairedNode[];
    readonly balancer: LoadBalancer;
}

/** The settings of each, the replication between them, and who is active: in this order. */
export function createPairSettings(args: PairSettingsArgs): void {
    const { plan, machines, registry, secrets, pair, balancer } = args;
    const replicas = plan.nodes.map(({ name }, index): Replica => {
        const node = args.nodes[index];
        if (node === undefined) {
            throw new Error(`no node ${name}, which the plan has`);
        }
        return {
            name,
            provider: apiOf(pair.apis, name),
            released: node.released,
            url: node.upstream.apply((upstream) => `https://${hostAndPort(upstream)}`),
        };
    });
    const settings = replicas.map(
        ({ name, provider, released }) =>
            new HarborSettings(
                `harbor-${name}`,
                { plan: registry, secrets, api: provider, node: released },
                { dependsOn: balancer.released },
            ),
    );
    const [first, second] = replicas;
    const { failover, project, machine } = plan.loadBalancer;
    if (first === undefined || second === undefined || failover === undefined) {
        throw new Error("a pair of nodes without a second one, or without a failover");
    }
    const replication = new Replication("replication", [first, second], { dependsOn: settings });
    activateNode(
        "activate",
        {
            machine: machineNamed(machines, machine),
            project,
            nodes: plan.nodes.map((each) => machineNamed(machines, each.machine)),
            node: failover.active,
            seenEpoch: pair.activeNode.seenEpoch,
        },
        { dependsOn: [...replication.ready] },
    );
}

function apiOf(apis: ReadonlyMap<string, Provider>, name: string): Provider {
    const api = apis.get(name);
    if (api === undefined) {
        throw new Error(`no admin port of ${name} in the plan`);
    }
    return api;
}

function nodeNamed({ nodes }: Plan, name: string | undefined): NodePlan {
    const node = nodes.find((each) => each.name === name);
    if (node === undefined) {
        throw new Error(`no node ${name ?? ""} in the plan`);
    }
    return node;
}
