import type { Provider } from "@pulumi/aws/provider";
import { Instance } from "@pulumi/aws/rds/instance";
import { ParameterGroup } from "@pulumi/aws/rds/parameterGroup";
import { SubnetGroup } from "@pulumi/aws/rds/subnetGroup";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { AwsConfig } from "../../../config/aws";
import type { AwsDatabaseConfig } from "../../../config/storage";
import { ownDatabase, type DatabasePlace } from "../places";
import { createDoor, networkOf } from "./door";
import { uniqueName } from "./names";
import { rdsCertificates } from "./rds-ca";

export interface AwsDatabaseArgs {
    readonly stack: string;
    readonly account: AwsConfig;
    readonly config: AwsDatabaseConfig;
    readonly provider: Provider;
}

const port = 5432;

/** A PostgreSQL of Amazon RDS. */
export class AwsDatabase extends pulumi.ComponentResource {
    readonly place: pulumi.Output<DatabasePlace>;
    /** Secret. */
    readonly password: pulumi.Output<string>;
    /** What must be there before it is used. */
    readonly ready: readonly pulumi.Resource[];

    /** @throws RunError where the CA of the region is not known and the stack file does not have it */
    constructor(name: string, args: AwsDatabaseArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:AwsDatabase", name, {}, options);
        const { config, account, provider } = args;
        const { vpc, subnets, nodeCidrs = [] } = networkOf(account);
        const caCertificate = config.caCertificate ?? caOf(account.region);
        const own = { parent: this, provider };
        const id = uniqueName(name, args.stack, this);
        const version = String(config.engineVersion);
        // Letters and digits: Harbor writes it into a URL.
        this.password = new random.RandomPassword(
            `${name}-password`,
            { length: 32, special: false },
            { parent: this },
        ).result;
        const door = createDoor(
            name,
            {
                groupName: pulumi.interpolate`${id}-database`,
                vpc,
                port,
                cidrs: config.public?.allowedCidrs ?? nodeCidrs,
            },
            own,
        );
        const subnetGroup = new SubnetGroup(name, { name: id, subnetIds: subnets }, own);
        const parameters = new ParameterGroup(
            name,
            {
                // Another version is another family, which is another group: it is made before this one goes.
                name: pulumi.interpolate`${id}-postgres${version}`,
                family: `postgres${version}`,
                parameters: [{ name: "rds.force_ssl", value: "1" }],
            },
            own,
        );
        const { deleteData } = config;
        const instance = new Instance(
            name,
            {
                identifier: id,
                engine: "postgres",
                engineVersion: version,
                autoMinorVersionUpgrade: true,
                allowMajorVersionUpgrade: true,
                instanceClass: config.instanceClass,
                dbName: ownDatabase.name,
                username: ownDatabase.user,
                password: this.password,
                port,
                storageType: "gp3",
                allocatedStorage: config.storageGiB,
                maxAllocatedStorage: config.maximumStorageGiB,
                storageEncrypted: true,
                multiAz: config.multiAz,
                publiclyAccessible: config.public !== undefined,
                dbSubnetGroupName: subnetGroup.name,
                vpcSecurityGroupIds: [door.id],
                parameterGroupName: parameters.name,
                caCertIdentifier: "rds-ca-rsa2048-g1",
                backupRetentionPeriod: config.backupDays,
                copyTagsToSnapshot: true,
                deleteAutomatedBackups: deleteData,
                deletionProtection: !deleteData,
                skipFinalSnapshot: deleteData,
                finalSnapshotIdentifier: pulumi.interpolate`${id}-final`,
                performanceInsightsEnabled: false,
                // What the stack file says is so when `up` has ended, not in the next maintenance window.
                applyImmediately: true,
            },
            { ...own, protect: !deleteData },
        );
        this.place = instance.address.apply((host): DatabasePlace => ({
            ...ownDatabase,
            host,
            port,
            sslMode: "verify-full",
            caCertificate,
        }));
        this.ready = [instance, ...door.rules];
        this.registerOutputs({ address: instance.address });
    }
}

function caOf(region: string): string {
    const known = rdsCertificates(region);
    if (known === undefined) {
        throw new pulumi.RunError(
            `harborage:storage.database.caCertificate: is missing; the CA of RDS in ${region} is not known here; expected the text of https://truststore.pki.rds.amazonaws.com/${region}/${region}-bundle.pem`,
        );
    }
    return known;
}
