import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { MachineDatabasePlan } from "../../../config/plan-storage";
import type { Certificates } from "../../certificates";
import { ComposeStack, hook, type PlainFile } from "../../compose-stack";
import type { Machine } from "../../machines";
import type { DatabasePlace } from "../places";
import { databaseName, databaseUser, renderAccess, renderCompose, renderSettings } from "./render";

export interface PostgresqlArgs {
    readonly stack: string;
    readonly plan: MachineDatabasePlan;
    readonly machine: Machine;
    readonly certificates: Certificates;
}

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

    constructor(name: string, args: PostgresqlArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:Postgresql", name, {}, options);
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
                plainFiles: address.apply((at) => postgresqlFiles(stack, plan, at)),
                secretFiles: {
                    "root/password": this.password,
                    "root/server.crt": server.certificate,
                    "root/server.key": server.privateKey,
                },
                data: { directory: plan.dataDirectory, deleteData: plan.deleteData },
            },
            { parent: this },
        );
        this.released = released;
        this.place = pulumi.all([address, certificates.caCertificate]).apply(([host, caCertificate]) => ({
            host,
            port: plan.port,
            name: databaseName,
            user: databaseUser,
            sslMode: "verify-full" as const,
            caCertificate,
        }));
        this.registerOutputs({});
    }
}
