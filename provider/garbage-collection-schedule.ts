import { z } from "zod";
import { cron } from "./cron";
import { schedule } from "./schedule";

const inputs = z.strictObject({
    cron,
    deleteUntagged: z.boolean("expected true or false").default(false),
    workers: z.int("expected a number from 1 to 10").min(1).max(10).default(1),
    dryRun: z.boolean("expected true or false").default(false),
});

export const garbageCollectionSchedule = schedule<z.infer<typeof inputs>>({
    title: "the schedule of garbage collection",
    path: "gc",
    inputs,
    parameters: ({ deleteUntagged, workers, dryRun }) => ({
        delete_untagged: deleteUntagged,
        workers,
        dry_run: dryRun,
    }),
    fromParameters: ({ delete_untagged, workers, dry_run }) => ({
        deleteUntagged: delete_untagged === true,
        workers: typeof workers === "number" ? workers : 1,
        dryRun: dry_run === true,
    }),
});
