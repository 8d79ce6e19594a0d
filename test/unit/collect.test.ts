import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
    chmodSync,
    copyFileSync,
    existsSync,
    mkdirSync,
    readFileSync,
    readdirSync,
    rmSync,
    statSync,
    writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, it } from "mocha";
import { parse, stringify } from "yaml";
import { renderSchedule } from "../../components/registry/distribution/render";
import { scheduleTimes } from "../../config/schedule";
import { matchesCron } from "./support/cron";
import { withFolder, withFolderAsync } from "./support/machine";

const scripts = join(__dirname, "../../components/registry/distribution");
const script = readFileSync(join(scripts, "collect.sh"), "utf8");

/** Shells like the one in the registry's image (busybox ash) that this machine has. */
const shells = [["dash"], ["busybox", "sh"]].filter(
    ([program = ""]) => spawnSync(program, ["-c", ":"]).error === undefined,
);

/** The script without what it does when it is called, with paths of a container moved to a folder. */
function functions(folder: string): string {
    const end = script.indexOf("\ncase ${1:-} in");
    assert.ok(end > 0, "collect.sh has another shape; this test takes its functions from above the case");
    return moved(script.slice(0, end), folder);
}

function moved(text: string, folder: string): string {
    return (
        text
            // First: the folder may be below it.
            .replaceAll("/tmp/", `${folder}/scratch/`)
            .replaceAll("/etc/harborage/current", folder)
            .replaceAll("/gate", `${folder}/gate`)
    );
}

function writeSchedule(folder: string, line: string): void {
    mkdirSync(join(folder, "registry"), { recursive: true });
    writeFileSync(join(folder, "registry", "schedule"), renderSchedule(scheduleTimes(line)));
}

/** Minutes that matter to a line: some at which it is due, the minutes beside them, and some at random. */
function instants(line: string): Date[] {
    const start = Date.UTC(2027, 5, 26);
    const minutes = Array.from({ length: 60 * 24 * 40 }, (_, index) => new Date(start + index * 60_000));
    const due = minutes.filter((at) => matchesCron(line, at));
    const some = due.filter((_, index) => index % Math.ceil(due.length / 10) === 0);
    const beside = some.flatMap((at) => [-1, 0, 1].map((each) => new Date(at.getTime() + each * 60_000)));
    return [...beside, ...minutes.filter((_, index) => index % 4001 === 0)];
}

describe("config.sh", () => {
    for (const shell of shells) {
        const write = (folder: string) => {
            const words = `set -eu; release=${folder}; . ${join(scripts, "config.sh")}; write_config ${folder}/out`;
            const [program = "", ...rest] = shell;
            return spawnSync(program, [...rest, "-c", words], { encoding: "utf8" });
        };

        it(`puts secrets in as they are, for the eyes of their user only, under ${shell.join(" ")}`, () => {
            withFolder((folder) => {
                mkdirSync(join(folder, "registry"));
                mkdirSync(join(folder, "secrets/service"), { recursive: true });
                const secrets = { one: "a'b\"c\\d&e #: f", two: "yes" };
                for (const [name, value] of Object.entries(secrets)) {
                    writeFileSync(join(folder, "secrets/service", name), `${value}\n`);
                }
                const config = stringify({ a: { one: "@one@" }, two: "@two@", other: "a@b" });
                writeFileSync(join(folder, "registry/config.yml"), config);
                const { status, stderr } = write(folder);
                assert.equal(status, 0, stderr);
                assert.deepEqual(parse(readFileSync(join(folder, "out"), "utf8")), {
                    a: { one: secrets.one },
                    two: secrets.two,
                    other: "a@b",
                });
                assert.equal(statSync(join(folder, "out")).mode & 0o777, 0o600);
            });
        });

        it(`fails where a secret is missing, under ${shell.join(" ")}`, () => {
            withFolder((folder) => {
                mkdirSync(join(folder, "registry"));
                writeFileSync(join(folder, "registry/config.yml"), stringify({ a: "@one@" }));
                const { status, stderr } = write(folder);
                assert.equal(status, 1);
                assert.match(stderr, /cannot read .*\/secrets\/service\/one/);
            });
        });
    }
});

