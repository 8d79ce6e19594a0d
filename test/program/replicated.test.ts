import assert from "node:assert/strict";
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
const lb = { kind: "openstack", image: "debian-12", flavor: "m1.small", floatingIp: true };
const node = { kind: "openstack", image: "debian-12", flavor: "m1.large", dataVolume: { sizeGiB: 40 } };

const settings = (topology: object = {}, more: object = {}) => ({
    ...staging,
    publicName: "registry.example.com",
    machines: { lb, first: node, second: node },
    topology: { kind: "replicated", nodes: ["first", "second"], loadBalancer: "lb", ...topology },
    loadBalancer: { mode: "http", adminCidrs: ["203.0.113.0/24"] },
    storage: {},
    ...more,
});

const nodes = ["first", "second"] as const;
const peer = { first: "second", second: "first" } as const;
const key = ({ type, name }: Registered) => `${type} ${name}`;

/** Everything that a resource waits for: a child is registered after the component that it is of. */
function waitedFor({ resources }: ProgramRun, start: string): Set<string> {
    const known = new Map(resources.map((each) => [key(each), [...each.dependsOn, each.parent]]));
    const seen = new Set<string>();
    const queue = [start];
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
        const next = known.get(name) ?? [];
        queue.push(...next.filter((each) => !seen.has(each)));
        next.forEach((each) => seen.add(each));
    }
    return seen;
}

