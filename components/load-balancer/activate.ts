import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { runScript, type Machine } from "../machines";

export interface ActivateArgs {
    /** The load balancer's. */
    readonly machine: Machine;
    /** The load balancer's compose project. */
    readonly project: string;
    /** Those of the nodes. */
    readonly nodes: readonly Machine[];
    /** The node that is to be active, by name. */
    readonly node: string;
    /** The agent's epoch when it was asked whether the node may become active; undefined where there was none yet. */
    readonly seenEpoch: pulumi.Input<number | undefined>;
}

/**
 * Has the agent make a node active by a planned switchover, and waits for the end of it: when another node is said, a
 * failover was answered for, or a machine is another one; never at other times. Fails where the active node has changed
 * since the epoch. One that was killed goes on without it. Where the node is active, at most the other one follows it.
 */
export function activateNode(
    name: string,
    { machine, project, nodes, node, seenEpoch }: ActivateArgs,
    options: pulumi.CustomResourceOptions,
): pulumi.CustomResource {
    return runScript(
        name,
        machine.host,
        {
            script: join(__dirname, "scripts", "activate.sh"),
            args: [
                machine.directory,
                project,
                node,
                pulumi.output(seenEpoch).apply((epoch) => (epoch === undefined ? "" : String(epoch))),
            ],
            // A load balancer on a new machine knows nothing of its nodes, and a node on a new one follows nobody.
            triggers: [machine, ...nodes].map(({ prepared }) => prepared.id),
        },
        options,
    );
}
