import { linkSync, copyFileSync, mkdirSync } from "node:fs";
import * as path from "node:path";
import { bundle } from "./bundle";
import { cached, filesBelow, inCache, keyOf } from "./cache";
import { builtGoTool, goTool, keyOfTool, type GoTool } from "./go-tool";
import { PROJECT_ROOT, cliVersion, type PluginName, type PluginPin } from "./pins";
import { step } from "./steps";

/** The CLI, built from its Go module. */
export function builtCli(): Promise<string> {
    return goTool(cliTool());
}

/** Whether the CLI has been built already. */
export function hasBuiltCli(): boolean {
    return builtGoTool(cliTool()) !== undefined;
}

/** The stand-in for a plugin that is not ours to write anew: built from the Go modules of the official one. */
export function builtPlugin(name: GoPlugin): Promise<string> {
    return goTool(GO_PLUGINS[name]);
}

/**
 * A Pulumi home of the toolchain's own, with the stand-ins for these plugins and no others; the user's home is left as
 * it is, so that no other project meets a stand-in.
 */
export function standInHome(plugins: readonly PluginPin[]): Promise<string> {
    return cached(HOMES, homeKey(plugins), async (home) => {
        const executable = ({ name, version }: PluginPin): string =>
            path.join(home, "plugins", `resource-${name}-v${version}`, `pulumi-resource-${name}`);
        for (const plugin of plugins.filter(isBuilt)) {
            const built = await builtPlugin(plugin.name);
            mkdirSync(path.dirname(executable(plugin)), { recursive: true });
            linkOrCopy(built, executable(plugin));
        }
        await step("bundling the stand-in plugins", async () => {
            for (const plugin of plugins.filter((each) => !isBuilt(each))) {
                await bundle(path.join(__dirname, "plugins", `${plugin.name}.ts`), executable(plugin), {});
            }
        });
    });
}

/** Whether that home, with the stand-ins as they are now, has been made already. */
export function hasStandInHome(plugins: readonly PluginPin[]): boolean {
    return inCache(HOMES, homeKey(plugins)) !== undefined;
}

/** What a stand-in is called in the output. */
export function standInTitle(plugin: PluginPin): string {
    return `${plugin.name} ${plugin.version}${isBuilt(plugin) ? " built from its Go modules" : ""}`;
}

const HOMES = "pulumi-home";

function homeKey(plugins: readonly PluginPin[]): string {
    const built = plugins.filter(isBuilt).map(({ name }) => keyOfTool(GO_PLUGINS[name]));
    return keyOf([JSON.stringify(plugins), ...built], sources("plugins"));
}

const GO_PLUGINS = {
    openstack: {
        title: "the openstack plugin",
        module: "openstack",
        package: ".",
        binary: "pulumi-resource-openstack",
        variables: {},
    },
} as const satisfies Partial<Record<PluginName, GoTool>>;

type GoPlugin = keyof typeof GO_PLUGINS;

function isBuilt(plugin: PluginPin): plugin is PluginPin & { readonly name: GoPlugin } {
    return plugin.name in GO_PLUGINS;
}

function cliTool(): GoTool {
    return {
        title: `the Pulumi CLI ${cliVersion()}`,
        module: "cli",
        package: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
        binary: "pulumi",
        variables: { "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": `v${cliVersion()}` },
    };
}

/** A folder for PATH with a CLI and, where Pulumi looks for it, the Node language host. */
export async function cliWithLanguageHost(cli: string): Promise<string> {
    const key = keyOf([cli, cliVersion()], sources("language-host"));
    const directory = await cached("bin", key, (target) =>
        step("bundling the Node language host", async () => {
            await bundle(
                path.join(__dirname, "language-host", "main.ts"),
                path.join(target, "pulumi-language-nodejs"),
                {
                    HOST_VERSION: cliVersion(),
                },
            );
            mkdirSync(target, { recursive: true });
            linkOrCopy(cli, path.join(target, "pulumi"));
        }),
    );
    return path.join(directory, "pulumi");
}

/** The files that decide what a bundle holds: its sources, what it shares, and the versions of what it imports. */
function sources(folder: string): string[] {
    return [
        ...filesBelow(path.join(__dirname, folder), (name) => name.endsWith(".ts")),
        path.join(__dirname, "bundle.ts"),
        path.join(PROJECT_ROOT, "package-lock.json"),
    ];
}

/** A hard link where the file system can: the CLI is 115 MB. A symbolic link will not do, Pulumi follows it. */
function linkOrCopy(from: string, to: string): void {
    try {
        linkSync(from, to);
    } catch {
        copyFileSync(from, to);
    }
}
