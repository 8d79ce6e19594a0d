import type { Provider } from "@pulumi/aws/provider";
import { AccessKey } from "@pulumi/aws/iam/accessKey";
import { User } from "@pulumi/aws/iam/user";
import { UserPolicy } from "@pulumi/aws/iam/userPolicy";
import { Bucket } from "@pulumi/aws/s3/bucket";
import { BucketLifecycleConfiguration } from "@pulumi/aws/s3/bucketLifecycleConfiguration";
import { BucketOwnershipControls } from "@pulumi/aws/s3/bucketOwnershipControls";
import { BucketPolicy } from "@pulumi/aws/s3/bucketPolicy";
import { BucketPublicAccessBlock } from "@pulumi/aws/s3/bucketPublicAccessBlock";
import { BucketServerSideEncryptionConfiguration } from "@pulumi/aws/s3/bucketServerSideEncryptionConfiguration";
import { BucketVersioning } from "@pulumi/aws/s3/bucketVersioning";
import * as pulumi from "@pulumi/pulumi";
import type { AwsConfig } from "../../../config/aws";
import type { AwsObjectsConfig } from "../../../config/storage";
import type { ObjectPlace } from "../places";
import { uniqueName } from "./names";
import { renderBucketPolicy, renderUserPolicy } from "./render-policies";

export interface AwsObjectsArgs {
    readonly stack: string;
    readonly account: AwsConfig;
    readonly config: AwsObjectsConfig;
    readonly provider: Provider;
}

/**
 * How long an upload may lie unfinished, in days: as long as the registry itself keeps one (`uploadpurging`, 168 h).
 */
const uploadDays = 7;

/** A new key, or what it may do, is known everywhere after seconds (IAM User Guide, "Changes that I make are not always immediately visible"). */
const settleSeconds = 45;

/** A bucket for images, and a user who may use it and nothing else. */
export class AwsObjects extends pulumi.ComponentResource {
    readonly place: pulumi.Output<ObjectPlace>;
    /** Secret. */
    readonly accessKey: pulumi.Output<string>;
    /** Secret. */
    readonly secretKey: pulumi.Output<string>;
    /** What must be there before it is used. */
    readonly ready: readonly pulumi.Resource[];

    constructor(name: string, args: AwsObjectsArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:AwsObjects", name, {}, options);
        const { config, account, provider } = args;
        const own = { parent: this, provider };
        // A bucket that is kept keeps what guards it.
        const kept = { ...own, protect: !config.deleteData };
        const bucket = new Bucket(
            name,
            {
                bucket: config.bucket ?? uniqueName(name, args.stack, this),
                forceDestroy: config.deleteData,
            },
            kept,
        );
        const { arn } = bucket;
        // Two changes of a bucket at the same time are answered with OperationAborted, so each waits for the one before.
        const isPrivate = new BucketPublicAccessBlock(
            name,
            {
                bucket: bucket.id,
                blockPublicAcls: true,
                blockPublicPolicy: true,
                ignorePublicAcls: true,
                restrictPublicBuckets: true,
            },
            kept,
        );
        const owned = new BucketOwnershipControls(
            name,
            // CNCF Distribution sends the ACL `private` with each object (s3-aws/s3.go, getACL), and a bucket without ACLs
            // takes none but bucket-owner-full-control. The user has no right to set another one.
            { bucket: bucket.id, rule: { objectOwnership: "BucketOwnerPreferred" } },
            { ...kept, dependsOn: isPrivate },
        );
        const encrypted = new BucketServerSideEncryptionConfiguration(
            name,
            { bucket: bucket.id, rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } }] },
            { ...kept, dependsOn: owned },
        );
        const versioned = new BucketVersioning(
            name,
            {
                bucket: bucket.id,
                versioningConfiguration: { status: config.keepDeletedDays > 0 ? "Enabled" : "Suspended" },
            },
            { ...kept, dependsOn: encrypted },
        );
        const cleaned = new BucketLifecycleConfiguration(
            name,
            {
                bucket: bucket.id,
                rules: [
                    {
                        id: "unfinished-uploads",
                        status: "Enabled",
                        filter: { prefix: "" },
                        abortIncompleteMultipartUpload: { daysAfterInitiation: uploadDays },
                    },
                    {
                        id: "deleted-objects",
                        status: "Enabled",
                        filter: { prefix: "" },
                        noncurrentVersionExpiration: { noncurrentDays: Math.max(config.keepDeletedDays, 1) },
                        expiration: { expiredObjectDeleteMarker: true },
                    },
                ],
            },
            { ...kept, dependsOn: versioned },
        );
        const tlsOnly = new BucketPolicy(
            name,
            { bucket: bucket.id, policy: arn.apply(renderBucketPolicy) },
            { ...kept, dependsOn: cleaned },
        );

        // Nobody else in the world has the bucket's name, so no other user of the account has it.
        const user = new User(name, { name: bucket.bucket, path: "/harborage/" }, own);
        const allowed = new UserPolicy(
            name,
            { name: "registry", user: user.name, policy: arn.apply(renderUserPolicy) },
            own,
        );
        const key = new AccessKey(name, { user: user.name }, own);
        this.accessKey = pulumi.secret(key.id);
        this.secretKey = pulumi.secret(key.secret);
        this.place = bucket.bucket.apply((made): ObjectPlace => ({
            bucket: made,
            region: account.region,
            rootDirectory: "/",
            encrypt: true,
            storageClass: config.storageClass,
            redirect: config.redirect,
            hasKey: true,
            settleSeconds,
        }));
        this.ready = [tlsOnly, allowed];
        this.registerOutputs({ bucket: bucket.bucket });
    }
}
