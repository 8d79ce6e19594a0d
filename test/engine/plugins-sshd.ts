import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir, userInfo } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Server, type AuthContext } from "ssh2";
import type { Values } from "../../toolchain/plugins/lib/values";
import { newSshKey, type SshKey, type SshKeyType } from "../support/ssh-key";

/** A free port of 127.0.0.1, where nothing listens. */
export async function freePort(): Promise<number> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    return port;
}

/**
 * A port of 127.0.0.1 that answers as a machine does that is off, which is not at all: somebody listens there whose
 * queue is full. Node takes every connection, so this is Python.
 */
export async function startSilentPort(): Promise<{ port: number; stop(): void }> {
    const script = [
        "import signal, socket",
        "server = socket.socket()",
        'server.bind(("127.0.0.1", 0))',
        "server.listen(0)",
        "waiting = [socket.socket() for _ in range(8)]",
        "for one in waiting:",
        "    one.setblocking(False)",
        "    one.connect_ex(server.getsockname())",
        "print(server.getsockname()[1], flush=True)",
        "signal.pause()",
    ];
    const child = spawn("python3", ["-c", script.join("\n")], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    return { port: Number(line.toString()), stop: () => child.kill("SIGKILL") };
}

/** OpenSSH's server on a free port of 127.0.0.1, with keys and configuration of its own in a temporary folder. */
export class Sshd {
    private constructor(
        readonly directory: string,
        readonly port: number,
        /** Of the server. */
        readonly hostKey: string,
        /** With which this process's user may log in. */
        readonly userKey: SshKey,
        private readonly process: ChildProcess,
    ) {}

    /** @param lines of its configuration, added or in place of the ones with the same keyword. */
    static async start(lines: readonly string[] = [], hostKeyType: SshKeyType = "ed25519"): Promise<Sshd> {
        const directory = mkdtempSync(path.join(tmpdir(), "sshd-"));
        const hostKey = newSshKey(hostKeyType);
        const userKey = newSshKey();
        writeFileSync(path.join(directory, "host"), hostKey.private, { mode: 0o600 });
        writeFileSync(path.join(directory, "user"), userKey.private, { mode: 0o600 });
        writeFileSync(path.join(directory, "authorized_keys"), `${userKey.public}\n`);
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
        const sshd = new Sshd(directory, port, hostKey.public, userKey, server);
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
            privateKey: this.userKey.private,
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
    addKey(type: SshKeyType, ...options: readonly string[]): SshKey {
        const key = newSshKey(type, ...options);
        this.authorize(key.public);
        return key;
    }

    authorize(publicKey: string): void {
        appendFileSync(this.file("authorized_keys"), `${publicKey}\n`);
    }

    async stop(): Promise<void> {
        if (this.process.exitCode === null && this.process.signalCode === null) {
            this.process.kill("SIGKILL");
            await once(this.process, "exit");
        }
        rmSync(this.directory, { recursive: true });
    }
}

export type Method = "password" | "keyboard-interactive";

/**
 * A server that takes a password, for which OpenSSH's would need a user of the system. What it is asked to run it
 * answers with "ran …".
 */
export class PasswordServer {
    /** The only way in. */
    method: Method = "password";

    private constructor(
        private readonly server: Server,
        readonly port: number,
    ) {}

    /** @param hostKey the file of its private key. */
    static async start(hostKey: string, password: string): Promise<PasswordServer> {
        const server = new Server({ hostKeys: [readFileSync(hostKey)] });
        server.listen(0, "127.0.0.1");
        await once(server, "listening");
        const started = new PasswordServer(server, (server.address() as AddressInfo).port);
        server.on("connection", (client) => {
            client.on("error", () => undefined);
            client.on("authentication", (context) => started.authenticate(context, password));
            client.on("session", (accept) =>
                accept().on("exec", (acceptCommand, _reject, { command }) => {
                    const channel = acceptCommand();
                    channel.write(`ran ${command}\n`);
                    channel.exit(0);
                    channel.end();
                }),
            );
        });
        return started;
    }

    private authenticate(context: AuthContext, password: string): void {
        const answer = (right: boolean): void =>
            right ? context.accept() : context.reject(["publickey", this.method]);
        if (context.method === "password") {
            answer(this.method === "password" && context.password === password);
        } else if (context.method === "keyboard-interactive") {
            context.prompt([{ prompt: "Password:", echo: false }], ([given]) =>
                answer(this.method === "keyboard-interactive" && given === password),
            );
        } else {
            answer(false);
        }
    }

    close(): void {
        this.server.close();
    }
}

function keyword(line: string): string {
    return line.split(" ", 1)[0] ?? "";
}

function answers(port: number): Promise<boolean> {
    return new Promise((resolve) => {
        const socket = connect(port, "127.0.0.1");
        socket.once("data", () => resolve(true)).once("close", () => resolve(false));
        socket.once("error", () => resolve(false)).once("data", () => socket.destroy());
    });
}
