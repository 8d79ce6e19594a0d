import { createHash } from "node:crypto";
import { join } from "node:path";
import { remote } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { BaselineConfig, SourceFile } from "../../config/baseline";
import type { MachinePlan, MachineRequirements } from "../../config/plan";
import type { Host, Prepared } from "./machine";
import { renderBaseline } from "./render-baseline";
import { runScript } from "./run";
import { checkFile, type SentFile } from "./sent-file";

export interface PrepareArgs {
    readonly stack: string;
    readonly plan: MachinePlan;
    readonly host: Host;
    /** Which machine of this name it is: another value is another machine. */
    readonly instance: pulumi.Input<string>;
    /** What the machine gets before Docker; absent on this machine, which is somebody's own. */
    readonly system?: {
        readonly baseline: BaselineConfig;
        /** The disk for the data: a device, or `serial=…`. */
        readonly dataDisk?: pulumi.Input<string>;
    };
    readonly beforeChange?: BeforeChange;
}

/**
 * What must be done before anything is changed on a machine that may disturb its services, such as a restart of Docker.
 *
 * @param change a text that is another one with each such change
 */
export type BeforeChange = (change: pulumi.Output<string>, options: pulumi.CustomResourceOptions) => pulumi.Resource;

const script = (file: string) => join(__dirname, "scripts", file);

/** A path or a URL on the machine: files of this machine are sent to it, under their hash. */
function placeOn(host: Host, directory: string, file: SourceFile): string {
    return file.url ?? (host.ssh === undefined ? (file.path ?? "") : `${directory}/incoming/${file.sha256}`);
}

/**
 * Makes a machine ready for services, whichever kind it is: looks first, then claims the folder, sets up the system and
 * Docker, and gets the images there.
 */
export function prepareMachine(parent: pulumi.Resource, args: PrepareArgs): Prepared {
    const { stack, plan, host, system } = args;
    const { name, directory } = plan;
    const claim = new random.RandomId(`${name}-claim`, { byteLength: 8 }, { parent }).hex;
    const id = pulumi.interpolate`${claim}-${args.instance}`;
    const triggers = [id];
    const { requirements } = plan;
    const { references, bundle } = plan.images;
    const { installer } = plan;
    const files = filesHere(system?.baseline, bundle, installer?.file);
    const checks = files.map((file) => () => checkFile(file));

    const preflight = runScript(
        `${name}-preflight`,
        host,
        {
            script: script("preflight.sh"),
            args: [
                directory,
                claim,
                stack,
                pulumi.interpolate`${system === undefined ? "this-machine" : "system"}=${id}`,
                ...plan.ports.map(({ port, purpose }) => `${String(port)}=${purpose}`),
                ...requirementWords(requirements, system?.baseline),
                ...(plan.engine === undefined ? [] : [`engine=${plan.engine.name}:${plan.engine.project}`]),
                // Another file is looked at, and the machine with it, before anything is done for it.
                ...files.map(({ sha256 }) => `file=${sha256}`),
            ],
        },
        { parent, ...(files.length === 0 ? {} : { hooks: { beforeCreate: checks, beforeUpdate: checks } }) },
    );
    const sent = files.length === 0 ? [] : sendFiles(parent, { ...args, id, files, after: preflight });
    const data =
        system &&
        renderBaseline({
            baseline: system.baseline,
            ports: plan.ports.map(({ port }) => port),
            dataDirectory: `${directory}/data`,
            placeOf: (file) => placeOn(host, directory, file),
        });
    const change = pulumi.all([id, data]).apply((parts) => createHash("sha256").update(parts.join("\0")).digest("hex"));
    const looked = args.beforeChange?.(change, { parent, dependsOn: preflight }) ?? preflight;
    const mounted =
        data === undefined
            ? looked
            : runScript(
                  `${name}-system`,
                  host,
                  {
                      script: script("system.sh"),
                      args: [directory, id, system?.dataDisk ?? "-"],
                      data,
                      triggers,
                  },
                  { parent, dependsOn: [looked, ...sent] },
              );
    const ready = runScript(
        `${name}-baseline`,
        host,
        {
            script: script("baseline.sh"),
            args: [directory, id, requirements.dockerVersion, requirements.composeVersion],
            triggers,
        },
        { parent, dependsOn: mounted },
    );
    const imagesReady = runScript(
        `${name}-images`,
        host,
        {
            script: script("images.sh"),
            args: [
                directory,
                id,
                bundle === undefined ? "-" : placeOn(host, directory, bundle),
                bundle?.sha256 ?? "-",
                ...references,
            ],
            triggers,
        },
        { parent, dependsOn: ready },
    );
    const installed =
        installer === undefined
            ? imagesReady
            : runScript(
                  `${name}-installer`,
                  host,
                  {
                      script: script("installer.sh"),
                      args: [
                          directory,
                          id,
                          installer.version,
                          placeOn(host, directory, installer.file),
                          installer.file.sha256,
                      ],
                      triggers,
                  },
                  { parent, dependsOn: imagesReady },
              );
    return { id, mounted, ready, imagesReady: installed };
}

