import { existsSync, statSync } from "node:fs";
import { homedir } from "node:os";
import * as path from "node:path";
import { readNote, writeNote } from "./cache";
import { OLDEST_CLI, cliVersion, packageFolder, type PluginPin } from "./pins";
import { isExecutable, run, which } from "./processes";
import { PULUMI_DOWNLOADS, canDownloadFrom, mode, rememberReachable } from "./reach";
import { say, step } from "./steps";

/** How long the download of the CLI may take, in milliseconds: 100 MB on a slow line. */
const CLI_TIME = 15 * 60 * 1000;

/** How long the download of a plugin may take, in milliseconds. */
const PLUGIN_TIME = 5 * 60 * 1000;

/** The folder in which the user's own Pulumi keeps plugins, versions and logins. */
export function userPulumiHome(): string {
    return process.env["PULUMI_HOME"] || path.join(homedir(), ".pulumi");
}

/**
 * The official CLI that is here already: one on PATH that is new enough, or the one that the npm package `pulumi` has
 * downloaded.
 */
export async function officialCli(): Promise<string | undefined> {
    if (mode() === "build") {
        return undefined;
    }
    const onPath = which("pulumi");
    if (onPath !== undefined && isNewEnough(await versionOf(onPath))) {
        return onPath;
    }
    const downloaded = downloadedCli();
    return isExecutable(downloaded) ? downloaded : undefined;
}

/** Downloads the official CLI through the npm package; undefined where that is not possible. */
export async function downloadCli(): Promise<string | undefined> {
    if (!(await canDownloadFrom(PULUMI_DOWNLOADS))) {
        return undefined;
    }
    return download(`downloading the Pulumi CLI ${cliVersion()}`, async () => {
        await run(process.execPath, [path.join(packageFolder("pulumi"), "run.js"), "version"], { timeout: CLI_TIME });
        return downloadedCli();
    });
}

/** Whether these official plugins are all here already. */
export function hasOfficialPlugins(plugins: readonly PluginPin[]): boolean {
    return mode() !== "build" && missing(plugins).length === 0;
}

/** Installs those of the official plugins that are missing; false where that is not possible. */
export async function installPlugins(cli: string, plugins: readonly PluginPin[]): Promise<boolean> {
    if (!(await canDownloadFrom(PULUMI_DOWNLOADS))) {
        return false;
    }
    const wanted = missing(plugins);
    const titles = wanted.map(({ name, version }) => `${name} ${version}`).join(", ");
    const installed = await download(`downloading the Pulumi plugins ${titles}`, async () => {
        for (const { name, version } of wanted) {
            await run(cli, ["plugin", "install", "resource", name, `v${version}`], { timeout: PLUGIN_TIME });
        }
        return true;
    });
    return installed ?? false;
}

function missing(plugins: readonly PluginPin[]): PluginPin[] {
    return plugins.filter(({ name, version }) => {
        const directory = path.join(userPulumiHome(), "plugins", `resource-${name}-v${version}`);
        // Pulumi marks an installation that was cut short by a file of this name beside the folder.
        return !existsSync(directory) || existsSync(`${directory}.partial`);
    });
}

/** Where the npm package `pulumi` puts the CLI. */
function downloadedCli(): string {
    return path.join(userPulumiHome(), "versions", cliVersion(), "bin", "pulumi");
}

/** Runs a download; a failure is noted, so that nothing else is tried in vain, unless downloads were asked for. */
async function download<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
        return await step(what, work);
    } catch (error) {
        if (mode() === "download") {
            throw error;
        }
        say(`harborage: ${what}: not possible here (${error instanceof Error ? error.message : String(error)})`);
        rememberReachable(PULUMI_DOWNLOADS, false);
        return undefined;
    }
}

interface KnownVersion {
    readonly file: string;
    readonly size: number;
    readonly modified: number;
    readonly version: string;
}

/** What `pulumi version` says; asked again only when the file has changed. */
async function versionOf(cli: string): Promise<string> {
    const { size, mtimeMs: modified } = statSync(cli);
    const known = readNote("cli-version") as KnownVersion | undefined;
    if (known?.file === cli && known.size === size && known.modified === modified) {
        return known.version;
    }
    const version = await run(cli, ["version"], {
        timeout: 30_000,
        env: { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "true" },
    }).then(
        (output) => output.trim(),
        () => "",
    );
    writeNote("cli-version", { file: cli, size, modified, version } satisfies KnownVersion);
    return version;
}

/** Whether a CLI of this version can run the program: `v3.259.0`. */
export function isNewEnough(version: string): boolean {
    const [, major, minor] = /^v?(\d+)\.(\d+)\./u.exec(version) ?? [];
    return Number(major) === OLDEST_CLI.major && Number(minor) >= OLDEST_CLI.minor;
}
