import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { MachineStoragePlan } from "../../../config/plan-storage";
import type { Certificates } from "../../certificates";
import { ComposeStack, type PlainFile } from "../../compose-stack";
import type { Machine } from "../../machines";
import type { CachePlace } from "../places";
import { renderCompose, renderSettings, renderUsers } from "./render";

export interface ValkeyArgs {
    readonly stack: string;
    readonly plan: MachineStoragePlan;
    readonly machine: Machine;
    readonly certificates: Certificates;
}

function hook(name: string): PlainFile {
    const text = (file: string) => readFileSync(join(__dirname, "hooks", file), "utf8");
    return { content: `${text("common.sh")}\n${text(name)}` };
}

/**
 * The files of its compose project.
 *
 * @param address where nodes reach the machine
 */
export function valkeyFiles(stack: string, plan: MachineStoragePlan, address: string): Record<string, PlainFile> {
    return {
        "compose.yaml": { content: renderCompose({ stack, plan, address }) },
        "valkey.conf": { content: renderSettings() },
        "hooks/reload.sh": hook("reload.sh"),
        "hooks/health.sh": hook("health.sh"),
    };
}

/** A Valkey on a machine, by TLS alone. */
export class Valkey extends pulumi.ComponentResource {
    readonly place: pulumi.Output<CachePlace>;
    /** Secret. */
    readonly password: pulumi.Output<string>;
    /** Done when it can be used. */
    readonly released: pulumi.CustomResource;

    constructor(name: string, args: ValkeyArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:Valkey", name, {}, options);
        const { stack, plan, machine, certificates } = args;
        const address = machine.privateAddress;
        this.password = new random.RandomPassword(
            `${name}-password`,
            { length: 32, special: false },
            { parent: this },
        ).result;
        const server = certificates.issue(name, `${name} of ${stack}`, [address, machine.hostname]);
        const { released } = new ComposeStack(
            name,
            {
                machine,
                project: plan.project,
                plainFiles: address.apply((at) => valkeyFiles(stack, plan, at)),
                secretFiles: {
                    "service/users.acl": this.password.apply(renderUsers),
                    "service/server.crt": server.certificate,
                    "service/server.key": server.privateKey,
                },
                data: { directory: plan.dataDirectory, deleteData: plan.deleteData },
            },
            { parent: this },
        );
        this.released = released;
        this.place = pulumi.all([address, certificates.caCertificate]).apply(([host, caCertificate]) => ({
            host: `${host}:${String(plan.port)}`,
            tls: true,
            caCertificate,
            hasPassword: true,
            indexes: { registry: 1, jobs: 2, trivy: 5 },
            idleSeconds: 30,
        }));
        this.registerOutputs({});
    }
}
