import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** The environment variable that every process of a test's stack inherits. */
export const MARK = "HARBORAGE_TEST_MARK";

export interface MarkedProcess {
    readonly pid: number;
    /** Name of the program's file. */
    readonly program: string;
    /** Its arguments, joined by spaces. */
    readonly command: string;
}

/** The living processes that a test has started, directly or not: those that have its mark in their environment. */
export function markedProcesses(mark: string): MarkedProcess[] {
    return processIds().flatMap((pid) => {
        // A process may end between any two of these.
        try {
            if (!readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(`${MARK}=${mark}`)) {
                return [];
            }
            const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
            const program = readlinkSync(`/proc/${pid}/exe`).split("/").at(-1) ?? "";
            return [{ pid, program, command }];
        } catch {
            return [];
        }
    });
}

/** The numbers of all processes that this machine has at the moment. */
export function processIds(): number[] {
    return readdirSync("/proc").map(Number).filter(Number.isInteger);
}

/**
 * Waits until a condition gives something else than undefined and false.
 *
 * @param seconds how long at most
 * @throws Error that names what was waited for
 */
export async function until<T>(what: string, seconds: number, condition: () => T | undefined | false): Promise<T> {
    for (const end = performance.now() + seconds * 1000; ; await sleep(20)) {
        const value = condition();
        if (value !== undefined && value !== false) {
            return value;
        }
        if (performance.now() > end) {
            throw new Error(`waited ${seconds} s in vain for ${what}`);
        }
    }
}

/** Kills a process; one that has ended already is no error. A negative number stands for a process group. */
export function kill(pid: number): void {
    try {
        process.kill(pid, "SIGKILL");
    } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") {
            throw error;
        }
    }
}
