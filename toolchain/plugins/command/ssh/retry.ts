import { setTimeout as sleep } from "node:timers/promises";
import type { Context } from "../../lib/resource";

/** Milliseconds: of pulumi/pulumi, sdk/go/common/util/retry. With the default limit they add up to 11.3 s. */
const FIRST_DELAY = 100;
const BACKOFF = 1.5;
const LONGEST_DELAY = 5_000;

/**
 * Repeats what fails, also for reasons that no repetition mends (a wrong key).
 *
 * @param what  as the user sees it: "Dial"
 * @param limit how many failures are accepted; the next one is the end. -1 for any number.
 * @throws Error `after N failed attempts: …` with the last failure.
 */
export async function dialWithRetry<Result>(
    context: Context,
    what: string,
    limit: number,
    attempt: () => Promise<Result>,
): Promise<Result> {
    let delay = FIRST_DELAY;
    for (let failed = 0; ; failed++) {
        try {
            return await attempt();
        } catch (error) {
            context.signal.throwIfAborted();
            if (limit > -1 && failed + 1 > limit) {
                throw new Error(`after ${failed} failed attempts: ${(error as Error).message}`, { cause: error });
            }
        }
        const dials = `${failed + 1}/${limit === -1 ? "inf" : limit}`;
        await context.log(`${what} ${dials} failed: retrying`, "info", true);
        await sleep(delay, undefined, { signal: context.signal }).catch(() => context.signal.throwIfAborted());
        delay = Math.min(delay * BACKOFF, LONGEST_DELAY);
    }
}
