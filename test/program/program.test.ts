import assert from "node:assert/strict";
import { compareSync } from "bcryptjs";
import { before, describe, it } from "mocha";
import { buffer } from "node:stream/consumers";
import { extract } from "tar-stream";
import { outputsSchema, secretOutputs } from "../../config/outputs";
import { isSecret, plain, resourcesOf, runProgram, settingsOf, type ProgramRun, type Registered } from "./program";

const dev = settingsOf("Pulumi.dev.yaml");

/** `dev` with two users, one of whom has a given password. */
const given = {
    settings: {
        ...dev,
        registry: { engine: "distribution", users: [{ name: "admin" }, { name: "ci", password: "ciPassword" }] },
    },
    secrets: { ciPassword: "correct horse battery staple" },
};

function command({ resources }: ProgramRun, name: string): Registered {
    const found = resources.find((resource) => resource.type === "command:local:Command" && resource.name === name);
    assert.ok(found !== undefined, `no command ${name}`);
    return found;
}

/** The files in the archive that a release reads. */
async function secretFiles(run: ProgramRun, name: string): Promise<Record<string, string>> {
    const stdin = String(plain(command(run, name).inputs["stdin"]));
    const [, base64 = ""] = /<<'[A-Z-]+'\n([^]*)\n[A-Z-]+\n$/.exec(stdin) ?? [];
    const tar = extract();
    tar.end(Buffer.from(base64, "base64"));
    const files: Record<string, string> = {};
    for await (const entry of tar) {
        files[entry.header.name] = (await buffer(entry)).toString();
    }
    return files;
}

/** The htpasswd file of the registry, as pairs of a user and a hash. */
async function users(run: ProgramRun): Promise<Map<string, string>> {
    const htpasswd = (await secretFiles(run, "this-machine-release"))["service/htpasswd"] ?? "";
    const pairs = htpasswd
        .trimEnd()
        .split("\n")
        .map((line) => line.split(":"));
    return new Map(pairs.map(([user = "", hash = ""]) => [user, hash]));
}

