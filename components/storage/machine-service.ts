import type * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { MachineStoragePlan } from "../../config/plan-storage";
import type { Certificates, Issued } from "../certificates";
import { ComposeStack, type ComposeStackArgs, type PlainFile } from "../compose-stack";
import type { Machine } from "../machines";

export interface MachineServiceArgs<Plan extends MachineStoragePlan> {
    readonly stack: string;
    readonly plan: Plan;
    readonly machine: Machine;
    readonly certificates: Certificates;
}

/** What a service is made of. */
export interface MachineServiceFiles {
    /** @param address where nodes reach the machine */
    readonly plain: (address: string) => Readonly<Record<string, PlainFile>>;
    readonly secret: (password: pulumi.Output<string>, server: Issued) => ComposeStackArgs["secretFiles"];
}

export interface MachineService {
    /** Letters and digits. Secret. */
    readonly password: pulumi.Output<string>;
    /** Done when it can be used. */
    readonly released: pulumi.CustomResource;
}

/**
 * Runs a database or a cache on a machine, with a password and a certificate of its own.
 *
 * @param parent what its resources are of
 */
export function createMachineService(
    name: string,
    { stack, plan, machine, certificates }: MachineServiceArgs<MachineStoragePlan>,
    files: MachineServiceFiles,
    parent: pulumi.Resource,
): MachineService {
    const password = new random.RandomPassword(`${name}-password`, { length: 32, special: false }, { parent }).result;
    const server = certificates.issue(name, `${name} of ${stack}`, [machine.privateAddress, machine.hostname]);
    const { released } = new ComposeStack(
        name,
        {
            machine,
            project: plan.project,
            plainFiles: machine.privateAddress.apply(files.plain),
            secretFiles: files.secret(password, server),
            data: { directory: plan.dataDirectory, deleteData: plan.deleteData },
        },
        { parent },
    );
    return { password, released };
}
