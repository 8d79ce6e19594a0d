import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { MachineStoragePlan } from "../../../config/plan-storage";
import { hook, type PlainFile } from "../../compose-stack";
import { createMachineService, type MachineServiceArgs } from "../machine-service";
import { ownCache, type CachePlace } from "../places";
import { renderCompose, renderSettings, renderUsers } from "./render";

const file = (name: string) => join(__dirname, "hooks", name);

/**
 * The files of its compose project.
 *
 * @param address where nodes reach the machine
 */
export function valkeyFiles(stack: string, plan: MachineStoragePlan, address: string): Record<string, PlainFile> {
    return {
        "compose.yaml": { content: renderCompose({ stack, plan, address }) },
        "valkey.conf": { content: renderSettings() },
        "hooks/common.sh": { content: readFileSync(file("common.sh"), "utf8") },
        "hooks/reload.sh": hook(file("reload.sh")),
        "hooks/health.sh": hook(file("health.sh")),
    };
}

/** A Valkey on a machine, by TLS alone. */
export class Valkey extends pulumi.ComponentResource {
    readonly place: pulumi.Output<CachePlace>;
    /** Secret. */
    readonly password: pulumi.Output<string>;
    /** Done when it can be used. */
    readonly released: pulumi.CustomResource;

    constructor(name: string, args: MachineServiceArgs<MachineStoragePlan>, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:Valkey", name, {}, options);
        const { stack, plan, machine, certificates } = args;
        const { password, released } = createMachineService(
            name,
            args,
            {
                plain: (address) => valkeyFiles(stack, plan, address),
                secret: (secretPassword, server) => ({
                    "service/users.acl": secretPassword.apply(renderUsers),
                    "service/server.crt": server.certificate,
                    "service/server.key": server.privateKey,
                }),
            },
            this,
        );
        this.password = password;
        this.released = released;
        this.place = pulumi
            .all([machine.privateAddress, certificates.caCertificate])
            .apply(([host, caCertificate]) => ({ ...ownCache, host: `${host}:${String(plan.port)}`, caCertificate }));
        this.registerOutputs({});
    }
}
