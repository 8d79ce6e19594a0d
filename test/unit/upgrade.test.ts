import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
    chmodSync,
    cpSync,
    existsSync,
    mkdirSync,
    readFileSync,
    readdirSync,
    readlinkSync,
    realpathSync,
    rmSync,
    symlinkSync,
    writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "mocha";
import { backupParts } from "../../components/registry/harbor/backup";
import { backup, planBackup } from "../../config/backup";
import { scheduleTimes } from "../../config/schedule";
import { scriptText } from "../../components/machines/script-text";
import { withFolder } from "./support/machine";

const upgradeBackup = "20270101T101500Z-v2.14.4-upgrade-to-2.15.2";

/**
 * Stands in for docker: writes down how it is called, and answers as compose would. What is run in a container that has
 * a service's data is run for real, on a folder. A file `fail` names what fails, by a pattern.
 */
const docker = `#!/bin/bash
cd "$PWD" && here=FOLDER
call="$*"
call=\${call//$'\\n'/ }
echo "\${PWD##*/}: \${call::300}" >>$here/calls
if [[ -f $here/fail && $call =~ $(<$here/fail) ]]; then echo "docker says no" >&2; exit 1; fi
case $call in
    *'ps --services --status running'*) cat $here/running ;;
    *' backup now before-restore') echo 20270101T110000Z-v2.14.4-before-restore ;;
    *' backup now '*) echo ${upgradeBackup} ;;
    *' backup others') cat $here/others 2>/dev/null ;;
    *' backup schema') cat $here/schema 2>/dev/null ;;
    *' backup list') ls $here/machine/data/backups ;;
    *'config --images') echo goharbor/harbor-core ;;
    'compose ps --all --quiet '*) echo container ;;
    'logs '*) cat $here/log 2>/dev/null ;;
    'ps --quiet '*'service=core') [[ ! -f $here/runs ]] || echo container ;;
    'run '*)
        while [[ $1 != -euc ]]; do shift; done
        code=\${2//\\/var\\/lib\\/postgresql\\/data/$here/machine/data/registry/database}
        code=\${code//\\/var\\/lib\\/redis/$here/machine/data/registry/redis}
        bash -euc "$code" "\${@:3}"
        ;;
    *'up --detach postgresql') mkdir -p $here/machine/data/registry/database/pg18/new ;;
esac
`;

/** A machine with a stack's folder, and Harbor's data. */
class HarborMachine {
    readonly stack: string;
    readonly data: string;

    constructor(readonly folder: string) {
        this.stack = join(folder, "machine/stacks/harborage-prod-registry");
        this.data = join(folder, "machine/data/registry");
        for (const path of ["bin", "machine/data/backups", "machine/images"]) {
            mkdirSync(join(folder, path), { recursive: true });
        }
        for (const path of ["database", "redis", "secret/keys"]) {
            mkdirSync(join(this.data, path), { recursive: true });
        }
        writeFileSync(join(this.data, "secret/keys/secretkey"), "0123456789abcdef");
        writeFileSync(join(folder, "running"), "core\nlog\nredis\npostgresql\nbackup\nproxy\n");
        writeFileSync(join(folder, "bin/docker"), docker.replaceAll("FOLDER", folder));
        chmodSync(join(folder, "bin/docker"), 0o755);
    }

    release(
        version: string,
        id = version,
        database: "bundled" | "external" = "bundled",
        state = "node",
        nodes: "only" | "first" | "other" = "only",
    ): string {
        const release = join(this.stack, "releases", id);
        const times = scheduleTimes("30 2 * * *");
        const { plainFiles } = backupParts({
            version,
            stack: "prod",
            node: "node-1",
            backup: planBackup(backup.parse({}), times, "node-1", join(this.folder, "machine/data")),
            dataDirectory: this.data,
            database:
                database === "bundled"
                    ? { kind: "bundled" }
                    : { kind: "external", host: "db", port: 5432, name: "harbor", user: "harbor", sslMode: "disable" },
            nodes,
            redis: "bundled",
            state,
        });
        for (const [name, { content }] of Object.entries(plainFiles)) {
            mkdirSync(dirname(join(release, name)), { recursive: true });
            writeFileSync(join(release, name), content);
        }
        writeFileSync(
            join(release, ".env"),
            `COMPOSE_PROJECT_NAME=harborage-prod-registry\nHARBORAGE_DIRECTORY=${join(this.folder, "machine")}\n`,
        );
        return release;
    }

