import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { MachineDatabasePlan } from "../../../config/plan-storage";
import { hook, type PlainFile } from "../../compose-stack";
import { createMachineService, type MachineServiceArgs } from "../machine-service";
import { ownDatabase, type DatabasePlace } from "../places";
import { renderAccess, renderCompose, renderSettings } from "./render";

const file = (name: string) => join(__dirname, name);
const text = (name: string) => readFileSync(file(name), "utf8");

/**
 * The files of its compose project.
 *
 * @param address where nodes reach the machine
 */
export function postgresqlFiles(stack: string, plan: MachineDatabasePlan, address: string): Record<string, PlainFile> {
    const settings = renderSettings(plan);
    const startFiles = [settings, text("common.sh"), text("start.sh")];
    return {
        "compose.yaml": { content: renderCompose({ stack, plan, address, startFiles }) },
        "postgresql.conf": { content: settings },
        "pg_hba.conf": { content: renderAccess() },
        ...Object.fromEntries(
            ["common.sh", "start.sh", "health.sh", "apply.sh"].map((each) => [each, { content: text(each) }]),
        ),
        "hooks/reload.sh": hook(file("hooks/reload.sh")),
        "hooks/health.sh": hook(file("hooks/health.sh")),
    };
}

/** A PostgreSQL on a machine, for one user of one database, by TLS alone. */
export class Postgresql extends pulumi.ComponentResource {
    readonly place: pulumi.Output<DatabasePlace>;
    /** Secret. */
    readonly password: pulumi.Output<string>;
    /** Done when it can be used. */
    readonly released: pulumi.CustomResource;

    constructor(
        name: string,
        args: MachineServiceArgs<MachineDatabasePlan>,
        options?: pulumi.ComponentResourceOptions,
    ) {
        super("harborage:index:Postgresql", name, {}, options);
        const { stack, plan, machine, certificates } = args;
        const { password, released } = createMachineService(
            name,
            args,
            {
                plain: (address) => postgresqlFiles(stack, plan, address),
                secret: (secretPassword, server) => ({
                    "root/password": secretPassword,
                    "root/server.crt": server.certificate,
                    "root/server.key": server.privateKey,
                }),
            },
            this,
        );
        this.password = password;
        this.released = released;
        this.place = pulumi
            .all([machine.privateAddress, certificates.caCertificate])
            .apply(([host, caCertificate]) => ({
                ...ownDatabase,
                host,
                port: plan.port,
                sslMode: "verify-full" as const,
                caCertificate,
            }));
        this.registerOutputs({});
    }
}
