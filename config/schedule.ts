import { CronExpressionParser } from "cron-parser";

/** Each field of a cron line as the numbers that it stands for; Sunday is 0. */
export interface ScheduleTimes {
    readonly minutes: readonly number[];
    readonly hours: readonly number[];
    readonly days: readonly number[];
    readonly months: readonly number[];
    readonly weekdays: readonly number[];
    /** crontab(5): when neither days nor weekdays start with `*`, either one is enough; else both must match. */
    readonly eitherDay: boolean;
}

/** Spells out a cron line, so that a shell script on a machine compares numbers instead of parsing cron. */
export function scheduleTimes(schedule: string): ScheduleTimes {
    const { minute, hour, dayOfMonth, month, dayOfWeek } = CronExpressionParser.parse(schedule).fields;
    const [, , dayField = "", , weekdayField = ""] = schedule.split(/ +/);
    const weekdays = [...new Set(dayOfWeek.values.map((day) => Number(day) % 7))].sort((a, b) => a - b);
    return {
        minutes: minute.values.map(Number),
        hours: hour.values.map(Number),
        days: dayOfMonth.values.map(Number),
        months: month.values.map(Number),
        weekdays,
        eitherDay: !dayField.startsWith("*") && !weekdayField.startsWith("*"),
    };
}