describe("program", () => {
    let run: ProgramRun;
    let withGiven: ProgramRun;
    before(async () => {
        run = await runProgram({ settings: dev });
        withGiven = await runProgram(given);
    });

    it("declares every resource below a component of ours, and each once", () => {
        assert.equal(run.error, undefined);
        const keys = new Set<string>();
        for (const { type, name, parent, custom } of run.resources) {
            if (type !== "pulumi:pulumi:Stack") {
                assert.match(
                    parent,
                    custom ? /^harborage:index:/ : /^(harborage:index:|pulumi:pulumi:Stack )/,
                    `${type} ${name}`,
                );
            }
            assert.ok(!keys.has(`${parent} ${type} ${name}`), `${type} ${name} twice`);
            keys.add(`${parent} ${type} ${name}`);
        }
    });

    it("gives components no inputs: they would be in the state", () => {
        for (const { name, custom, inputs } of run.resources) {
            assert.ok(custom || Object.keys(inputs).length === 0, name);
        }
    });

    it("uses no cloud", () => {
        const packages = new Set(run.resources.map(({ type }) => type.split(":")[0]));
        assert.deepEqual([...packages].sort(), ["command", "harborage", "pulumi", "random", "tls"]);
    });

    it("exports exactly the outputs that other stacks read", () => {
        assert.deepEqual(Object.keys(run.outputs).sort(), Object.keys(outputsSchema.shape).sort());
        outputsSchema.strict().parse(plain(run.outputs));
        // Renaming one breaks the stacks that read it: these names are held here on purpose.
        assert.deepEqual(Object.keys(run.outputs).sort(), [
            "adminPassword",
            "adminUsername",
            "caCertificate",
            "clientTrust",
            "engine",
            "loadBalancerAddress",
            "nodes",
            "pullSecret",
            "registryHost",
            "registryUrl",
            "storage",
        ]);
    });

    it("keeps the password and the pull secret secret, and only them", () => {
        const found = Object.keys(run.outputs).filter((name) => isSecret(run.outputs[name]));
        assert.deepEqual(found.sort(), [...secretOutputs].sort());
    });

    it("hands out the CA that signs the server certificate, in every place where clients look", () => {
        const [ca] = resourcesOf(run, "tls:index/selfSignedCert:SelfSignedCert");
        const [server] = resourcesOf(run, "tls:index/locallySignedCert:LocallySignedCert");
        assert.equal(ca?.inputs["isCaCertificate"], true);
        const certificate = server?.inputs["caCertPem"];
        assert.match(String(certificate), /^-----BEGIN CERTIFICATE-----\n/);
        assert.equal(run.outputs["caCertificate"], certificate);
        const trust = outputsSchema.shape.clientTrust.parse(run.outputs["clientTrust"]);
        const places = trust.filter(({ content }) => content === certificate).map(({ client }) => client);
        assert.deepEqual(places.sort(), ["containerd", "docker", "podman"]);
    });

    it("puts the server certificate and its key where nginx reads them, by the secret way", async () => {
        const files = await secretFiles(run, "load-balancer-release");
        assert.deepEqual(Object.keys(files).sort(), ["root", "root/server.crt", "root/server.key"]);
        assert.match(files["root/server.crt"] ?? "", /CERTIFICATE/);
        assert.match(files["root/server.key"] ?? "", /PRIVATE KEY/);
    });

    it("signs a certificate for the public name, this machine's name and its address", () => {
        const [request] = resourcesOf(run, "tls:index/certRequest:CertRequest");
        assert.deepEqual(request?.inputs["dnsNames"], ["localhost", "this-host"]);
        assert.deepEqual(request.inputs["ipAddresses"], ["192.0.2.7"]);
    });

    it("has secrets in secret inputs only, and never in a command line", () => {
        for (const each of [run, withGiven]) {
            const secrets = /password of|correct horse|PRIVATE KEY|\$2b\$/;
            for (const { name, inputs } of each.resources) {
                for (const [key, value] of Object.entries(inputs).filter(([, input]) => !isSecret(input))) {
                    assert.doesNotMatch(JSON.stringify(value), secrets, `${name}.${key}`);
                    // Base64 of an archive says nothing to the eye.
                    assert.ok(!name.endsWith("-release") || key !== "stdin", `${name}.stdin is not secret`);
                }
            }
            for (const release of ["this-machine-release", "load-balancer-release"]) {
                assert.ok(isSecret(command(each, release).inputs["stdin"]), release);
            }
            assert.doesNotMatch(
                JSON.stringify(Object.entries(each.outputs).filter(([, value]) => !isSecret(value))),
                secrets,
            );
        }
    });

    it("shows plain files in previews", () => {
        for (const name of ["this-machine-files", "load-balancer-files"]) {
            assert.ok(!isSecret(command(run, name).inputs["stdin"]), name);
        }
    });

    it("lets in the generated user, with a password that is in the outputs", async () => {
        const hashes = await users(run);
        assert.deepEqual([...hashes.keys()], ["admin"]);
        assert.ok(compareSync(String(plain(run.outputs["adminPassword"])), hashes.get("admin") ?? ""));
        const pullSecret = JSON.parse(String(plain(run.outputs["pullSecret"]))) as {
            auths: Record<string, { auth: string }>;
        };
        const auth = Buffer.from(pullSecret.auths["localhost"]?.auth ?? "", "base64").toString();
        assert.equal(auth, `admin:${String(plain(run.outputs["adminPassword"]))}`);
    });

    it("lets in a user with a given password, found by its name", async () => {
        const hashes = await users(withGiven);
        assert.deepEqual([...hashes.keys()], ["admin", "ci"]);
        assert.ok(compareSync("correct horse battery staple", hashes.get("ci") ?? ""));
        // Dear to guess, where it could be guessed.
        assert.match(hashes.get("ci") ?? "", /^\$2b\$10\$/);
        assert.match((await users(run)).get("admin") ?? "", /^\$2b\$04\$/);
        assert.ok(!compareSync("correct horse battery staple", hashes.get("admin") ?? ""));
        const generated = resourcesOf(withGiven, "random:index/randomPassword:RandomPassword").map(({ name }) => name);
        assert.deepEqual(generated.sort(), ["registry-http-secret", "registry-user-admin"]);
    });

    it("makes the same hash of the same password each time", async () => {
        assert.deepEqual(await users(await runProgram(given)), await users(withGiven));
    });

    it("changes one release and nothing else when a user comes", () => {
        const inputs = ({ resources }: ProgramRun) =>
            new Map(resources.map((each) => [`${each.type} ${each.name}`, JSON.stringify(each.inputs)]));
        const before = inputs(run);
        const changed = [...inputs(withGiven)].filter(([key, value]) => before.get(key) !== value).map(([key]) => key);
        assert.deepEqual(changed.sort(), [
            "command:local:Command this-machine-release",
            "random:index/randomBytes:RandomBytes registry-user-ci-salt",
        ]);
    });

    it("takes users with the names of other resources", async () => {
        const names = ["http-secret", "admin", "admin-salt", "salt"];
        const registry = { engine: "distribution", users: names.map((name) => ({ name })) };
        const found = await runProgram({ settings: { ...dev, registry } });
        const urns = found.resources.map(({ parent, type, name }) => `${parent} ${type} ${name}`);
        assert.equal(new Set(urns).size, urns.length);
        assert.deepEqual([...(await users(found)).keys()], names);
    });

    it("puts a changed machine behind triggers, and keeps its data out of them", async () => {
        const machines = { "this-machine": { kind: "local", generation: 2 } };
        const raised = await runProgram({ settings: { ...dev, machines } });
        const triggers = (each: ProgramRun) =>
            new Map(
                resourcesOf(each, "command:local:Command").map(({ name, inputs }) => [
                    name,
                    JSON.stringify(inputs["triggers"]),
                ]),
            );
        const before = triggers(run);
        const replaced = [...triggers(raised)]
            .filter(([name, value]) => before.get(name) !== value)
            .map(([name]) => name);
        assert.deepEqual(replaced.sort(), [
            "load-balancer-files",
            "load-balancer-project",
            "load-balancer-release",
            "this-machine-baseline",
            "this-machine-files",
            "this-machine-images",
            "this-machine-project",
            "this-machine-release",
        ]);
        // What depends on a replaced resource would be replaced with it.
        const data = command(raised, "this-machine-data");
        assert.ok(!data.dependsOn.some((each) => replaced.includes(each.split(" ")[1] ?? "")), data.dependsOn.join());
        assert.deepEqual(data.inputs["triggers"], []);
        // It is updated in place: the mark on it is the new incarnation's, and nothing else of it changes.
        const incarnations = JSON.stringify(data.inputs).match(/ [0-9a-f]+-2(?= )/g);
        assert.equal(incarnations?.length, 2);
        const [incarnation = ""] = incarnations;
        assert.deepEqual(
            JSON.parse(JSON.stringify(data.inputs).replaceAll(incarnation, incarnation.replace(/2$/, "1"))),
            command(run, "this-machine-data").inputs,
        );
    });

    it("starts the load balancer after the node is healthy", () => {
        const [balancer] = resourcesOf(run, "harborage:index:LoadBalancer");
        assert.deepEqual(balancer?.dependsOn, ["command:local:Command this-machine-release"]);
    });

    it("checks the machine before anything on it is changed", () => {
        const commands = new Map(
            resourcesOf(run, "command:local:Command").map((each) => [`${each.type} ${each.name}`, each]),
        );
        const isAfterCheck = (key: string): boolean =>
            key.endsWith("-preflight") ||
            (commands.get(key)?.dependsOn ?? []).some((each) => commands.has(each) && isAfterCheck(each));
        for (const key of commands.keys()) {
            assert.ok(isAfterCheck(key), key);
        }
    });

    it("checks a bundle before the machine, and both again for another bundle", async () => {
        const preflight = async (bundle: object) => {
            const images = { registry: "registry:3", nginx: "nginx:1", bundle };
            return command(await runProgram({ settings: { ...dev, images } }), "this-machine-preflight");
        };
        const here = await preflight({ path: "/srv/images.tar", sha256: "1".repeat(64) });
        assert.deepEqual(Object.keys(here.hooks), ["beforeCreate", "beforeUpdate"]);
        const other = await preflight({ path: "/srv/images.tar", sha256: "2".repeat(64) });
        assert.notEqual(here.inputs["create"], other.inputs["create"]);
        // What is elsewhere is checked by the machine that fetches it.
        const there = await preflight({ url: "https://files.example.com/images.tar", sha256: "1".repeat(64) });
        assert.deepEqual(there.hooks, {});
        assert.deepEqual(command(run, "this-machine-preflight").hooks, {});
    });

    it("stops at a bad stack file before any resource is registered, with every mistake", async () => {
        const settings = { ...dev, publicName: "10.0.0.1", topology: { kind: "sharded" }, colour: "red" };
        const { resources, error } = await runProgram({ settings });
        assert.deepEqual(resources, []);
        assert.equal(error?.isRunError, true);
        for (const path of ["publicName", "topology.kind", "colour"]) {
            assert.match(error.message, new RegExp(`^  - harborage:${path.replace(".", "\\.")}: `, "m"));
        }
    });

    it("does not show a secret that stands in the wrong place", async () => {
        const registry = { engine: "distribution", users: [{ name: "ci", password: "hunter2" }] };
        const { error } = await runProgram({
            settings: { ...dev, registry: undefined },
            secrets: { registry: JSON.stringify(registry) },
        });
        assert.match(error?.message ?? "", /harborage:registry: holds a secret/);
        assert.doesNotMatch(error?.message ?? "", /hunter2/);
    });
});

