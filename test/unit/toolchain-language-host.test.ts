import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import {
    outcomeOf,
    programArguments,
    programEnvironment,
    type ProgramRun,
} from "../../toolchain/language-host/invocation";
import { parseOptions, splitArguments } from "../../toolchain/language-host/options";
import { directDependencies, installedPackages, requiredPlugins } from "../../toolchain/language-host/packages";

const run: ProgramRun = {
    engine: "127.0.0.1:1",
    monitor: "127.0.0.1:2",
    organization: "acme",
    project: "p",
    stack: "dev",
    rootDirectory: "/r",
    programDirectory: "/r/sub",
    entryPoint: ".",
    dryRun: true,
    parallel: 16,
    programArguments: [],
    config: new Map([["p:name", "value"]]),
    secretKeys: ["p:name"],
};

describe("toolchain: language host", () => {
    it("reads the runtime options, with their defaults", () => {
        assert.deepEqual(parseOptions({}), { typescript: true, nodeArguments: [], production: false });
        assert.deepEqual(parseOptions({ typescript: false, tsconfig: "t.json", nodeargs: "--a --b=1" }), {
            typescript: false,
            tsconfig: "t.json",
            nodeArguments: ["--a", "--b=1"],
            production: false,
        });
        assert.throws(
            () => parseOptions({ typescript: "yes" }),
            /runtime\.options\.typescript: expected a boolean, found "yes"/,
        );
    });

    it("splits arguments as a shell does", () => {
        assert.deepEqual(splitArguments(`--a  'b c' "d \\"e" f\\ g x'y'z ''`), [
            "--a",
            "b c",
            'd "e',
            "f g",
            "xyz",
            "",
        ]);
        assert.throws(() => splitArguments("--a 'b"), /unfinished quote/);
    });

    it("passes all that the program's runner takes", () => {
        const options = parseOptions({ nodeargs: "--max-old-space-size=512" });
        assert.deepEqual(programArguments(run, "/sdk/run", options), [
            "--max-old-space-size=512",
            "/sdk/run",
            ...["--monitor", "127.0.0.1:2", "--engine", "127.0.0.1:1", "--organization", "acme", "--project", "p"],
            ...["--root-directory", "/r", "--stack", "dev", "--pwd", "/r/sub", "--dry-run", "--parallel", "16", "."],
        ]);
        assert.deepEqual(programEnvironment(run, options), {
            PULUMI_CONFIG: '{"p:config:name":"value"}',
            PULUMI_CONFIG_SECRET_KEYS: '["p:name"]',
            PULUMI_NODEJS_TYPESCRIPT: "true",
        });
    });

    it("tells the engine how the program ended", () => {
        assert.deepEqual(outcomeOf(0, null, false), { error: "", bail: false });
        assert.deepEqual(outcomeOf(32, null, false), { error: "", bail: true });
        assert.match(outcomeOf(1, null, false).error, /exited with code 1/);
        assert.match(outcomeOf(null, "SIGKILL", false).error, /killed by SIGKILL/);
        assert.match(outcomeOf(134, null, true).error, /--max-old-space-size/);
    });

    it("finds the plugins that the installed packages need, nested ones too, each once", () => {
        const root = mkdtempSync(path.join(tmpdir(), "packages-"));
        const put = (folder: string, manifest: object): void => {
            mkdirSync(path.join(root, folder), { recursive: true });
            writeFileSync(path.join(root, folder, "package.json"), JSON.stringify(manifest));
        };
        try {
            put(".", { name: "p", dependencies: { "@pulumi/random": "1" } });
            put("node_modules/@pulumi/random", {
                name: "@pulumi/random",
                version: "1.0.0",
                pulumi: { resource: true },
            });
            put("node_modules/x", { name: "x", version: "3.0.0" });
            const named = { resource: true, name: "y", version: "v2.1.0", server: "https://y.example" };
            put("node_modules/x/node_modules/pulumi-y", { name: "pulumi-y", version: "2.0.0", pulumi: named });
            put("node_modules/z/node_modules/pulumi-y", { name: "pulumi-y", version: "2.0.0", pulumi: named });
            mkdirSync(path.join(root, "sub"));
            assert.deepEqual(
                requiredPlugins(path.join(root, "sub")).sort((a, b) => a.name.localeCompare(b.name)),
                [
                    { name: "random", version: "v1.0.0", server: "" },
                    { name: "y", version: "v2.1.0", server: "https://y.example" },
                ],
            );
            assert.deepEqual(installedPackages(root).length, 4);
            assert.deepEqual([...directDependencies(root)], ["@pulumi/random"]);
        } finally {
            rmSync(root, { recursive: true });
        }
    });
});
