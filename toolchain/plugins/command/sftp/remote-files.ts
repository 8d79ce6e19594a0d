import type { FileHandle } from "node:fs/promises";
import path from "node:path/posix";
import type { Client, SFTPWrapper, Stats } from "ssh2";

/** What goes in one request, and how many are on their way at a time: this much of a file is in memory, no more. */
const CHUNK = 32 * 1024;
const REQUESTS = 64;

const NO_SUCH_FILE = 2;
const PERMISSION_DENIED = 3;

/** The files of a machine, by SFTP. Its errors are those of Go's pkg/sftp. */
export class RemoteFiles {
    private readonly lost: Promise<never>;

    private constructor(
        client: Client,
        private readonly sftp: SFTPWrapper,
    ) {
        // ssh2 leaves requests unanswered when the server's side of SFTP ends.
        this.lost = new Promise((_resolve, reject) => {
            const lose = (): void => reject(new Error("connection lost"));
            client.once("close", lose);
            sftp.once("close", lose);
        });
        this.lost.catch(() => undefined);
    }

    static open(client: Client): Promise<RemoteFiles> {
        return new Promise((resolve, reject) =>
            client.sftp((error, sftp) =>
                error
                    ? reject(new Error("ssh: subsystem request failed", { cause: error }))
                    : resolve(new RemoteFiles(client, sftp)),
            ),
        );
    }

    /** Undefined when there is nothing. */
    async stat(file: string): Promise<Stats | undefined> {
        try {
            return await this.request<Stats>((done) => this.sftp.stat(file, done));
        } catch (error) {
            if (error instanceof SftpError && error.status === NO_SUCH_FILE) {
                return undefined;
            }
            throw new Error(`failed to stat remote path ${file}: ${(error as Error).message}`, { cause: error });
        }
    }

    mkdir(directory: string): Promise<void> {
        return this.request((done) => this.sftp.mkdir(directory, done));
    }

    async mkdirAll(directory: string): Promise<void> {
        const found = await this.stat(directory);
        if (found?.isDirectory()) {
            return;
        }
        if (found !== undefined) {
            throw new Error(`mkdir ${directory}: not a directory`);
        }
        await this.mkdirAll(path.dirname(directory));
        await this.mkdir(directory);
    }

    /** Opens a file for writing, over what is there; its mode is what the server gives new files. */
    create(file: string): Promise<Buffer> {
        return this.request<Buffer>((done) => this.sftp.open(file, "w+", done));
    }

    /** Writes all of the content, and closes the file. */
    async write(handle: Buffer, content: FileHandle | Buffer): Promise<void> {
        let next = 0;
        const sender = async (): Promise<void> => {
            for (let sent = CHUNK; sent === CHUNK;) {
                const at = next;
                next += CHUNK;
                const chunk = await read(content, at);
                sent = chunk.length;
                if (sent > 0) {
                    await this.request((done) => this.sftp.write(handle, chunk, 0, sent, at, done));
                }
            }
        };
        try {
            await Promise.all(Array.from({ length: REQUESTS }, sender));
        } finally {
            await this.request((done) => this.sftp.close(handle, done));
        }
    }

    private request<Result>(send: (done: (error?: Error | null, result?: Result) => void) => unknown): Promise<Result> {
        const answer = new Promise<Result>((resolve, reject) =>
            send((error, result) => (error ? reject(new SftpError(error)) : resolve(result as Result))),
        );
        return Promise.race([answer, this.lost]);
    }
}

async function read(content: FileHandle | Buffer, at: number): Promise<Buffer> {
    if (Buffer.isBuffer(content)) {
        return content.subarray(at, at + CHUNK);
    }
    const { buffer, bytesRead } = await content.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, at);
    return buffer.subarray(0, bytesRead);
}

class SftpError extends Error {
    readonly status: number | undefined;

    constructor(error: Error & { code?: unknown }) {
        const status = typeof error.code === "number" ? error.code : undefined;
        super(text(status, error.message), { cause: error });
        this.status = status;
    }
}

/** By number: draft-ietf-secsh-filexfer-02, section 7. */
const STATUSES: Readonly<Record<number, string>> = {
    4: "SSH_FX_FAILURE",
    5: "SSH_FX_BAD_MESSAGE",
    6: "SSH_FX_NO_CONNECTION",
    7: "SSH_FX_CONNECTION_LOST",
    8: "SSH_FX_OP_UNSUPPORTED",
};

function text(status: number | undefined, message: string): string {
    switch (status) {
        case NO_SUCH_FILE:
            return "file does not exist";
        case PERMISSION_DENIED:
            return "permission denied";
        default: {
            const name = STATUSES[status ?? 0];
            return name === undefined ? message : `sftp: "${message}" (${name})`;
        }
    }
}
