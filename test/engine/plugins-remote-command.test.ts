import { strict as assert } from "node:assert";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { after, afterEach, before, beforeEach, describe, it } from "mocha";
import { secret, textOf, UNKNOWN, type Values } from "../../toolchain/plugins/lib/values";
import { newSshKey, type SshKey } from "../support/ssh-key";
import { eventually, officialPlugin, PluginProcess } from "./plugins-harness";
import { freePort, PasswordServer, Sshd, startSilentPort, type Method } from "./plugins-sshd";

const TYPE = "command:remote:Command";
const DEFAULTS = { user: "root", port: 22, dialErrorLimit: 10, perDialTimeout: 15 };

describe("plugin command: remote.Command", function () {
    this.timeout(60_000);
    let plugin: PluginProcess;
    let sshd: Sshd;
    let urn: string;

    before(async () => {
        sshd = await Sshd.start(["AcceptEnv KEY PULUMI_COMMAND_*"]);
        // An agent of whoever runs the tests would log in, or be missing.
        plugin = await PluginProcess.start("command", { SSH_AUTH_SOCK: "" });
        urn = plugin.urn(TYPE, "step");
    });
    after(async () => {
        await plugin.stop();
        await sshd.stop();
    });
    beforeEach(() => {
        plugin.engine.logs.length = 0;
    });

    const messages = (): string[] => plugin.engine.logs.map(({ message }) => message);
    const create = async (inputs: Values, connection: Values = {}): Promise<Values> =>
        (await plugin.create(urn, { ...inputs, connection: secret(sshd.connection(connection)) })).properties;
    const output = async (inputs: Values, connection: Values = {}): Promise<string> =>
        textOf((await create(inputs, connection))["stdout"]);

    describe("check", () => {
        const checked = async (inputs: Values): Promise<Values> => {
            const { checked, failuresList } = await plugin.check(urn, inputs);
            assert.deepEqual(failuresList, []);
            return checked;
        };

        it("adds the defaults of the connection and its proxy, and marks secrets", async () => {
            const connection = {
                host: "h",
                privateKey: "k",
                password: "p",
                proxy: { host: "b", privateKeyPassword: "q" },
            };
            assert.deepEqual(await checked({ create: "true", connection }), {
                create: "true",
                connection: secret({
                    ...DEFAULTS,
                    host: "h",
                    privateKey: secret("k"),
                    password: secret("p"),
                    proxy: { ...DEFAULTS, host: "b", privateKeyPassword: secret("q") },
                }),
            });
        });

        it("keeps what is given, also where it is empty", async () => {
            const connection = { host: "h", user: "", port: 0, dialErrorLimit: -1, perDialTimeout: 0, hostKey: "k" };
            assert.deepEqual((await checked({ connection }))["connection"], secret(connection));
        });

        it("keeps what is not known yet", async () => {
            const unknownSecret = {
                "4dabf18193072939515e22adb298388d": "d0e6a833031e9bbcd3f4e8bde6ca49a4",
                secret: true,
            };
            const connection = { host: UNKNOWN, privateKey: UNKNOWN };
            assert.deepEqual(
                (await checked({ connection }))["connection"],
                secret({ ...DEFAULTS, host: UNKNOWN, privateKey: unknownSecret }),
            );
            assert.deepEqual((await checked({ connection: UNKNOWN }))["connection"], unknownSecret);
        });

        for (const [what, inputs, property, reason] of [
            [
                "no connection",
                { create: "true" },
                "connection",
                "Missing required field 'connection' on 'remote.CommandInputs'",
            ],
            [
                "no host",
                { connection: secret({}) },
                "connection",
                "An error occurred decoding 'CommandInputs.connection': 1 failures decoding:\n" +
                    "\thost: Missing required field 'host' on 'remote.Connection'",
            ],
            [
                "a port that is a text",
                { connection: { host: "h", port: "22" } },
                "connection",
                "An error occurred decoding 'CommandInputs.connection': 1 failures decoding:\n" +
                    "\tport: Field 'port' on 'remote.Connection' must be a 'float64'; got 'string' instead",
            ],
            [
                "a proxy without a host",
                { connection: { host: "h", proxy: { user: "u" } } },
                "connection",
                "An error occurred decoding 'CommandInputs.connection': 1 failures decoding:\n" +
                    "\tproxy: An error occurred decoding 'Connection.proxy': 1 failures decoding:\n" +
                    "\thost: Missing required field 'host' on 'remote.ProxyConnection'",
            ],
            [
                "a connection that is a text",
                { connection: "h" },
                "connection",
                "Field 'connection' on 'remote.CommandInputs' must be a 'remote.Connection'; got 'string' instead",
            ],
            [
                "an environment that is no text",
                { connection: { host: "h" }, environment: { A: 1 } },
                "environment[A] value",
                "Field 'environment[A] value' on 'remote.CommandInputs' must be a 'string'; got 'float64' instead",
            ],
            [
                "what only local commands have",
                { connection: { host: "h" }, dir: "/" },
                "dir",
                "Unrecognized field 'dir' on 'remote.CommandInputs'",
            ],
        ] as const) {
            it(`refuses ${what}`, async () => {
                const { failuresList } = await plugin.check(urn, inputs);
                assert.deepEqual(failuresList, [{ property, reason }]);
            });
        }
    });

    describe("create", () => {
        it("runs the command on the machine and keeps what it wrote, without one last newline", async () => {
            const inputs: Values = {
                create: "echo out; echo err >&2; printf 'x\\n\\n'",
                connection: secret(sshd.connection()),
            };
            const { id, properties } = await plugin.create(urn, inputs);
            assert.match(id, /^step[0-9a-f]{8}$/);
            assert.deepEqual(properties, { ...inputs, stdout: "out\nx\n", stderr: "err" });
            assert.match(await output({ create: "echo $SSH_CONNECTION" }), new RegExp(` 127.0.0.1 ${sshd.port}$`));
        });

        it("gives it standard input, which ends", async () => {
            assert.equal(await output({ create: "bash -s -- 'a b'", stdin: 'echo "$1"' }), "a b");
            assert.equal(await output({ create: "cat" }), "");
        });

        it("keeps secret input secret, but not what the command writes", async () => {
            const properties = await create({ create: "cat", stdin: secret("hush") });
            assert.deepEqual(properties["stdin"], secret("hush"));
            assert.equal(properties["stdout"], "hush");
        });

        it("takes large input and output", async () => {
            const stdin = `${"0123456789abcde\n".repeat(200_000)}end`;
            assert.equal(await output({ create: "cat", stdin, logging: "none" }), stdin);
        });

        it("fails when a command ends before it has taken a large input", async () => {
            const stdin = "0123456789abcde\n".repeat(200_000);
            await assert.rejects(create({ create: "true", stdin }), /^Error: EOF: running "true":\n$/);
            assert.equal(await output({ create: "true", stdin: "little" }), "");
        });

        it("sets variables that the server takes, and fails on others without running the command", async () => {
            const run = (name: string): Promise<Values> =>
                create({ create: `echo $${name}; touch ${sshd.file(name)}`, environment: { [name]: "value" } });
            assert.equal((await run("KEY"))["stdout"], "value");
            await assert.rejects(
                run("OTHER"),
                /^Error: could not set environment variable "OTHER": ssh: setenv failed$/,
            );
            assert.ok(!existsSync(sshd.file("OTHER")));
            const [entry] = plugin.engine.logs.filter(({ severity }) => severity === "error");
            assert.match(
                entry?.message ?? "",
                /^Unable to set 'OTHER'\. This only works if your SSH server is configured/,
            );
        });

        it("shows each line while the command runs", async () => {
            const go = sshd.file("go");
            const command = `echo one; echo two >&2; until [ -e ${go} ]; do sleep 0.1; done; printf three`;
            const created = create({ create: command });
            try {
                await eventually(() => messages().length >= 2);
                assert.deepEqual(messages().sort(), ["one", "two"]);
            } finally {
                writeFileSync(go, "");
            }
            await created;
            assert.deepEqual(messages().slice(2), ["three"]);
            const entry = plugin.engine.logs.find(({ message }) => message === "one");
            assert.deepEqual(entry, { message: "one", urn, severity: "info", ephemeral: true });
        });

        it("does nothing without a create command, not even connect", async () => {
            const connection = secret({ ...DEFAULTS, host: "127.0.0.1", port: 1 });
            const { properties } = await plugin.create(urn, { update: "true", connection });
            assert.deepEqual(properties, { update: "true", connection, stdout: "", stderr: "" });
        });

        it("runs nothing in a preview, where the outputs are unknown", async () => {
            const inputs: Values = {
                create: `touch ${sshd.file("preview")}`,
                connection: secret({ ...sshd.connection(), host: UNKNOWN }),
            };
            const { properties } = await plugin.create(urn, inputs, { preview: true });
            assert.deepEqual(properties, { ...inputs, stdout: UNKNOWN, stderr: UNKNOWN });
            assert.ok(!existsSync(sshd.file("preview")));
        });

        for (const [what, command, message] of [
            [
                "the exit status, the command and all of the output",
                'echo "out\t1"; exit 3',
                'status 3: running "echo \\"out\\t1\\"; exit 3":\nout\t1\n',
            ],
            ["the signal", "kill -TERM $$", 'status 143 from signal TERM: running "kill -TERM $$":\n'],
            ["a signal without a number", "kill -USR1 $$", 'status 128 from signal USR1: running "kill -USR1 $$":\n'],
        ] as const) {
            it(`fails with ${what}`, async () => {
                await assert.rejects(create({ create: command }), { message: `Process exited with ${message}` });
            });
        }

        it("fails when the server cuts the connection", async () => {
            await assert.rejects(create({ create: "kill -9 $PPID; sleep 5" }), {
                message:
                    "wait: remote command exited without exit status or exit signal: " +
                    'running "kill -9 $PPID; sleep 5":\n',
            });
        });

        it("waits for background processes that hold the output", async () => {
            assert.equal(await output({ create: "(sleep 1; echo late) & echo now" }), "now\nlate");
        });

        // The official plugin never comes back.
        if (officialPlugin("command") === undefined) {
            it("refuses a line of 64 KiB", async () => {
                const create64 = `head -c 65536 /dev/zero | tr '\\0' x`;
                await assert.rejects(create({ create: create64 }), /a line of its output has 64 KiB or more/);
            });
        }
    });

    describe("diff", () => {
        const inputs: Values = { create: "c", triggers: ["a"], connection: secret({ ...DEFAULTS, host: "h" }) };

        for (const [what, news, detailed, replaces] of [
            ["nothing", inputs, {}, []],
            [
                "another connection: update, and it does not show in what",
                { ...inputs, connection: secret({ ...DEFAULTS, host: "i" }) },
                { connection: "update" },
                [],
            ],
            ["an unknown connection: update", { ...inputs, connection: UNKNOWN }, { connection: "update" }, []],
            [
                "one trigger: update, of which the SDK makes a replacement",
                { ...inputs, triggers: ["b"] },
                { "triggers[0]": "update" },
                [],
            ],
            [
                "triggers that became secret: replace",
                { ...inputs, triggers: secret(["a"]) },
                { triggers: "update-replace" },
                ["triggers"],
            ],
        ] as const) {
            it(`finds ${what}`, async () => {
                const state: Values = { ...inputs, stdout: "", stderr: "" };
                const diff = await plugin.diff(urn, "step1", state, inputs, news as unknown as Values);
                assert.deepEqual(diff.detailed, detailed);
                assert.deepEqual(diff.replaces, replaces);
                assert.equal(diff.changes, Object.keys(detailed).length > 0 ? "some" : "none");
                assert.equal(diff.deleteBeforeReplace, false);
            });
        }

        it("finds new triggers: replace", async () => {
            const old: Values = { create: "c", connection: secret({ host: "h" }) };
            const diff = await plugin.diff(urn, "step1", old, old, { ...old, triggers: [1] });
            assert.deepEqual([diff.detailed, diff.replaces], [{ triggers: "add-replace" }, ["triggers"]]);
        });

        it("compares secret lists and maps as a whole", async () => {
            const old: Values = { ...inputs, triggers: secret([1]), environment: secret({ A: "1" }) };
            const news: Values = { ...inputs, triggers: secret([2]), environment: secret({ A: "1", B: "2" }) };
            const diff = await plugin.diff(urn, "step1", old, old, news);
            assert.deepEqual(diff.detailed, { triggers: "update-replace", environment: "update" });
            assert.deepEqual((await plugin.diff(urn, "step1", old, old, old)).detailed, {});
        });
    });

    describe("update", () => {
        const outputs = { stdout: "before", stderr: "before too" };
        const show = 'echo "$PULUMI_COMMAND_STDOUT, $PULUMI_COMMAND_STDERR"';
        const update = (news: Values, connection: Values = {}, preview = false): Promise<Values> => {
            const inputs: Values = { create: "echo created", connection: secret(sshd.connection()) };
            const changed = { ...news, connection: secret(sshd.connection(connection)) };
            return plugin.update(urn, "step1", { ...inputs, ...outputs }, inputs, changed, preview);
        };

        it("runs the update command, with the last outputs in the environment", async () => {
            assert.equal((await update({ create: "false", update: show }))["stdout"], "before, before too");
            assert.equal((await update({ update: show, addPreviousOutputInEnv: false }))["stdout"], ", ");
        });

        it("runs the create command when there is no update command, and nothing without either", async () => {
            assert.equal((await update({ create: "cat", stdin: "b" }))["stdout"], "b");
            assert.equal((await update({ delete: "false" }))["stdout"], "before");
        });

        it("warns when the server does not take the last outputs, and goes on", async () => {
            const strict = await Sshd.start();
            try {
                const connection = {
                    port: strict.port,
                    hostKey: strict.hostKey,
                    privateKey: strict.userKey.private,
                };
                assert.equal((await update({ update: show }, connection))["stdout"], ", ");
            } finally {
                await strict.stop();
            }
            const warnings = plugin.engine.logs.filter(({ severity }) => severity === "warning");
            assert.deepEqual(
                warnings.map(({ message, ephemeral }) => [/'(\w+)'/.exec(message)?.[1], ephemeral]),
                [
                    ["PULUMI_COMMAND_STDOUT", false],
                    ["PULUMI_COMMAND_STDERR", false],
                ],
            );
        });

        it("uses the new connection", async () => {
            await assert.rejects(update({ update: "true" }, { port: await freePort() }), /connection refused/);
        });

        it("runs nothing in a preview, where a changed connection makes the outputs unknown", async () => {
            const changed = await update({ create: "echo created" }, { user: "other" }, true);
            assert.deepEqual([changed["stdout"], changed["stderr"]], [UNKNOWN, UNKNOWN]);
            const same = await update({ create: "echo created", triggers: [1] }, {}, true);
            assert.deepEqual([same["stdout"], same["stderr"]], ["before", "before too"]);
        });
    });

    it("reads nothing: a refresh finds the state as it is, and connects to nothing", async () => {
        const inputs: Values = { create: "echo 1", connection: secret({ ...DEFAULTS, host: "127.0.0.1", port: 1 }) };
        const state: Values = { ...inputs, stdout: "1", stderr: "" };
        assert.deepEqual(await plugin.read(urn, "step1", state, inputs), { id: "step1", properties: state, inputs });
    });

    describe("delete", () => {
        const state = (command: string, connection: Values = {}): Values => ({
            delete: command,
            stdin: "from the state",
            connection: secret(sshd.connection(connection)),
            stdout: "before",
            stderr: "",
        });

        it("runs the delete command with what the state holds", async () => {
            const command = `cat > ${sshd.file("deleted")}; echo " $PULUMI_COMMAND_STDOUT" >> ${sshd.file("deleted")}`;
            await plugin.delete(urn, "step1", state(command), {});
            assert.equal(readFileSync(sshd.file("deleted"), "utf8"), "from the state before\n");
        });

        it("fails when the command fails", async () => {
            await assert.rejects(plugin.delete(urn, "step1", state("echo no; exit 2"), {}), {
                message: 'Process exited with status 2: running "echo no; exit 2":\nno\n',
            });
        });

        it("fails when the machine of the recorded connection is gone", async () => {
            const port = await freePort();
            await assert.rejects(plugin.delete(urn, "step1", state("true", { port }), {}), {
                message: `after 0 failed attempts: dial tcp 127.0.0.1:${port}: connect: connection refused`,
            });
        });

        it("does nothing without a delete command, not even connect", async () => {
            await plugin.delete(urn, "step1", without(state("", { port: 1 }), "delete"), {});
        });
    });

    describe("connection", () => {
        const UNABLE = "ssh: handshake failed: ssh: unable to authenticate, attempted methods";
        let stranger: SshKey;
        before(() => {
            stranger = newSshKey();
        });
        const fails = (connection: Values, message: string): Promise<void> =>
            assert.rejects(create({ create: "true" }, connection), { message });

        it("believes any server without a host key", async () => {
            const connection = without(sshd.connection(), "hostKey");
            const { properties } = await plugin.create(urn, { create: "echo in", connection: secret(connection) });
            assert.equal(properties["stdout"], "in");
        });

        it("takes a host key with options before it and a comment behind it", async () => {
            const [type, key] = sshd.hostKey.split(" ");
            const hostKey = `# a comment\n\ncert-authority ${type} ${key} root@machine\n`;
            assert.equal(await output({ create: "echo in" }, { hostKey }), "in");
        });

        it("refuses a server with another key", async () => {
            await fails(
                { hostKey: stranger.public },
                "after 0 failed attempts: ssh: handshake failed: ssh: host key mismatch",
            );
        });

        it("refuses a server that has no key of the type of the host key", async () => {
            await fails(
                { hostKey: newSshKey("ecdsa").public },
                "after 0 failed attempts: ssh: handshake failed: ssh: no common algorithm for host key; " +
                    "we offered: [ecdsa-sha2-nistp256], peer offered: [ssh-ed25519]",
            );
        });

        it("refuses an rsa host key of a server that signs with SHA-2 only, as all do since OpenSSH 8.8", async () => {
            const rsa = await Sshd.start([], "rsa");
            try {
                const { port, hostKey } = rsa;
                await fails(
                    { port, hostKey },
                    "after 0 failed attempts: ssh: handshake failed: ssh: no common algorithm for host key; " +
                        "we offered: [ssh-rsa], peer offered: [rsa-sha2-512 rsa-sha2-256]",
                );
            } finally {
                await rsa.stop();
            }
        });

        it("refuses a text that is no host key, before it dials", async () => {
            await fails({ hostKey: "ssh-ed25519", port: 1 }, "failed to parse host key: ssh: no key found");
        });

        for (const [what, type, options] of [
            ["ed25519", "ed25519", []],
            ["ecdsa", "ecdsa", []],
            ["rsa", "rsa", ["-b", "2048"]],
            ["rsa in PKCS#1", "rsa", ["-b", "2048", "-m", "PEM"]],
            ["rsa in PKCS#8", "rsa", ["-b", "2048", "-m", "PKCS8"]],
            ["ecdsa in SEC1", "ecdsa", ["-m", "PEM"]],
            ["ecdsa in PKCS#8", "ecdsa", ["-m", "PKCS8"]],
        ] as const) {
            it(`logs in with a private key: ${what}`, async () => {
                const { private: privateKey } = sshd.addKey(type, ...options);
                assert.equal(await output({ create: "echo in" }, { privateKey }), "in");
            });
        }

        it("logs in with a private key: ed25519 in PKCS#8, as tls.PrivateKey gives it", async () => {
            const pair = generateKeyPairSync("ed25519");
            sshd.authorize(opensshEd25519(pair.publicKey));
            const privateKey = pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
            assert.equal(await output({ create: "echo in" }, { privateKey }), "in");
        });

        it("logs in with a private key that has a passphrase, for which it must be given", async () => {
            const { private: privateKey } = sshd.addKey("ed25519", "-N", "open sesame");
            const opened = { privateKey, privateKeyPassword: "open sesame" };
            assert.equal(await output({ create: "echo in" }, opened), "in");
            await fails({ privateKey }, "ssh: this private key is passphrase protected");
            await fails({ privateKey, privateKeyPassword: "wrong" }, "x509: decryption password incorrect");
        });

        it("refuses a text that is no private key, before it dials", async () => {
            await fails({ privateKey: "no key", port: 1 }, "ssh: no key found");
        });

        it("fails with a key that the server does not know, after as many attempts as with any failure", async () => {
            await fails(
                { privateKey: stranger.private, dialErrorLimit: 2 },
                `after 2 failed attempts: ${UNABLE} [none publickey], no supported methods remain`,
            );
            assert.deepEqual(messages(), ["Dial 1/2 failed: retrying", "Dial 2/2 failed: retrying"]);
        });

        it("fails without anything to log in with", async () => {
            const connection = without(sshd.connection(), "privateKey");
            await assert.rejects(plugin.create(urn, { create: "true", connection: secret(connection) }), {
                message: `after 0 failed attempts: ${UNABLE} [none], no supported methods remain`,
            });
        });

        it("dials a port that is closed as often as dialErrorLimit says, and waits longer each time", async () => {
            const port = await freePort();
            const began = Date.now();
            await fails(
                { port, dialErrorLimit: 4 },
                `after 4 failed attempts: dial tcp 127.0.0.1:${port}: connect: connection refused`,
            );
            // 100 ms, and half as much again each time.
            const waited = Date.now() - began;
            assert.ok(waited >= 812 && waited < 10_000, `${waited} ms`);
            const dials = [1, 2, 3, 4].map((dial) => `Dial ${dial}/4 failed: retrying`);
            assert.deepEqual(messages(), dials);
            assert.deepEqual(plugin.engine.logs[0], { message: dials[0], urn, severity: "info", ephemeral: true });
        });

        it("waits for a machine that comes up, without end when the limit is -1", async () => {
            const port = await freePort();
            const created = create({ create: "echo up" }, { port, dialErrorLimit: -1 });
            await eventually(() => messages().includes("Dial 3/inf failed: retrying"));
            const late = forwardTo(port, sshd.port);
            try {
                assert.equal((await created)["stdout"], "up");
            } finally {
                late.close();
            }
        });

        it("gives up on a machine that does not answer after perDialTimeout", async () => {
            const silent = await startSilentPort();
            const began = Date.now();
            try {
                await fails(
                    { port: silent.port, perDialTimeout: 1, dialErrorLimit: 1 },
                    `after 1 failed attempts: dial tcp 127.0.0.1:${silent.port}: i/o timeout`,
                );
            } finally {
                silent.stop();
            }
            const waited = Date.now() - began;
            assert.ok(waited >= 2_100 && waited < 15_000, `${waited} ms`);
        });

        describe("with an SSH agent", () => {
            let agentSocketPath: string;
            let agent: ChildProcess;
            before(async () => {
                agentSocketPath = sshd.file("agent");
                agent = spawn("ssh-agent", ["-D", "-a", agentSocketPath], { stdio: "ignore" });
                await eventually(() => existsSync(agentSocketPath));
                execFileSync("ssh-add", ["-q", sshd.file("user")], { env: { SSH_AUTH_SOCK: agentSocketPath } });
            });
            after(() => agent.kill());

            it("logs in with its keys", async () => {
                const connection = without(sshd.connection({ agentSocketPath }), "privateKey");
                const { properties } = await plugin.create(urn, { create: "echo in", connection });
                assert.equal(properties["stdout"], "in");
            });

            it("does not ask it when a private key is given, also when that fails", async () => {
                await fails(
                    { agentSocketPath, privateKey: stranger.private },
                    `after 0 failed attempts: ${UNABLE} [none publickey], no supported methods remain`,
                );
            });

            it("fails when it is not there, though there is a key", async () => {
                await fails(
                    { agentSocketPath: "/nope/agent" },
                    "dial unix /nope/agent: connect: no such file or directory",
                );
            });
        });

        describe("with a password", () => {
            let server: PasswordServer;
            before(async () => {
                server = await PasswordServer.start(sshd.file("host"), "open sesame");
            });
            after(() => server.close());
            const login = (password: string, method: Method): Promise<string> => {
                server.method = method;
                const connection = { port: server.port, password, privateKey: stranger.private };
                return output({ create: "a command" }, connection);
            };

            for (const method of ["password", "keyboard-interactive"] as const) {
                it(`logs in by ${method}, where the key does not`, async () => {
                    assert.equal(await login("open sesame", method), "ran a command");
                    await assert.rejects(login("wrong", method), {
                        message: `after 0 failed attempts: ${UNABLE} [none publickey ${method}], no supported methods remain`,
                    });
                });
            }
        });

        describe("through a proxy", () => {
            let proxy: Sshd;
            before(async () => {
                proxy = await Sshd.start(["AllowTcpForwarding yes"]);
            });
            after(() => proxy.stop());

            const LOCAL = "127.0.0.1";

            it("runs the command on the machine behind it", async () => {
                const seen = await output({ create: "echo $SSH_CONNECTION" }, { proxy: proxy.connection() });
                assert.match(seen, new RegExp(`^${LOCAL} \\d+ ${LOCAL} ${sshd.port}$`));
            });

            it("logs in to both with their own keys, and believes neither", async () => {
                const mismatch = "ssh: handshake failed: ssh: host key mismatch";
                await fails(
                    { proxy: proxy.connection({ hostKey: sshd.hostKey }) },
                    `proxy: after 0 failed attempts: ${mismatch}`,
                );
                await fails(
                    { hostKey: proxy.hostKey, proxy: proxy.connection() },
                    `proxy: after 0 failed attempts: ${mismatch}`,
                );
                await fails(
                    { proxy: proxy.connection({ privateKey: stranger.private }) },
                    `proxy: after 0 failed attempts: ${UNABLE} [none publickey], no supported methods remain`,
                );
            });

            it("hides why the login behind it failed once it has tried again", async () => {
                await fails(
                    { privateKey: stranger.private, dialErrorLimit: 1, proxy: proxy.connection() },
                    "proxy: after 1 failed attempts: ssh: handshake failed: EOF",
                );
            });

            it("says when the machine behind it refuses, and when the proxy does", async () => {
                const port = await freePort();
                await fails(
                    { port, dialErrorLimit: 1, proxy: proxy.connection() },
                    "proxy: after 1 failed attempts: ssh: rejected: connect failed (Connection refused)",
                );
                assert.deepEqual(messages(), ["Dial from proxy 1/1 failed: retrying"]);
                await fails(
                    { proxy: proxy.connection({ port, dialErrorLimit: 1 }) },
                    `proxy: after 1 failed attempts: dial tcp ${LOCAL}:${port}: connect: connection refused`,
                );
                assert.deepEqual(messages().slice(1), ["Dial proxy 1/1 failed: retrying"]);
            });

            it("fails when the proxy forwards nothing", async () => {
                const closed = await Sshd.start(["AllowTcpForwarding no"]);
                try {
                    await fails(
                        { proxy: closed.connection() },
                        "proxy: after 0 failed attempts: ssh: rejected: administratively prohibited (open failed)",
                    );
                } finally {
                    await closed.stop();
                }
            });
        });
    });
});

