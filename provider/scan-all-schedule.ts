import { z } from "zod";
import { cron } from "./cron";
import { schedule } from "./schedule";

const inputs = z.strictObject({ cron });

export const scanAllSchedule = schedule<z.infer<typeof inputs>>({
    title: "the schedule of scans",
    path: "scanAll",
    inputs,
    parameters: () => ({}),
    fromParameters: () => ({}),
});
