import assert from "node:assert/strict";
import { before, describe, it } from "mocha";
import { isSecret, plain, resourcesOf, runProgram, settingsOf, type ProgramRun, type Registered } from "./program";

const dev = settingsOf("Pulumi.dev.yaml");
const staging = settingsOf("Pulumi.staging.yaml");
const provider = "pulumi:providers:openstack openstack";
const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1PyY83WZuOIXKzj7LqxitiSXtyZ+JoK4se3zgK2cyJ";
const privateKey = (name: string) =>
    `-----BEGIN OPENSSH PRIVATE KEY-----\nkey of ${name}\n-----END OPENSSH PRIVATE KEY-----\n`;

const bundle = { path: "/srv/images.tar", sha256: "1".repeat(64) };

/** A load balancer behind a bastion and a node, both of which exist. */
const existing = {
    settings: {
        ...dev,
        machines: {
            lb: {
                kind: "existing",
                address: "lb.example.com",
                privateAddress: "10.0.0.1",
                port: 2222,
                user: "deploy",
                hostKey: `${hostKey} lb`,
                privateKey: "lbKey",
                bastion: { address: "192.0.2.1", user: "jump", hostKey, privateKey: "jumpKey" },
            },
            node: { kind: "existing", address: "192.0.2.10", hostKey: "accept-any", dataDevice: "/dev/sdb" },
        },
        topology: { kind: "single", node: "node", loadBalancer: "lb" },
        registry: { engine: "distribution", users: [{ name: "ci", password: "ciPassword" }] },
        images: { registry: "registry:3", nginx: "nginx:1", bundle },
    },
    secrets: { lbKey: privateKey("lb"), jumpKey: privateKey("jump"), ciPassword: "correct horse" },
} as const;

/** Text that no plain value may hold. */
const secrets = /password of|correct horse|PRIVATE KEY|\$2b\$|cloud (?:password|token|credential)/;

const isRemote = ({ type }: Registered) => type.startsWith("command:remote:");
const isInCloud = ({ type }: Registered) => type.startsWith("openstack:");
const key = ({ type, name }: Registered) => `${type} ${name}`;

function resource(run: ProgramRun, type: string, name: string): Registered {
    const found = resourcesOf(run, type).find((each) => each.name === name);
    assert.ok(found !== undefined, `no ${type} ${name}`);
    return found;
}

/** What must hold wherever machines are reached by SSH. */
function assertSafe(run: ProgramRun) {
    for (const each of run.resources) {
        for (const [name, value] of Object.entries(each.inputs).filter(([, input]) => !isSecret(input))) {
            assert.doesNotMatch(JSON.stringify(value), secrets, `${key(each)}.${name}`);
        }
    }
    for (const each of run.resources.filter(isRemote)) {
        assert.ok(isSecret(each.inputs["connection"]), `the connection of ${key(each)} is not secret`);
        assert.deepEqual(Object.keys(each.hooks), ["beforeCreate", "beforeUpdate"], key(each));
    }
    const text = resourcesOf(run, "command:remote:Command");
    for (const each of text) {
        for (const command of ["create", "delete"]) {
            assert.ok(typeof each.inputs[command] === "string", `${key(each)}.${command} is not plain`);
        }
        assert.equal(isSecret(each.inputs["stdin"]), each.name.endsWith("-release"), `${key(each)}.stdin`);
    }
    assert.doesNotMatch(JSON.stringify(Object.entries(run.outputs).filter(([, value]) => !isSecret(value))), secrets);
}

