import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { hostname } from "node:os";
import * as path from "node:path";
import { isAlive } from "./cache";

/** What Pulumi writes into a lock of a file backend (`<backend>/.pulumi/locks/organization/<project>/<stack>/<id>.json`). */
export interface StackLock {
    readonly pid: number;
    readonly hostname: string;
    /** Milliseconds since 1970. */
    readonly taken: number;
}

/** What is known of the machine that the decision is made on. */
export interface Machine {
    readonly hostname: string;
    /** When the process with this id started, in milliseconds since 1970; undefined when there is none. */
    startOf(pid: number): number | undefined;
}

/** How far a process's start time may be off, in milliseconds: the kernel counts it from a boot time in whole seconds. */
const CLOCK_ERROR = 2000;

/** Age, in milliseconds, from which a lock file that cannot be read counts as cut short by a kill. */
const UNREADABLE_AGE = 10_000;

/** Why a lock may be released, in words; undefined when it must stay. */
export function reasonToRelease(lock: StackLock, machine: Machine): string | undefined {
    if (lock.hostname !== machine.hostname) {
        return undefined;
    }
    const started = machine.startOf(lock.pid);
    if (started === undefined) {
        return `its process ${lock.pid} is gone`;
    }
    // The id has been given out again, as after a reboot: the process that took the lock is not the one that has it now.
    return started > lock.taken + CLOCK_ERROR
        ? `its process ${lock.pid} ended before another one got that number`
        : undefined;
}

/** Whether anything still holds a lock of a stack. */
export function isLocked(directory: string): boolean {
    return list(directory).length > 0;
}

/** Reads a lock file's content; undefined when it is not what Pulumi writes. */
export function parseLock(content: string): StackLock | undefined {
    try {
        const lock = JSON.parse(content) as Record<string, unknown>;
        const taken = typeof lock["timestamp"] === "string" ? Date.parse(lock["timestamp"]) : NaN;
        if (typeof lock["pid"] !== "number" || typeof lock["hostname"] !== "string" || Number.isNaN(taken)) {
            return undefined;
        }
        return { pid: lock["pid"], hostname: lock["hostname"], taken };
    } catch {
        return undefined;
    }
}

/**
 * Removes the locks of a stack whose processes on this machine are dead. Those of living processes and of other machines
 * stay: Pulumi itself explains them.
 *
 * @param directory the stack's folder of locks; it need not be there
 * @returns a line for people about each lock released
 */
export function releaseDeadLocks(directory: string, machine: Machine = thisMachine): string[] {
    const released: string[] = [];
    for (const name of list(directory)) {
        const file = path.join(directory, name);
        const lock = parseLock(read(file));
        const reason =
            lock !== undefined
                ? reasonToRelease(lock, machine)
                : age(file) > UNREADABLE_AGE
                  ? "it was cut short when it was written"
                  : undefined;
        if (reason !== undefined) {
            rmSync(file, { force: true });
            rmSync(`${file}.attrs`, { force: true });
            released.push(`released the stack's lock ${name}: ${reason}`);
        }
    }
    return released;
}

const thisMachine: Machine = { hostname: hostname(), startOf };

function startOf(pid: number): number | undefined {
    if (!isAlive(pid)) {
        return undefined;
    }
    try {
        // proc(5): starttime is the 22nd field, in ticks of 1/100 s since boot; the 2nd may hold spaces and brackets.
        const text = readFileSync(`/proc/${pid}/stat`, "utf8");
        const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
        if (fields[0] === "Z") {
            return undefined;
        }
        const boot = Number(/^btime (\d+)$/mu.exec(readFileSync("/proc/stat", "utf8"))?.[1]);
        return (boot + Number(fields[19]) / 100) * 1000;
    } catch {
        // Without /proc a living process counts as the owner: a lock too many is released by `pulumi cancel`.
        return 0;
    }
}

function list(directory: string): string[] {
    try {
        return readdirSync(directory).filter((name) => !name.endsWith(".attrs"));
    } catch {
        return [];
    }
}

function read(file: string): string {
    try {
        return readFileSync(file, "utf8");
    } catch {
        return "";
    }
}

function age(file: string): number {
    try {
        return Date.now() - statSync(file).mtimeMs;
    } catch {
        return 0;
    }
}
