import { constants } from "node:os";

/** Texts as Go's standard library writes them, which the official plugin's error messages are made of. */

const ESCAPES: Readonly<Record<string, string>> = {
    "\x07": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
};

/** Go's %q: in double quotes, with what is not printable escaped. */
export function goQuote(text: string): string {
    const quoted = Array.from(text, (character) => {
        const escape = ESCAPES[character];
        if (escape !== undefined) {
            return escape;
        }
        const code = character.codePointAt(0) ?? 0;
        if (code < 0x80) {
            return code < 0x20 || code === 0x7f ? `\\x${hex(code, 2)}` : character;
        }
        if (/[\p{L}\p{M}\p{N}\p{P}\p{S}]/u.test(character)) {
            return character;
        }
        return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
    });
    return `"${quoted.join("")}"`;
}

function hex(code: number, digits: number): string {
    return code.toString(16).padStart(digits, "0");
}

const SIGNALS: Partial<Record<NodeJS.Signals, string>> = {
    SIGABRT: "aborted",
    SIGALRM: "alarm clock",
    SIGBUS: "bus error",
    SIGFPE: "floating point exception",
    SIGHUP: "hangup",
    SIGILL: "illegal instruction",
    SIGINT: "interrupt",
    SIGKILL: "killed",
    SIGPIPE: "broken pipe",
    SIGQUIT: "quit",
    SIGSEGV: "segmentation fault",
    SIGTERM: "terminated",
    SIGTRAP: "trace/breakpoint trap",
    SIGUSR1: "user defined signal 1",
    SIGUSR2: "user defined signal 2",
};

/** How a process ended, as exec.ExitError says it. */
export function exitText(code: number | null, signal: NodeJS.Signals | null): string {
    if (signal !== null) {
        return `signal: ${SIGNALS[signal] ?? `signal ${constants.signals[signal]}`}`;
    }
    return `exit status ${code}`;
}

const ERRORS: Readonly<Record<string, string>> = {
    ENOENT: "no such file or directory",
    EACCES: "permission denied",
    ENOTDIR: "not a directory",
    ENOEXEC: "exec format error",
    E2BIG: "argument list too long",
    EAGAIN: "resource temporarily unavailable",
    ENOMEM: "cannot allocate memory",
    ECONNREFUSED: "connection refused",
    ECONNRESET: "connection reset by peer",
    EHOSTUNREACH: "no route to host",
    ENETUNREACH: "network is unreachable",
    ENOTFOUND: "no such host",
    ENOTSOCK: "socket operation on non-socket",
    EPIPE: "broken pipe",
    ETIMEDOUT: "connection timed out",
};

/** A system error's text, as syscall.Errno prints it. */
export function errnoText(error: NodeJS.ErrnoException): string {
    return ERRORS[error.code ?? ""] ?? error.message;
}
