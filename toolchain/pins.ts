import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as path from "node:path";

/** The project's own folder, where node_modules is. */
export const PROJECT_ROOT = path.dirname(__dirname);

/** The plugins that every stack uses, by the name of their npm package below @pulumi. */
export const COMMON_PLUGINS = ["random", "tls", "command"] as const;

/** The plugins that a stack uses when it has machines of the kind of the same name. */
export const MACHINE_PLUGINS = ["openstack"] as const;

export type PluginName = (typeof COMMON_PLUGINS | typeof MACHINE_PLUGINS)[number];

export interface PluginPin {
    readonly name: PluginName;
    /** Without a leading v. */
    readonly version: string;
}

/** Plugins with the versions that the installed SDKs ask for. */
export function pluginPins(names: readonly PluginName[]): PluginPin[] {
    return names.map((name) => ({ name, version: installedVersion(`@pulumi/${name}`) }));
}

/** The version of the Pulumi CLI: the one that the npm package `pulumi` stands for. */
export function cliVersion(): string {
    return installedVersion("pulumi");
}

/** The oldest CLI on PATH that is used as it is: the one that the SDK belongs to. */
export const OLDEST_CLI = { major: 3, minor: 248 } as const;

/** Version of CNCF Distribution in toolchain/registry/go.mod. */
export function registryVersion(): string {
    return moduleVersion("registry", "github.com/distribution/distribution/v3");
}

/** Version of Docker's compose plugin in toolchain/compose/go.mod. */
export function composeVersion(): string {
    return moduleVersion("compose", "github.com/docker/compose/v2");
}

/** Folder of an installed npm package. */
export function packageFolder(name: string): string {
    return path.dirname(createRequire(path.join(PROJECT_ROOT, "package.json")).resolve(`${name}/package.json`));
}

function installedVersion(name: string): string {
    const manifest = JSON.parse(readFileSync(path.join(packageFolder(name), "package.json"), "utf8")) as {
        version: string;
    };
    // The package of openstack writes its own with a leading v.
    return manifest.version.replace(/^v/u, "");
}

function moduleVersion(folder: string, module: string): string {
    const text = readFileSync(path.join(__dirname, folder, "go.mod"), "utf8");
    const version = text
        .split("\n")
        .map((line) => line.trim().split(/\s+/u))
        .find(([name]) => name === module)?.[1];
    if (version === undefined) {
        throw new Error(`toolchain/${folder}/go.mod does not name ${module}`);
    }
    return version.replace(/^v/u, "");
}
