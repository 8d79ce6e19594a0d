import { join } from "node:path";
import type * as pulumi from "@pulumi/pulumi";
import { runScript, type Machine } from "../machines";

export interface TrustArgs {
    /** The load balancer's. */
    readonly machine: Machine;
    /** The load balancer's compose project. */
    readonly project: string;
    /** The CA of the nodes' certificates, PEM. */
    readonly caCertificate: pulumi.Input<string>;
}

/**
 * Before nodes get certificates of another CA: has a load balancer that runs believe these beside those of the old one, or
 * no node would be well for it until its own turn comes. Its next release believes the new ones alone.
 */
export function trustNodes(
    name: string,
    { machine, project, caCertificate }: TrustArgs,
    options: pulumi.CustomResourceOptions,
): pulumi.CustomResource {
    return runScript(
        name,
        machine.host,
        {
            script: join(__dirname, "scripts", "trust.sh"),
            args: [machine.directory, project],
            data: caCertificate,
        },
        options,
    );
}
