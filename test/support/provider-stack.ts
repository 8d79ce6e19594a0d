import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { localEngine, type Engine } from "../../toolchain/engine";
import { projectDirectory } from "./launcher";
import { start, type Ran, type Running } from "./processes";

/** A resource that the program of a {@link ProviderStack} declares. */
export interface Declared {
    /** A class of components/harbor-api; or a token, for a resource whose arguments go to the plugin as they are. */
    readonly type: string;
    readonly name: string;
    /** `{ $of: NAME, output: OUTPUT }` stands for an output of a resource before it, `{ $unknown: VALUE }` for one that a preview does not know. */
    readonly args: Readonly<Record<string, unknown>>;
    readonly options?: Readonly<Record<string, unknown>>;
    /** Resources before it that it depends on. */
    readonly after?: readonly string[];
}

/** The program: what it declares is read from a file beside it. */
const PROGRAM = (project: string): string => `"use strict";
require("tsx/cjs");
const pulumi = require("@pulumi/pulumi");
const api = require(${JSON.stringify(join(project, "components/harbor-api"))});
const { provider: config, resources } = JSON.parse(require("node:fs").readFileSync("declared.json", "utf8"));
const made = {};
const value = (given) => {
    if (Array.isArray(given)) return given.map(value);
    if (typeof given !== "object" || given === null) return given;
    if ("$of" in given) return made[given.$of][given.output];
    if ("$unknown" in given) return new pulumi.Output([], Promise.resolve(given.$unknown), Promise.resolve(!pulumi.runtime.isDryRun()), Promise.resolve(false), Promise.resolve([]));
    return Object.fromEntries(Object.entries(given).map(([key, each]) => [key, value(each)]));
};
const provider = new api.Provider("harbor", value(config));
for (const { type, name, args, options, after = [] } of resources) {
    const all = { provider, dependsOn: after.map((each) => made[each]), ...options };
    made[name] = type.includes(":") ? new pulumi.CustomResource(type, name, value(args), all) : new api[type](name, value(args), all);
}
if ("active" in made) exports.seenEpoch = made.active.seenEpoch.apply((epoch) => "epoch " + epoch);
if ("robot" in made) exports.robot = { name: made.robot.fullName, secret: made.robot.secret };
`;

/** A Pulumi program of its own that uses the provider, on the real engine. */
export class ProviderStack {
    /** Added to the environment of every run. */
    env: Readonly<Record<string, string>> = {};

    private constructor(
        readonly folder: string,
        private readonly engine: Engine,
        private readonly stack: string,
    ) {}

    static async make(word: string): Promise<ProviderStack> {
        const engine = await localEngine([]);
        const folder = mkdtempSync(join(tmpdir(), `harborage-provider-${word}-`));
        symlinkSync(join(projectDirectory, "node_modules"), join(folder, "node_modules"));
        mkdirSync(join(folder, "state"));
        writeFileSync(join(folder, "package.json"), "{}");
        writeFileSync(join(folder, "index.js"), PROGRAM(projectDirectory));
        writeFileSync(
            join(folder, "Pulumi.yaml"),
            stringify({
                name: "harborage",
                runtime: { name: "nodejs", options: { typescript: false } },
                plugins: { providers: [{ name: "harborage", path: join(projectDirectory, "provider") }] },
            }),
        );
        const made = new ProviderStack(folder, engine, `test-provider-${word}`);
        const { code, output } = await made.pulumi("stack", "init", made.stack);
        if (code !== 0) {
            throw new Error(output);
        }
        return made;
    }

    declare(provider: Readonly<Record<string, unknown>>, resources: readonly Declared[]): void {
        writeFileSync(join(this.folder, "declared.json"), JSON.stringify({ provider, resources }));
    }

    /** Any command; those that would ask are told yes. */
    pulumi(...args: readonly string[]): Promise<Ran> {
        return this.start(...args).done;
    }

    start(...args: readonly string[]): Running {
        const [command = ""] = args;
        const yes = ["up", "refresh", "destroy"].includes(command) ? ["--yes", "--skip-preview"] : [];
        return start(this.engine.cli, [...args, ...yes, "--non-interactive"], {
            cwd: this.folder,
            env: {
                ...this.engine.env,
                ...this.env,
                PULUMI_BACKEND_URL: `file://${join(this.folder, "state")}`,
                PULUMI_CONFIG_PASSPHRASE: "test",
                PULUMI_STACK: this.stack,
            },
        });
    }

    /** Like {@link pulumi}. @throws Error with all that it wrote, when it fails */
    async run(...args: readonly string[]): Promise<string> {
        const { code, output } = await this.pulumi(...args);
        if (code !== 0) {
            throw new Error(`pulumi ${args.join(" ")}: exit code ${code}\n${output}`);
        }
        return output;
    }

    /** The state's file, as it is on disk. */
    state(): string {
        return readFileSync(join(this.folder, "state/.pulumi/stacks/harborage", `${this.stack}.json`), "utf8");
    }

    remove(): void {
        rmSync(this.folder, { recursive: true, force: true });
    }
}