    /** The data is of a version. */
    record(version: string): void {
        writeFileSync(join(this.data, "harborage-version"), `${version}\n`);
    }

    note(text: string): void {
        writeFileSync(join(this.data, "harborage-upgrade"), text);
    }

    /** What compose was told, since the last time. */
    calls(): string[] {
        const file = join(this.folder, "calls");
        const text = existsSync(file) ? readFileSync(file, "utf8") : "";
        rmSync(file, { force: true });
        return text.split("\n").filter((line) => line.includes(": compose "));
    }

    bash(script: string, words: readonly string[], environment: NodeJS.ProcessEnv) {
        const { status, stdout, stderr } = spawnSync("bash", [script, ...words], {
            env: { PATH: `${this.folder}/bin:${process.env["PATH"] ?? ""}`, ...environment },
            input: "",
            encoding: "utf8",
        });
        return { status, stdout, stderr };
    }

    hook(name: "before" | "failed", release: string, previous = "") {
        const environment = { RELEASE: release, PREVIOUS: previous, PROJECT: "harborage-prod-registry" };
        return this.bash(join(release, `hooks/${name}.sh`), [], environment);
    }

    restore(release: string, ...words: readonly string[]) {
        return this.bash(join(release, "restore.sh"), words, {});
    }

    has(file: string): boolean {
        return existsSync(join(this.data, file));
    }

    read(file: string): string {
        return readFileSync(join(this.data, file), "utf8");
    }
}

const withMachine = (test: (machine: HarborMachine) => void) => () =>
    withFolder((folder) => test(new HarborMachine(realpathSync(folder))));