describe("plugin command: remote.Command and its plugin", function () {
    this.timeout(60_000);
    let sshd: Sshd;
    let plugin: PluginProcess | undefined;

    before(async () => {
        sshd = await Sshd.start();
    });
    after(() => sshd.stop());
    afterEach(() => plugin?.stop());

    async function start(environment: Record<string, string> = {}): Promise<PluginProcess> {
        plugin = await PluginProcess.start("command", { SSH_AUTH_SOCK: "", ...environment });
        return plugin;
    }

    it("fails on a stale SSH_AUTH_SOCK, though there is a key", async () => {
        const started = await start({ SSH_AUTH_SOCK: "/nope/agent" });
        const inputs: Values = { create: "true", connection: secret(sshd.connection()) };
        await assert.rejects(started.create(started.urn(TYPE), inputs), {
            message: "dial unix /nope/agent: connect: no such file or directory",
        });
    });

    it("stops dialing when it is cancelled", async () => {
        const started = await start();
        const connection = secret(sshd.connection({ port: await freePort(), dialErrorLimit: -1 }));
        const created = started.create(started.urn(TYPE), { create: "true", connection });
        const failed = assert.rejects(created, { message: "context canceled" });
        await eventually(() => started.engine.logs.length >= 3);
        await started.cancel();
        await failed;
    });

    it("stops dialing at its timeout", async () => {
        const started = await start();
        const connection = secret(sshd.connection({ port: await freePort(), dialErrorLimit: -1 }));
        await assert.rejects(started.create(started.urn(TYPE), { create: "true", connection }, { timeout: 1 }), {
            message: "context deadline exceeded",
        });
    });

    it("lets a command that runs come to its end when it is cancelled", async () => {
        const started = await start();
        const inputs: Values = { create: "echo go; sleep 2; echo end", connection: secret(sshd.connection()) };
        const created = started.create(started.urn(TYPE), inputs);
        await eventually(() => started.engine.logs.some(({ message }) => message === "go"));
        await started.cancel();
        assert.equal((await created).properties["stdout"], "go\nend");
    });

    it("leaves a command running when it is killed", async () => {
        const started = await start();
        const done = sshd.file("done");
        const inputs: Values = { create: `echo go; sleep 10; touch ${done}`, connection: secret(sshd.connection()) };
        const failed = assert.rejects(started.create(started.urn(TYPE), inputs));
        await eventually(() => started.engine.logs.some(({ message }) => message === "go"));
        await started.stop();
        await failed;
        assert.ok(!existsSync(done));
        await eventually(() => existsSync(done));
    });
});

/** A machine that has come up: what connects to the port reaches the other one. */
function forwardTo(port: number, target: number): Server {
    return createServer((socket) => {
        const onward = connect(target, "127.0.0.1");
        socket.pipe(onward).pipe(socket);
        socket.on("error", () => onward.destroy());
        onward.on("error", () => socket.destroy());
    }).listen(port, "127.0.0.1");
}

function without(values: Values, name: string): Values {
    return Object.fromEntries(Object.entries(values).filter(([key]) => key !== name));
}

/** A public key as one line of authorized_keys. */
function opensshEd25519(key: KeyObject): string {
    const bytes = Buffer.from(key.export({ format: "jwk" }).x ?? "", "base64url");
    // RFC 8709: the type and the key, each behind its length.
    const blob = Buffer.concat([Buffer.from("\0\0\0\x0bssh-ed25519\0\0\0\x20", "latin1"), bytes]);
    return `ssh-ed25519 ${blob.toString("base64")}`;
}
