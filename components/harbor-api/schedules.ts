import * as pulumi from "@pulumi/pulumi";
import type { InstanceArgs } from "./instance";

interface ScheduleArgs extends InstanceArgs {
    /** Five fields of cron, in UTC, for example `0 3 * * *`; or Harbor's six with `0` for the seconds in front. */
    readonly cron: pulumi.Input<string>;
}

export interface GarbageCollectionScheduleArgs extends ScheduleArgs {
    /** Whether artifacts without a tag are deleted. Default: false. */
    readonly deleteUntagged?: pulumi.Input<boolean>;
    /** 1 to 10. Default: 1. */
    readonly workers?: pulumi.Input<number>;
    /** Only says what it would delete. Default: false. */
    readonly dryRun?: pulumi.Input<boolean>;
}

/** When Harbor frees storage. There is one for each Harbor: a schedule that was set by hand is taken over. */
export class GarbageCollectionSchedule extends pulumi.CustomResource {
    constructor(name: string, args: GarbageCollectionScheduleArgs, options?: pulumi.CustomResourceOptions) {
        super("harborage:harbor:GarbageCollectionSchedule", name, { ...args }, options);
    }
}

export type ScanAllScheduleArgs = ScheduleArgs;

/** When Harbor scans all images. There is one for each Harbor: a schedule that was set by hand is taken over. */
export class ScanAllSchedule extends pulumi.CustomResource {
    constructor(name: string, args: ScanAllScheduleArgs, options?: pulumi.CustomResourceOptions) {
        super("harborage:harbor:ScanAllSchedule", name, { ...args }, options);
    }
}

export interface PurgeAuditScheduleArgs extends ScheduleArgs {
    /** Records older than this are deleted. Hours, at most 240000. */
    readonly retentionHours: pulumi.Input<number>;
    /** For example `["create_artifact", "delete_artifact", "pull_artifact"]`; `GET /auditlog-exts/events` lists what there is. */
    readonly includeEventTypes: pulumi.Input<readonly pulumi.Input<string>[]>;
    /** Only says what it would delete. Default: false. */
    readonly dryRun?: pulumi.Input<boolean>;
}

/** When old records of the audit log are deleted. There is one for each Harbor: a schedule that was set by hand is taken over. */
export class PurgeAuditSchedule extends pulumi.CustomResource {
    constructor(name: string, args: PurgeAuditScheduleArgs, options?: pulumi.CustomResourceOptions) {
        super("harborage:harbor:PurgeAuditSchedule", name, { ...args }, options);
    }
}
