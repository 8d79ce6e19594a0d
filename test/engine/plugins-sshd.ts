import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Values } from "../../toolchain/plugins/lib/values";

export type KeyType = "ed25519" | "ecdsa" | "rsa";

export interface KeyPair {
    readonly privateKey: string;
    /** One line, as in authorized_keys. */
    readonly publicKey: string;
}

/** A free port of 127.0.0.1, where nothing listens. */
export async function freePort(): Promise<number> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    return port;
}

/** OpenSSH's server on a free port of 127.0.0.1, with keys and configuration of its own in a temporary folder. */
export class Sshd {
    private constructor(
        readonly directory: string,
        readonly port: number,
        /** Of the server. */
        readonly hostKey: string,
        /** With which this process's user may log in. */
        readonly userKey: KeyPair,
        private readonly process: ChildProcess,
    ) {}

    /** @param lines of its configuration, added or in place of the ones with the same keyword. */
    static async start(lines: readonly string[] = [], hostKeyType: KeyType = "ed25519"): Promise<Sshd> {
        const directory = mkdtempSync(path.join(tmpdir(), "sshd-"));
        const hostKey = generateKey(directory, "host", hostKeyType);
        const userKey = generateKey(directory, "user");
        authorize(directory, [userKey.publicKey]);
        const port = await freePort();
        const config = path.join(directory, "sshd_config");
        const settings = [
            "ListenAddress 127.0.0.1",
            `Port ${port}`,
            `HostKey ${path.join(directory, "host")}`,
            `AuthorizedKeysFile ${path.join(directory, "authorized_keys")}`,
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "Subsystem sftp internal-sftp",
            "MaxStartups 100",
        ];
        const given = lines.map(keyword);
        const kept = settings.filter((line) => !given.includes(keyword(line)));
        writeFileSync(config, `${[...kept, ...lines].join("\n")}\n`);
        if (userInfo().uid === 0) {
            // As Debian's service does before it starts the server.
            mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
        }
        const server = spawn("/usr/sbin/sshd", ["-D", "-e", "-f", config], { stdio: ["ignore", "ignore", "pipe"] });
        let log = "";
        server.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
        const sshd = new Sshd(directory, port, hostKey.publicKey, userKey, server);
        for (let waited = 0; !(await answers(port)); waited += 50) {
            if (server.exitCode !== null || waited > 10_000) {
                await sshd.stop();
                throw new Error(`sshd does not serve:\n${log}`);
            }
            await sleep(50);
        }
        return sshd;
    }

    /** The input `connection` with which a login succeeds. */
    connection(changes: Values = {}): Values {
        return {
            host: "127.0.0.1",
            port: this.port,
            user: userInfo().username,
            privateKey: this.userKey.privateKey,
            hostKey: this.hostKey,
            dialErrorLimit: 0,
            perDialTimeout: 15,
            ...changes,
        };
    }

    file(name: string): string {
        return path.join(this.directory, name);
    }

    /** A key of the user that is authorized as well. */
    addKey(name: string, type: KeyType, ...options: readonly string[]): KeyPair {
        const pair = generateKey(this.directory, name, type, options);
        authorize(this.directory, [this.userKey.publicKey, pair.publicKey]);
        return pair;
    }

    async stop(): Promise<void> {
        if (this.process.exitCode === null && this.process.signalCode === null) {
            this.process.kill("SIGKILL");
            await once(this.process, "exit");
        }
        rmSync(this.directory, { recursive: true });
    }
}

/** @param options of ssh-keygen; without -N the key has no passphrase. */
export function generateKey(
    directory: string,
    name: string,
    type: KeyType = "ed25519",
    options: readonly string[] = [],
): KeyPair {
    const file = path.join(directory, name);
    const passphrase = options.includes("-N") ? [] : ["-N", ""];
    execFileSync("ssh-keygen", ["-q", "-t", type, "-C", "test", ...passphrase, ...options, "-f", file]);
    return { privateKey: readFileSync(file, "utf8"), publicKey: readFileSync(`${file}.pub`, "utf8").trim() };
}

function keyword(line: string): string {
    return line.split(" ", 1)[0] ?? "";
}

function authorize(directory: string, keys: readonly string[]): void {
    writeFileSync(path.join(directory, "authorized_keys"), `${keys.join("\n")}\n`);
}

function answers(port: number): Promise<boolean> {
    return new Promise((resolve) => {
        const socket = connect(port, "127.0.0.1");
        socket.once("data", () => resolve(true)).once("close", () => resolve(false));
        socket.once("error", () => resolve(false)).once("data", () => socket.destroy());
    });
}