/** What preflight.sh is to look at, beside ports. */
function requirementWords(needs: MachineRequirements, baseline: BaselineConfig | undefined): string[] {
    return [
        `cpus=${String(needs.cpus)}`,
        `memory=${String(needs.memoryMiB)}`,
        `disk=${String(needs.freeDiskGiB)}`,
        ...(baseline !== undefined && choosesPackages(baseline) ? [] : ["packages=machine"]),
        `docker=${needs.dockerVersion}`,
        // The program that is given takes the place of whatever is there.
        ...(baseline?.docker.composePlugin === undefined ? [`compose=${needs.composeVersion}`] : []),
        ...(needs.root ? ["root=true"] : []),
        ...(needs.clock ? ["clock=true"] : []),
        ...(needs.resolves === undefined ? [] : [`resolve=${needs.resolves}`]),
        ...needs.containerNames.map((name) => `container=${name}`),
    ];
}

/** Whether the stack file says what Docker is installed from, so that what apt would take now does not count. */
function choosesPackages({ packages, docker }: BaselineConfig): boolean {
    return packages.sources.length > 0 || packages.bundle !== undefined || docker.version !== undefined;
}

/** The files of this machine that another one needs, or this one itself; each once. */
function filesHere(
    baseline: BaselineConfig | undefined,
    images: SourceFile | undefined,
    installer: SourceFile | undefined,
): SentFile[] {
    const files = {
        "baseline.packages.bundle": baseline?.packages.bundle,
        "baseline.docker.composePlugin": baseline?.docker.composePlugin,
        "images.bundle": images,
        "registry.installer": installer,
    };
    const sent = Object.entries(files).flatMap(([setting, file]): SentFile[] =>
        file?.path === undefined ? [] : [{ path: file.path, sha256: file.sha256, setting }],
    );
    return [...new Map(sent.map((file) => [file.sha256, file])).values()];
}

interface SendArgs extends PrepareArgs {
    readonly id: pulumi.Output<string>;
    readonly files: readonly SentFile[];
    readonly after: pulumi.Resource;
}

/** Sends files to a machine, once. They are checked before they go, and by the scripts that use them. */
function sendFiles(parent: pulumi.Resource, args: SendArgs): pulumi.Resource[] {
    const { plan, host, id, after } = args;
    const { ssh, deletedWith } = host;
    if (ssh === undefined) {
        return [];
    }
    const incoming = runScript(
        `${plan.name}-incoming`,
        host,
        { script: script("incoming.sh"), args: [plan.directory, id], triggers: [id] },
        { parent, dependsOn: after },
    );
    return args.files.map(
        ({ path, sha256, setting }) =>
            new remote.CopyToRemote(
                `${plan.name}-file-${sha256.slice(0, 8)}`,
                {
                    connection: ssh.connection,
                    source: new pulumi.asset.FileAsset(path),
                    remotePath: `${plan.directory}/incoming/${sha256}`,
                    triggers: [id],
                },
                {
                    parent,
                    dependsOn: incoming,
                    deleteBeforeReplace: true,
                    hooks: {
                        beforeCreate: [() => checkFile({ path, sha256, setting }), ssh.reach],
                        beforeUpdate: [ssh.reach],
                    },
                    ...(deletedWith === undefined ? {} : { deletedWith }),
                },
            ),
    );
}
