import * as pulumi from "@pulumi/pulumi";
import type { HarborPlan } from "../../../config/plan";
import {
    AdminPassword,
    Configuration,
    GarbageCollectionSchedule,
    Provider,
    PurgeAuditSchedule,
    ScanAllSchedule,
} from "../../harbor-api";
import type { HarborSecrets } from "./secrets";

export interface HarborSettingsArgs {
    readonly plan: HarborPlan;
    readonly secrets: HarborSecrets;
    /** Its API, or how it is reached. */
    readonly api: Provider | ReachArgs;
    /** What runs Harbor: when it goes, nothing needs to be taken back; another one has to be told everything again. */
    readonly node: pulumi.CustomResource;
}

export interface ReachArgs {
    /** Where the load balancer is reached, with its port. */
    readonly address: pulumi.Input<string>;
    /** The CA of its certificate, PEM. */
    readonly caCertificate: pulumi.Input<string>;
}

/** Harbor's API, entered by the user admin with the password that is to be. */
export function adminOf(
    name: string,
    { plan, secrets }: Pick<HarborSettingsArgs, "plan" | "secrets">,
    { address, caCertificate }: ReachArgs,
    options?: pulumi.ResourceOptions,
): Provider {
    return new Provider(
        name,
        { url: plan.publicUrl, address, caCertificate, username: "admin", password: secrets.adminPassword },
        options,
    );
}

const hoursPerDay = 24;

/** The operations that Harbor writes into its audit log: what GET /api/v2.0/auditlog-exts/events lists. */
const auditEvents = [
    "create_artifact",
    "delete_artifact",
    "pull_artifact",
    "create_project",
    "delete_project",
    "delete_repository",
    "login_user",
    "logout_user",
    "create_user",
    "delete_user",
    "update_user",
    "create_robot",
    "delete_robot",
    "update_configuration",
];

/** What only Harbor's API can set, through the load balancer. */
export class HarborSettings extends pulumi.ComponentResource {
    constructor(name: string, args: HarborSettingsArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:HarborSettings", name, {}, options);
        const { plan, secrets } = args;
        const { config, schedules } = plan;
        const provider = args.api instanceof Provider ? args.api : adminOf(name, args, args.api, { parent: this });
        const instance = args.node.id;
        const common = { parent: this, provider, deletedWith: args.node };
        const adminPassword = new AdminPassword(
            `${name}-admin-password`,
            { password: secrets.adminPassword, initialPassword: secrets.initialPassword, instance },
            common,
        );
        const afterPassword = { ...common, dependsOn: adminPassword };
        if (Object.keys(config.settings).length > 0) {
            new Configuration(`${name}-configuration`, { settings: config.settings, instance }, afterPassword);
        }
        if (schedules.garbageCollection !== undefined) {
            const { deleteUntagged, workers } = config.garbageCollection;
            new GarbageCollectionSchedule(
                `${name}-garbage-collection`,
                { cron: schedules.garbageCollection, deleteUntagged, workers, instance },
                afterPassword,
            );
        }
        if (schedules.scan !== undefined) {
            new ScanAllSchedule(`${name}-scan`, { cron: schedules.scan, instance }, afterPassword);
        }
        if (schedules.auditLog !== undefined) {
            new PurgeAuditSchedule(
                `${name}-audit-log`,
                {
                    cron: schedules.auditLog,
                    retentionHours: config.auditLog.keepDays * hoursPerDay,
                    includeEventTypes: auditEvents,
                    instance,
                },
                afterPassword,
            );
        }
        this.registerOutputs({});
    }
}
