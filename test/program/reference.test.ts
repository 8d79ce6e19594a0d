import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, describe, it } from "mocha";
import { RegistryReference, secretOutputs, type OutputValues } from "../../config/outputs";

const values: OutputValues = {
    registryUrl: "https://registry.example.com",
    registryHost: "registry.example.com",
    engine: "distribution",
    loadBalancerAddress: "192.0.2.10",
    caCertificate: "-----BEGIN CERTIFICATE-----\n",
    adminUsername: "admin",
    adminPassword: "correct horse",
    nodes: [{ name: "box", address: "10.0.0.1", role: "active" }],
    storage: { objects: { kind: "node", location: "/srv" } },
    clientTrust: [{ client: "docker", path: "/etc/docker/certs.d/x/ca.crt", content: "x" }],
    pullSecret: "{}",
};

/** The outputs of the stack that is referred to. */
let outputs: Record<string, unknown>;

/** An output's value, or its failure: `apply` would only tell of values. */
function valueOf<T>(output: pulumi.Output<T>): Promise<T> {
    return (output as unknown as { promise(): Promise<T> }).promise();
}

describe("RegistryReference", () => {
    beforeEach(async () => {
        outputs = { ...values };
        await pulumi.runtime.setMocks({
            call: () => ({}),
            newResource: ({ name, inputs }) => ({
                id: name,
                // The engine marks secrets as well; here the reader must do it alone.
                state: { ...(inputs as Record<string, unknown>), outputs, secretOutputNames: [] },
            }),
        });
    });
    afterEach(() => pulumi.runtime.disconnect());

    it("reads every output of another stack", async () => {
        const reference = new RegistryReference("acme/harborage/prod");
        const names = Object.keys(values) as (keyof OutputValues)[];
        assert.deepEqual(Object.keys(reference.outputs).sort(), [...names].sort());
        for (const name of names) {
            assert.deepEqual(await valueOf<unknown>(reference.outputs[name]), values[name], name);
            assert.equal(
                await pulumi.isSecret(reference.outputs[name] as pulumi.Output<unknown>),
                (secretOutputs as readonly string[]).includes(name),
                name,
            );
        }
    });

    it("says which output of which stack is missing", async () => {
        delete outputs["registryHost"];
        await assert.rejects(
            valueOf(new RegistryReference("acme/harborage/prod").outputs.registryHost),
            /stack acme\/harborage\/prod: output registryHost is missing; expected the outputs of a Harborage stack/,
        );
    });

    it("says which output has another shape, without its value", async () => {
        outputs["adminPassword"] = { value: "hunter2" };
        await assert.rejects(
            valueOf(new RegistryReference("acme/harborage/prod").outputs.adminPassword),
            (error: Error) => {
                assert.match(error.message, /output adminPassword is of another shape/);
                assert.doesNotMatch(error.message, /hunter2/);
                return pulumi.RunError.isInstance(error);
            },
        );
    });
});