describe("before a release of Harbor", () => {
    it(
        "touches nothing where nothing ran yet, or the version stays",
        withMachine((machine) => {
            const release = machine.release("2.15.2");
            assert.equal(machine.hook("before", release).status, 0);
            machine.record("2.15.2");
            assert.equal(machine.hook("before", release, machine.release("2.15.2", "other")).status, 0);
            assert.deepEqual(machine.calls(), []);
        }),
    );

    it(
        "refuses another place for its state, until somebody says that it was moved",
        withMachine((machine) => {
            const [old, now] = [machine.release("2.15.2"), machine.release("2.15.2", "moved", "bundled", "bucket")];
            machine.record("2.15.2");
            const { status, stderr } = machine.hook("before", now, old);
            assert.equal(status, 1);
            assert.match(stderr, /state was in node and would be in bucket/);
            assert.ok(stderr.includes(`sudo touch ${machine.data}/harborage-moved`), stderr);
            writeFileSync(join(machine.data, "harborage-moved"), "");
            assert.equal(machine.hook("before", now, old).status, 0);
            const recorded = machine.bash(join(now, "backup/record-version.sh"), [], { RELEASE: now });
            assert.equal(recorded.status, 0, recorded.stderr);
            assert.ok(!machine.has("harborage-moved"));
        }),
    );

    it(
        "refuses an older version, and says how to go back",
        withMachine((machine) => {
            const [old, now] = [machine.release("2.9.4"), machine.release("2.10.0")];
            machine.record("2.10.0");
            const { status, stderr } = machine.hook("before", old, now);
            assert.equal(status, 1);
            assert.match(stderr, /is of Harbor 2\.10\.0; Harbor 2\.9\.4 cannot read it\. Nothing was changed\./);
            assert.ok(stderr.includes(`sudo bash ${old}/restore.sh NAME`), stderr);
            assert.deepEqual(machine.calls(), []);
        }),
    );

    it(
        "takes the version of what runs where none is recorded",
        withMachine((machine) => {
            const { status, stderr } = machine.hook("before", machine.release("2.14.4"), machine.release("2.15.2"));
            assert.equal(status, 1);
            assert.match(stderr, /is of Harbor 2\.15\.2; Harbor 2\.14\.4 cannot read it/);
        }),
    );

    it(
        "backs up what an upgrade changes, after the last write, and stops the old version",
        withMachine((machine) => {
            const [old, now] = [machine.release("2.14.4"), machine.release("2.15.2")];
            machine.record("2.14.4");
            const { status, stderr } = machine.hook("before", now, old);
            assert.equal(status, 0, stderr);
            assert.deepEqual(machine.calls(), [
                "2.14.4: compose ps --services --status running",
                "2.14.4: compose stop --timeout 60 core proxy",
                "2.14.4: compose up --detach postgresql",
                "2.14.4: compose --progress quiet run --rm --no-deps -T backup now upgrade-to-2.15.2",
                `${process.cwd().split("/").at(-1) ?? ""}: compose --project-name harborage-prod-registry down --remove-orphans --timeout 60`,
            ]);
            assert.equal(
                machine.read("harborage-upgrade"),
                `from 2.14.4\nto 2.15.2\nbackup ${upgradeBackup}\nplace ${machine.folder}/machine/data/backups\nrelease ${old}\n`,
            );
            assert.equal(readFileSync(join(machine.stack, "keep"), "utf8"), "2.14.4\n");
            assert.equal(machine.read("harborage-version"), "2.14.4\n");
        }),
    );

    it(
        "lets the old version run on when the backup fails",
        withMachine((machine) => {
            const [old, now] = [machine.release("2.14.4"), machine.release("2.15.2")];
            machine.record("2.14.4");
            for (const failure of ["backup now", "compose stop"]) {
                writeFileSync(join(machine.folder, "fail"), failure);
                const { status } = machine.hook("before", now, old);
                assert.equal(status, 1);
                const calls = machine.calls();
                assert.equal(
                    calls.some((call) => call.includes(" down ")),
                    false,
                    calls.join("\n"),
                );
                assert.equal(calls.at(-1), "2.14.4: compose start core proxy");
                assert.ok(!machine.has("harborage-upgrade"));
            }
        }),
    );

    it(
        "makes no second backup when an upgrade is tried again",
        withMachine((machine) => {
            const [old, now] = [machine.release("2.14.4"), machine.release("2.15.3")];
            machine.record("2.14.4");
            machine.note(`from 2.14.4\nto 2.15.2\nbackup ${upgradeBackup}\nplace /b\nrelease ${old}\n`);
            const { status, stdout, stderr } = machine.hook("before", now, machine.release("2.15.2"));
            assert.equal(status, 0, stderr);
            assert.match(stdout, /is tried again; the backup of before is 20270101T101500Z/);
            const calls = machine.calls();
            assert.equal(calls.length, 1);
            assert.match(calls[0] ?? "", / down /);
            assert.match(
                machine.read("harborage-upgrade"),
                /^from 2\.14\.4\nto 2\.15\.3\nbackup 2027\S+\nplace \/b\nrelease \S+\/2\.14\.4\n$/,
            );
        }),
    );

    it(
        "refuses the old version once an upgrade has begun",
        withMachine((machine) => {
            const old = machine.release("2.14.4");
            machine.record("2.14.4");
            machine.note(`from 2.14.4\nto 2.15.2\nbackup ${upgradeBackup}\nplace /b\nrelease ${old}\n`);
            const { status, stderr } = machine.hook("before", old, machine.release("2.15.2"));
            assert.equal(status, 1);
            assert.ok(
                stderr.includes(`first restore its backup: sudo bash ${old}/restore.sh ${upgradeBackup}`),
                stderr,
            );
            assert.deepEqual(machine.calls(), []);
            // One that was cut off just after it had succeeded is done.
            machine.record("2.15.2");
            assert.equal(machine.hook("before", machine.release("2.15.2")).status, 0);
        }),
    );

    it(
        "refuses everything while a restore is not whole",
        withMachine((machine) => {
            const release = machine.release("2.15.2");
            machine.record("2.15.2");
            writeFileSync(join(machine.data, "harborage-restore"), `backup /b/x\nstamp s\nrelease ${release}\n`);
            const { status, stderr } = machine.hook("before", release, release);
            assert.equal(status, 1);
            assert.ok(stderr.includes(`sudo bash ${release}/restore.sh /b/x`), stderr);
        }),
    );

    it(
        "upgrades no data whose version is not on the machine",
        withMachine((machine) => {
            machine.record("2.13.0");
            const { status, stderr } = machine.hook("before", machine.release("2.15.2"));
            assert.equal(status, 1);
            assert.match(stderr, /no release of it is on this machine to back it up with; bring up 2\.13\.0 first/);
            assert.deepEqual(machine.calls(), []);
        }),
    );
});

