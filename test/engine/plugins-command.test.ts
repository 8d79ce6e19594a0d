import { strict as assert } from "node:assert";
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "mocha";
import { secret, UNKNOWN, type Values } from "../../toolchain/plugins/lib/values";
import { eventually, PluginProcess } from "./plugins-harness";

const TYPE = "command:local:Command";

describe("plugin command: local.Command", function () {
    this.timeout(60_000);
    let plugin: PluginProcess;
    let urn: string;
    let directory: string;

    before(async () => {
        directory = realpathSync(mkdtempSync(path.join(tmpdir(), "plugin-command-")));
        plugin = await PluginProcess.start("command");
        urn = plugin.urn(TYPE, "step");
    });
    after(async () => {
        await plugin.stop();
        rmSync(directory, { recursive: true });
    });

    const lines = (): string[] => plugin.engine.logs.filter((entry) => entry.urn === urn).map(({ message }) => message);

    describe("check", () => {
        it("takes right inputs as they are, with their secrets and unknown values", async () => {
            const inputs: Values = {
                create: "true",
                stdin: secret("hush"),
                environment: { KEY: secret("hush"), OTHER: "plain" },
                triggers: [1, "a", { b: true }],
                dir: UNKNOWN,
                logging: "none",
                addPreviousOutputInEnv: false,
                interpreter: ["/bin/bash", "-c"],
            };
            const { checked, failuresList } = await plugin.check(urn, inputs);
            assert.deepEqual(failuresList, []);
            assert.deepEqual(checked, inputs);
        });

        for (const [what, inputs, reason] of [
            ["a command that is no text", { create: 5 }, "must be a 'string'; got 'float64'"],
            ["an interpreter that is no list", { interpreter: "bash" }, "must be a '[]string'; got 'string'"],
            ["an unknown input", { script: "true" }, "Unrecognized field 'script'"],
        ] as const) {
            it(`refuses ${what}`, async () => {
                const { failuresList } = await plugin.check(urn, inputs);
                assert.equal(failuresList.length, 1);
                assert.equal(failuresList[0]?.property, Object.keys(inputs)[0]);
                assert.ok(failuresList[0]?.reason.includes(reason), failuresList[0]?.reason);
            });
        }
    });

    describe("create", () => {
        it("runs the command with /bin/sh and keeps what it wrote, without one last newline", async () => {
            const { id, properties } = await plugin.create(urn, { create: "echo out; echo err >&2; printf 'x\\n\\n'" });
            assert.match(id, /^step[0-9a-f]{8}$/);
            assert.deepEqual(properties, {
                create: "echo out; echo err >&2; printf 'x\\n\\n'",
                stdout: "out\nx\n",
                stderr: "err",
            });
        });

        it("gives it interpreter, directory, environment and standard input", async () => {
            const { properties } = await plugin.create(urn, {
                create: 'echo "$0 $PWD $KEY"; cat',
                interpreter: ["bash", "-c"],
                dir: directory,
                environment: { KEY: "value" },
                stdin: "line 1\nline 2\n",
            });
            assert.equal(properties["stdout"], `bash ${directory} value\nline 1\nline 2`);
        });

        it("passes a script on standard input with arguments: bash -s", async () => {
            const { properties } = await plugin.create(urn, {
                create: "bash -s -- apply 'a b'",
                stdin: 'printf "%s|" "$@"',
            });
            assert.equal(properties["stdout"], "apply|a b|");
        });

        it("takes large input and output", async () => {
            const stdin = `${"0123456789abcde\n".repeat(65_536)}end`;
            const { properties } = await plugin.create(urn, { create: "cat", stdin, logging: "none" });
            assert.equal(properties["stdout"], stdin);
        });

        it("does not mind a command that does not read its input", async () => {
            const { properties } = await plugin.create(urn, { create: "true", stdin: "x".repeat(1_000_000) });
            assert.equal(properties["stdout"], "");
        });

        it("does nothing without a create command", async () => {
            const { properties } = await plugin.create(urn, { update: "exit 1" });
            assert.deepEqual(properties, { update: "exit 1", stdout: "", stderr: "" });
        });

        it("keeps secret inputs secret, but not what the command writes", async () => {
            const { properties } = await plugin.create(urn, {
                create: "cat; echo $KEY",
                stdin: secret("a"),
                environment: { KEY: secret("b"), PLAIN: "c" },
            });
            assert.deepEqual(properties["stdin"], secret("a"));
            assert.deepEqual(properties["environment"], { KEY: secret("b"), PLAIN: "c" });
            assert.equal(properties["stdout"], "ab");
        });

        it("runs nothing in a preview, where the outputs are unknown", async () => {
            const inputs: Values = { create: `touch ${directory}/preview`, stdin: secret("a"), triggers: [UNKNOWN] };
            const { properties } = await plugin.create(urn, inputs, { preview: true });
            assert.deepEqual(properties, { ...inputs, stdout: UNKNOWN, stderr: UNKNOWN });
            const { properties: listed } = await plugin.create(urn, { create: `ls ${directory}` });
            assert.equal(listed["stdout"], "");
        });

        for (const [what, inputs, message] of [
            [
                "the exit status, the command and all of the output",
                { create: 'echo "out\t1"\nexit 3' },
                'exit status 3: running "echo \\"out\\t1\\"\\nexit 3":\nout\t1\n',
            ],
            ["the signal", { create: "kill -TERM $$" }, 'signal: terminated: running "kill -TERM $$":\n'],
            [
                "a missing directory",
                { create: "x", dir: "/nope" },
                'chdir /nope: no such file or directory: running "x":\n',
            ],
            [
                "a missing interpreter",
                { create: "x", interpreter: ["nope"] },
                'exec: "nope": executable file not found in $PATH: running "x":\n',
            ],
            [
                "an interpreter that cannot be run",
                { create: "x", interpreter: ["/etc/passwd"] },
                'fork/exec /etc/passwd: permission denied: running "x":\n',
            ],
            ["secret output too: it is not held back", { create: "cat; false", stdin: secret("hush") }, "hush"],
        ] as const) {
            it(`fails with ${what}`, async () => {
                await assert.rejects(plugin.create(urn, inputs as unknown as Values), (error: Error) => {
                    assert.ok(error.message.includes(message), error.message);
                    return true;
                });
            });
        }

        it("is killed at its timeout", async () => {
            await assert.rejects(plugin.create(urn, { create: "exec sleep 20" }, { timeout: 1 }), /signal: killed/);
        });
    });

    describe("log", () => {
        it("shows each line while the command runs", async () => {
            plugin.engine.logs.length = 0;
            const go = path.join(directory, "go");
            const create = `echo one; echo two >&2; until [ -e ${go} ]; do sleep 0.1; done; printf three`;
            const created = plugin.create(urn, { create });
            try {
                await eventually(() => lines().length >= 2);
                assert.deepEqual(lines().sort(), ["one", "two"]);
            } finally {
                writeFileSync(go, "");
            }
            await created;
            rmSync(go);
            assert.deepEqual(lines().slice(2), ["three"]);
            const entry = plugin.engine.logs.find(({ message }) => message === "one");
            assert.deepEqual(entry, { message: "one", urn, severity: "info", ephemeral: true });
        });

        for (const [logging, expected] of [
            ["stdout", ["out"]],
            ["stderr", ["err"]],
            ["stdoutAndStderr", ["err", "out"]],
            ["none", []],
        ] as const) {
            it(`with logging "${logging}" shows ${expected.join(" and ") || "nothing"}`, async () => {
                plugin.engine.logs.length = 0;
                const { properties } = await plugin.create(urn, { create: "echo out; echo err >&2", logging });
                assert.deepEqual(lines().sort(), expected);
                assert.equal(properties["stdout"], "out");
            });
        }
    });

    describe("diff", () => {
        const inputs: Values = {
            create: "c",
            stdin: "a",
            triggers: ["a", "b"],
            environment: { A: "1", "b.c": "2" },
            interpreter: ["sh", "-c"],
        };
        const without = (name: string): Values =>
            Object.fromEntries(Object.entries(inputs).filter(([property]) => property !== name));

        for (const [what, news, detailed, replaces] of [
            ["nothing", inputs, {}, []],
            ["stdin: update", { ...inputs, stdin: "b" }, { stdin: "update" }, []],
            ["stdin that became secret: update", { ...inputs, stdin: secret("a") }, { stdin: "update" }, []],
            ["stdin unknown: update", { ...inputs, stdin: UNKNOWN }, { stdin: "update" }, []],
            ["stdin gone: update", without("stdin"), { stdin: "delete" }, []],
            ["a new update command: update", { ...inputs, update: "u" }, { update: "add" }, []],
            // The SDK makes a replacement of a change of one element (replaceOnChanges: ["triggers[*]"]).
            ["one trigger", { ...inputs, triggers: ["a", "c"] }, { "triggers[1]": "update" }, []],
            ["one more trigger", { ...inputs, triggers: ["a", "b", "c"] }, { "triggers[2]": "add" }, []],
            ["one trigger fewer", { ...inputs, triggers: ["a"] }, { "triggers[1]": "delete" }, []],
            ["triggers gone: replace", without("triggers"), { triggers: "delete-replace" }, ["triggers"]],
            [
                "parts of the environment",
                { ...inputs, environment: { A: "3", D: "4" } },
                { "environment.A": "update", 'environment["b.c"]': "delete", "environment.D": "add" },
                [],
            ],
            [
                "parts of the interpreter",
                { ...inputs, interpreter: ["bash", "-e", "-c"] },
                { "interpreter[0]": "update", "interpreter[1]": "update", "interpreter[2]": "add" },
                [],
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
            const diff = await plugin.diff(
                urn,
                "step1",
                { create: "c" },
                { create: "c" },
                { create: "c", triggers: [1] },
            );
            assert.deepEqual(diff.detailed, { triggers: "add-replace" });
            assert.deepEqual(diff.replaces, ["triggers"]);
        });
    });

    describe("update", () => {
        const inputs: Values = { create: "echo created", stdin: "a" };
        const state: Values = { ...inputs, stdout: "before", stderr: "before too" };
        const show = 'echo "$PULUMI_COMMAND_STDOUT, $PULUMI_COMMAND_STDERR"';
        const update = (news: Values, preview = false): Promise<Values> =>
            plugin.update(urn, "step1", state, inputs, news, preview);

        it("runs the update command, with the last outputs in the environment", async () => {
            const news = { ...inputs, update: show };
            assert.deepEqual(await update(news), { ...news, stdout: "before, before too", stderr: "" });
        });

        it("leaves them out when it is told to", async () => {
            const news = { ...inputs, update: show, addPreviousOutputInEnv: false };
            assert.equal((await update(news))["stdout"], ", ");
        });

        it("runs the create command when there is no update command", async () => {
            assert.equal((await update({ create: "cat", stdin: "b" }))["stdout"], "b");
        });

        it("keeps the outputs when there is neither", async () => {
            assert.deepEqual(await update({ delete: "x" }), { delete: "x", stdout: "before", stderr: "before too" });
        });

        it("fails as create does", async () => {
            await assert.rejects(
                update({ update: "echo no; exit 4" }),
                /exit status 4: running "echo no; exit 4":\nno\n/,
            );
        });

        it("runs nothing in a preview, where changed inputs make the outputs unknown", async () => {
            const changed = await update({ ...inputs, create: `touch ${directory}/preview` }, true);
            assert.deepEqual([changed["stdout"], changed["stderr"]], [UNKNOWN, UNKNOWN]);
            const unknown = await update({ ...inputs, dir: UNKNOWN }, true);
            assert.deepEqual([unknown["stdout"], unknown["stderr"]], [UNKNOWN, UNKNOWN]);
            const added = await update({ ...inputs, update: "exit 1", triggers: [UNKNOWN] }, true);
            assert.deepEqual([added["stdout"], added["stderr"]], ["before", "before too"]);
            const { properties } = await plugin.create(urn, { create: `ls ${directory}` });
            assert.equal(properties["stdout"], "");
        });
    });

    it("reads nothing: a refresh finds the state as it is", async () => {
        const inputs: Values = { create: "echo 1", stdin: secret("a") };
        const state: Values = { ...inputs, stdout: "1", stderr: "" };
        assert.deepEqual(await plugin.read(urn, "step1", state, inputs), { id: "step1", properties: state, inputs });
    });

    describe("delete", () => {
        const state: Values = { create: "true", stdin: "from the state", stdout: "before", stderr: "" };

        it("runs the delete command with what the state holds", async () => {
            const command = `cat > ${directory}/deleted; echo " $PULUMI_COMMAND_STDOUT" >> ${directory}/deleted`;
            await plugin.delete(urn, "step1", { ...state, delete: command }, {});
            const { properties } = await plugin.create(urn, { create: `cat ${directory}/deleted` });
            assert.equal(properties["stdout"], "from the state before");
        });

        it("fails when the command fails", async () => {
            const failing = { ...state, delete: "echo no; exit 2" };
            await assert.rejects(
                plugin.delete(urn, "step1", failing, {}),
                /exit status 2: running "echo no; exit 2":\nno\n/,
            );
        });

        it("does nothing without a delete command", async () => {
            await plugin.delete(urn, "step1", state, {});
        });
    });
});
