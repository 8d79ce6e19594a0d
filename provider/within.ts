/**
 * Does some work with a signal that is aborted when one of these is, or when time is up. (`AbortSignal.any` of Node 20 loses an
 * `AbortSignal.timeout` that nothing else holds: it never came.)
 *
 * @param milliseconds 0 for no limit
 */
export async function within<Result>(
    milliseconds: number,
    signals: readonly AbortSignal[],
    work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    const timer = milliseconds > 0 ? setTimeout(abort, milliseconds) : undefined;
    for (const signal of signals) {
        signal.addEventListener("abort", abort);
        if (signal.aborted) {
            abort();
        }
    }
    try {
        return await work(controller.signal);
    } finally {
        clearTimeout(timer);
        signals.forEach((signal) => signal.removeEventListener("abort", abort));
    }
}
