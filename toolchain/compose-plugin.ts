import { chmodSync, copyFileSync, mkdirSync, renameSync, statSync } from "node:fs";
import { homedir } from "node:os";
import * as path from "node:path";
import { builtGoTool, goTool, type GoTool } from "./go-tool";
import { composeVersion } from "./pins";
import { isExecutable, run, which } from "./processes";
import { DOCKER_HUB, canDownloadFrom } from "./reach";
import { say } from "./steps";

const NAME = "docker-compose";

/** Where Docker looks for plugins that were installed for everybody. */
const SYSTEM_FOLDERS = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/**
 * Installs Docker's compose plugin for this user where `docker compose` does not work and nothing can be downloaded.
 *
 * @returns the title of the built plugin when that is in use, now put there or by an earlier run
 */
export async function ensureComposePlugin(): Promise<string | undefined> {
    const folder = path.join(process.env["DOCKER_CONFIG"] || path.join(homedir(), ".docker"), "cli-plugins");
    const target = path.join(folder, NAME);
    const title = `docker compose ${composeVersion()} built from its Go module`;
    // Docker prefers the user's own plugin to everybody's.
    if (isExecutable(target)) {
        return isBuilt(target) ? title : undefined;
    }
    if (SYSTEM_FOLDERS.some((place) => isExecutable(path.join(place, NAME))) || (await composeWorks())) {
        return undefined;
    }
    // Elsewhere Docker's own packages bring the plugin; what is missing there is for the user to decide.
    if (await canDownloadFrom(DOCKER_HUB)) {
        return undefined;
    }
    const built = await goTool(composeTool());
    mkdirSync(folder, { recursive: true });
    const fresh = `${target}.${process.pid}.new`;
    copyFileSync(built, fresh);
    chmodSync(fresh, 0o755);
    renameSync(fresh, target);
    say(`harborage: docker compose did not work: installed its plugin ${composeVersion()} as ${target}`);
    return title;
}

/** Whether an installed plugin is a copy of the built one; the size tells, and costs nothing. */
function isBuilt(file: string): boolean {
    const built = builtGoTool(composeTool());
    return built !== undefined && statSync(built).size === statSync(file).size;
}

/** Docker's compose plugin, as it is built from its Go module. */
export function composeTool(): GoTool {
    return {
        title: `Docker's compose plugin ${composeVersion()}`,
        module: "compose",
        package: "github.com/docker/compose/v2/cmd",
        binary: NAME,
        variables: { "github.com/docker/compose/v2/internal.Version": `v${composeVersion()}` },
    };
}

async function composeWorks(): Promise<boolean> {
    const docker = which("docker");
    if (docker === undefined) {
        return false;
    }
    return run(docker, ["compose", "version"], { timeout: 20_000 }).then(
        () => true,
        () => false,
    );
}
