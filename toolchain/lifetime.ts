/** How often a server looks whether the engine that started it is still there, in milliseconds. */
const WATCH_INTERVAL = 1000;

/** How long the servers' own children may take to end before the server exits all the same, in milliseconds. */
const GRACE = 1000;

/**
 * Ends this process soon after its parent has died, however the parent died. A killed engine would otherwise leave its
 * language host, plugins and programs behind, still at work.
 *
 * @param stop called once before the exit, to stop what this process has started.
 */
export function dieWithParent(stop: () => void = () => undefined): void {
    const parent = process.ppid;
    const watch = setInterval(() => {
        if (process.ppid !== parent) {
            clearInterval(watch);
            end(stop);
        }
    }, WATCH_INTERVAL);
    watch.unref();
}

/** Stops and exits on SIGINT and SIGTERM. */
export function exitOnSignals(stop: () => void): void {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
        process.once(signal, () => end(stop));
    }
}

function end(stop: () => void): void {
    stop();
    setTimeout(() => process.exit(1), GRACE);
}
