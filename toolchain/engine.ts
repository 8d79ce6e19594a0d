import * as path from "node:path";
import { cacheRoot } from "./cache";
import { downloadCli, hasOfficialPlugins, installPlugins, officialCli } from "./official";
import { cliVersion, pluginPins } from "./pins";
import { Problem } from "./problem";
import { mode } from "./reach";
import { builtCli, cliWithLanguageHost, hasBuiltCli, hasStandInHome, standInHome } from "./stand-ins";

/** A Pulumi CLI that is ready to run, and what it needs around it. */
export interface Engine {
    readonly cli: string;
    /** To be added to the environment of the CLI. */
    readonly env: Readonly<Record<string, string>>;
    /** What is not the official thing, by name and version; empty when everything is. */
    readonly standIns: readonly string[];
}

/** Settings of a Pulumi home of our own: it must not look for anything on the net. */
const CLOSED: Readonly<Record<string, string>> = {
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    PULUMI_ENABLE_AUTOMATIC_LOGGING: "false",
    PULUMI_DISABLE_TELEMETRY: "true",
};

/**
 * Finds or makes the engine for a stack of this machine, or for no stack at all: official where that is possible,
 * otherwise built and stand-in.
 *
 * @param plugins whether resource plugins are going to be needed
 */
export async function localEngine(plugins: boolean): Promise<Engine> {
    // What has been built once is used again without asking the net.
    const settled = mode() !== "download";
    const cli = (await officialCli()) ?? (settled && hasBuiltCli() ? undefined : await downloadCli());
    if (cli !== undefined) {
        if (!plugins || hasOfficialPlugins() || (!(settled && hasStandInHome()) && (await installPlugins(cli)))) {
            return { cli, env: withPath(cli), standIns: [] };
        }
        const home = await standInHome();
        return { cli, env: { ...withPath(cli), ...CLOSED, PULUMI_HOME: home }, standIns: pluginTitles() };
    }
    const [built, home] = await Promise.all([
        builtCli().then(cliWithLanguageHost),
        plugins ? standInHome() : path.join(cacheRoot(), "plain-pulumi-home"),
    ]);
    return {
        cli: built,
        env: { ...withPath(built), ...CLOSED, PULUMI_HOME: home },
        standIns: [`Pulumi CLI ${cliVersion()} built from its Go module`, "Node language host", ...pluginTitles()],
    };
}

/**
 * The engine for a stack that is not of this machine: the user's own Pulumi, unchanged.
 *
 * @throws Problem where the official CLI cannot be had
 */
export async function officialEngine(stack: string): Promise<Engine> {
    const cli = (await officialCli()) ?? (await downloadCli());
    if (cli === undefined) {
        const why =
            mode() === "build"
                ? "HARBORAGE_TOOLCHAIN=build asks for a built one"
                : "there is none on PATH and it cannot be downloaded here";
        throw new Problem(
            `Stack ${stack} needs the official Pulumi CLI and plugins, and ${why}.\n` +
                "Built and stand-in parts are for the stacks of this machine only: dev, and test-* of the tests.",
        );
    }
    return { cli, env: withPath(cli), standIns: [] };
}

/** The language hosts are found beside the CLI; the official installer leaves that folder to the caller's PATH. */
function withPath(cli: string): Record<string, string> {
    return { PATH: [path.dirname(cli), process.env["PATH"] ?? ""].join(path.delimiter) };
}

function pluginTitles(): string[] {
    return pluginPins().map(({ name, version }) => `${name} ${version}`);
}
