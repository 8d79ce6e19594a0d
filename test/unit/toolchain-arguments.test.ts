import assert from "node:assert/strict";
import {
    editsCommittedFile,
    isLocalStack,
    readArguments,
    takesConfigFile,
    usesPlugins,
} from "../../toolchain/arguments";

const read = (script: "pulumi" | "up" | "preview" | "destroy", line: string, selected?: string) =>
    readArguments(script, line === "" ? [] : line.split(" "), "/work", selected);

describe("toolchain: arguments", () => {
    it("works on dev when no stack is named, and approves changes of it", () => {
        const { command, stack, local, project, pulumiArguments } = read("up", "");
        assert.deepEqual(
            { command, stack, local, project },
            { command: "up", stack: "dev", local: true, project: "/work" },
        );
        assert.deepEqual(pulumiArguments, ["up", "--stack", "dev", "--yes"]);
    });

    it("never approves changes of a stack that is not of this machine", () => {
        for (const line of ["--stack prod", "-s prod", "--stack=prod", "-sprod", "--stack acme/harborage/dev"]) {
            for (const script of ["up", "destroy"] as const) {
                const invocation = read(script, line);
                assert.equal(invocation.local, false, line);
                assert.ok(!invocation.pulumiArguments.includes("--yes"), line);
            }
        }
        assert.deepEqual(read("up", "", "prod").stack, "prod", "the stack of PULUMI_STACK");
    });

    it("keeps what is protected when it destroys, and asks for it once", () => {
        assert.deepEqual(read("destroy", "").pulumiArguments, [
            "destroy",
            "--stack",
            "dev",
            "--yes",
            "--exclude-protected",
        ]);
        assert.deepEqual(read("destroy", "-y --exclude-protected --stack prod").pulumiArguments, [
            "destroy",
            "-y",
            "--exclude-protected",
            "--stack",
            "prod",
        ]);
    });

    it("adds nothing but the stack to what is passed to pulumi", () => {
        assert.deepEqual(read("pulumi", "up").pulumiArguments, ["up", "--stack", "dev"]);
        assert.deepEqual(read("pulumi", "version").pulumiArguments, ["version"]);
        assert.equal(read("pulumi", "version").stack, undefined);
        assert.equal(read("pulumi", "up --help").stack, undefined);
    });

    it("finds the command behind options with values, and two-word commands", () => {
        assert.equal(read("pulumi", "--color never -C /x stack output url --show-secrets").command, "stack output");
        assert.equal(read("pulumi", "-C sub up").project, "/work/sub");
        assert.equal(read("pulumi", "config set a:b c --stack test-x").command, "config set");
        assert.equal(read("pulumi", "stack").command, "stack");
        assert.equal(read("pulumi", "down").command, "destroy");
    });

    it("takes the stack from its place where pulumi does", () => {
        assert.equal(read("pulumi", "stack init test-a").stack, "test-a");
        assert.deepEqual(
            read("pulumi", "stack rm test-a --yes").pulumiArguments,
            "stack rm test-a --yes --preserve-config".split(" "),
        );
        assert.equal(read("pulumi", "stack ls").stack, undefined);
    });

    it("takes --config-file out, to put the generated file in its place", () => {
        const { configFile, pulumiArguments } = read("up", "--config-file my.yaml --stack test-a --diff");
        assert.equal(configFile, "/work/my.yaml");
        assert.deepEqual(pulumiArguments, ["up", "--stack", "test-a", "--diff", "--yes"]);
        assert.equal(read("up", "--config-file=my.yaml").configFile, "/work/my.yaml");
        assert.ok(takesConfigFile(read("pulumi", "config get x")));
        assert.ok(!takesConfigFile(read("pulumi", "stack output")));
    });

    it("puts what it adds before a --", () => {
        assert.deepEqual(read("pulumi", "logs -- x").pulumiArguments, ["logs", "--stack", "dev", "--", "x"]);
    });

    it("knows which commands edit the committed file and which need plugins", () => {
        assert.ok(editsCommittedFile(read("pulumi", "config set a b")));
        assert.ok(!editsCommittedFile(read("pulumi", "config set --secret a b")));
        const secrets = ["harborage:ciPassword"];
        assert.ok(editsCommittedFile(read("pulumi", "config rm publicName"), secrets));
        assert.ok(!editsCommittedFile(read("pulumi", "config rm ciPassword"), secrets));
        assert.ok(!editsCommittedFile(read("pulumi", "config rm harborage:ciPassword --stack test-x"), secrets));
        assert.ok(usesPlugins(read("destroy", "")));
        assert.ok(!usesPlugins(read("pulumi", "stack output")));
    });

    it("counts dev and test-* alone as stacks of this machine", () => {
        assert.deepEqual(["dev", "test-x", "test-", "prod", "devel", "acme/p/dev", "mytest-x"].map(isLocalStack), [
            true,
            true,
            false,
            false,
            false,
            false,
            false,
        ]);
    });
});
