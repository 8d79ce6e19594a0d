import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import { after, before, describe, it } from "mocha";
import type { PluginInfo } from "@pulumi/pulumi/proto/plugin_pb";
import { GetSchemaRequest, type GetSchemaResponse } from "@pulumi/pulumi/proto/provider_pb";
import { pluginPins } from "../../toolchain/pins";
import { textOf, type Values } from "../../toolchain/plugins/lib/values";
import { which } from "../../toolchain/processes";
import { officialPlugin, PluginProcess } from "./plugins-harness";

/** Nothing listens there: nothing of this needs an OpenStack. */
const CONFIG = { authUrl: "http://127.0.0.1:9/v3", userName: "u", password: "p", tenantName: "t" };

/** What is changed, and the inputs that make the resource a new one; none of them means an update in place. */
type Change = readonly [change: Values, replaces: readonly string[]];

/** Each resource with inputs that do, and what their changes mean. */
const RESOURCES: Readonly<Record<string, { inputs: Values; changes: readonly Change[] }>> = {
    "blockstorage/volume:Volume": {
        inputs: { size: 1, volumeType: "nfs" },
        changes: [
            [{ description: "x" }, []],
            [{ size: 2 }, []],
            [{ volumeType: "ssd" }, ["volumeType"]],
        ],
    },
    "compute/instance:Instance": {
        inputs: {
            imageId: "i",
            flavorName: "small",
            keyPair: "k",
            userData: "#cloud-config",
            networks: [{ port: "p" }],
        },
        changes: [
            [{ imageId: "j" }, []],
            [{ flavorName: "large" }, []],
            [{ userData: "#!/bin/sh" }, ["userData"]],
            [{ keyPair: "l" }, ["keyPair"]],
            [{ networks: [{ port: "q" }] }, ["networks"]],
        ],
    },
    "compute/keypair:Keypair": {
        inputs: { publicKey: "ssh-ed25519 AAAA" },
        changes: [[{ publicKey: "ssh-ed25519 BBBB" }, ["publicKey"]]],
    },
    "compute/serverGroup:ServerGroup": {
        inputs: { policies: ["soft-anti-affinity"] },
        changes: [[{ policies: ["affinity"] }, ["policies"]]],
    },
    "compute/volumeAttach:VolumeAttach": {
        inputs: { instanceId: "i", volumeId: "v" },
        changes: [[{ volumeId: "w" }, ["volumeId"]]],
    },
    "networking/floatingIp:FloatingIp": {
        inputs: { pool: "public" },
        changes: [
            [{ description: "x" }, []],
            [{ pool: "other" }, ["pool"]],
        ],
    },
    "networking/floatingIpAssociate:FloatingIpAssociate": {
        inputs: { floatingIp: "192.0.2.1", portId: "p" },
        changes: [
            [{ portId: "q" }, []],
            [{ floatingIp: "192.0.2.2" }, ["floatingIp"]],
        ],
    },
    "networking/network:Network": {
        inputs: { adminStateUp: true },
        changes: [[{ adminStateUp: false }, []]],
    },
    "networking/port:Port": {
        inputs: { networkId: "n", securityGroupIds: ["s"] },
        changes: [
            [{ securityGroupIds: ["s", "t"] }, []],
            [{ networkId: "m" }, ["networkId"]],
        ],
    },
    "networking/routerInterface:RouterInterface": {
        inputs: { routerId: "r", subnetId: "s" },
        changes: [[{ subnetId: "t" }, ["subnetId"]]],
    },
    "networking/router:Router": {
        inputs: { externalNetworkId: "n" },
        changes: [[{ externalNetworkId: "m" }, []]],
    },
    "networking/secGroupRule:SecGroupRule": {
        inputs: { direction: "ingress", ethertype: "IPv4", protocol: "tcp", securityGroupId: "s" },
        changes: [[{ protocol: "udp" }, ["protocol"]]],
    },
    "networking/secGroup:SecGroup": {
        inputs: { description: "x" },
        changes: [[{ description: "y" }, []]],
    },
    "networking/subnet:Subnet": {
        inputs: { networkId: "n", cidr: "192.0.2.0/24", allocationPools: [{ start: "192.0.2.9", end: "192.0.2.99" }] },
        changes: [
            [{ allocationPools: [{ start: "192.0.2.9", end: "192.0.2.199" }] }, []],
            [{ cidr: "198.51.100.0/24" }, ["cidr"]],
        ],
    },
};

