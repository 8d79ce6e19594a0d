import { createHash } from "node:crypto";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { runScript, type Machine } from "../machines";
import { archive } from "./archive";
import { renderFiles, type PlainFile } from "./render-files";

export { hook } from "./hook";
export { composePath, type PlainFile } from "./render-files";

export interface ComposeStackArgs {
    readonly machine: Machine;
    /** The compose project's name. */
    readonly project: string;
    /**
     * `compose.yaml` and what its services read. Hooks, each `hooks/NAME.sh` and none of them needed, are run in this
     * order: `generate` completes the folder of a new release (FINAL is where it will be) and may write
     * `docker-compose.yml` and its override in place of `compose.yaml`, `validate` checks it, `before` is the last word
     * before anything that runs is touched, `reload` tells running services of it, `health` fails while it is not well,
     * and `failed` says what to do where it would be wrong to start the release before again. Each has RELEASE (its
     * folder), PROJECT and PREVIOUS (the folder of the release that runs, or empty) in its environment.
     *
     * Services mount `${HARBORAGE_STACK}` and find their files below `current/`: a bind-mounted file would keep its
     * old inode. A release with a `generate` hook is never made twice, so its services may mount files of its folder.
     */
    readonly plainFiles: pulumi.Input<Readonly<Record<string, PlainFile>>>;
    /** Files by name below `current/secrets`: `root/…` is for services that run as root, `service/…` for the others. */
    readonly secretFiles: Readonly<Record<`${"root" | "service"}/${string}`, pulumi.Input<string>>>;
    /** The folder with the project's data, and whether it goes when the stack goes. */
    readonly data?: { readonly directory: string; readonly deleteData: boolean };
    /**
     * What must be done right before a release is switched to.
     *
     * @param change a text that is another one with each release
     */
    readonly beforeRelease?: (change: pulumi.Output<string>) => readonly pulumi.Resource[];
    /** Whether the services' own checks in Docker count, or the `health` hook alone. Default: services. */
    readonly health?: "services" | "hook";
}

/** How long services may take until they are healthy. */
const secondsToHealth = "180";

const script = (file: string) => join(__dirname, "scripts", file);

/**
 * A compose project on a machine: the only way that services get there. A change is put beside what runs, checked, and
 * switched to; services whose definition did not change are reloaded, not restarted; what does not become healthy gives
 * way to the release before. Deleting takes the services down and keeps data that is not to be deleted.
 */
export class ComposeStack extends pulumi.ComponentResource {
    /** Done when the project is healthy. */
    readonly released: pulumi.CustomResource;
    /** A text that is another one with each release. */
    readonly change: pulumi.Output<string>;

    constructor(name: string, args: ComposeStackArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:ComposeStack", name, {}, options);
        const { machine, project } = args;
        const { host, directory } = machine;
        const { id, mounted, ready, imagesReady } = machine.prepared;
        const place = [directory, id];
        const triggers = [id];

        const data =
            args.data === undefined
                ? []
                : [
                      runScript(
                          `${name}-data`,
                          host,
                          {
                              script: script("data.sh"),
                              // No trigger: a replacement would take the data along. A new incarnation is an update, which
                              // takes the data over, or makes its folder again where it went with the machine.
                              args: [directory, id, args.data.directory, String(args.data.deleteData)],
                          },
                          { parent: this, dependsOn: mounted },
                      ),
                  ];
        const projectPlace = runScript(
            `${name}-project`,
            host,
            { script: script("project.sh"), args: [...place, project], triggers },
            { parent: this, dependsOn: [ready, imagesReady, ...data] },
        );
        const text = pulumi.output(args.plainFiles).apply(renderFiles);
        const hash = text.apply((content) => createHash("sha256").update(content).digest("hex"));
        const files = runScript(
            `${name}-files`,
            host,
            { script: script("files.sh"), args: [directory, project, hash], data: text, triggers },
            { parent: this, dependsOn: projectPlace },
        );
        const secrets = pulumi.secret(pulumi.output(args.secretFiles).apply((contents) => archive(contents)));
        // Nothing can be told from it: secrets that people choose are beside long generated ones.
        this.change = pulumi.unsecret(
            pulumi
                .all([id, hash, secrets])
                .apply((parts) => createHash("sha256").update(parts.join("\0")).digest("hex")),
        );
        this.released = runScript(
            `${name}-release`,
            host,
            {
                script: script("release.sh"),
                args: [...place, project, hash, args.health === "hook" ? "0" : secondsToHealth],
                data: secrets,
                triggers,
            },
            { parent: this, dependsOn: [files, ...(args.beforeRelease?.(this.change) ?? [])] },
        );
        this.registerOutputs({ project });
    }
}
