import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import {
    RegistryEndpoint,
    ReplicationPolicy,
    RobotAccount,
    type Provider,
    type ReplicationPolicyArgs,
} from "../harbor-api";

/** One of two Harbors that replicate to each other. */
export interface Replica {
    readonly name: string;
    /** Its own API, whichever of the two is active. */
    readonly provider: Provider;
    /** What runs it. */
    readonly released: pulumi.CustomResource;
    /** Where the other one reaches it, `https://…`. */
    readonly url: pulumi.Output<string>;
}

/** Names in Harbor; the failover agent (load-balancer/agent) goes by them. */
const names = {
    robot: "harborage-replication",
    endpoint: "harborage-peer",
    /** What is pushed to the active node or deleted there, at once. */
    push: "harborage-push",
    /** Everything, from time to time: what was pushed while the other node was away is never tried again. */
    full: "harborage-full",
    /** Everything, from the other node: for a planned switchover, where the other node takes no writes any more. */
    pull: "harborage-pull",
} as const;

/** Not at the full hour, when other schedules begin. */
const everyHalfHour = "11,41 * * * *";

/** What the adapter for Harbor (src/pkg/reg/adapter/harbor) and the transfer of images call at the other node. */
const permissions = [
    {
        kind: "system" as const,
        namespace: "/",
        access: [
            { resource: "project", action: "list" },
            { resource: "project", action: "create" },
        ],
    },
    {
        kind: "project" as const,
        namespace: "*",
        access: [
            { resource: "repository", action: "list" },
            { resource: "repository", action: "pull" },
            { resource: "repository", action: "push" },
            { resource: "repository", action: "delete" },
            { resource: "artifact", action: "list" },
            { resource: "artifact", action: "read" },
            { resource: "tag", action: "delete" },
        ],
    },
];

/**
 * Lets each of two Harbors replicate to the other. Which direction is enabled, and whether the account is, belongs to the
 * failover agent alone: everything is made disabled or enabled once, and never changed or taken back here.
 */
export class Replication extends pulumi.ComponentResource {
    /** What must be done before the agent may let one replicate to the other. */
    readonly ready: readonly pulumi.Resource[];

    constructor(name: string, replicas: readonly [Replica, Replica], options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:Replication", name, {}, options);
        // The same at both: the other node sends whoever replicates to it to the active one for a token.
        const secret = new random.RandomPassword(
            name,
            { length: 32, special: false, minUpper: 1, minLower: 1, minNumeric: 1 },
            { parent: this },
        ).result;
        const account = (replica: Replica) =>
            new RobotAccount(
                `${name}-${replica.name}`,
                {
                    name: names.robot,
                    level: "system",
                    description: "The other node replicates to this one with it; the failover agent disables it.",
                    permissions,
                    secret,
                    ...made(replica),
                },
                this.at(replica),
            );
        const [first, second] = replicas;
        const accounts = [account(first), account(second)] as const;
        // Harbor tries an endpoint before it takes it: it asks the active node for a token, and the other one to take it.
        const robots = { dependsOn: [...accounts] };
        const endpoint = (here: Replica, there: Replica, robot: RobotAccount) =>
            new RegistryEndpoint(
                `${name}-${here.name}`,
                {
                    name: names.endpoint,
                    type: "harbor",
                    url: there.url,
                    accessKey: robot.fullName,
                    accessSecret: secret,
                    ...made(here),
                },
                { ...this.at(here), ...robots },
            );
        this.ready = [
            ...this.policies(name, first, endpoint(first, second, accounts[1])),
            ...this.policies(name, second, endpoint(second, first, accounts[0])),
        ];
        this.registerOutputs({});
    }

    private policies(name: string, here: Replica, { registryId }: RegistryEndpoint): pulumi.Resource[] {
        const policy = (what: "push" | "full" | "pull", args: Omit<ReplicationPolicyArgs, "name">) =>
            new ReplicationPolicy(
                `${name}-${here.name}-${what}`,
                { name: names[what], filters: [{ type: "name", value: "**" }], ...args, ...made(here) },
                this.at(here),
            );
        const toPeer = { destRegistryId: registryId, initiallyEnabled: false };
        return [
            policy("push", { ...toPeer, trigger: { type: "event_based" }, deletion: true }),
            policy("full", { ...toPeer, trigger: { type: "scheduled", cron: everyHalfHour } }),
            policy("pull", { srcRegistryId: registryId, enabled: true }),
        ];
    }

    private at({ provider, released }: Replica): pulumi.CustomResourceOptions {
        return {
            parent: this,
            provider,
            deletedWith: released,
            // On a machine that is set up anew all of it is gone, or is there still and is taken over: what the agent has
            // switched is left.
            replaceOnChanges: ["instance"],
            retainOnDelete: true,
        };
    }
}

const made = ({ released }: Replica) => ({ adopt: true, instance: released.id });