describe("a release of Harbor on one of several nodes", () => {
    const on = (machine: HarborMachine, nodes: "first" | "other") =>
        (["2.14.4", "2.15.2"] as const).map((version) =>
            machine.release(version, version, "external", "node", nodes),
        ) as [string, string];

    it(
        "begins no upgrade while Harbor on another one uses the database",
        withMachine((machine) => {
            const [old, now] = on(machine, "first");
            machine.record("2.14.4");
            writeFileSync(join(machine.folder, "others"), "10.0.0.12, 10.0.0.13\n");
            const { status, stderr } = machine.hook("before", now, old);
            assert.equal(status, 1);
            assert.match(stderr, /is still used from 10\.0\.0\.12, 10\.0\.0\.13; stop Harbor there, then run up again/);
            const calls = machine.calls();
            assert.ok(!calls.some((call) => call.includes("backup now")), calls.join("\n"));
            assert.equal(calls.at(-1), "2.14.4: compose start core proxy");
            assert.ok(!machine.has("harborage-upgrade"));
        }),
    );

    it(
        "follows the first one without a backup of its own",
        withMachine((machine) => {
            const [old, now] = on(machine, "other");
            machine.record("2.14.4");
            const { status, stderr } = machine.hook("before", now, old);
            assert.equal(status, 0, stderr);
            const calls = machine.calls();
            assert.equal(calls.length, 1);
            assert.match(calls[0] ?? "", / down /);
            assert.equal(machine.read("harborage-upgrade"), "from 2.14.4\nto 2.15.2\nbackup -\nplace -\nrelease -\n");
            // What fails stays stopped: the old version cannot work with the database any more.
            const failed = machine.hook("failed", now);
            assert.equal(failed.status, 0);
            assert.match(failed.stderr, /Harbor 2\.15\.2 does not become healthy on this node, which is stopped/);
            // The first node asks whether its database was put back.
            assert.equal(machine.hook("before", old, now).status, 0);
        }),
    );
});

