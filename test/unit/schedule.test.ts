import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "mocha";
import { scheduleTimes, type ScheduleTimes } from "../../config/schedule";
import { cronLine, matchesCron } from "./support/cron";

/** What collect.sh does with the times; test/unit/collect.test.ts runs the script itself. */
function isDue(times: ScheduleTimes, at: Date): boolean {
    const day = times.days.includes(at.getUTCDate());
    const weekday = times.weekdays.includes(at.getUTCDay());
    return (
        times.minutes.includes(at.getUTCMinutes()) &&
        times.hours.includes(at.getUTCHours()) &&
        times.months.includes(at.getUTCMonth() + 1) &&
        (times.eitherDay ? day || weekday : day && weekday)
    );
}

/** Every minute of some hours, and minutes spread over nearly two years. */
function instants(): Date[] {
    const start = Date.UTC(2027, 0, 1);
    const minutes = Array.from({ length: 180 }, (_, index) => start + index * 60_000);
    const spread = Array.from({ length: 3000 }, (_, index) => start + index * 307 * 60_000);
    return [...minutes, ...spread].map((time) => new Date(time));
}

describe("schedule", () => {
    it("means what cron means by it", () => {
        const all = instants();
        fc.assert(
            fc.property(cronLine, (line) => {
                const times = scheduleTimes(line);
                const wrong = all.find((at) => isDue(times, at) !== matchesCron(line, at));
                assert.equal(wrong?.toISOString(), undefined, line);
            }),
            { numRuns: 60 },
        );
    });

    const cases: [string, Partial<ScheduleTimes>][] = [
        ["0 3 * * *", { minutes: [0], hours: [3], eitherDay: false }],
        ["*/15 * * * *", { minutes: [0, 15, 30, 45] }],
        ["0 0 1 * 1", { days: [1], weekdays: [1], eitherDay: true }],
        // crontab(5): a field that starts with * restricts nothing.
        ["0 0 */2 * 1", { weekdays: [1], eitherDay: false }],
        ["0 0 1 * */2", { days: [1], eitherDay: false }],
        ["0 0 * * 7", { weekdays: [0] }],
        ["0 0 * * 5-7", { weekdays: [0, 5, 6] }],
        ["0 0 1 JUL MON", { months: [7], weekdays: [1] }],
        ["08 09 * * *", { minutes: [8], hours: [9] }],
    ];
    for (const [line, expected] of cases) {
        it(`spells out ${line}`, () => {
            const times = scheduleTimes(line);
            assert.deepEqual({ ...times, ...expected }, times);
        });
    }
});
