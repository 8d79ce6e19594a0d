import { z } from "zod";
import { cron } from "./cron";
import { schedule } from "./schedule";

const LIST = "expected a list of event types, for example [create_artifact, delete_artifact, pull_artifact]";

const inputs = z.strictObject({
    cron,
    // The upper end is Harbor's (src/common/const.go, MaxAuditRetentionHour).
    retentionHours: z.int("expected a number of hours").min(1).max(240_000),
    includeEventTypes: z
        .array(z.string(LIST).regex(/^[a-z_]+$/, LIST), LIST)
        .min(1, LIST)
        .transform((types) => [...new Set(types)].sort()),
    dryRun: z.boolean("expected true or false").default(false),
});

export const purgeAuditSchedule = schedule<z.infer<typeof inputs>>({
    title: "the schedule of the audit log's purge",
    path: "purgeaudit",
    inputs,
    parameters: ({ retentionHours, includeEventTypes, dryRun }) => ({
        audit_retention_hour: retentionHours,
        include_event_types: includeEventTypes.join(","),
        dry_run: dryRun,
    }),
    fromParameters: ({ audit_retention_hour, include_event_types, dry_run }) => ({
        retentionHours: Number(audit_retention_hour),
        includeEventTypes: (typeof include_event_types === "string" ? include_event_types : "")
            .split(",")
            .filter((type) => type !== "")
            .sort(),
        dryRun: dry_run === true,
    }),
});