describe("program of a registry with its images in a bucket", () => {
    const objects = {
        kind: "external",
        bucket: "images",
        region: "eu-1",
        endpoint: "https://s3.test",
        rootDirectory: "/a",
    };
    const secrets = { s3Key: "GivenAccessKey", s3Secret: "GivenSecretKey" };
    let run: ProgramRun;
    before(async () => {
        const storage = { objects: { ...objects, accessKey: "s3Key", secretKey: "s3Secret" } };
        run = await runProgram({ settings: { ...dev, storage }, secrets });
    });

    it("gives the keys to the release, and to nothing that can be read", async () => {
        assert.equal(run.error, undefined);
        const files = await secretFiles(run, "this-machine-release");
        assert.equal(files["service/s3-access-key"], "GivenAccessKey\n");
        assert.equal(files["service/s3-secret-key"], "GivenSecretKey\n");
        for (const { inputs, name } of run.resources) {
            for (const value of Object.values(inputs).filter((each) => !isSecret(each))) {
                assert.doesNotMatch(JSON.stringify([value]), /Given(?:Access|Secret)Key/, name);
            }
        }
    });

    it("looks at the bucket before the node changes", () => {
        const files = String(plain(command(run, "this-machine-files").inputs["stdin"]));
        assert.match(files, /^@@ 0644 hooks\/validate\.sh$/m);
        assert.match(
            files,
            /^check objects \S*nginx\S* bash objects\.sh MACHINE=machines\.this-machine ENDPOINT=https:\/\/s3\.test /m,
        );
    });

    it("has no folder of data, and says where images are", () => {
        assert.ok(!run.resources.some(({ name }) => name === "this-machine-data"));
        assert.deepEqual(plain(run.outputs["storage"]), {
            objects: { kind: "external", location: "https://s3.test: images/a" },
        });
    });
});
