import fc from "fast-check";

const months = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const weekdays = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/** One field of cron without overlaps: overlapping lists are refused. */
function cronField(min: number, max: number, names: readonly string[] = []): fc.Arbitrary<string> {
    const number = fc.integer({ min, max });
    const range = fc.tuple(number, number).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
    const step = fc.integer({ min: 1, max: Math.max(2, Math.floor((max - min) / 2)) });
    return fc.oneof(
        fc.constant("*"),
        number.map(String),
        fc.uniqueArray(number, { minLength: 1, maxLength: 4 }).map((list) => list.join(",")),
        range,
        fc.tuple(range, step).map(([fromTo, by]) => `${fromTo}/${by}`),
        step.map((by) => `*/${by}`),
        ...(names.length > 0 ? [fc.constantFrom(...names)] : []),
    );
}

/** Five fields of cron; days that not every month has are left out, some of them are refused. */
export const cronLine = fc
    .tuple(cronField(0, 59), cronField(0, 23), cronField(1, 28), cronField(1, 12, months), cronField(0, 6, weekdays))
    .map((fields) => fields.join(" "));

function matchesField(field: string, value: number, min: number, max: number, names: readonly string[] = []): boolean {
    const number = (text: string) => (names.includes(text) ? names.indexOf(text) + min : Number(text));
    return field.split(",").some((part) => {
        const [range = "", step = "1"] = part.split("/");
        const [from = "", to = from] = range === "*" ? [String(min), String(max)] : range.split("-");
        return value >= number(from) && value <= number(to) && (value - number(from)) % Number(step) === 0;
    });
}

/** Whether cron would run a line in this minute (UTC), as crontab(5) tells it: slow, and nothing of ours. */
export function matchesCron(line: string, at: Date): boolean {
    const [minute = "", hour = "", day = "", month = "", weekday = ""] = line.split(" ");
    const isDay = matchesField(day, at.getUTCDate(), 1, 31);
    const isWeekday = matchesField(weekday, at.getUTCDay(), 0, 6, weekdays);
    const isRestricted = !day.startsWith("*") && !weekday.startsWith("*");
    return (
        matchesField(minute, at.getUTCMinutes(), 0, 59) &&
        matchesField(hour, at.getUTCHours(), 0, 23) &&
        matchesField(month, at.getUTCMonth() + 1, 1, 12, months) &&
        (isRestricted ? isDay || isWeekday : isDay && isWeekday)
    );
}