describe("program with an active node and a standby", function () {
    this.timeout("2m");

    let run: ProgramRun;
    let switched: ProgramRun;
    let changed: ProgramRun;

    before(async () => {
        const baseline = { docker: { daemon: { "log-level": "warn" } } };
        [run, switched, changed] = await Promise.all([
            runProgram({ settings: settings() }),
            runProgram({ settings: settings({ active: "second", epoch: 5 }) }),
            runProgram({ settings: settings({}, { baseline }) }),
        ]);
        assert.equal(run.error?.message, undefined);
        assert.equal(switched.error?.message, undefined);
    });

    const find = (type: string, name: string, of = run): Registered => {
        const found = resourcesOf(of, type).find((each) => each.name === name);
        assert.ok(found, `no ${type} ${name}`);
        return found;
    };
    /** Whether something, or a component that it is of, waits for a resource, in however many steps. */
    const waits = (resource: Registered, target: string): boolean => waitedFor(run, key(resource)).has(target);
    const command = (name: string) => find("command:remote:Command", name);
    const harbor = (type: string, name: string) => find(`harborage:harbor:${type}`, name);
    /** The plain and the secret files of a release. */
    const files = (name: string) => String(plain(command(`${name}-files`).inputs["stdin"]));
    const secretFiles = (name: string) => {
        const { stdin } = command(`${name}-release`).inputs;
        assert.ok(isSecret(stdin));
        const data = String(plain(stdin)).split("HARBORAGE-END-OF-DATA")[1] ?? "";
        return Buffer.from(data.replace(/^'/, "").trim(), "base64").toString("latin1");
    };

    it("has Harbor on both, the same secrets, and a certificate for each", () => {
        const shared = (name: string) => secretFiles(name).match(/password of registry-[\w-]+/g);
        assert.ok((shared("first")?.length ?? 0) >= 8);
        assert.deepEqual(shared("first"), shared("second"));
        const pem = (text: string) => Buffer.from(text).toString("base64");
        const own = (name: string) => pem(`${name}-server PRIVATE KEY`);
        for (const name of nodes) {
            const { dnsNames, ipAddresses } = find("tls:index/certRequest:CertRequest", `${name}-server`).inputs;
            assert.ok((dnsNames as string[]).includes("registry.example.com"));
            assert.equal((ipAddresses as string[]).length, 1);
            assert.ok(secretFiles(name).includes(pem("registry-token PRIVATE KEY")));
            assert.ok(secretFiles(name).includes(own(name)) && !secretFiles(name).includes(own(peer[name])));
        }
    });

    it("has Harbor serve HTTPS alone, trust the stack's CA, and find the public name without DNS", () => {
        for (const name of nodes) {
            const text = files(name);
            assert.match(
                text,
                /^https:\n {2}port: 8080\n {2}certificate: HARBORAGE_RELEASE\/secrets\/root\/server\.crt$/m,
            );
            assert.match(text, /^ {2}ca_bundle: HARBORAGE_RELEASE\/trust\/stack\.crt$/m);
            assert.match(text, /^@@ 0644 trust\/stack\.crt\n-----BEGIN CERTIFICATE-----$/m);
            assert.match(text, /^ {6}- 10\.42\.0\.\d+:8080:8443$/m);
            assert.doesNotMatch(text, /:8080:8080/);
            assert.equal(text.match(/^ {6}- registry\.example\.com:10\.42\.0\.\d+$/gm)?.length, 2);
        }
    });

    it("touches no node before it is known which one is wanted active", () => {
        const active = find("harborage:index:ActiveNode", "active-node");
        assert.deepEqual(active.inputs, { node: "first" });
        assert.equal(active.provider, "pulumi:providers:harborage harbor-first");
        for (const name of [...nodes.map((each) => `${each}-release`), "load-balancer-release", "activate"]) {
            assert.ok(waits(command(name), key(active)), name);
        }
        for (const type of ["AdminPassword", "RobotAccount", "RegistryEndpoint", "ReplicationPolicy"]) {
            for (const each of resourcesOf(run, `harborage:harbor:${type}`)) {
                assert.ok(waits(each, key(active)), key(each));
            }
        }
    });

    it("has the load balancer believe the nodes' certificates before they have them", () => {
        const trust = command("load-balancer-trust");
        assert.ok(String(plain(trust.inputs["stdin"])).includes(String(run.outputs["caCertificate"])));
        for (const name of nodes) {
            assert.ok(waits(command(`${name}-release`), key(trust)), name);
        }
    });

    it("tells the agent which machines the nodes are on, and makes one follow again that is another one", () => {
        const ids = nodes.map((name) => new RegExp(`^machine ${name} (\\S+)$`, "m").exec(files("load-balancer"))?.[1]);
        assert.equal(new Set(ids).size, 2);
        const triggers = command("activate").inputs["triggers"] as string[];
        assert.equal(triggers.length, 3);
        assert.ok(ids.every((id) => id !== undefined && triggers.includes(id)));
    });

    it("lets nobody take over while a machine of a node is changed", () => {
        const holdOf = (name: string, of = run) => find("command:remote:Command", `${name}-hold`, of);
        for (const name of nodes) {
            const hold = holdOf(name);
            assert.match(String(hold.inputs["create"]), new RegExp(` harborage-dev-lb change ${name} [0-9a-f]{64}$`));
            assert.deepEqual(hold.inputs["connection"], command("load-balancer-release").inputs["connection"]);
            assert.ok(waits(hold, `command:remote:Command ${name}-preflight`));
            assert.ok(command(`${name}-system`).dependsOn.includes(key(hold)));
            assert.ok(waits(command(`${peer[name]}-drain`), `command:remote:Command ${name}-baseline`));
            assert.equal(holdOf(name, switched).inputs["create"], hold.inputs["create"]);
            assert.notEqual(holdOf(name, changed).inputs["create"], hold.inputs["create"]);
        }
        assert.equal(resourcesOf(run, "command:remote:Command").filter(({ name }) => name.endsWith("-hold")).length, 2);
    });

    it("changes one node after the other", () => {
        assert.ok(reaches(run, command("second-release").dependsOn, "command:remote:Command first-release"));
    });

    it("reaches each at its own port of the load balancer, and verifies the public name", () => {
        const addresses = nodes.map((name) => {
            const { address, url, caCertificate } = find("pulumi:providers:harborage", `harbor-${name}`).inputs;
            assert.equal(url, "https://registry.example.com");
            assert.equal(caCertificate, run.outputs["caCertificate"]);
            return String(address).replace(/^203\.0\.113\.\d+:/, "");
        });
        assert.deepEqual(addresses, ["8441", "8442"]);
        assert.equal(resourcesOf(run, "pulumi:providers:harborage").length, 2);
    });

    it("tells both the settings", () => {
        for (const name of nodes) {
            const { provider, deletedWith } = harbor("AdminPassword", `harbor-${name}-admin-password`);
            assert.equal(provider, `pulumi:providers:harborage harbor-${name}`);
            assert.equal(deletedWith, `command:remote:Command ${name}-release`);
        }
    });

    it("lets each replicate to the other with the same account, after both have it", () => {
        for (const name of nodes) {
            const robot = harbor("RobotAccount", `replication-${name}`);
            assert.equal(robot.inputs["name"], "harborage-replication");
            assert.equal(robot.inputs["disabled"], undefined);
            assert.deepEqual(robot.inputs["secret"], { secret: "password of replication".padEnd(32, ".") });
            const endpoint = harbor("RegistryEndpoint", `replication-${name}`);
            const { inputs, provider, dependsOn } = endpoint;
            assert.equal(provider, `pulumi:providers:harborage harbor-${name}`);
            assert.match(files(peer[name]), new RegExp(`- ${String(inputs["url"]).replace("https://", "")}:8443`));
            assert.equal(inputs["accessKey"], "robot$harborage-replication");
            assert.deepEqual(inputs["accessSecret"], robot.inputs["secret"]);
            for (const each of nodes) {
                assert.ok(dependsOn.includes(`harborage:harbor:RobotAccount replication-${each}`));
                assert.ok(waits(endpoint, `harborage:harbor:AdminPassword harbor-${each}-admin-password`));
            }
        }
    });

    it("leaves to the agent which direction is enabled", () => {
        assert.equal(resourcesOf(run, "harborage:harbor:ReplicationPolicy").length, 6);
        for (const name of nodes) {
            const policies = (["push", "full", "pull"] as const).map((what) =>
                harbor("ReplicationPolicy", `replication-${name}-${what}`),
            );
            const [push, full, pull] = policies.map(({ inputs }) => inputs);
            assert.deepEqual(
                policies.map(({ inputs }) => [inputs["name"], inputs["enabled"], inputs["initiallyEnabled"]]),
                [
                    ["harborage-push", undefined, false],
                    ["harborage-full", undefined, false],
                    ["harborage-pull", true, undefined],
                ],
            );
            assert.deepEqual([push?.["trigger"], push?.["deletion"]], [{ type: "event_based" }, true]);
            assert.deepEqual((full?.["trigger"] as Record<string, unknown>)["type"], "scheduled");
            assert.equal(pull?.["trigger"], undefined);
            assert.equal(typeof push?.["destRegistryId"], "number");
            assert.equal(pull?.["srcRegistryId"], push?.["destRegistryId"]);
            for (const { replaceOnChanges, deletedWith, provider } of policies) {
                assert.deepEqual(replaceOnChanges, ["instance"]);
                assert.equal(deletedWith, `command:remote:Command ${name}-release`);
                assert.equal(provider, `pulumi:providers:harborage harbor-${name}`);
            }
        }
    });

    it("has the agent make a node active last, and as long as nobody has changed it since it was asked", () => {
        const words = (of: ProgramRun) => String(find("command:remote:Command", "activate", of).inputs["create"]);
        assert.match(words(run), / apply \S+ \S+ first 4$/);
        assert.match(words(switched), / apply \S+ \S+ second 4$/);
        for (const each of resourcesOf(run, "harborage:harbor:ReplicationPolicy")) {
            assert.ok(command("activate").dependsOn.includes(key(each)));
        }
        assert.deepEqual(find("harborage:index:ActiveNode", "active-node", switched).inputs, {
            node: "second",
            epoch: 5,
        });
    });

    it("protects the data of both, and says who is meant to be what", () => {
        const volumes = resourcesOf(run, "openstack:blockstorage/volume:Volume").filter(({ protect }) => protect);
        assert.equal(volumes.length, 2);
        const roles = (of: ProgramRun) => (of.outputs["nodes"] as { role: string }[]).map(({ role }) => role);
        assert.deepEqual(roles(run), ["active", "standby"]);
        assert.deepEqual(roles(switched), ["standby", "active"]);
    });

    it("changes no node when another one is to be active", () => {
        const inputs = (of: ProgramRun) =>
            new Map(of.resources.map((each) => [key(each), JSON.stringify(plain(each.inputs))]));
        const [before, after] = [inputs(run), inputs(switched)];
        const changed = [...before].filter(([name, value]) => after.get(name) !== value).map(([name]) => name);
        for (const name of changed) {
            assert.match(name, / (?:active-node|activate|load-balancer-(?:files|release))$/);
        }
    });
});
