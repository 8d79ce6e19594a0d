import assert from "node:assert/strict";
import { before, describe, it } from "mocha";
import { isSecret, plain, resourcesOf, runProgram, type ProgramRun, type Registered } from "./program";

const settings = {
    publicName: "registry.example.com",
    machines: { box: { kind: "local" } },
    topology: { kind: "single", node: "box", loadBalancer: "box" },
    registry: {
        engine: "harbor",
        version: "2.15.2",
        installer: { path: "/srv/harbor.tgz", sha256: "ab".repeat(32) },
        adminPassword: "adminPassword",
        internalTls: true,
        settings: { robot_token_duration: 60 },
        trivy: { githubToken: "githubToken" },
    },
    storage: {
        objects: { kind: "external", bucket: "registry", region: "eu", accessKey: "s3Key", secretKey: "s3Secret" },
        database: { kind: "external", host: "db.example.com", user: "harbor", password: "databasePassword" },
        cache: { kind: "external", host: "redis.example.com:6379", password: "redisPassword" },
    },
};
const secrets = {
    adminPassword: "Correct-Horse-1",
    githubToken: "giventoken1",
    s3Key: "GivenAccessKey",
    s3Secret: "GivenSecretKey",
    databasePassword: "givendatabase1",
    redisPassword: "givenredis1",
};
/** Text that no plain value may hold. */
const secret =
    /password of|Correct-Horse|giventoken1|Given(?:Access|Secret)Key|given(?:database|redis)1|PRIVATE KEY|\$2b\$/;

const keyOf = ({ type, name }: Registered) => `${type} ${name}`;

function resource(run: ProgramRun, key: string): Registered {
    const found = run.resources.find((each) => keyOf(each) === key);
    assert.ok(found, `no ${key}`);
    return found;
}

/** The data that a script gets. */
function dataOf(run: ProgramRun, name: string): string {
    const { stdin } = plain(resource(run, `command:local:Command ${name}`).inputs) as { stdin: string };
    return stdin.split("HARBORAGE-END-OF-DATA")[1] ?? "";
}