/** Each function with arguments that do. */
const FUNCTIONS: Readonly<Record<string, Values>> = {
    "compute/getFlavor:getFlavor": { name: "small" },
    "images/getImage:getImage": { name: "debian-12" },
    "networking/getNetwork:getNetwork": { name: "public" },
    "networking/getSubnet:getSubnet": { networkId: "n" },
};

/** Resources without a name in OpenStack. */
const NAMELESS = /Attach|Associate|FloatingIp|Interface|Rule$/;

interface Property {
    readonly secret?: boolean;
    readonly willReplaceOnChanges?: boolean;
}

interface Schema {
    readonly provider: { readonly inputProperties: Readonly<Record<string, Property>> };
    readonly resources: Readonly<
        Record<
            string,
            {
                readonly inputProperties: Readonly<Record<string, Property>>;
                readonly properties: Readonly<Record<string, Property>>;
                readonly requiredInputs?: readonly string[];
            }
        >
    >;
    readonly functions: Readonly<Record<string, unknown>>;
}

const [PIN] = pluginPins(["openstack"]);

function sha1(text: string): string {
    return createHash("sha1").update(text).digest("hex");
}

const official = officialPlugin("openstack") !== undefined;

// Where official parts can be had, Go may be missing.
(official || which("go") !== undefined ? describe : describe.skip)("plugin openstack", function () {
    this.timeout(60_000);

    let plugin: PluginProcess;

    before(async function () {
        // For the case that it has not been built yet.
        this.timeout(600_000);
        plugin = await PluginProcess.start("openstack", {}, CONFIG);
    });
    after(() => plugin.stop());

    it("has the version of the SDK", async () => {
        const info = await plugin.call<PluginInfo>((done) => plugin.client.getPluginInfo(new Empty(), done));
        assert.equal(info.getVersion().split("+")[0]?.replace(/^v/, ""), PIN?.version);
    });

    it("describes what it has: what must be given, what makes a new one, what is secret", async () => {
        const response = await plugin.call<GetSchemaResponse>((done) =>
            plugin.client.getSchema(new GetSchemaRequest(), done),
        );
        const schema = JSON.parse(response.getSchema()) as Schema;
        for (const [type, { inputs, changes }] of Object.entries(RESOURCES)) {
            const resource = schema.resources[`openstack:${type}`];
            assert.ok(resource, type);
            for (const name of Object.keys(inputs)) {
                assert.ok(resource.inputProperties[name] && resource.properties[name], `${type} ${name}`);
            }
            for (const name of resource.requiredInputs ?? []) {
                assert.ok(name in inputs, `${type} needs ${name}`);
            }
            for (const name of changes.flatMap(([, replaces]) => replaces)) {
                assert.equal(resource.inputProperties[name]?.willReplaceOnChanges, true, `${type} ${name}`);
            }
        }
        for (const name of Object.keys(FUNCTIONS)) {
            assert.ok(schema.functions[`openstack:${name}`], name);
        }
        assert.equal(schema.provider.inputProperties["password"]?.secret, true);
        assert.equal(schema.resources["openstack:compute/keypair:Keypair"]?.properties["privateKey"]?.secret, true);
    });

    for (const [type, { inputs, changes }] of Object.entries(RESOURCES)) {
        describe(type, () => {
            const urn = (): string => plugin.urn(`openstack:${type}`);

            it("takes its inputs, and names itself where a name is needed", async () => {
                const { failuresList, checked } = await plugin.check(urn(), inputs);
                assert.deepEqual(failuresList, []);
                for (const [key, value] of Object.entries(inputs).filter(([, given]) => typeof given !== "object")) {
                    assert.equal(checked[key], value);
                }
                if (!NAMELESS.test(type)) {
                    assert.match(textOf(checked["name"] ?? null), /^it-[0-9a-f]{7}$/);
                }
            });

            it("refuses inputs that it does not have", async () => {
                const { failuresList } = await plugin.check(urn(), { ...inputs, somethingElse: "x" });
                assert.match(failuresList[0]?.reason ?? "", /Invalid or unknown key.*somethingElse/);
            });

            for (const [change, replaces] of changes) {
                it(`is ${replaces.length > 0 ? "made anew" : "updated"} for ${JSON.stringify(change)}`, async () => {
                    const { checked } = await plugin.check(urn(), inputs);
                    const { checked: news } = await plugin.check(urn(), { ...inputs, ...change }, checked);
                    const state: Values = { ...checked, id: "x" };
                    if (typeof inputs["userData"] === "string") {
                        // The state holds no more of it.
                        state["userData"] = sha1(inputs["userData"]);
                    }
                    const diff = await plugin.diff(urn(), "x", state, checked, news);
                    assert.equal(diff.changes, "some");
                    assert.deepEqual(diff.replaces, replaces);
                    assert.deepEqual([...new Set(diff.diffs)], Object.keys(change));
                    const same = await plugin.diff(urn(), "x", state, checked, checked);
                    assert.equal(same.changes, "none", JSON.stringify(same));
                });
            }
        });
    }

    it("says what is missing", async () => {
        const subnet = await plugin.check(plugin.urn("openstack:networking/subnet:Subnet"), {});
        assert.match(subnet.failuresList[0]?.reason ?? "", /"network_id" is required/);
    });

    it("does not know other resources", async () => {
        const other = plugin.urn("openstack:networking/other:Other");
        await assert.rejects(plugin.check(other, {}), /(has no|unrecognized) resource type.*networking\/other:Other/);
    });

    for (const [name, inputs] of Object.entries(FUNCTIONS)) {
        it(`goes to the cloud for ${name}`, async () => {
            await assert.rejects(plugin.invoke(`openstack:${name}`, inputs), /127\.0\.0\.1:9.*connection refused/);
        });
    }

    it("says where it looked for the cloud", async () => {
        const urn = plugin.urn("openstack:compute/keypair:Keypair");
        await assert.rejects(plugin.create(urn, { name: "x", publicKey: "y" }), /127\.0\.0\.1:9.*connection refused/);
    });
});

