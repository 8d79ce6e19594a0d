import type { Provider } from "@pulumi/aws/provider";
import { ParameterGroup } from "@pulumi/aws/elasticache/parameterGroup";
import { ReplicationGroup } from "@pulumi/aws/elasticache/replicationGroup";
import { SubnetGroup } from "@pulumi/aws/elasticache/subnetGroup";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { AwsConfig } from "../../../config/aws";
import type { AwsCacheConfig } from "../../../config/storage";
import { ownCache, type CachePlace } from "../places";
import { createDoor, networkOf } from "./door";
import { uniqueName } from "./names";

export interface AwsCacheArgs {
    readonly stack: string;
    readonly account: AwsConfig;
    readonly config: AwsCacheConfig;
    readonly provider: Provider;
}

const port = 6379;

/** A Valkey of Amazon ElastiCache: a primary and its replicas, without cluster mode, which Harbor cannot do. */
export class AwsCache extends pulumi.ComponentResource {
    readonly place: pulumi.Output<CachePlace>;
    /** Secret. */
    readonly password: pulumi.Output<string>;
    /** What must be there before it is used. */
    readonly ready: readonly pulumi.Resource[];

    constructor(name: string, args: AwsCacheArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:AwsCache", name, {}, options);
        const { config, account, provider } = args;
        const { vpc, subnets, nodeCidrs = [] } = networkOf(account);
        const own = { parent: this, provider };
        const id = uniqueName(name, args.stack, this);
        const family = `valkey${config.engineVersion.split(".")[0] ?? ""}`;
        this.password = new random.RandomPassword(
            `${name}-password`,
            { length: 64, special: false },
            { parent: this },
        ).result;
        const door = createDoor(name, { groupName: pulumi.interpolate`${id}-cache`, vpc, port, cidrs: nodeCidrs }, own);
        const subnetGroup = new SubnetGroup(name, { name: id, subnetIds: subnets }, own);
        const parameters = new ParameterGroup(
            name,
            {
                name: pulumi.interpolate`${id}-${family}`,
                family,
                // Jobs are in it: none of them may be forgotten to make room.
                parameters: [{ name: "maxmemory-policy", value: "noeviction" }],
            },
            own,
        );
        const { deleteData } = config;
        const hasReplicas = config.replicas > 0;
        const group = new ReplicationGroup(
            name,
            {
                replicationGroupId: id,
                description: `The cache of the registry ${args.stack}`,
                engine: "valkey",
                engineVersion: config.engineVersion,
                autoMinorVersionUpgrade: true,
                nodeType: config.nodeType,
                numCacheClusters: 1 + config.replicas,
                automaticFailoverEnabled: hasReplicas,
                multiAzEnabled: hasReplicas,
                port,
                subnetGroupName: subnetGroup.name,
                securityGroupIds: [door.id],
                parameterGroupName: parameters.name,
                atRestEncryptionEnabled: true,
                transitEncryptionEnabled: true,
                transitEncryptionMode: "required",
                authToken: this.password,
                // The token before goes on being taken, so that nodes change to the new one in turn.
                authTokenUpdateStrategy: "ROTATE",
                snapshotRetentionLimit: config.snapshotDays,
                ...(deleteData ? {} : { finalSnapshotIdentifier: pulumi.interpolate`${id}-final` }),
                // What the stack file says is so when `up` has ended, not in the next maintenance window.
                applyImmediately: true,
            },
            { ...own, protect: !deleteData },
        );
        // Its certificate is of a public CA.
        this.place = group.primaryEndpointAddress.apply((host): CachePlace => ({
            ...ownCache,
            host: `${host}:${String(port)}`,
        }));
        this.ready = [group, ...door.rules];
        this.registerOutputs({ address: group.primaryEndpointAddress });
    }
}