describe("program on machines that exist", () => {
    let run: ProgramRun;
    before(async () => {
        run = await runProgram(existing);
        assert.equal(run.error, undefined);
    });

    it("runs everything by SSH, and asks no cloud", () => {
        assert.deepEqual(run.questions, []);
        const packages = new Set(run.resources.map(({ type }) => type.split(":").slice(0, 2).join(":")));
        assert.deepEqual(
            [...packages].sort(),
            ["command:remote", "harborage:index", "pulumi:pulumi", "random:index/randomBytes"].concat(
                ["random:index/randomId", "random:index/randomPassword"],
                ["certRequest", "locallySignedCert", "privateKey", "selfSignedCert"].map((each) => `tls:index/${each}`),
            ),
        );
    });

    it("keeps secrets secret, and shows plain files in previews", () => {
        assertSafe(run);
    });

    it("reaches each machine as the stack file says", () => {
        const dialing = { dialErrorLimit: 12, perDialTimeout: 10 };
        const connections = (name: string) => {
            const all = run.resources
                .filter((each) => isRemote(each) && each.parent.endsWith(` ${name}`))
                .map(({ inputs }) => plain(inputs["connection"]));
            assert.ok(all.length >= 5, name);
            return all;
        };
        for (const connection of connections("lb")) {
            assert.deepEqual(connection, {
                host: "lb.example.com",
                port: 2222,
                user: "deploy",
                ...dialing,
                hostKey: `${hostKey} lb`,
                privateKey: privateKey("lb"),
                proxy: {
                    host: "192.0.2.1",
                    port: 22,
                    user: "jump",
                    ...dialing,
                    hostKey,
                    privateKey: privateKey("jump"),
                },
            });
        }
        for (const connection of connections("node")) {
            assert.deepEqual(connection, { host: "192.0.2.10", port: 22, user: "root", ...dialing });
        }
    });

    it("becomes root by sudo, where it is not root already", () => {
        for (const { name, inputs, parent } of resourcesOf(run, "command:remote:Command")) {
            const isNode = parent.endsWith(" node");
            for (const action of ["create", "delete"] as const) {
                const verb = action === "create" ? "apply" : "delete";
                const start = isNode ? `bash -s -- ${verb} ` : `sudo -n -H bash -s -- ${verb} `;
                assert.ok(String(inputs[action]).startsWith(start), `${name}: ${String(inputs[action])}`);
            }
        }
    });

    it("leaves nothing undone there: no script goes with something else", () => {
        assert.deepEqual(run.resources.filter(({ deletedWith }) => deletedWith !== "").map(key), []);
    });

    it("sends a bundle to each machine once, under its hash, before the images are loaded from there", () => {
        const sent = resourcesOf(run, "command:remote:CopyToRemote");
        assert.deepEqual(
            sent.map(({ name, inputs }) => [name, inputs["remotePath"]]).sort(),
            ["lb", "node"].map((name) => [`${name}-file-11111111`, `/var/lib/harborage/incoming/${bundle.sha256}`]),
        );
        for (const { inputs } of sent) {
            assert.match(JSON.stringify(inputs["source"]), /"path":"\/srv\/images\.tar"/);
        }
        for (const name of ["lb", "node"]) {
            const system = resource(run, "command:remote:Command", `${name}-system`);
            assert.ok(system.dependsOn.includes(`command:remote:CopyToRemote ${name}-file-11111111`));
            const images = resource(run, "command:remote:Command", `${name}-images`);
            assert.ok(
                String(images.inputs["create"]).includes(
                    ` /var/lib/harborage/incoming/${bundle.sha256} ${bundle.sha256} `,
                ),
            );
        }
    });

    it("checks a bundle before it looks at a machine that is sent one, when that is new and when it changes", async () => {
        const hooks = (each: ProgramRun, name: string) =>
            Object.entries(resource(each, "command:remote:Command", `${name}-preflight`).hooks).map(
                ([when, names]) => [when, names.length] as const,
            );
        const without = await runProgram({ ...existing, settings: { ...existing.settings, images: {} } });
        for (const name of ["lb", "node"]) {
            // The last one reaches the machine.
            assert.deepEqual(hooks(run, name), [
                ["beforeCreate", 2],
                ["beforeUpdate", 2],
            ]);
            assert.deepEqual(hooks(without, name), [
                ["beforeCreate", 1],
                ["beforeUpdate", 1],
            ]);
        }
    });

    it("does not look for a package of compose where the stack file has the program, or sources of packages", async () => {
        const words = async (baseline: object) => {
            const found = await runProgram({ ...existing, settings: { ...existing.settings, baseline } });
            return String(resource(found, "command:remote:Command", "node-preflight").inputs["create"]).split(" ");
        };
        const ofDocker = (all: readonly string[]) => all.filter((word) => /^(?:packages|docker|compose)=/.test(word));
        const composePlugin = { url: "https://files.example.com/docker-compose", sha256: "1".repeat(64) };
        assert.deepEqual(ofDocker(await words({})), ["packages=machine", "docker=20.10", "compose=2.17"]);
        assert.deepEqual(ofDocker(await words({ docker: { composePlugin } })), ["packages=machine", "docker=20.10"]);
        for (const baseline of [
            { docker: { version: "28.5" } },
            { packages: { bundle: { url: "https://files.example.com/packages.tar", sha256: "1".repeat(64) } } },
        ]) {
            assert.deepEqual(ofDocker(await words(baseline)), ["docker=20.10", "compose=2.17"]);
        }
    });

    it("puts the data onto the disk that is named for it", () => {
        const words = (name: string) =>
            String(resource(run, "command:remote:Command", `${name}-system`).inputs["create"]).split(" ");
        assert.equal(words("node").at(-1), "/dev/sdb");
        assert.equal(words("lb").at(-1), "-");
    });

    it("sends requests to the node's gate, at its address among the machines", () => {
        const files = (name: string) =>
            String(resource(run, "command:remote:Command", `${name}-files`).inputs["stdin"]);
        assert.match(files("load-balancer"), /^ +server 192\.0\.2\.10:5000 /m);
        assert.match(files("node"), /^ +- 192\.0\.2\.10:5000:8080$/m);
        assert.match(files("node"), /^@@ 0644 gate\/nginx\.conf$/m);
    });
});

