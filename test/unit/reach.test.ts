import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { lookup } from "node:dns/promises";
import { writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "mocha";
import type { Connection } from "../../components/machines/machine";
import { reach } from "../../components/machines/reach";
import { newSshKey } from "../support/ssh-key";
import { withFolderAsync } from "./support/machine";
import { startSshServer, type SshServer, type SshServerArgs } from "./support/ssh-server";

const machine = "harborage:machines.node";
const paths = { machine, proxy: `${machine}.bastion` };
const hostKey = newSshKey();
const otherHostKey = newSshKey();
const user = newSshKey();
const otherUser = newSshKey();

/** For what is answered at once, also on a busy machine. */
const enough = { seconds: 20, isNew: false };
/** For what is not answered at all. */
const short = { seconds: 1, isNew: false };
/** For what is answered, and waited for all the same. */
const patient = { seconds: 4, isNew: true };

describe("reaching a machine by SSH", () => {
    const servers: { close(): unknown }[] = [];
    let agent: string | undefined;
    beforeEach(() => {
        agent = process.env["SSH_AUTH_SOCK"];
        delete process.env["SSH_AUTH_SOCK"];
    });
    afterEach(async () => {
        delete process.env["SSH_AUTH_SOCK"];
        if (agent !== undefined) {
            process.env["SSH_AUTH_SOCK"] = agent;
        }
        await Promise.all(servers.splice(0).map((server) => server.close()));
    });

    async function start(args: Partial<SshServerArgs> = {}): Promise<SshServer> {
        const server = await startSshServer({ hostKey, user, ...args });
        servers.push(server);
        return server;
    }

    /** A way to a server that it agrees to, but for what is given. */
    function to(port: number, other: Partial<Connection> = {}): Connection {
        return { host: "127.0.0.1", port, user: "root", hostKey: hostKey.public, privateKey: user.private, ...other };
    }

    /** A port that nobody listens at. */
    async function freePort(): Promise<number> {
        const server = await start();
        await server.close();
        return server.port;
    }

    /** What is said, which must lead to the stack file and hold no private key. */
    async function refusal(connection: Connection, patience = enough): Promise<string> {
        const error: unknown = await reach(paths, connection, patience).catch((reason: unknown) => reason);
        assert.ok(error instanceof Error, "it was reached");
        assert.ok(error.message.startsWith(machine), error.message);
        assert.doesNotMatch(error.message, /PRIVATE KEY/);
        for (const { private: text } of [user, otherUser, hostKey, otherHostKey]) {
            for (const line of text.trim().split("\n").slice(1, -1)) {
                assert.ok(!error.message.includes(line));
            }
        }
        return error.message;
    }

    it("lets root work without further ado", async () => {
        const server = await start();
        await reach(paths, to(server.port), enough);
        assert.deepEqual(server.log, ["login root"]);
    });

    it("makes sure that another user can become root", async () => {
        const server = await start();
        await reach(paths, to(server.port, { user: "deploy" }), enough);
        assert.deepEqual(server.log, ["login deploy", "sudo -n true"]);
    });

    it("says how to let a user become root", async () => {
        const server = await start({ answer: () => ({ code: 1, error: "sudo: a password is required\n" }) });
        const place = `127.0.0.1:${String(server.port)}`;
        assert.equal(
            await refusal(to(server.port, { user: "deploy" })),
            `${machine}: deploy cannot become root on ${place} (sudo: a password is required); allow it with a file /etc/sudoers.d/deploy that holds "deploy ALL=(ALL) NOPASSWD: ALL", or name another user (${machine}.user)`,
        );
    });

    it("waits on a new machine until cloud-init has ended", async () => {
        const server = await start({ answer: (command) => ({ code: command.includes("cloud-init") ? 2 : 0 }) });
        await reach(paths, to(server.port), { ...enough, isNew: true });
        assert.equal(server.log.length, 2);
        assert.match(server.log[1] ?? "", /cloud-init status --wait/);
    });

    describe("with a host key", () => {
        it("that is another one, gives up at once and shows it", async () => {
            const server = await start({ hostKey: otherHostKey });
            const begin = Date.now();
            const message = await refusal(to(server.port), { seconds: 60, isNew: false });
            assert.ok(Date.now() - begin < 50_000);
            assert.deepEqual(server.log, []);
            const [type = "", key = ""] = otherHostKey.public.split(" ");
            assert.ok(message.includes(`answers with another host key (${type} ${key}) than the one that is expected`));
            assert.match(message, /put its new key into harborage:machines\.node\.hostKey$/);
        });

        it("that is another one, waits for a new machine to make its own", async () => {
            const first = await start({ hostKey: otherHostKey });
            const reached = reach(paths, to(first.port), { seconds: 60, isNew: true });
            await new Promise((done) => setTimeout(done, 500));
            await first.close();
            const second = await start({ port: first.port });
            await reached;
            assert.deepEqual([first.log, second.log[0]], [[], "login root"]);
        });

        it("that is another one to the end, says how long it has waited", async () => {
            const server = await start({ hostKey: otherHostKey });
            assert.match(await refusal(to(server.port), patient), /\.hostKey \(waited 4 s\)$/);
        });

        it("of another type, says which one to name", async () => {
            const server = await start({ hostKey: newSshKey("ecdsa") });
            assert.match(
                await refusal(to(server.port)),
                /has no host key of the type that is expected; put one that it has into harborage:machines\.node\.hostKey \(ssh-keyscan shows them\)$/,
            );
        });

        it("of any kind is fine where the stack file says so", async () => {
            const server = await start({ hostKey: newSshKey("ecdsa") });
            await reach(paths, { host: "127.0.0.1", port: server.port, privateKey: user.private }, enough);
        });

        it("that is no key, says where it stands", async () => {
            assert.match(
                await refusal(to(1, { hostKey: "ssh-ed25519 AAAA" })),
                /^harborage:machines\.node\.hostKey cannot be read/,
            );
        });
    });

    describe("with a key", () => {
        it("that is not let in, says where to put it", async () => {
            const server = await start();
            assert.equal(
                await refusal(to(server.port, { user: "deploy", privateKey: otherUser.private })),
                `${machine}: 127.0.0.1:${String(server.port)} does not accept the key of the stack file for the user deploy; put the public key into ~deploy/.ssh/authorized_keys there, or name another user or key (${machine}.user, ${machine}.privateKey)`,
            );
            assert.deepEqual(server.log, []);
        });

        it("that cannot be read, says so at once", async () => {
            const server = await start();
            const broken = user.private.replace(/\n.{20}/, "\n");
            assert.match(
                await refusal(to(server.port, { privateKey: broken }), { seconds: 60, isNew: true }),
                /^harborage:machines\.node: its private key cannot be read/,
            );
        });

        it("of nobody, says that there is neither a key nor an agent", async () => {
            const server = await start();
            const connection = { host: "127.0.0.1", port: server.port, hostKey: hostKey.public };
            for (const socket of [undefined, ""]) {
                if (socket !== undefined) {
                    process.env["SSH_AUTH_SOCK"] = socket;
                }
                assert.match(
                    await refusal(connection),
                    /asks for a key, and there is no SSH agent for the user root; /,
                );
            }
        });
    });

    describe("with an SSH agent", () => {
        const hasAgent = spawnSync("ssh-agent", ["-k"]).error === undefined;

        it("that is gone, says so, also where there is a key: the command plugin asks it all the same", async () => {
            const server = await start();
            process.env["SSH_AUTH_SOCK"] = "/nonexistent/agent";
            const message = await refusal(to(server.port));
            assert.match(
                message,
                /the SSH agent at SSH_AUTH_SOCK \(\/nonexistent\/agent\) does not answer \(.*ENOENT.*\); start one, or unset the variable$/,
            );
            assert.deepEqual(server.log, []);
        });

        it("uses its keys where the stack file names none", async function () {
            if (!hasAgent) {
                this.skip();
            }
            const server = await start();
            const connection = { host: "127.0.0.1", port: server.port, hostKey: hostKey.public };
            await withFolderAsync(async (folder) => {
                const started = spawnSync("ssh-agent", ["-s", "-a", join(folder, "agent")], { encoding: "utf8" });
                const [, pid = ""] = /SSH_AGENT_PID=(\d+)/.exec(started.stdout) ?? [];
                try {
                    process.env["SSH_AUTH_SOCK"] = join(folder, "agent");
                    assert.match(await refusal(connection), /accepts no key of the SSH agent for the user root; /);
                    writeFileSync(join(folder, "key"), user.private, { mode: 0o600 });
                    const added = spawnSync("ssh-add", ["-q", join(folder, "key")], { encoding: "utf8" });
                    assert.equal(added.status, 0, added.stderr);
                    await reach(paths, connection, enough);
                    assert.deepEqual(server.log, ["login root"]);
                } finally {
                    process.kill(Number(pid));
                }
            });
        });
    });

    describe("that is not there", () => {
        it("waits, and says what may be in the way", async () => {
            const port = await freePort();
            assert.match(
                await refusal(to(port), short),
                /^harborage:machines\.node: 127\.0\.0\.1:\d+ does not answer to SSH: .*ECONNREFUSED.*; see whether the machine runs, and whether its sshd and every firewall in between let this machine in \(waited 1 s\)$/,
            );
        });

        it("comes up meanwhile", async () => {
            const port = await freePort();
            const reached = reach(paths, to(port), { seconds: 60, isNew: false });
            await new Promise((done) => setTimeout(done, 500));
            const server = await start({ port });
            await reached;
            assert.deepEqual(server.log, ["login root"]);
        });

        it("is not waited for longer than the patience when its port is silent", async () => {
            const silent: Server = createServer(() => undefined);
            await new Promise<void>((done) => silent.listen(0, "127.0.0.1", done));
            servers.push(silent);
            const begin = Date.now();
            const message = await refusal(to((silent.address() as AddressInfo).port), short);
            assert.match(message, /does not answer to SSH: Timed out while waiting for handshake; .* \(waited 1 s\)$/);
            assert.ok(Date.now() - begin < 25_000);
        });

        it("is told from one whose name there is not", async function () {
            const host = "node.harborage.invalid";
            const found: unknown = await lookup(host).catch((error: unknown) => (error as { code: string }).code);
            if (found !== "ENOTFOUND") {
                // No DNS at all.
                this.skip();
            }
            assert.equal(
                await refusal(to(22, { host }), { seconds: 60, isNew: true }),
                `${machine}.address: there is no name ${host} in DNS`,
            );
        });
    });

    describe("through a bastion", () => {
        const jump = newSshKey();

        async function through(bastionKey = otherHostKey.public) {
            const bastion = await start({ hostKey: otherHostKey, user: jump });
            const proxy = { ...to(bastion.port), hostKey: bastionKey, privateKey: jump.private, user: "jump" };
            return { bastion, connection: (port: number) => to(port, { proxy }) };
        }

        it("logs in at both, each with its own keys", async () => {
            const server = await start();
            const { bastion, connection } = await through();
            await reach(paths, connection(server.port), enough);
            assert.deepEqual(bastion.log, ["login jump", `127.0.0.1:${String(server.port)}`]);
            assert.deepEqual(server.log, ["login root"]);
        });

        it("does not go through one with another host key", async () => {
            const server = await start();
            const { bastion, connection } = await through(newSshKey().public);
            assert.match(
                await refusal(connection(server.port)),
                /^harborage:machines\.node\.bastion: .* answers with another host key .* put its new key into harborage:machines\.node\.bastion\.hostKey$/,
            );
            assert.deepEqual([bastion.log, server.log], [[], []]);
        });

        it("tells a machine with another host key from its bastion", async () => {
            const server = await start({ hostKey: newSshKey() });
            const { connection } = await through();
            assert.match(
                await refusal(connection(server.port)),
                /^harborage:machines\.node: .* answers with another host key .* into harborage:machines\.node\.hostKey$/,
            );
        });

        it("says that the bastion cannot connect", async () => {
            const { connection } = await through();
            assert.match(
                await refusal(connection(await freePort()), { ...patient, isNew: false }),
                /^harborage:machines\.node: its bastion cannot connect to 127\.0\.0\.1:\d+: .*; see whether the machine runs, and whether its sshd and firewall let the bastion in \(waited 4 s\)$/,
            );
        });
    });
});
