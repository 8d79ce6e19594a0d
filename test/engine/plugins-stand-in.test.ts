import { strict as assert } from "node:assert";
import { before, describe, it, after } from "mocha";
import { Empty } from "google-protobuf/google/protobuf/empty_pb";
import type { PluginInfo } from "@pulumi/pulumi/proto/plugin_pb";
import { InvokeRequest, type InvokeResponse } from "@pulumi/pulumi/proto/provider_pb";
import { textOf, type Values } from "../../toolchain/plugins/lib/values";
import { officialPlugin, PluginProcess, type PluginName } from "./plugins-harness";

/** Nothing of this holds for an official plugin that is tested in a stand-in's place. */
const suite = (name: PluginName): Mocha.PendingSuiteFunction | Mocha.SuiteFunction =>
    officialPlugin(name) === undefined ? describe : describe.skip;

/** What a stand-in does and the official plugin does not: it names itself and keeps to its place. */
for (const [name, version, type, inputs] of [
    ["random", "4.21.2", "random:index/randomPassword:RandomPassword", { length: 20 }],
    ["tls", "5.6.1", "tls:index/privateKey:PrivateKey", { algorithm: "RSA" }],
    ["command", "1.2.1", "command:local:Command", { create: "true" }],
] as readonly [PluginName, string, string, Values][]) {
    suite(name)(`stand-in for ${name}`, function () {
        this.timeout(60_000);
        let plugin: PluginProcess;

        before(async () => {
            plugin = await PluginProcess.start(name);
        });
        after(() => plugin.stop());

        it("names itself in its version and, once, in the engine's log", async () => {
            const info = await plugin.call<PluginInfo>((done) => plugin.client.getPluginInfo(new Empty(), done));
            assert.equal(info.getVersion(), `${version}+stand-in`);
            const named = plugin.engine.logs.filter(({ message }) =>
                message.includes(`the stand-in for the official plugin ${name} ${version}`),
            );
            assert.equal(named.length, 1);
            assert.equal(named[0]?.ephemeral, false);
        });

        for (const stack of ["dev", "test-a"]) {
            it(`serves the stack ${stack}`, async () => {
                const { failuresList, checked } = await plugin.check(plugin.urn(type, "it", stack), inputs);
                assert.deepEqual(failuresList, []);
                assert.deepEqual(checked, inputs);
            });
        }

        for (const stack of ["prod", "staging", "test", "developer", "organization-test-a"]) {
            it(`refuses the stack ${stack}`, async () => {
                const urn = plugin.urn(type, "it", stack);
                const { failuresList } = await plugin.check(urn, inputs);
                assert.equal(failuresList.length, 1);
                assert.ok(failuresList[0]?.reason.includes(`stand-ins never run the stack "${stack}"`));
                assert.ok(failuresList[0]?.reason.includes("the official plugin"));
                const message = /stand-ins never run the stack/;
                await assert.rejects(plugin.create(urn, inputs), message);
                await assert.rejects(plugin.diff(urn, "1", inputs, inputs, inputs), message);
                await assert.rejects(plugin.update(urn, "1", inputs, inputs, inputs), message);
                await assert.rejects(plugin.read(urn, "1", inputs, inputs), message);
                await assert.rejects(plugin.delete(urn, "1", inputs, inputs), message);
            });
        }

        it("refuses resources and functions that it does not have", async () => {
            const unknown = plugin.urn(`${name}:index/other:Other`);
            await assert.rejects(plugin.check(unknown, {}), /has no resource type .*:index\/other:Other; it has /);
            const request = new InvokeRequest().setTok(`${name}:index/other:other`);
            await assert.rejects(
                plugin.call<InvokeResponse>((done) => plugin.client.invoke(request, done)),
                /has no function .*:index\/other:other/,
            );
        });

        it("refuses inputs that it does not have", async () => {
            const { failuresList } = await plugin.check(plugin.urn(type), { ...inputs, somethingElse: "x" });
            assert.equal(failuresList.length, 1);
        });
    });
}

suite("command")("stand-in for command: commands", function () {
    this.timeout(60_000);
    let plugin: PluginProcess;

    before(async () => {
        plugin = await PluginProcess.start("command");
    });
    after(() => plugin.stop());

    it("fails where the official plugin hangs: at a logged line of 64 KiB", async () => {
        const urn = plugin.urn("command:local:Command");
        const create = "head -c 70000 /dev/zero | tr '\\0' x";
        await assert.rejects(plugin.create(urn, { create }), /64 KiB or more, at which the official plugin hangs/);
        const { properties } = await plugin.create(urn, { create, logging: "none" });
        assert.equal(textOf(properties["stdout"]).length, 70_000);
    });

    it("refuses assets", async () => {
        const urn = plugin.urn("command:local:Command");
        for (const property of ["assetPaths", "archivePaths"]) {
            const { failuresList } = await plugin.check(urn, { create: "true", [property]: ["*"] });
            assert.equal(failuresList[0]?.property, property);
        }
    });
});