describe("collect.sh", () => {
    const lines = ["0 3 * * *", "*/7 8-9 * * *", "8 9 1,15 * 1", "59 23 * JUL SUN", "0 0 */2 * 1", "30 4 1 * *"];
    for (const shell of shells) {
        it(`is due when cron would be, under ${shell.join(" ")}`, () => {
            for (const line of lines) {
                withFolder((folder) => {
                    writeSchedule(folder, line);
                    const all = instants(line);
                    // Only the clock is another one.
                    const loop = [
                        functions(folder),
                        'date() { command date -u -d "@$now" "$2"; }',
                        "while read -r now; do if due; then echo 1; else echo 0; fi; done",
                    ].join("\n");
                    const [program = "", ...rest] = shell;
                    const { stdout, stderr } = spawnSync(program, [...rest, "-c", loop], {
                        input: all.map((at) => `${at.getTime() / 1000}\n`).join(""),
                        env: { ...process.env, EITHER_DAY: String(scheduleTimes(line).eitherDay) },
                        encoding: "utf8",
                    });
                    const said = stdout.trim().split("\n");
                    assert.equal(said.length, all.length, stderr);
                    assert.deepEqual(
                        all
                            .filter((at, index) => (said[index] === "1") !== matchesCron(line, at))
                            .map((at) => at.toISOString()),
                        [],
                        line,
                    );
                    assert.ok(said.includes("1") && said.includes("0"), line);
                });
            }
        }).timeout(60_000);
    }

    describe("now", () => {
        /** A registry, its metrics and a clock that does not wait, as programs on the PATH. */
        function prepare(folder: string, { writes = "0", registry = "echo '3 blobs eligible for deletion'" } = {}) {
            for (const name of ["bin", "gate", "scratch", "registry"]) {
                mkdirSync(join(folder, name));
            }
            mkdirSync(join(folder, "data/docker/registry/v2/repositories"), { recursive: true });
            const program = (name: string, text: string) => {
                writeFileSync(join(folder, "bin", name), `#!/bin/sh\n${text}\n`);
                chmodSync(join(folder, "bin", name), 0o755);
            };
            program("registry", `echo "$*; $(ls ${folder}/gate | tr '\\n' ' ')" >>${folder}/called\n${registry}`);
            program("sleep", "exit 0");
            program("wget", `echo >>${folder}/asked; n=$(wc -l <${folder}/asked); cat <<EOF\n${metrics(writes)}\nEOF`);
            writeFileSync(join(folder, "collect.sh"), moved(script, folder));
            copyFileSync(join(scripts, "config.sh"), join(folder, "registry", "config.sh"));
            writeFileSync(join(folder, "registry", "config.yml"), "version: 0.1\n");
            return {
                env: {
                    PATH: `${folder}/bin:${process.env["PATH"] ?? ""}`,
                    METRICS: "http://registry:5001/metrics",
                    DELETE_UNTAGGED: "false",
                    QUIET_SECONDS: "3",
                    DRAIN_SECONDS: "900",
                    EITHER_DAY: "false",
                    IMAGES: join(folder, "data"),
                },
                called: () => (existsSync(join(folder, "called")) ? readFileSync(join(folder, "called"), "utf8") : ""),
                gate: () => readdirSync(join(folder, "gate")),
            };
        }

        /** What the registry's metrics look like; `writes` may use `$n`, how often they were asked for. */
        function metrics(writes: string): string {
            return [
                "# TYPE registry_http_in_flight_requests gauge",
                'registry_http_in_flight_requests{handler="base"} 7',
                'registry_http_in_flight_requests{handler="blob"} 9',
                `registry_http_in_flight_requests{handler="blob_upload"} ${writes}`,
                'registry_http_in_flight_requests{handler="blob_upload_chunk"} 0',
                'registry_http_in_flight_requests{handler="manifest"} 0',
            ].join("\n");
        }

        function collect(folder: string, env: NodeJS.ProcessEnv) {
            const [program = "sh", ...rest] = shells[0] ?? [];
            const { status, stdout, stderr } = spawnSync(program, [...rest, join(folder, "collect.sh"), "now"], {
                env,
                encoding: "utf8",
            });
            return { status, output: stdout + stderr };
        }

        it("collects while every write is refused, and lets them in again", () => {
            withFolder((folder) => {
                const { env, called, gate } = prepare(folder);
                const { status, output } = collect(folder, env);
                assert.equal(status, 0, output);
                assert.equal(
                    called(),
                    `garbage-collect ${folder}/scratch/config.yml; collecting uploads-closed writes-closed \n`,
                );
                assert.match(output, /collect: 3 blobs eligible for deletion, \d+ s\n$/);
                assert.deepEqual(gate(), []);
            });
        });

        it("deletes untagged manifests only when the stack file says so", () => {
            withFolder((folder) => {
                const { env, called } = prepare(folder);
                assert.equal(collect(folder, { ...env, DELETE_UNTAGGED: "true" }).status, 0);
                assert.match(called(), /^garbage-collect --delete-untagged /);
            });
        });

        it("waits for running uploads", () => {
            withFolder((folder) => {
                const { env, called } = prepare(folder, { writes: "$((n < 20))" });
                assert.equal(collect(folder, env).status, 0);
                assert.match(called(), /^garbage-collect/);
                // 20 times until it is quiet, 4 more for five in a row, 3 with the gate closed.
                assert.equal(readFileSync(join(folder, "asked"), "utf8").length, 27);
            });
        });

        it("starts to wait anew when a write comes", () => {
            withFolder((folder) => {
                const { env } = prepare(folder, { writes: "$((n == 3))" });
                assert.equal(collect(folder, env).status, 0);
                // Three times until the write, five in a row after it, three with the gate closed.
                assert.equal(readFileSync(join(folder, "asked"), "utf8").length, 11);
            });
        });

        it("puts off when uploads go on, and lets them go on", () => {
            withFolder((folder) => {
                const { env, called, gate } = prepare(folder, { writes: "1" });
                const { status, output } = collect(folder, { ...env, DRAIN_SECONDS: "1" });
                assert.equal(status, 75, output);
                assert.match(output, /put off: uploads went on for 1 s/);
                assert.deepEqual([called(), gate()], ["", []]);
            });
        });

        it("does not collect when it cannot see what is written", () => {
            withFolder((folder) => {
                const { env, called, gate } = prepare(folder);
                writeFileSync(join(folder, "bin", "wget"), "#!/bin/sh\nexit 1\n");
                const { status, output } = collect(folder, env);
                assert.equal(status, 75);
                assert.match(
                    output,
                    /put off: http:\/\/registry:5001\/metrics does not answer, so its writes cannot be seen\n$/,
                );
                assert.deepEqual([called(), gate()], ["", []]);
            });
        });

        it("does not collect twice at a time", () => {
            withFolder((folder) => {
                const { env, called, gate } = prepare(folder);
                mkdirSync(join(folder, "gate", "collecting"));
                const { status, output } = collect(folder, env);
                assert.equal(status, 75);
                assert.match(output, /running already/);
                assert.deepEqual([called(), gate()], ["", ["collecting"]]);
            });
        });

        it("has nothing to do where nothing was pushed yet", () => {
            withFolder((folder) => {
                const { env, called, gate } = prepare(folder);
                rmSync(join(folder, "data"), { recursive: true });
                const { status, output } = collect(folder, env);
                assert.equal(status, 0, output);
                assert.match(output, /nothing to collect/);
                assert.deepEqual([called(), gate()], ["", []]);
            });
        });

        describe("of several nodes", () => {
            const nodes = ["http://a/m", "http://b/m"];

            /** Nodes by URL with how many writes each is serving; `$n` is how often it was asked. */
            function prepareNodes(folder: string, writes: Readonly<Record<string, string>>) {
                const made = prepare(folder);
                const cases = Object.entries(writes).map(
                    ([url, number]) => `*" ${url}") cat <<EOF\n${metrics(number)}\nEOF\n;;`,
                );
                const text = `echo "$*" >>${folder}/asked; n=$(grep -c " \${*##* }$" ${folder}/asked)
                    case " $*" in ${cases.join("\n")} *) exit 1 ;; esac`;
                writeFileSync(join(folder, "bin/wget"), `#!/bin/sh\n${text}\n`);
                const asked = (url: string) =>
                    readFileSync(join(folder, "asked"), "utf8")
                        .split("\n")
                        .filter((line) => line.endsWith(` ${url}`)).length;
                const file = join(folder, "gate/asked");
                const env: NodeJS.ProcessEnv = {
                    ...made.env,
                    METRICS: nodes.join(" "),
                    ASKED: file,
                    IMAGES: undefined,
                };
                return { ...made, env, asked, remembered: () => readFileSync(file, "utf8"), file };
            }

            it("waits for the writes of all of them", () => {
                withFolder((folder) => {
                    const { env, asked, remembered } = prepareNodes(folder, {
                        "http://a/m": "0",
                        "http://b/m": "$((n < 9))",
                    });
                    const { status, output } = collect(folder, env);
                    assert.equal(status, 0, output);
                    assert.deepEqual(nodes.map(asked), [16, 16]);
                    assert.equal(remembered(), "http://a/m\nhttp://b/m\n");
                });
            });

            it("does not collect when it cannot see one of them", () => {
                withFolder((folder) => {
                    const { env, called, gate } = prepareNodes(folder, { "http://a/m": "0" });
                    const { status, output } = collect(folder, env);
                    assert.equal(status, 75);
                    assert.match(output, /put off: http:\/\/b\/m does not answer/);
                    assert.deepEqual([called(), gate()], ["", []]);
                });
            });

            it("waits for the writes of one that was taken out, until it is gone", () => {
                withFolder((folder) => {
                    const writes = { "http://a/m": "0", "http://b/m": "0", "http://c/m": "$((n < 6))" };
                    const { env, file, asked, remembered } = prepareNodes(folder, writes);
                    writeFileSync(file, "http://b/m\nhttp://c/m\nhttp://gone/m\n");
                    const { status, output } = collect(folder, env);
                    assert.equal(status, 0, output);
                    assert.equal(asked("http://c/m"), 13);
                    assert.equal(asked("http://b/m"), 13);
                    assert.equal(remembered(), "http://a/m\nhttp://b/m\n");
                });
            });

            it("remembers whom it has asked when it starts anew with others", () =>
                withFolderAsync(async (folder) => {
                    const { env, file, remembered } = prepareNodes(folder, {});
                    writeFileSync(file, "http://b/m\nhttp://c/m\n");
                    const [program = "sh", ...rest] = shells[0] ?? [];
                    const child = spawn(program, [...rest, join(folder, "collect.sh"), "wait"], {
                        env: { ...env, PATH: process.env["PATH"] },
                        stdio: "ignore",
                    });
                    const ended = new Promise((done) => child.once("exit", done));
                    while (!remembered().includes("http://a/m")) {
                        await sleep(20);
                    }
                    child.kill();
                    await ended;
                    assert.equal(remembered(), "http://a/m\nhttp://b/m\nhttp://c/m\n");
                }));
        });

        it("asks the registry itself where images are in a bucket", () => {
            withFolder((folder) => {
                const { env, called } = prepare(folder);
                rmSync(join(folder, "data"), { recursive: true });
                assert.equal(collect(folder, { ...env, IMAGES: undefined }).status, 0);
                assert.match(called(), /^garbage-collect/);
            });
        });

        it("says why the registry could not collect, and opens the gate", () => {
            withFolder((folder) => {
                const { env, gate } = prepare(folder, { registry: "echo 'no such bucket' >&2; exit 1" });
                const { status, output } = collect(folder, env);
                assert.equal(status, 1);
                assert.match(output, /failed: no such bucket/);
                assert.deepEqual(gate(), []);
            });
        });

        it("opens the gate when it is ended meanwhile", () =>
            withFolderAsync(async (folder) => {
                const { env, called, gate } = prepare(folder, { registry: "exec /bin/sleep 5" });
                const [program = "sh", ...rest] = shells[0] ?? [];
                const child = spawn(program, [...rest, join(folder, "collect.sh"), "now"], { env, stdio: "ignore" });
                const ended = new Promise((done) => child.once("exit", done));
                while (called() === "") {
                    await sleep(20);
                }
                assert.deepEqual(gate(), ["collecting", "uploads-closed", "writes-closed"]);
                child.kill("SIGTERM");
                assert.equal(await ended, 143);
                assert.deepEqual(gate(), []);
            }));
    });

    it("says how to call it", () => {
        const { status, stderr } = spawnSync("sh", ["-s", "--", "later"], { input: script, encoding: "utf8" });
        assert.equal(status, 64);
        assert.match(stderr, /usage: collect\.sh schedule \| wait \| now/);
    });
});