describe("program in OpenStack", () => {
    let run: ProgramRun;
    const auth = { userName: "harborage", password: "cloudPassword", token: "cloudToken" };
    const credential = { applicationCredentialId: "0".repeat(32), applicationCredentialSecret: "cloudCredential" };
    const cloudSecrets = {
        cloudPassword: "cloud password",
        cloudToken: "cloud token",
        cloudCredential: "cloud credential",
    };
    const openstack = staging["openstack"] as Record<string, unknown>;
    const machines = staging["machines"] as { lb: object; node: { dataVolume: object } };

    before(async () => {
        const settings = { ...staging, openstack: { ...openstack, auth: { ...auth, ...credential } } };
        run = await runProgram({ stack: "staging", settings, secrets: cloudSecrets });
        assert.equal(run.error, undefined);
    });

    it("uses the provider that the stack file says, for everything and every question", () => {
        const inCloud = run.resources.filter(isInCloud);
        assert.ok(inCloud.length > 15);
        assert.deepEqual(inCloud.filter((each) => each.provider !== provider).map(key), []);
        assert.deepEqual(
            run.questions.filter((each) => each.provider !== provider).map(({ token }) => token),
            [],
        );
        assert.deepEqual(run.resources.filter(({ type }) => type.startsWith("pulumi:providers:")).map(key), [
            provider,
            // For Harbor's API.
            "pulumi:providers:harborage harbor",
        ]);
    });

    it("keeps the login secret", () => {
        const { inputs } = resource(run, "pulumi:providers:openstack", "openstack");
        assert.deepEqual(inputs, {
            userName: "harborage",
            applicationCredentialId: "0".repeat(32),
            password: { secret: "cloud password" },
            token: { secret: "cloud token" },
            applicationCredentialSecret: { secret: "cloud credential" },
        });
    });

    it("keeps secrets secret, and shows plain files in previews", () => {
        assertSafe(run);
        const vms = resourcesOf(run, "openstack:compute/instance:Instance");
        assert.deepEqual(
            vms.map(({ name, inputs }) => [name, isSecret(inputs["userData"])]),
            [
                ["lb", true],
                ["node", true],
            ],
        );
    });

    it("pins the host key that it gives to the VM", () => {
        for (const name of ["lb", "node"]) {
            const { inputs } = resource(run, "openstack:compute/instance:Instance", name);
            const { hostKey: pinned } = plain(
                resource(run, "command:remote:Command", `${name}-preflight`).inputs["connection"],
            ) as { hostKey: string };
            assert.match(pinned, /^ssh-ed25519 \S+$/);
            assert.ok(String(plain(inputs["userData"])).includes(pinned), name);
        }
    });

    it("reaches the node through the load balancer, whose host key is pinned too", () => {
        const connection = (name: string) =>
            plain(resource(run, "command:remote:Command", `${name}-preflight`).inputs["connection"]) as {
                host: string;
                proxy?: unknown;
            };
        assert.match(connection("lb").host, /^203\.0\.113\./);
        assert.equal(connection("lb").proxy, undefined);
        assert.match(connection("node").host, /^10\.42\.0\./);
        assert.deepEqual(connection("node").proxy, connection("lb"));
    });

    it("declares nothing in the cloud before every lookup is answered", () => {
        const answered = Math.max(...run.questions.map(({ answeredAfter }) => answeredAfter));
        assert.ok(answered > 0);
        assert.deepEqual(run.resources.slice(0, answered).filter(isInCloud).map(key), []);
    });

    it("asks for each name once, and for nothing that it does not use", () => {
        assert.deepEqual(
            run.questions
                .map(({ token, inputs }) => `${token.split(":").at(-1) ?? ""} ${String(inputs["name"])}`)
                .sort(),
            ["getFlavor m1.large", "getFlavor m1.small", "getImage debian-12", "getNetwork public"],
        );
    });

    it("names every name that the cloud does not have at once, and makes nothing there", async () => {
        const settings = {
            ...staging,
            openstack: { ...openstack, network: { kind: "own", externalNetwork: "several-public" } },
            machines: {
                lb: { ...machines.lb, image: "missing-image", flavor: "missing-flavor" },
                node: { ...machines.node, image: "missing-image", flavor: "small-flavor" },
            },
        };
        const { error, resources } = await runProgram({ stack: "staging", settings });
        assert.equal(error?.isRunError, true);
        assert.deepEqual(error.message.split("\n"), [
            "nothing in the cloud was changed:",
            '  - harborage:machines.lb.image: there is no image "missing-image" that this project may use; see: openstack image list',
            '  - harborage:machines.node.image: there is no image "missing-image" that this project may use; see: openstack image list',
            '  - harborage:machines.lb.flavor: there is no flavor "missing-flavor" that this project may use; see: openstack flavor list',
            '  - harborage:machines.node.flavor: the flavor "small-flavor" has 1 vCPU and 256 MiB; expected at least 2 vCPU and 3700 MiB for this registry',
            '  - harborage:openstack.network.externalNetwork: several networks have the name "several-public"; expected a name of one only, see: openstack network list',
        ]);
        assert.deepEqual(resources.filter(isInCloud).map(key), []);
        assert.ok(resources.some((each) => key(each) === provider));
        assert.deepEqual(resources.filter(isRemote).map(key), []);
    });

    it("says where the login is wrong when the cloud lets nobody in", async () => {
        const settings = { ...staging, machines: { ...machines, lb: { ...machines.lb, image: "refused-image" } } };
        const { error, resources } = await runProgram({ stack: "staging", settings });
        assert.match(
            error?.message ?? "",
            /^nothing in the cloud was changed:\n {2}- harborage:openstack\.auth: OpenStack cannot be used: .*requires authentication\..*expected a login in the OS_\* variables/,
        );
        assert.doesNotMatch(error?.message ?? "", /invocation of|errors? occurred/);
        assert.deepEqual(resources.filter(isInCloud).map(key), []);
    });

    describe("in a network that exists", () => {
        const withNetwork = (network: object, floatingIp: boolean) => ({
            stack: "staging",
            settings: {
                ...staging,
                openstack: { ...openstack, network: { kind: "existing", ...network } },
                machines: { ...machines, lb: { ...machines.lb, floatingIp } },
            },
        });

        it("makes none, and asks for its subnet only", async () => {
            const found = await runProgram(withNetwork({ name: "platform" }, false));
            assert.equal(found.error, undefined);
            const questions = found.questions
                .map(({ token, inputs }) => [token.split(":").at(-1) ?? "", inputs] as const)
                .sort(([a], [b]) => a.localeCompare(b));
            assert.deepEqual(questions.slice(-3), [
                ["getImage", { name: "debian-12", mostRecent: true }],
                ["getNetwork", { name: "platform" }],
                ["getSubnet", { networkId: "id of platform" }],
            ]);
            assert.equal(questions.length, 5);
            for (const type of ["network:Network", "subnet:Subnet", "router:Router", "floatingIp:FloatingIp"]) {
                assert.deepEqual(resourcesOf(found, `openstack:networking/${type}`), [], type);
            }
            for (const { inputs } of resourcesOf(found, "openstack:networking/port:Port")) {
                assert.equal(inputs["networkId"], "id of platform");
                assert.deepEqual(inputs["fixedIps"], [{ subnetId: "id of platform" }]);
            }
        });

        it("takes floating IPs from the external network, and looks for that as well", async () => {
            const found = await runProgram(
                withNetwork({ name: "platform", subnet: "platform-v4", externalNetwork: "missing" }, true),
            );
            assert.deepEqual(found.error?.message.split("\n"), [
                "nothing in the cloud was changed:",
                '  - harborage:openstack.network.externalNetwork: there is no network "missing" that this project may use; see: openstack network list',
            ]);
        });

        it("asks which subnet when there are several", async () => {
            const found = await runProgram(withNetwork({ name: "crowded" }, false));
            assert.deepEqual(found.error?.message.split("\n"), [
                "nothing in the cloud was changed:",
                "  - harborage:openstack.network.subnet: there are several subnets; expected a name of one only, see: openstack subnet list",
            ]);
        });
    });

    it("protects the data volume unless its data may be deleted", async () => {
        const volume = (each: ProgramRun) => resource(each, "openstack:blockstorage/volume:Volume", "node");
        assert.equal(volume(run).protect, true);
        const dataVolume = { ...machines.node.dataVolume, deleteData: true };
        const settings = { ...staging, machines: { ...machines, node: { ...machines.node, dataVolume } } };
        const open = await runProgram({ stack: "staging", settings });
        assert.equal(volume(open).protect, false);
        assert.deepEqual(volume(open).inputs, volume(run).inputs);
        assert.deepEqual(run.resources.filter(({ protect }) => protect).map(key), [
            "openstack:blockstorage/volume:Volume node",
        ]);
    });

    it("puts the data volume on nothing that is ever replaced", () => {
        assert.deepEqual(resource(run, "openstack:blockstorage/volume:Volume", "node").dependsOn, []);
    });

    it("lets what is on a VM go with the VM, and its volume stay", () => {
        for (const each of run.resources.filter(isRemote)) {
            const machine = each.name.startsWith("node") ? "node" : "lb";
            assert.equal(each.deletedWith, `random:index/randomId:RandomId ${machine}-incarnation`, key(each));
        }
        assert.deepEqual(
            run.resources
                .filter((each) => isInCloud(each) && each.deletedWith !== "")
                .map((each) => [key(each), each.deletedWith]),
            [["openstack:compute/volumeAttach:VolumeAttach node", "openstack:compute/instance:Instance node"]],
        );
    });

    it("makes a VM anew when its generation is raised, and for nothing that counts at its birth only", () => {
        for (const name of ["lb", "node"]) {
            const vm = resource(run, "openstack:compute/instance:Instance", name);
            assert.deepEqual(vm.replaceOnChanges, ["metadata.harborage_generation"]);
            assert.ok(vm.deleteBeforeReplace);
            assert.deepEqual([...vm.ignoreChanges].sort(), [
                "availabilityZone",
                "blockDevices",
                "imageId",
                "keyPair",
                "schedulerHints",
                "userData",
            ]);
            assert.equal((vm.inputs["metadata"] as Record<string, string>)["harborage_generation"], "1");
            assert.equal(vm.inputs["stopBeforeDestroy"], true);
        }
    });

    it("says what to do where the cloud refuses something", () => {
        assert.deepEqual(
            run.resources
                .filter(({ hooks }) => hooks["onError"] !== undefined)
                .map((each) => [key(each), each.hooks["onError"]])
                .sort(),
            [
                ["openstack:blockstorage/volume:Volume node", ["explain harborage:machines.node.dataVolume"]],
                ["openstack:compute/instance:Instance lb", ["explain harborage:machines.lb"]],
                ["openstack:compute/instance:Instance node", ["explain harborage:machines.node"]],
                ["openstack:networking/floatingIp:FloatingIp lb", ["explain harborage:machines.lb.floatingIp"]],
            ],
        );
    });

    it("lets in what the plan says, at the machines of a role", () => {
        const rules = resourcesOf(run, "openstack:networking/secGroupRule:SecGroupRule").map(({ inputs }) => [
            inputs["securityGroupId"],
            inputs["portRangeMin"],
            inputs["portRangeMax"],
            inputs["remoteIpPrefix"] ?? inputs["remoteGroupId"],
        ]);
        assert.deepEqual(rules, [
            ["id of load-balancer", 443, 443, "0.0.0.0/0"],
            ["id of load-balancer", 80, 80, "0.0.0.0/0"],
            ["id of load-balancer", 22, 22, "192.0.2.0/24"],
            ["id of node", 22, 22, "192.0.2.0/24"],
            ["id of node", 9090, 9090, "192.0.2.0/24"],
            ["id of node", 22, 22, "id of load-balancer"],
            ["id of node", 8080, 8080, "id of load-balancer"],
        ]);
        const groups = resourcesOf(run, "openstack:networking/port:Port").map(({ name, inputs }) => [
            name,
            inputs["securityGroupIds"],
        ]);
        assert.deepEqual(Object.fromEntries(groups), { lb: ["id of load-balancer"], node: ["id of node"] });
    });
});
