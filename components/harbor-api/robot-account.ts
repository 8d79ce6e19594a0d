import * as pulumi from "@pulumi/pulumi";
import type { InstanceArgs } from "./instance";

export interface RobotPermission {
    /** What it is about: the system, or a project. */
    readonly kind: "system" | "project";
    /** A project's name, `*` for all projects, or `/` for kind `system`. */
    readonly namespace: pulumi.Input<string>;
    /** For example `[{ resource: "repository", action: "pull" }]`; `GET /permissions` lists what there is. */
    readonly access: readonly { readonly resource: string; readonly action: string }[];
}

export interface RobotAccountArgs extends InstanceArgs {
    /** Without Harbor's prefix: lower-case letters and digits, with single `.`, `_` or `-` between them. Another name is another account. */
    readonly name: pulumi.Input<string>;
    /** `project` has one permission, on one project. Another level is another account. */
    readonly level: pulumi.Input<"system" | "project">;
    /** Default: none. */
    readonly description?: pulumi.Input<string>;
    /** Days from its creation until it expires, or -1 for never. Default: -1. */
    readonly durationDays?: pulumi.Input<number>;
    readonly permissions: pulumi.Input<readonly pulumi.Input<RobotPermission>[]>;
    /** Default: whoever else decides, such as a failover agent: what is there is left, and is no drift. A new one is enabled. */
    readonly disabled?: pulumi.Input<boolean>;
    /**
     * 8 to 128 characters with an upper-case letter, a lower-case letter and a digit. Harbor never tells it: a change by hand
     * cannot be seen. Default: Harbor makes one, which stays. Always a secret.
     */
    readonly secret?: pulumi.Input<string>;
    /** Takes over an account of this name that exists, with a new secret, instead of failing. Default: false. */
    readonly adopt?: pulumi.Input<boolean>;
}

/** An account for a machine: `docker login --username fullName --password-stdin`. Its id is Harbor's. */
export class RobotAccount extends pulumi.CustomResource {
    declare readonly robotId: pulumi.Output<number>;
    /** The name to log in with, for example `robot$team-a+ci`. */
    declare readonly fullName: pulumi.Output<string>;
    /** Secret. */
    declare readonly secret: pulumi.Output<string>;

    constructor(name: string, args: RobotAccountArgs, options?: pulumi.CustomResourceOptions) {
        const inputs = {
            ...args,
            secret: args.secret === undefined ? undefined : pulumi.secret(args.secret),
            robotId: undefined,
            fullName: undefined,
        };
        super(
            "harborage:harbor:RobotAccount",
            name,
            inputs,
            pulumi.mergeOptions(options, { additionalSecretOutputs: ["secret"] }),
        );
    }
}
