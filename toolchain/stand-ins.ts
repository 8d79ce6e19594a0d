import { linkSync, copyFileSync, mkdirSync } from "node:fs";
import * as path from "node:path";
import { bundle } from "./bundle";
import { cached, filesBelow, inCache, keyOf } from "./cache";
import { builtGoTool, goTool, type GoTool } from "./go-tool";
import { PROJECT_ROOT, cliVersion, pluginPins } from "./pins";
import { step } from "./steps";

/** The CLI, built from its Go module. */
export function builtCli(): Promise<string> {
    return goTool(cliTool());
}

/** Whether the CLI has been built already. */
export function hasBuiltCli(): boolean {
    return builtGoTool(cliTool()) !== undefined;
}

/**
 * A Pulumi home of the toolchain's own, with the stand-in plugins; the user's home is left as it is, so that no other
 * project meets a stand-in.
 */
export function standInHome(): Promise<string> {
    return cached(HOMES, homeKey(), (home) =>
        step("bundling the stand-in plugins", async () => {
            for (const { name, version } of pluginPins()) {
                const executable = path.join(
                    home,
                    "plugins",
                    `resource-${name}-v${version}`,
                    `pulumi-resource-${name}`,
                );
                await bundle(path.join(__dirname, "plugins", `${name}.ts`), executable, {});
            }
        }),
    );
}

/** Whether the stand-in plugins, as they are now, have been bundled already. */
export function hasStandInHome(): boolean {
    return inCache(HOMES, homeKey()) !== undefined;
}

const HOMES = "pulumi-home";

function homeKey(): string {
    return keyOf([JSON.stringify(pluginPins())], sources("plugins"));
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
