import { z } from "zod";

const EXPECTED = "expected a cron schedule of five fields in UTC, for example 0 3 * * *";

/**
 * Harbor's schedules have a sixth field in front, the seconds, which must be 0 (src/common/utils, ValidateCronString).
 * Five fields are completed by it, so that both spellings are the same schedule.
 */
export const cron = z
    .string(EXPECTED)
    .transform((text) => text.trim().split(/\s+/))
    .transform((fields) => (fields.length === 5 ? ["0", ...fields] : fields))
    .refine((fields) => fields.length === 6 && fields.every((field) => /^[\w*,/?-]+$/.test(field)), EXPECTED)
    .refine(
        (fields) => fields.length !== 6 || fields[0] === "0",
        "of six fields the first is the seconds, and must be 0",
    )
    .transform((fields) => fields.join(" "));