describe("stopping Harbor before another node changes the database", () => {
    const quiesce = (machine: HarborMachine, version: string) => {
        const script = scriptText("components/registry/harbor/quiesce.sh");
        const directory = join(machine.folder, "machine");
        const words = ["apply", directory, "mark", "harborage-prod-registry", version];
        writeFileSync(join(directory, "incarnation"), "mark\n");
        writeFileSync(join(machine.folder, "quiesce.sh"), script);
        return machine.bash(join(machine.folder, "quiesce.sh"), words, {});
    };
    const current = (machine: HarborMachine) => {
        const release = machine.release("2.14.4", "2.14.4", "external", "node", "other");
        symlinkSync("releases/2.14.4", join(machine.stack, "current"));
        return release;
    };

    it(
        "does nothing where none runs yet",
        withMachine((machine) => {
            const { status, stderr } = quiesce(machine, "2.15.2");
            assert.equal(status, 0, stderr);
            assert.deepEqual(machine.calls(), []);
        }),
    );

    it(
        "stops an older one, and starts it again when the version is put back",
        withMachine((machine) => {
            current(machine);
            assert.equal(quiesce(machine, "2.15.2").status, 0);
            assert.deepEqual(machine.calls(), ["current: compose stop --timeout 60"]);
            assert.equal(quiesce(machine, "2.14.4").status, 0);
            assert.deepEqual(machine.calls(), ["current: compose start"]);
        }),
    );

    it(
        "leaves a newer one alone: an older version is refused",
        withMachine((machine) => {
            current(machine);
            assert.equal(quiesce(machine, "2.14.3").status, 0);
            assert.deepEqual(machine.calls(), []);
        }),
    );
});

