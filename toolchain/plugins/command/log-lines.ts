import { StringDecoder } from "node:string_decoder";

/** The longest line that bufio.Scanner takes, in bytes: behind a longer one the official plugin hangs for ever. */
const LONGEST_LINE = 65_536;

/**
 * Cuts what a command writes into lines while it runs. Standard output and error share one writer, as in
 * the official plugin, so an unfinished line of one is continued by the other.
 */
export class LogLines {
    private readonly decoder = new StringDecoder("utf8");
    private rest = "";
    private sent: Promise<void> = Promise.resolve();

    constructor(private readonly send: (line: string) => Promise<void>) {}

    write(chunk: Buffer): void {
        const lines = (this.rest + this.decoder.write(chunk)).split("\n");
        this.rest = lines.pop() ?? "";
        lines.forEach((line) => this.enqueue(line));
    }

    /** Sends an unfinished last line, and resolves when all lines have arrived in order. */
    async end(): Promise<void> {
        this.rest += this.decoder.end();
        if (this.rest !== "") {
            this.enqueue(this.rest);
        }
        await this.sent;
    }

    /** Whether a line came by that the official plugin does not survive. */
    tooLong = false;

    private enqueue(line: string): void {
        if (Buffer.byteLength(line) >= LONGEST_LINE) {
            this.tooLong = true;
            return;
        }
        const text = line.endsWith("\r") ? line.slice(0, -1) : line;
        this.sent = this.sent.then(() => this.send(text));
    }
}
