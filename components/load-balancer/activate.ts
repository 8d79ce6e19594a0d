import { join } from "node:path";
import type * as pulumi from "@pulumi/pulumi";
import { runScript, type Machine } from "../machines";

export interface ActivateArgs {
    /** The load balancer's. */
    readonly machine: Machine;
    /** The load balancer's compose project. */
    readonly project: string;
    /** The node that is to be active, by name. */
    readonly node: string;
    /** The change of the active node that the stack file knows of; absent where it says none. */
    readonly epoch?: number;
}

/**
 * Has the agent make a node active by a planned switchover, and waits for the end of it: when another node or epoch is
 * said, never at other times. One that was killed goes on without it. Does nothing where the node is active.
 */
export function activateNode(
    name: string,
    { machine, project, node, epoch }: ActivateArgs,
    options: pulumi.CustomResourceOptions,
): pulumi.CustomResource {
    return runScript(
        name,
        machine.host,
        {
            script: join(__dirname, "scripts", "activate.sh"),
            args: [machine.directory, project, node, ...(epoch === undefined ? [] : [String(epoch)])],
            // What a load balancer on a new machine knows of its nodes, it is told again.
            triggers: [machine.prepared.id],
        },
        options,
    );
}
