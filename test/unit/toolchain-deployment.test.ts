import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { readForgetArguments } from "../../toolchain/arguments";
import { forgetMachine, machineNames, protectedLines } from "../../toolchain/deployment";

const urn = (type: string, name: string) => `urn:pulumi:prod::harborage::${type}::${name}`;
const claim = (machine: string, hex: string) => ({
    urn: urn("random:index/randomId:RandomId", `${machine}-claim`),
    type: "random:index/randomId:RandomId",
    custom: true,
    outputs: { hex },
});
const script = (name: string, args: string, dependsOn: readonly string[] = []) => ({
    urn: urn("command:remote:Command", name),
    type: "command:remote:Command",
    custom: true,
    inputs: { create: `bash -s -- apply ${args}`, triggers: [] },
    dependencies: dependsOn.map((each) => urn("command:remote:Command", each)),
    propertyDependencies: { create: dependsOn.map((each) => urn("command:remote:Command", each)), stdin: null },
});

const exported = {
    version: 3,
    deployment: {
        manifest: { magic: "kept" },
        resources: [
            claim("one", "aaaa1111"),
            claim("two", "bbbb2222"),
            script("one-preflight", "/srv aaaa1111 5"),
            script("two-preflight", "/srv bbbb2222 5"),
            {
                ...script("one-files", "/srv project hash", ["one-preflight"]),
                inputs: { create: "bash -s -- apply /srv project hash", triggers: ["aaaa1111-1"] },
            },
            {
                urn: urn("command:remote:CopyToRemote", "one-file-9f86d081"),
                type: "command:remote:CopyToRemote",
                custom: true,
                inputs: { remotePath: "/srv/incoming/9f86", triggers: ["aaaa1111-1"] },
            },
            {
                ...script("two-release", "/srv bbbb2222-1", ["one-files", "two-preflight"]),
                deletedWith: urn("command:remote:Command", "one-files"),
            },
            {
                urn: urn("openstack:blockstorage/volume:Volume", "one"),
                type: "openstack:blockstorage/volume:Volume",
                id: "5d1c",
                custom: true,
                protect: true,
                outputs: { name: "harborage-prod-one-data" },
            },
            {
                urn: urn("harborage:index:OpenstackMachine", "one"),
                type: "harborage:index:OpenstackMachine",
                protect: true,
            },
        ],
    },
};

describe("a stack's state", () => {
    it("forgets what was done on one machine, and nothing else", () => {
        const result = forgetMachine(exported, "one");
        assert.deepEqual(result.forgotten, ["one-preflight", "one-files", "one-file-9f86d081"]);
        const { resources } = result.exported.deployment;
        assert.deepEqual(
            resources.map((resource) => resource.urn.split("::").at(-1)),
            ["one-claim", "two-claim", "two-preflight", "two-release", "one", "one"],
        );
        assert.deepEqual(result.exported.deployment.manifest, { magic: "kept" });
    });

    it("leaves no mention of what was forgotten", () => {
        const { deployment } = forgetMachine(exported, "one").exported;
        const text = JSON.stringify(deployment.resources);
        for (const name of ["one-preflight", "one-files", "one-file-9f86d081"]) {
            assert.ok(!text.includes(`::${name}"`), name);
        }
        const release = deployment.resources.find((resource) => resource.urn.endsWith("::two-release"));
        assert.deepEqual(release && "dependencies" in release ? release.dependencies : [], [
            urn("command:remote:Command", "two-preflight"),
        ]);
    });

    it("forgets nothing for a machine that is not there", () => {
        const result = forgetMachine(exported, "three");
        assert.deepEqual(result.forgotten, []);
        assert.equal(result.exported.deployment.resources.length, exported.deployment.resources.length);
        assert.deepEqual(machineNames(exported), ["one", "two"]);
    });

    it("names what is protected, and how to delete it", () => {
        assert.deepEqual(protectedLines(exported, "prod"), [
            `Volume harborage-prod-one-data (5d1c); delete it with: npm run pulumi -- state unprotect '${urn("openstack:blockstorage/volume:Volume", "one")}' --yes --stack prod, then npm run destroy -- --stack prod`,
        ]);
    });
});

describe("npm run forget", () => {
    it("takes a machine and a stack", () => {
        const want = { machine: "node", stack: "prod", project: "/project" };
        assert.deepEqual(readForgetArguments(["--machine", "node", "--stack", "prod"], "/project", undefined), want);
        assert.deepEqual(readForgetArguments(["--machine=node"], "/project", "prod"), want);
        assert.equal(readForgetArguments(["--machine", "node"], "/project", undefined).stack, "dev");
    });

    it("says how it is called", () => {
        for (const words of [[], ["node"], ["--machine"], ["--machine", "node", "--force"]]) {
            assert.throws(
                () => readForgetArguments(words, "/project", undefined),
                /usage: npm run forget -- --machine NAME/,
            );
        }
    });
});
