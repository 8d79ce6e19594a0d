import { join } from "node:path";
import type * as pulumi from "@pulumi/pulumi";
import type { LoadBalancerPlan } from "../../config/plan";
import { runScript, type Machine } from "../machines";

export interface RotationArgs {
    /** The load balancer's. */
    readonly machine: Machine;
    readonly plan: LoadBalancerPlan;
    /** The node, by name. */
    readonly node: string;
    /** A plain text that changes exactly when the node's release changes. */
    readonly change: pulumi.Input<string>;
}

/**
 * Before a change to a node: takes it out of the load balancer's rotation and waits until its requests have ended, for
 * `drainSeconds` at most. Fails where no other node is as good. Does nothing where the load balancer does not run yet or
 * does not know the node. The drain ends by itself after 15 min, so that an `up` that is killed leaves nothing behind.
 *
 * Of an active node and a standby, none is taken out: there is no failover meanwhile, for 15 min at most.
 */
export function drainNode(
    name: string,
    args: RotationArgs,
    options: pulumi.CustomResourceOptions,
): pulumi.CustomResource {
    return changeRotation(args.plan.failover === undefined ? "drain" : "change", name, args, options);
}

/**
 * After the change: puts the node back and waits until it gets requests again. Fails where it is not well within 2 min.
 * Does nothing where {@link drainNode} does nothing. Of an active node and a standby: waits as long until it is well.
 */
export function restoreNode(
    name: string,
    args: RotationArgs,
    options: pulumi.CustomResourceOptions,
): pulumi.CustomResource {
    return changeRotation(args.plan.failover === undefined ? "restore" : "changed", name, args, options);
}

function changeRotation(
    command: "drain" | "restore" | "change" | "changed",
    name: string,
    { machine, plan, node, change }: RotationArgs,
    options: pulumi.CustomResourceOptions,
): pulumi.CustomResource {
    return runScript(
        name,
        machine.host,
        {
            script: join(__dirname, "scripts", "rotation.sh"),
            args: [machine.directory, plan.project, command, node, change],
        },
        options,
    );
}
