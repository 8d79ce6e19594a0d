import fc from "fast-check";
import Mocha from "mocha";
import { testSeed } from "./support/random";

/** What came of the tests of one kind; a test that did not run is in none of these. */
export interface KindResult {
    passed: number;
    skipped: number;
    /** The failed tests and hooks, each as its full title and, indented below it, what it failed with. */
    failures: string[];
}

/** How much of what a test failed with is said again at the end, in characters; all of it is above. */
const MESSAGE_LIMIT = 1_500;

/** Tests that take longer than this are shown with their duration, in milliseconds. */
const SLOW = 1_000;

/** For tests that set none of their own, in milliseconds. */
const TIME_LIMIT = 60_000;

/** A failure as {@link KindResult.failures} has it. Of a long message its begin and its end are kept. */
function described(test: Mocha.Runnable, error: unknown): string {
    const message = error instanceof Error ? error.message : String(error);
    const half = MESSAGE_LIMIT / 2;
    const short = message.length <= MESSAGE_LIMIT ? message : `${message.slice(0, half)}\n…\n${message.slice(-half)}`;
    return `${test.fullTitle()}\n${short}`.replaceAll("\n", "\n    ");
}

/** Runs test files in this process and reports to the parent: `run-kind.ts TEXT_OF_TITLES FILE...` */
async function main([grep, ...files]: readonly string[]): Promise<void> {
    fc.configureGlobal({ seed: testSeed });
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
    const failed = new Map<Mocha.Runnable, string>();
    let skipped = 0;
    const runner = mocha.run(() => {
        const result: KindResult = {
            passed: [...passed].filter((test) => !failed.has(test)).length,
            skipped,
            failures: [...failed.values()],
        };
        // Tests may leave servers and timers behind; they must not keep the run from ending.
        process.send?.(result, () => process.exit(failed.size > 0 ? 1 : 0));
    });
    runner.on("pass", (test) => passed.add(test));
    runner.on("pending", () => (skipped += 1));
    runner.on("fail", (test, error) => failed.set(test, failed.get(test) ?? described(test, error)));
}

main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
});
