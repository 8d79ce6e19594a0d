import * as pulumi from "@pulumi/pulumi";

export interface ActiveNodeArgs {
    /** The node that is wanted active, by the name that the load balancer has for it. */
    readonly node: pulumi.Input<string>;
    /** The agent's epoch, where the node is to be active although the agent has made another one active since. */
    readonly epoch?: pulumi.Input<number>;
}

/**
 * Which node the program wants active, as against what the failover agent did. It changes nothing. A preview or an `up`
 * that does not know of a failover is stopped with the question whether it is to stay: let what such a one must not touch
 * depend on this. Its provider's address is an admin port of the load balancer. Where that does not answer, it warns, or
 * says nothing when this is made: there is no load balancer yet.
 */
export class ActiveNode extends pulumi.CustomResource {
    /** The agent's epoch when this was last made or changed; undefined where no agent answered then. */
    declare readonly seenEpoch: pulumi.Output<number | undefined>;

    constructor(name: string, args: ActiveNodeArgs, options?: pulumi.CustomResourceOptions) {
        super("harborage:index:ActiveNode", name, { ...args, seenEpoch: undefined }, options);
    }
}
