import { setTimeout as sleep } from "node:timers/promises";

/** How often the host looks whether the engine that started it is still there, in milliseconds. */
const WATCH_INTERVAL = 1000;

/** How long what this process has started may take to end before it exits all the same, in milliseconds. */
const GRACE = 2000;

/**
 * Ends this process soon after its parent has died, however the parent died: a killed engine would otherwise leave the
 * host and the program behind, still at work.
 *
 * @param stop stops what this process has started; resolves when that has ended
 */
export function dieWithParent(stop: () => Promise<void>): void {
    const parent = process.ppid;
    const watch = setInterval(() => {
        if (process.ppid !== parent) {
            clearInterval(watch);
            end(stop);
        }
    }, WATCH_INTERVAL);
    watch.unref();
}

/** Stops and exits on SIGINT, with which the engine asks for it and then waits, and on SIGTERM. */
export function exitOnSignals(stop: () => Promise<void>): void {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
        process.once(signal, () => end(stop));
    }
}

function end(stop: () => Promise<void>): void {
    const exit = (): never => process.exit(0);
    void Promise.race([stop(), sleep(GRACE)]).then(exit, exit);
}
