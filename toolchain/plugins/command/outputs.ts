import { goQuote } from "./go-text";
import { LogLines } from "./log-lines";

export type Logging = "stdout" | "stderr" | "stdoutAndStderr" | "none";

/** The inputs that say how a command runs, wherever it does. */
export interface RunInputs {
    readonly environment?: Readonly<Record<string, string>>;
    readonly stdin?: string;
    readonly logging?: Logging;
    readonly addPreviousOutputInEnv?: boolean;
}

export interface Outputs {
    readonly stdout: string;
    readonly stderr: string;
}

/** Variables that hand the outputs of the last run to this one. */
export function previousOutputVariables(inputs: RunInputs, previous: Outputs): Record<string, string> {
    const variables: Record<string, string> = {};
    if (inputs.addPreviousOutputInEnv ?? true) {
        if (previous.stdout !== "") {
            variables["PULUMI_COMMAND_STDOUT"] = previous.stdout;
        }
        if (previous.stderr !== "") {
            variables["PULUMI_COMMAND_STDERR"] = previous.stderr;
        }
    }
    return variables;
}

/** Takes what a command writes: keeps it, and shows it line by line while the command runs. */
export class Capture {
    private readonly lines: LogLines;
    private readonly chunks: Record<keyof Outputs, Buffer[]> = { stdout: [], stderr: [] };
    private readonly both: Buffer[] = [];

    constructor(
        private readonly logging: Logging = "stdoutAndStderr",
        log: (line: string) => Promise<void>,
    ) {
        this.lines = new LogLines(log);
    }

    readonly stdout = (chunk: Buffer): void => this.take("stdout", chunk);
    readonly stderr = (chunk: Buffer): void => this.take("stderr", chunk);

    private take(from: keyof Outputs, chunk: Buffer): void {
        this.chunks[from].push(chunk);
        this.both.push(chunk);
        if (this.logging === from || this.logging === "stdoutAndStderr") {
            this.lines.write(chunk);
        }
    }

    /**
     * @param failure how the command failed, or undefined
     * @returns the outputs, each without one final newline.
     * @throws Error with the command and everything that it wrote; Pulumi prints it, secrets included.
     */
    async end(command: string, failure: string | undefined): Promise<Outputs> {
        await this.lines.end();
        if (failure !== undefined) {
            throw new Error(`${failure}: running ${goQuote(command)}:\n${text(this.both)}`);
        }
        if (this.lines.tooLong) {
            throw new Error(
                `running ${goQuote(command)}: a line of its output has 64 KiB or more, at which the official plugin ` +
                    `hangs for ever; set logging to "none" or write shorter lines`,
            );
        }
        const trimmed = (chunks: readonly Buffer[]): string => text(chunks).replace(/\n$/, "");
        return { stdout: trimmed(this.chunks.stdout), stderr: trimmed(this.chunks.stderr) };
    }
}

function text(chunks: readonly Buffer[]): string {
    return Buffer.concat(chunks).toString("utf8");
}
