import * as pulumi from "@pulumi/pulumi";
import type { InstanceArgs } from "./instance";

export interface RegistryEndpointArgs extends InstanceArgs {
    /** At most 64 characters. */
    readonly name: pulumi.Input<string>;
    /** For example `harbor`, `docker-registry` or `docker-hub`. Another type is another endpoint. */
    readonly type: pulumi.Input<string>;
    /** For example `https://standby.example.com`. */
    readonly url: pulumi.Input<string>;
    /** The user there. Default: nobody. */
    readonly accessKey?: pulumi.Input<string>;
    /** The user's password. Harbor never tells it: a change by hand cannot be seen. Always a secret. */
    readonly accessSecret?: pulumi.Input<string>;
    /** Whether Harbor does *not* verify the certificate there. Default: false. */
    readonly insecure?: pulumi.Input<boolean>;
    /** The CA of the certificate there, PEM. Needs Harbor 2.15. Default: the CAs that Harbor trusts. */
    readonly caCertificate?: pulumi.Input<string>;
    /** Default: none. */
    readonly description?: pulumi.Input<string>;
    /** Takes over an endpoint of this name that exists, instead of failing. Default: false. */
    readonly adopt?: pulumi.Input<boolean>;
}

/** Another registry, to replicate with or to cache. Harbor calls it before it takes it, so it has to be up. Its id is Harbor's. */
export class RegistryEndpoint extends pulumi.CustomResource {
    declare readonly registryId: pulumi.Output<number>;

    constructor(name: string, args: RegistryEndpointArgs, options?: pulumi.CustomResourceOptions) {
        const inputs = {
            ...args,
            accessSecret: args.accessSecret === undefined ? undefined : pulumi.secret(args.accessSecret),
            registryId: undefined,
        };
        super("harborage:harbor:RegistryEndpoint", name, inputs, options);
    }
}

export interface ReplicationFilter {
    readonly type: "name" | "tag" | "resource" | "label";
    /** A pattern such as `team-a/**`; for `label` a list of labels. */
    readonly value: string | readonly string[];
    /** For `tag` and `label`. Default: `matches`. */
    readonly decoration?: "matches" | "excludes";
}

export interface ReplicationTrigger {
    readonly type: "manual" | "event_based" | "scheduled";
    /** For `scheduled`: five fields of cron, in UTC, for example `17 * * * *`. Not every minute. */
    readonly cron?: string;
}

export interface ReplicationPolicyArgs extends InstanceArgs {
    readonly name: pulumi.Input<string>;
    /** Default: none. */
    readonly description?: pulumi.Input<string>;
    /** Pulls from this endpoint ({@link RegistryEndpoint.registryId}). Either this or `destRegistryId`. */
    readonly srcRegistryId?: pulumi.Input<number>;
    /** Pushes to this endpoint. */
    readonly destRegistryId?: pulumi.Input<number>;
    /** Where it goes. Default: the same name. */
    readonly destNamespace?: pulumi.Input<string>;
    /** How many parts of the name `destNamespace` stands for; -1 for all but the last. Default: -1. */
    readonly destNamespaceReplaceCount?: pulumi.Input<number>;
    /** Default: everything. */
    readonly filters?: pulumi.Input<readonly pulumi.Input<ReplicationFilter>[]>;
    /** Default: manual. */
    readonly trigger?: pulumi.Input<ReplicationTrigger>;
    /** Default: whoever else decides, such as a failover agent: what is there is left, and is no drift. */
    readonly enabled?: pulumi.Input<boolean>;
    /** Whether it is enabled when it is made, not when it is taken over, where `enabled` is left out. Another value later does nothing. Default: true. */
    readonly initiallyEnabled?: pulumi.Input<boolean>;
    /** Whether a tag that is there already is replaced. Default: true. */
    readonly override?: pulumi.Input<boolean>;
    /** Whether deletions are replicated. Default: false. */
    readonly deletion?: pulumi.Input<boolean>;
    /** KB per second for each task, 0 for no limit. Default: 0. */
    readonly speed?: pulumi.Input<number>;
    /** Default: false. */
    readonly copyByChunk?: pulumi.Input<boolean>;
    /** Takes over a policy of this name that exists, instead of failing. Default: false. */
    readonly adopt?: pulumi.Input<boolean>;
}

/** What Harbor copies from or to another registry, and when. Its id is Harbor's. */
export class ReplicationPolicy extends pulumi.CustomResource {
    declare readonly policyId: pulumi.Output<number>;

    constructor(name: string, args: ReplicationPolicyArgs, options?: pulumi.CustomResourceOptions) {
        super("harborage:harbor:ReplicationPolicy", name, { ...args, policyId: undefined }, options);
    }
}