/** The secret files of a release, one after the other. */
const secretFiles = (run: ProgramRun) =>
    Buffer.from(dataOf(run, "box-release").replace(/^'/, "").trim(), "base64").toString("latin1");

describe("program of a Harbor", () => {
    let run: ProgramRun;
    let generated: ProgramRun;
    before(async () => {
        const { publicName, machines, topology, registry } = settings;
        const least = { publicName, machines, topology, registry: { ...registry, adminPassword: undefined } };
        [run, generated] = await Promise.all([
            runProgram({ settings, secrets }),
            runProgram({ settings: least, secrets: { githubToken: secrets.githubToken } }),
        ]);
        assert.equal(run.error, undefined, run.error?.message);
        assert.equal(generated.error, undefined, generated.error?.message);
    });

    it("has secrets in secret inputs only, and never in a command line", () => {
        for (const each of [...run.resources, ...generated.resources]) {
            for (const [name, value] of Object.entries(each.inputs).filter(([, input]) => !isSecret(input))) {
                assert.doesNotMatch(JSON.stringify(value), secret, `${keyOf(each)}.${name}`);
            }
        }
        const outputs = Object.entries(run.outputs).filter(([, value]) => !isSecret(value));
        assert.doesNotMatch(JSON.stringify(outputs), secret);
    });

    it("gives the machine every secret that the stack file names, and generated ones for the rest", () => {
        const files = secretFiles(run);
        const values = [secrets.githubToken, secrets.s3Key, secrets.s3Secret, secrets.databasePassword];
        for (const value of [...values, secrets.redisPassword, "password of registry-initial-password"]) {
            assert.ok(files.includes(value), value);
        }
        for (const part of ["secret-key", "core-secret", "jobservice-secret", "csrf-key", "http-secret"]) {
            assert.ok(files.includes(`password of registry-${part}`), part);
        }
        assert.match(secretFiles(generated), /password of registry-database-password/);
        assert.ok(files.includes("root/tls/harbor_internal_ca.crt") && files.includes("root/tls/trivy_adapter.key"));
    });

    it("shows harbor.yml and what is laid over Harbor's compose file in previews", () => {
        const text = dataOf(run, "box-files");
        assert.match(text, /^external_url: https:\/\/registry\.example\.com$/m);
        assert.match(text, /^@@ 0644 docker-compose\.override\.yml$/m);
    });

    it("looks at the machine first, then loads images, then starts Harbor, then the load balancer, then the settings", () => {
        const chain = [
            "command:local:Command box-preflight",
            "command:local:Command box-baseline",
            "command:local:Command box-images",
            "command:local:Command box-installer",
            "command:local:Command box-project",
            "command:local:Command box-files",
            "command:local:Command box-release",
            "harborage:index:LoadBalancer load-balancer",
        ];
        for (const [index, key] of chain.entries()) {
            assert.ok(index === 0 || resource(run, key).dependsOn.includes(chain[index - 1] ?? ""), key);
        }
        const { dependsOn } = resource(run, "harborage:index:HarborSettings harbor");
        assert.deepEqual(dependsOn, ["command:local:Command load-balancer-release"]);
    });

    it("tells Harbor its settings after the password, through the load balancer; they go with the node", () => {
        const provider = resource(run, "pulumi:providers:harborage harbor");
        const { url, username, password, caCertificate } = provider.inputs;
        assert.deepEqual([url, username], ["https://registry.example.com", "admin"]);
        assert.deepEqual(password, { secret: secrets.adminPassword });
        assert.equal(caCertificate, run.outputs["caCertificate"]);
        const admin = "harborage:harbor:AdminPassword harbor-admin-password";
        const all = run.resources.filter(({ type }) => type.startsWith("harborage:harbor:"));
        assert.deepEqual(all.map(({ name }) => name).sort(), [
            "harbor-admin-password",
            "harbor-audit-log",
            "harbor-configuration",
            "harbor-garbage-collection",
            "harbor-scan",
        ]);
        for (const each of all) {
            assert.equal(each.provider, keyOf(provider), each.name);
            assert.equal(each.deletedWith, "command:local:Command box-release", each.name);
            assert.ok(keyOf(each) === admin || each.dependsOn.includes(admin), each.name);
        }
    });

    it("sets the password that is given, from one that is of no use afterwards", () => {
        const { inputs } = resource(run, "harborage:harbor:AdminPassword harbor-admin-password");
        assert.deepEqual(inputs["password"], { secret: secrets.adminPassword });
        assert.deepEqual(inputs["initialPassword"], { secret: "password of registry-initial-password" });
        assert.deepEqual(run.outputs["adminPassword"], { secret: secrets.adminPassword });
        assert.ok(!secretFiles(run).includes(secrets.adminPassword), "the machine has the administrator's password");
        const passwords = resourcesOf(run, "random:index/randomPassword:RandomPassword").map(({ name }) => name);
        assert.ok(!passwords.includes("registry-admin-password"));
    });

    it("makes a password where none is given", () => {
        const { inputs } = resource(generated, "harborage:harbor:AdminPassword harbor-admin-password");
        const password = { secret: "password of registry-admin-password" };
        assert.deepEqual(inputs["password"], password);
        assert.deepEqual(generated.outputs["adminPassword"], password);
    });

    it("changes no script on the machine for another password of the administrator", async () => {
        const other = await runProgram({ settings, secrets: { ...secrets, adminPassword: "Other-Horse-1" } });
        const changed = other.resources.filter(
            (each) => JSON.stringify(each.inputs) !== JSON.stringify(resource(run, keyOf(each)).inputs),
        );
        assert.deepEqual(changed.map(({ name }) => name).sort(), ["harbor", "harbor-admin-password"]);
    });
});