describe("a release of Harbor that fails", () => {
    it(
        "gives way to the one before, unless it is an upgrade",
        withMachine((machine) => {
            const release = machine.release("2.15.2");
            assert.equal(machine.hook("failed", release).status, 1);
            machine.note("from 2.14.4\nto 2.15.3\nbackup b\nplace p\nrelease r\n");
            assert.equal(machine.hook("failed", release).status, 1);
            assert.deepEqual(machine.calls(), []);
        }),
    );

    it(
        "in an upgrade stops all, and says why and what to do",
        withMachine((machine) => {
            const release = machine.release("2.15.2");
            machine.note(`from 2.14.4\nto 2.15.2\nbackup ${upgradeBackup}\nplace /b\nrelease /r/2.14.4\n`);
            writeFileSync(
                join(machine.folder, "log"),
                "[INFO] x\n[ERROR] Failed to upgrade schema, error: child table\n[ERROR] Failed to upgrade schema, error: Dirty\n",
            );
            const first = machine.hook("failed", release);
            assert.equal(first.status, 0);
            assert.ok(
                machine
                    .calls()
                    .some((call) => call.endsWith("harborage-prod-registry down --remove-orphans --timeout 30")),
            );
            assert.match(first.stderr, /from Harbor 2\.14\.4 to 2\.15\.2 failed\. All of it is stopped\./);
            assert.match(first.stderr, /core: \[ERROR\] Failed to upgrade schema, error: child table\n/);
            assert.ok(!first.stderr.includes("Dirty"));
            assert.ok(first.stderr.includes(`sudo bash /r/2.14.4/restore.sh ${upgradeBackup}\n`), first.stderr);
            assert.match(first.stderr, /once the reason is gone: run up again\n/);

            writeFileSync(join(machine.folder, "schema"), "180 dirty\n");
            assert.match(machine.hook("failed", release).stderr, /once the reason is gone: step 1, then run up again/);
            // The old version must not be started, whatever happens.
            writeFileSync(join(machine.folder, "fail"), ".");
            assert.equal(machine.hook("failed", release).status, 0);
            writeFileSync(join(machine.folder, "bin/cat"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
            assert.equal(machine.hook("failed", release).status, 0);
        }),
    );

    it(
        "once healthy, is the version of the data",
        withMachine((machine) => {
            const release = machine.release("2.15.2");
            machine.record("2.14.4");
            machine.note("from 2.14.4\nto 2.15.2\n");
            const script = join(release, "backup/record-version.sh");
            assert.equal(machine.bash(script, [], { RELEASE: release }).status, 0);
            assert.equal(machine.read("harborage-version"), "2.15.2\n");
            assert.ok(!machine.has("harborage-upgrade"));
        }),
    );
});

describe("restore.sh", () => {
    const name = "20270101T023000Z-v2.14.4";

    /** A backup that is whole, and a database of before. */
    function prepare(machine: HarborMachine, version = "2.14.4", secretkey = "0123456789abcdef"): string {
        const folder = join(machine.folder, "machine/data/backups", name);
        mkdirSync(folder, { recursive: true });
        const files = { "registry.dump": "dump", secretkey, "private_key.pem": "key", "root.crt": "certificate" };
        const lines = Object.entries(files).map(([file, content]) => {
            writeFileSync(join(folder, file), content);
            return `sha256:${file} ${createHash("sha256").update(content).digest("hex")} ${String(content.length)}`;
        });
        writeFileSync(
            join(folder, "manifest"),
            ["harborage-backup 1", `version ${version}`, "stack prod", "node node-1", ...lines, ""].join("\n"),
        );
        mkdirSync(join(machine.data, "database/pg15/old"), { recursive: true });
        writeFileSync(join(machine.data, "redis/dump.rdb"), "");
        return folder;
    }

    function current(machine: HarborMachine, id: string): void {
        rmSync(join(machine.stack, "current"), { force: true });
        symlinkSync(`releases/${id}`, join(machine.stack, "current"));
    }

    const databases = (machine: HarborMachine) => readdirSync(join(machine.data, "database")).sort();

    function withRoot(title: string, test: (machine: HarborMachine) => void) {
        return it(title, function () {
            if (process.getuid?.() !== 0) {
                this.skip();
            }
            withMachine(test)();
        });
    }

    withRoot("leaves a database alone that Harbor on another node uses", (machine) => {
        const old = machine.release("2.14.4", "2.14.4", "external", "node", "first");
        prepare(machine);
        current(machine, "2.14.4");
        writeFileSync(join(machine.folder, "others"), "10.0.0.12\n");
        const { status, stderr } = machine.restore(old, name, "--yes");
        assert.equal(status, 1);
        assert.match(stderr, /the database is still used from 10\.0\.0\.12; it was left alone\. Stop Harbor there/);
        assert.ok(!machine.calls().some((call) => call.includes(" restore /restore")));
    });

    withRoot("refuses what it cannot restore before anything is touched", (machine) => {
        const release = machine.release("2.14.4");
        const folder = prepare(machine);
        const copy = (change: (path: string) => void) => {
            const path = join(machine.folder, "copy");
            rmSync(path, { recursive: true, force: true });
            cpSync(folder, path, { recursive: true });
            change(path);
            return path;
        };
        const cases: [string[], RegExp][] = [
            [[name], /nothing was done; add --yes to go on without being asked/],
            [["20270102T023000Z-v2.14.4", "--yes"], /there is no backup 20270102T023000Z-v2\.14\.4 in/],
            [["../no-such-folder", "--yes"], /there is no folder \.\.\/no-such-folder/],
            [["x", "--yes"], /x is not the name of a backup/],
            [
                [copy((path) => writeFileSync(join(path, "registry.dump"), "dumb")), "--yes"],
                /is damaged: registry\.dump is not what was backed up/,
            ],
        ];
        for (const [words, message] of cases) {
            const { status, stderr } = machine.restore(release, ...words);
            assert.equal(status, 1, words.join(" "));
            assert.match(stderr, message);
        }
        prepare(machine, "2.15.2");
        assert.match(
            machine.restore(release, name, "--yes").stderr,
            /the backup is of Harbor 2\.15\.2, and this release is Harbor 2\.14\.4, which cannot read it/,
        );
        prepare(machine, "2.14.4", "fedcba9876543210");
        assert.match(
            machine.restore(release, name, "--yes").stderr,
            /made with another secret key .*registry\.secrets\.secretKey/,
        );
        prepare(machine);
        writeFileSync(join(machine.folder, "fail"), "image inspect");
        const kept = join(machine.folder, "machine/installers/0f1e");
        mkdirSync(kept, { recursive: true });
        writeFileSync(join(kept, "harbor.v2.14.4.tar.gz"), "");
        writeFileSync(join(kept, "images"), `${join(kept, "harbor.v2.14.4.tar.gz")}\ngoharbor/harbor-core\n`);
        const { stdout, stderr } = machine.restore(release, name, "--yes");
        assert.match(stdout, /^loading \S+\/harbor\.v2\.14\.4\.tar\.gz: images of Harbor 2\.14\.4 are gone\n/);
        assert.match(
            stderr,
            /the image goharbor\/harbor-core is gone; load it from Harbor's offline installer of 2\.14\.4/,
        );
        rmSync(join(machine.folder, "fail"));
        const locked = spawnSync(
            "flock",
            [join(machine.folder, "machine/lock"), "bash", join(release, "restore.sh"), name, "--yes"],
            { env: { PATH: `${machine.folder}/bin:${process.env["PATH"] ?? ""}` }, encoding: "utf8" },
        );
        assert.match(locked.stderr, /an up or another restore is changing this machine/);
        const calls = machine.calls().filter((call) => !/compose config --images|image inspect/.test(call));
        assert.deepEqual(calls, []);
        assert.equal(machine.restore(release).status, 64);
        assert.deepEqual(databases(machine), ["pg15"]);
    });

    withRoot("lists the backups", (machine) => {
        prepare(machine);
        const { stdout } = machine.restore(machine.release("2.14.4"), "list");
        assert.equal(stdout, `${name}\n`);
    });

    withRoot("puts the database of before aside, and is done when Harbor is healthy", (machine) => {
        const old = machine.release("2.14.4");
        machine.release("2.15.2");
        current(machine, "2.15.2");
        prepare(machine);
        mkdirSync(join(machine.data, "database/before-restore-earlier"));
        machine.record("2.15.2");
        machine.note("from 2.14.4\nto 2.15.2\n");
        const { status, stdout, stderr } = machine.restore(old, name, "--yes");
        assert.equal(status, 0, stderr);
        assert.match(stdout, /restored; Harbor 2\.14\.4 runs/);
        const [aside = "", ...others] = databases(machine);
        assert.match(aside, /^before-restore-\d{8}T\d{6}Z$/);
        assert.deepEqual(others, ["pg18"]);
        assert.ok(machine.has(`database/${aside}/pg15/old`) && machine.has("database/pg18/new"));
        assert.ok(!machine.has("redis/dump.rdb"));
        assert.equal(machine.read("harborage-version"), "2.14.4\n");
        assert.ok(!machine.has("harborage-upgrade") && !machine.has("harborage-restore"));
        assert.equal(readlinkSync(join(machine.stack, "current")), "releases/2.14.4");
        const steps = ["down", "up --detach postgresql", "backup restore /restore", "up --detach --remove-orphans"];
        const calls = machine.calls().join("\n");
        const places = steps.map((step) => calls.indexOf(` ${step}`));
        assert.ok(
            places.every((place, index) => place > (places[index - 1] ?? 0)),
            `${places.join()}\n${calls}`,
        );
    });

    for (const [what, failure] of [
        ["the database does not start", "up --detach postgresql"],
        ["the dump cannot be restored", "backup restore"],
    ] as const) {
        withRoot(`puts the database of before back when ${what}`, (machine) => {
            const release = machine.release("2.15.2");
            current(machine, "2.15.2");
            prepare(machine);
            machine.record("2.15.2");
            writeFileSync(join(machine.folder, "fail"), failure);
            const stopped = machine.restore(release, name, "--yes");
            assert.equal(stopped.status, 1);
            assert.match(stopped.stderr, /The database of before is back in its place; Harbor did not run before/);
            assert.ok(!machine.calls().some((call) => call.includes("up --detach --remove-orphans")));

            writeFileSync(join(machine.folder, "runs"), "");
            const running = machine.restore(release, name, "--yes");
            assert.equal(running.status, 1);
            assert.match(running.stderr, /The database of before is back in its place, and Harbor runs with it/);
            assert.ok(machine.calls().some((call) => call.includes("up --detach --remove-orphans")));
            assert.deepEqual(databases(machine), ["pg15"]);
            assert.ok(machine.has("database/pg15/old"));
            assert.ok(!machine.has("harborage-restore"));
        });
    }

    withRoot("puts back what was current when Harbor does not start with the restored database", (machine) => {
        const old = machine.release("2.14.4");
        machine.release("2.15.2");
        current(machine, "2.15.2");
        prepare(machine);
        machine.record("2.15.2");
        writeFileSync(join(machine.folder, "fail"), "up --detach --remove-orphans");
        const { status, stderr } = machine.restore(old, name, "--yes");
        assert.equal(status, 1);
        assert.match(
            stderr,
            /Harbor 2\.14\.4 did not become healthy with the restored database\. The database of before is back/,
        );
        assert.equal(readlinkSync(join(machine.stack, "current")), "releases/2.15.2");
        assert.equal(machine.read("harborage-version"), "2.15.2\n");
        assert.deepEqual(databases(machine), ["pg15"]);
    });

    withRoot("begins with the database of before when it is called again after it was cut off", (machine) => {
        const release = machine.release("2.15.2");
        prepare(machine);
        const place = join(machine.data, "database");
        const stamp = "20270101T120000Z";
        /** What a cut has left, by paths below the folder of the database. */
        const states: string[][] = [
            ["pg15/old"],
            ["pg15/old", `before-restore-${stamp}.partial/`],
            [`before-restore-${stamp}.partial/pg15/old`],
            [`before-restore-${stamp}/pg15/old`],
            [`before-restore-${stamp}/pg15/old`, "pg18/new"],
            [`before-restore-${stamp}/pg15/old`, "pg15/new"],
            // A cut while it was put back.
            [`before-restore-${stamp}.partial/pg15/old`],
            ["pg15/old", `before-restore-${stamp}.partial/`],
        ];
        for (const state of states) {
            rmSync(place, { recursive: true });
            for (const path of state) {
                mkdirSync(join(place, path), { recursive: true });
            }
            writeFileSync(join(machine.data, "harborage-restore"), `backup ${name}\nstamp ${stamp}\nrelease r\n`);
            const { status, stdout, stderr } = machine.restore(release, name, "--yes");
            assert.equal(status, 0, stderr);
            assert.match(stdout, /an earlier restore was cut off/);
            const [aside = "", ...others] = databases(machine);
            assert.deepEqual(others, ["pg18"], state.join());
            assert.ok(machine.has(`database/${aside}/pg15/old`), state.join());
            assert.ok(!machine.has(`database/${aside}/pg15/new`), state.join());
        }
    });

    withRoot("backs up an external database first, and moves no files", (machine) => {
        const release = machine.release("2.14.4", "2.14.4", "external");
        prepare(machine);
        writeFileSync(join(machine.folder, "fail"), "backup now");
        const refused = machine.restore(release, name, "--yes");
        assert.equal(refused.status, 1);
        assert.match(refused.stderr, /cannot be backed up first, so it was left alone; --no-backup goes on without/);
        assert.ok(!machine.calls().some((call) => call.includes("backup restore")));
        assert.equal(machine.restore(release, name, "--yes", "--no-backup").status, 0);
        rmSync(join(machine.folder, "fail"));
        const { status, stdout, stderr } = machine.restore(release, name, "--yes");
        assert.equal(status, 0, stderr);
        assert.match(
            stdout,
            /What the database held before is in the backup 20270101T110000Z-v2\.14\.4-before-restore/,
        );
        assert.deepEqual(databases(machine), ["pg15"]);
        assert.ok(!machine.calls().some((call) => call.includes("up --detach postgresql")));
    });
});
