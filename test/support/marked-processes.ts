import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const variable = "HARBORAGE_TEST_MARK";

/** An environment by which every process that descends from a run can be told, also when its parents are gone. */
export function newMark(): Readonly<Record<string, string>> {
    return { [variable]: randomBytes(8).toString("hex") };
}

export interface MarkedProcess {
    readonly pid: number;
    /** Name of the program's file. */
    readonly program: string;
    /** Its arguments, with spaces between them. */
    readonly command: string;
}

/** The living processes that have a mark in their environment. */
export function markedProcesses(mark: Readonly<Record<string, string>>): MarkedProcess[] {
    const wanted = `${variable}=${mark[variable] ?? ""}`;
    return processIds().flatMap((pid) => {
        // A process may end between any two of these.
        try {
            if (!readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(wanted)) {
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
