import Mocha from "mocha";

/** What came of the tests of one kind; a test that did not run is in none of these. */
export interface KindResult {
    passed: number;
    skipped: number;
    /** Full titles of the failed tests and hooks. */
    failures: string[];
}

/** Tests that take longer than this are shown with their duration, in milliseconds. */
const SLOW = 1_000;

/** For tests that set none of their own, in milliseconds. */
const TIME_LIMIT = 30_000;

/** Runs test files in this process and reports to the parent: `run-kind.ts TEXT_OF_TITLES FILE...` */
async function main([grep, ...files]: readonly string[]): Promise<void> {
    const mocha = new Mocha({
        reporter: "spec",
        slow: SLOW,
        timeout: TIME_LIMIT,
        // A forgotten `.only` would pass for a whole run.
        forbidOnly: true,
        ...(grep === undefined || grep === "" ? {} : { fgrep: grep }),
    });
    for (const file of files) {
        mocha.addFile(file);
    }
    await mocha.loadFilesAsync();
    // A test that has passed can still fail afterwards, and fail more than once.
    const passed = new Set<Mocha.Runnable>();
    const failed = new Set<Mocha.Runnable>();
    let skipped = 0;
    const runner = mocha.run(() => {
        const result: KindResult = {
            passed: [...passed].filter((test) => !failed.has(test)).length,
            skipped,
            failures: [...failed].map((test) => test.fullTitle()),
        };
        // Tests may leave servers and timers behind; they must not keep the run from ending.
        process.send?.(result, () => process.exit(failed.size > 0 ? 1 : 0));
    });
    runner.on("pass", (test) => passed.add(test));
    runner.on("pending", () => (skipped += 1));
    runner.on("fail", (test) => failed.add(test));
}

main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
});
