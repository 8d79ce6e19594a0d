import { existsSync, readdirSync, readFileSync } from "node:fs";
import * as path from "node:path";

/** An npm package in a program's node_modules. */
export interface InstalledPackage {
    readonly name: string;
    readonly version: string;
    /** The plugin that it needs, when its package.json names one. */
    readonly plugin?: RequiredPlugin;
}

export interface RequiredPlugin {
    /** For example `random`. */
    readonly name: string;
    /** With the leading `v`, as the engine writes it. */
    readonly version: string;
    /** Where the plugin is published when that is not Pulumi's own place; empty otherwise. */
    readonly server: string;
}

interface Manifest {
    readonly name?: string;
    readonly version?: string;
    readonly dependencies?: Readonly<Record<string, string>>;
    readonly devDependencies?: Readonly<Record<string, string>>;
    readonly pulumi?: {
        readonly resource?: boolean;
        readonly name?: string;
        readonly version?: string;
        readonly server?: string;
    };
}

/** Every package below the nearest node_modules of `programDirectory`, nested ones included. */
export function installedPackages(programDirectory: string): InstalledPackage[] {
    const root = nearestModules(programDirectory);
    const found: InstalledPackage[] = [];
    const queue = root === undefined ? [] : [root];
    for (let modules = queue.pop(); modules !== undefined; modules = queue.pop()) {
        for (const directory of packageDirectories(modules)) {
            const manifest = readManifest(directory);
            if (manifest?.name !== undefined && manifest.version !== undefined) {
                found.push(describe(manifest, manifest.name, manifest.version));
            }
            const nested = path.join(directory, "node_modules");
            if (existsSync(nested)) {
                queue.push(nested);
            }
        }
    }
    return found;
}

/** The plugins that the installed packages need, each name and version once. */
export function requiredPlugins(programDirectory: string): RequiredPlugin[] {
    const plugins = new Map<string, RequiredPlugin>();
    for (const { plugin } of installedPackages(programDirectory)) {
        if (plugin !== undefined) {
            plugins.set(`${plugin.name}@${plugin.version}`, plugin);
        }
    }
    return [...plugins.values()];
}

/** Names in the program's own package.json, for a list that leaves out what those bring with them. */
export function directDependencies(programDirectory: string): ReadonlySet<string> {
    const modules = nearestModules(programDirectory);
    const manifest = modules === undefined ? undefined : readManifest(path.dirname(modules));
    return new Set([...Object.keys(manifest?.dependencies ?? {}), ...Object.keys(manifest?.devDependencies ?? {})]);
}

function describe(manifest: Manifest, name: string, version: string): InstalledPackage {
    if (manifest.pulumi?.resource !== true) {
        return { name, version };
    }
    const pluginVersion = manifest.pulumi.version ?? version;
    return {
        name,
        version,
        plugin: {
            name: manifest.pulumi.name ?? name.replace(/^@pulumi\//u, ""),
            version: pluginVersion.startsWith("v") ? pluginVersion : `v${pluginVersion}`,
            server: manifest.pulumi.server ?? "",
        },
    };
}

function nearestModules(directory: string): string | undefined {
    for (let current = path.resolve(directory); ; current = path.dirname(current)) {
        const modules = path.join(current, "node_modules");
        if (existsSync(modules)) {
            return modules;
        }
        if (current === path.dirname(current)) {
            return undefined;
        }
    }
}

function packageDirectories(modules: string): string[] {
    return readdirSync(modules)
        .filter((name) => !name.startsWith("."))
        .flatMap((name) => {
            const directory = path.join(modules, name);
            return name.startsWith("@")
                ? readdirSync(directory).map((scoped) => path.join(directory, scoped))
                : [directory];
        });
}

function readManifest(directory: string): Manifest | undefined {
    try {
        return JSON.parse(readFileSync(path.join(directory, "package.json"), "utf8")) as Manifest;
    } catch {
        // A folder without a readable package.json is no package; npm leaves such folders behind.
        return undefined;
    }
}