(!official && which("go") !== undefined ? describe : describe.skip)("stand-in for openstack", function () {
    this.timeout(60_000);

    let plugin: PluginProcess;

    before(async function () {
        // For the case that it has not been built yet.
        this.timeout(600_000);
        plugin = await PluginProcess.start("openstack", {}, CONFIG);
    });
    after(() => plugin.stop());

    it("names itself in its version and, once, in the engine's log", async () => {
        const info = await plugin.call<PluginInfo>((done) => plugin.client.getPluginInfo(new Empty(), done));
        assert.equal(info.getVersion(), `${PIN?.version}+stand-in`);
        const named = plugin.engine.logs.filter(({ message }) =>
            message.includes(`the stand-in for the official plugin openstack ${PIN?.version}`),
        );
        assert.equal(named.length, 1);
        assert.equal(named[0]?.severity, "info");
    });

    for (const stack of ["dev", "test-a"]) {
        it(`serves the stack ${stack}`, async () => {
            assert.deepEqual((await plugin.checkConfig(CONFIG, stack)).failuresList, []);
            const urn = plugin.urn("openstack:networking/network:Network", "it", stack);
            assert.deepEqual((await plugin.check(urn, {})).failuresList, []);
        });
    }

    for (const stack of ["prod", "staging", "test", "developer", "organization-test-a"]) {
        it(`refuses the stack ${stack}`, async () => {
            const message = /stand-ins never run the stack/;
            const config = await plugin.checkConfig(CONFIG, stack);
            assert.match(config.failuresList[0]?.reason ?? "", message);
            const urn = plugin.urn("openstack:networking/network:Network", "it", stack);
            const { failuresList } = await plugin.check(urn, {});
            assert.equal(failuresList.length, 1);
            assert.match(failuresList[0]?.reason ?? "", message);
            await assert.rejects(plugin.create(urn, {}), message);
            await assert.rejects(plugin.diff(urn, "1", {}, {}, {}), message);
            await assert.rejects(plugin.update(urn, "1", {}, {}, {}), message);
            await assert.rejects(plugin.read(urn, "1", {}, {}), message);
            await assert.rejects(plugin.delete(urn, "1", {}, {}), message);
        });
    }

    it("names what it has to whoever asks for something else", async () => {
        const names = (list: readonly string[]): string => list.map((name) => `openstack:${name}`).join(", ");
        const zone = plugin.urn("openstack:dns/zone:Zone");
        const resources = names(Object.keys(RESOURCES).sort());
        const helpful = (error: Error): boolean => error.message.endsWith(`dns/zone:Zone; it has ${resources}`);
        await assert.rejects(plugin.check(zone, {}), helpful);
        await assert.rejects(plugin.create(zone, {}), helpful);
        await assert.rejects(plugin.read(zone, "1", {}, {}), helpful);
        await assert.rejects(plugin.invoke("openstack:dns/getDnsZone:getDnsZone", {}), (error: Error) =>
            error.message.endsWith(`getDnsZone; it has ${names(Object.keys(FUNCTIONS))}`),
        );
    });
});
