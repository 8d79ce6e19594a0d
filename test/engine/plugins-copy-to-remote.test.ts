import { strict as assert } from "node:assert";
import { createHash } from "node:crypto";
import {
    chmodSync,
    existsSync,
    mkdirSync,
    readdirSync,
    readFileSync,
    statSync,
    truncateSync,
    writeFileSync,
} from "node:fs";
import path from "node:path";
import { after, before, beforeEach, describe, it } from "mocha";
import { secret, UNKNOWN, type Values } from "../../toolchain/plugins/lib/values";
import { PluginProcess } from "./plugins-harness";
import { freePort, Sshd } from "./plugins-sshd";

const TYPE = "command:remote:CopyToRemote";
const DEFAULTS = { user: "root", port: 22, dialErrorLimit: 10, perDialTimeout: 15 };

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const ASSET = { [SIGNATURE]: "c44067f5952c0a294b673a41bacd8c17" };
const ARCHIVE = { [SIGNATURE]: "0def7320c3a5731c473e5ecbe6d01bc7" };

const sha256 = (content: string | Buffer): string => createHash("sha256").update(content).digest("hex");

/** As the engine sends them: with a hash that it has worked out. */
const fileAsset = (file: string, hash = "1"): Values => ({ ...ASSET, hash, path: file, text: "", uri: "" });
const textAsset = (text: string): Values => ({ ...ASSET, hash: sha256(text), path: "", text, uri: "" });
const fileArchive = (file: string): Values => ({ ...ARCHIVE, hash: "1", path: file, uri: "", assets: {} });

