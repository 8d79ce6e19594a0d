import * as path from "node:path";
import { cacheRoot } from "./cache";
import { downloadCli, hasOfficialPlugins, installPlugins, officialCli } from "./official";
import { cliVersion, pluginPins, type PluginName } from "./pins";
import { Problem } from "./problem";
import { mode } from "./reach";
import { builtCli, cliWithLanguageHost, hasBuiltCli, hasStandInHome, standInHome, standInTitle } from "./stand-ins";

/** A Pulumi CLI that is ready to run, and what it needs around it. */
export interface Engine {
    readonly cli: string;
    /** To be added to the environment of the CLI. */
    readonly env: Readonly<Record<string, string>>;
    /** What is not the official thing, by name and version; empty when everything is. */
    readonly standIns: readonly string[];
}

/**
 * For every stack of this machine: Pulumi would begin with the plugins of all SDKs that are installed; this way it takes
 * those that are called for. A version that does not know the option does not read the variable either.
 */
const LAZY: Readonly<Record<string, string>> = { PULUMI_OPTION_SKIP_PLUGIN_PRE_INSTALL: "true" };

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
 * @param names the resource plugins that are going to be needed
 */
export async function localEngine(names: readonly PluginName[]): Promise<Engine> {
    const plugins = pluginPins(names);
    // What has been built once is used again without asking the net.
    const settled = mode() !== "download";
    const cli = (await officialCli()) ?? (settled && hasBuiltCli() ? undefined : await downloadCli());
    if (cli !== undefined) {
        if (
            plugins.length === 0 ||
            hasOfficialPlugins(plugins) ||
            (!(settled && hasStandInHome(plugins)) && (await installPlugins(cli, plugins)))
        ) {
            return { cli, env: { ...withPath(cli), ...LAZY }, standIns: [] };
        }
        const home = await standInHome(plugins);
        return {
            cli,
            env: { ...withPath(cli), ...LAZY, ...CLOSED, PULUMI_HOME: home },
            standIns: plugins.map(standInTitle),
        };
    }
    const [built, home] = await Promise.all([
        builtCli().then(cliWithLanguageHost),
        plugins.length > 0 ? standInHome(plugins) : path.join(cacheRoot(), "plain-pulumi-home"),
    ]);
    return {
        cli: built,
        env: { ...withPath(built), ...LAZY, ...CLOSED, PULUMI_HOME: home },
        standIns: [
            `Pulumi CLI ${cliVersion()} built from its Go module`,
            "Node language host",
            ...plugins.map(standInTitle),
        ],
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
