/** POSIX numbers, by which the official plugin makes an exit status of a signal. */
const SIGNALS: Readonly<Record<string, number>> = {
    ABRT: 6,
    ALRM: 14,
    FPE: 8,
    HUP: 1,
    ILL: 4,
    INT: 2,
    KILL: 9,
    PIPE: 13,
    QUIT: 3,
    SEGV: 11,
    TERM: 15,
};

/**
 * How a remote command failed, as Go's x/crypto/ssh says it; undefined when it did not.
 *
 * @param status undefined when the server did not say, null when there was a signal
 * @param signal "SIGTERM"
 */
export function exitFailure(status: number | null | undefined, signal: string | undefined): string | undefined {
    if (signal !== undefined) {
        const name = signal.replace(/^SIG/, "");
        return `Process exited with status ${128 + (SIGNALS[name] ?? 0)} from signal ${name}`;
    }
    if (status === undefined || status === null) {
        return "wait: remote command exited without exit status or exit signal";
    }
    return status === 0 ? undefined : `Process exited with status ${status}`;
}