describe("plugin command: remote.CopyToRemote", function () {
    this.timeout(60_000);
    let plugin: PluginProcess;
    let sshd: Sshd;
    let urn: string;
    let directory: string;
    let count = 0;

    before(async () => {
        sshd = await Sshd.start();
        plugin = await PluginProcess.start("command", { SSH_AUTH_SOCK: "" });
        urn = plugin.urn(TYPE, "copy");
    });
    after(async () => {
        await plugin.stop();
        await sshd.stop();
    });
    beforeEach(() => {
        directory = sshd.file(`copies-${count++}`);
        mkdirSync(directory);
    });

    const here = (...names: readonly string[]): string => path.join(directory, ...names);
    const content = (...names: readonly string[]): string => readFileSync(here(...names), "utf8");
    const file = (name: string, text = "content"): string => {
        mkdirSync(path.dirname(here(name)), { recursive: true });
        writeFileSync(here(name), text);
        return here(name);
    };
    const inputsOf = (source: Values, remotePath: string, connection: Values = {}): Values => ({
        connection: secret(sshd.connection(connection)),
        source,
        remotePath,
    });
    const copy = (source: Values, remotePath: string, connection: Values = {}) =>
        plugin.create(urn, inputsOf(source, remotePath, connection));

    describe("check", () => {
        const check = (inputs: Values) => plugin.check(urn, { connection: { host: "h" }, remotePath: "/x", ...inputs });

        it("adds the defaults of the connection, and takes files, texts and archives", async () => {
            for (const source of [
                fileAsset("/f"),
                textAsset("t"),
                textAsset(""),
                fileArchive("/d"),
                secret(fileAsset("/f")),
            ]) {
                const { checked, failuresList } = await check({ source });
                assert.deepEqual(failuresList, []);
                const connection = secret({ ...DEFAULTS, host: "h" });
                assert.deepEqual(checked, { connection, remotePath: "/x", source });
            }
        });

        it("fills in what an asset leaves out", async () => {
            const { checked } = await check({ source: { ...ASSET, hash: "1", path: "/f" } });
            assert.deepEqual(checked["source"], fileAsset("/f"));
            const { checked: archive } = await check({ source: { ...ARCHIVE, hash: "1", path: "/d" } });
            assert.deepEqual(archive["source"], fileArchive("/d"));
        });

        const NEITHER = { property: "asset", reason: "either asset or archive must be set" };
        for (const [what, inputs, expected] of [
            [
                "an asset that is to be downloaded",
                { source: { ...ASSET, hash: "1", uri: "file:///x" } },
                [{ property: "asset", reason: "asset must be a path-based file asset or a text asset" }],
            ],
            [
                "an archive that is put together",
                { source: { ...ARCHIVE, hash: "1", assets: { a: textAsset("t") } } },
                [{ property: "archive", reason: "archive must be a path to a file or directory" }],
            ],
            ["a path without a word on what it is", { source: "/f" }, [NEITHER]],
            // It fails the preview: no asset may depend on what is known only later.
            ["a source that is not known yet", { source: UNKNOWN }, [NEITHER]],
            [
                "no source",
                {},
                [
                    { property: "source", reason: "Missing required field 'source' on 'remote.CopyToRemoteInputs'" },
                    NEITHER,
                ],
            ],
            [
                "a remote path that is no text",
                { source: textAsset("t"), remotePath: 5 },
                [
                    {
                        property: "remotePath",
                        reason:
                            "Field 'remotePath' on 'remote.CopyToRemoteInputs' must be a 'string'; " +
                            "got 'float64' instead",
                    },
                ],
            ],
        ] as const) {
            it(`refuses ${what}`, async () => {
                assert.deepEqual((await check(inputs)).failuresList, expected);
            });
        }
    });

    describe("diff", () => {
        const inputs: Values = {
            connection: secret({ ...DEFAULTS, host: "h" }),
            remotePath: "/x",
            source: fileAsset("/f"),
        };

        for (const [what, news, detailed, replaces] of [
            ["nothing", inputs, {}, []],
            ["other content: update", { ...inputs, source: fileAsset("/f", "2") }, { source: "update" }, []],
            ["nothing when the same content is elsewhere", { ...inputs, source: fileAsset("/g") }, {}, []],
            [
                "an archive in place of a file: update",
                { ...inputs, source: fileArchive("/f") },
                { source: "update" },
                [],
            ],
            ["another path: update", { ...inputs, remotePath: "/y" }, { remotePath: "update" }, []],
            [
                "another connection: update",
                { ...inputs, connection: secret({ ...DEFAULTS, host: "i" }) },
                { connection: "update" },
                [],
            ],
        ] as const) {
            it(`finds ${what}`, async () => {
                const diff = await plugin.diff(urn, "1", inputs, inputs, news);
                assert.deepEqual([diff.detailed, diff.replaces], [detailed, replaces]);
                assert.equal(diff.changes, Object.keys(detailed).length > 0 ? "some" : "none");
            });
        }

        it("finds one other trigger: update, of which the SDK makes a replacement", async () => {
            const diff = await plugin.diff(
                urn,
                "1",
                inputs,
                { ...inputs, triggers: ["a"] },
                { ...inputs, triggers: ["b"] },
            );
            assert.deepEqual([diff.detailed, diff.replaces], [{ "triggers[0]": "update" }, []]);
        });

        it("finds triggers that are gone: replace", async () => {
            const triggered = { ...inputs, triggers: ["a"] };
            const diff = await plugin.diff(urn, "1", triggered, triggered, inputs);
            assert.deepEqual([diff.detailed, diff.replaces], [{ triggers: "delete-replace" }, ["triggers"]]);
        });
    });

    describe("create", () => {
        it("copies a file and keeps its hash and path, not its content", async () => {
            const source = fileAsset(file("from"));
            const { id, properties } = await copy(source, here("to"));
            assert.match(id, /^[0-9a-f]{8}$/);
            assert.deepEqual(properties, inputsOf(source, here("to")));
            assert.equal(content("to"), "content");
        });

        it("makes the folders above it, and puts it into a folder that is there", async () => {
            const source = fileAsset(file("from"));
            await copy(source, here("a/b/to"));
            assert.equal(content("a/b/to"), "content");
            await copy(source, here("a/b"));
            assert.equal(content("a/b/from"), "content");
        });

        it("writes over a file, and leaves its mode", async () => {
            file("to", "something longer than the new content");
            const mode = (): number => statSync(here("to")).mode;
            const before = mode();
            await copy(fileAsset(file("from")), here("to"));
            assert.deepEqual([content("to"), mode()], ["content", before]);
        });

        it("copies a text and an empty one", async () => {
            await copy(textAsset("täxt\n"), here("a/text"));
            assert.equal(content("a/text"), "täxt\n");
            await copy(textAsset(""), here("a/empty"));
            assert.equal(content("a/empty"), "");
            await assert.rejects(copy(textAsset("t"), here("a")), {
                message: `remote path ${here("a")} is a directory; when using a text asset, remotePath must be a file path`,
            });
        });

        it("copies a folder as a folder, and only its content when its path ends in a slash", async () => {
            file("from/one");
            file("from/deep/two");
            await copy(fileArchive(here("from")), here("new/folder"));
            assert.deepEqual(readdirSync(here("new/folder/from")).sort(), ["deep", "one"]);
            assert.equal(content("new/folder/from/deep/two"), "content");
            await copy(fileArchive(`${here("from")}/`), here("other"));
            assert.deepEqual(readdirSync(here("other")).sort(), ["deep", "one"]);
        });

        it("adds to a folder that is there, and removes nothing from it", async () => {
            file("from/one", "new");
            file("to/from/one", "old");
            file("to/from/kept");
            await copy(fileArchive(here("from")), here("to"));
            assert.deepEqual([content("to/from/one"), content("to/from/kept")], ["new", "content"]);
        });

        it("copies an archive that is a file as it is", async () => {
            await copy(fileArchive(file("a.tgz", "not unpacked")), here("b.tgz"));
            assert.equal(content("b.tgz"), "not unpacked");
        });

        it("copies 150 MB and does not hold them in memory", async () => {
            const from = file("large", "begin");
            truncateSync(from, 150_000_000);
            await copy(fileAsset(from), here("to"));
            assert.equal(sha256(readFileSync(here("to"))), sha256(readFileSync(from)));
            const status = readFileSync(`/proc/${plugin.process.pid}/status`, "utf8");
            const peak = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]);
            assert.ok(peak < 250_000, `${peak} kB`);
        });

        it("copies nothing in a preview", async () => {
            const inputs = inputsOf(fileAsset(file("from")), here("to"));
            const { id, properties } = await plugin.create(urn, inputs, { preview: true });
            assert.deepEqual([id, properties], ["", { ...inputs, source: UNKNOWN }]);
            assert.ok(!existsSync(here("to")));
        });

        it("fails when the file is gone", async () => {
            await assert.rejects(copy(fileAsset(here("nope")), here("to")), {
                message: `open ${here("nope")}: no such file or directory`,
            });
        });

        it("fails when the remote path cannot be", async () => {
            const source = fileAsset(file("from"));
            await assert.rejects(copy(source, "/proc/nope/to"), {
                message: "failed to create parent directories for /proc/nope/to: file does not exist",
            });
            await assert.rejects(copy(source, `${here("from")}/to`), {
                message:
                    `failed to create parent directories for ${here("from")}/to: ` +
                    `mkdir ${here("from")}: not a directory`,
            });
        });

        it("fails when it cannot connect, or the server has no SFTP", async () => {
            const source = fileAsset(file("from"));
            const port = await freePort();
            await assert.rejects(copy(source, here("to"), { port }), {
                message: `after 0 failed attempts: dial tcp 127.0.0.1:${port}: connect: connection refused`,
            });
            const without = await Sshd.start(["Subsystem other internal-sftp"]);
            try {
                const connection = secret(without.connection());
                await assert.rejects(plugin.create(urn, { ...inputsOf(source, here("to")), connection }), {
                    message: "ssh: subsystem request failed",
                });
            } finally {
                await without.stop();
            }
            assert.ok(!existsSync(here("to")));
        });
    });

    describe("when the server goes away", () => {
        for (const [what, then] of [
            ["its SFTP", ""],
            ["the connection", "kill -9 $PPID"],
        ] as const) {
            it(`fails: ${what}`, async () => {
                // It goes once something has come; in the background its input has to be given to it.
                const lines = [
                    "#!/bin/sh",
                    "exec 3<&0",
                    "/usr/lib/openssh/sftp-server <&3 3<&- &",
                    `for _ in $(seq 600); do [ ! -s '${here("to")}' ] || break; sleep 0.05; done`,
                    "kill -KILL $!",
                    then,
                ];
                const script = file("sftp", `${lines.join("\n")}\n`);
                chmodSync(script, 0o755);
                const from = file("large");
                truncateSync(from, 2_000_000_000);
                const dying = await Sshd.start([`Subsystem sftp ${script}`]);
                try {
                    const inputs = { ...inputsOf(fileAsset(from), here("to")), connection: secret(dying.connection()) };
                    await assert.rejects(plugin.create(urn, inputs), {
                        message: `failed to copy file ${from} to remote path ${here("to")}: connection lost`,
                    });
                } finally {
                    await dying.stop();
                }
            });
        }
    });

    describe("update", () => {
        const update = (state: Values, changes: Values, preview = false): Promise<Values> =>
            plugin.update(urn, "1", state, state, { ...state, ...changes }, preview);

        it("copies again when the content has changed", async () => {
            const state = inputsOf(fileAsset(file("from")), here("to"));
            file("from", "changed");
            const source = fileAsset(here("from"), "2");
            assert.deepEqual(await update(state, { source }), { ...state, source });
            assert.equal(content("to"), "changed");
        });

        it("copies to another path, and leaves the first copy", async () => {
            const state = inputsOf(fileAsset(file("from")), here("to"));
            file("to", "first");
            await update(state, { remotePath: here("elsewhere") });
            assert.deepEqual([content("to"), content("elsewhere")], ["first", "content"]);
        });

        it("copies nothing when only the connection or the triggers have changed", async () => {
            const state = inputsOf(fileAsset(file("from")), here("to"));
            const connection = secret(sshd.connection({ port: await freePort() }));
            assert.deepEqual(await update(state, { connection, triggers: [1] }), {
                ...state,
                connection,
                triggers: [1],
            });
            assert.ok(!existsSync(here("to")));
        });

        it("copies nothing in a preview", async () => {
            const state = inputsOf(fileAsset(file("from")), here("to"));
            const changed = await update(state, { remotePath: here("elsewhere") }, true);
            assert.deepEqual(changed, { ...state, remotePath: here("elsewhere"), source: UNKNOWN });
            assert.ok(!existsSync(here("elsewhere")));
        });
    });

    it("reads nothing: a refresh finds the state as it is", async () => {
        const inputs = inputsOf({ ...ASSET, hash: "1", path: "/f" }, "/x");
        assert.deepEqual(await plugin.read(urn, "1", inputs, inputs), { id: "1", properties: inputs, inputs });
    });

    it("leaves the copy where it is at delete", async () => {
        await plugin.delete(urn, "1", inputsOf(fileAsset("/f"), file("to"), { port: 1 }), {});
        assert.equal(content("to"), "content");
    });
});
