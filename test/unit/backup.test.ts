import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
    chmodSync,
    existsSync,
    mkdirSync,
    readFileSync,
    readdirSync,
    rmSync,
    statSync,
    truncateSync,
    writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, it } from "mocha";
import { backupParts } from "../../components/registry/harbor/backup";
import { backup, planBackup, type BackupPlan } from "../../config/backup";
import { scheduleTimes } from "../../config/schedule";
import { matchesCron } from "./support/cron";
import { withFolder, withFolderAsync } from "./support/machine";
import { Postgres, postgresPrograms } from "./support/postgres";

const programs = postgresPrograms();

/** What Harbor's database has of each kind: tables, sequences, a function, a trigger, the state of migrations. */
const harborSchema = `
create table schema_migrations (version bigint not null primary key, dirty boolean not null);
insert into schema_migrations values (171, false);
create function update_update_time_at_column() returns trigger language plpgsql as $$
begin new.update_time = now(); return new; end $$;
create table harbor_user (id serial primary key, username varchar(255) unique, update_time timestamp default now());
create table project (id serial primary key, name varchar(255), owner int references harbor_user (id));
create trigger modtime before update on harbor_user for each row execute procedure update_update_time_at_column();
insert into harbor_user (username) values ('admin'), ('zoë');
insert into project (name, owner) select 'project-' || n, 1 from generate_series(1, 500) n;
`;

interface Place {
    readonly folder: string;
    readonly database?: string;
    readonly user?: string;
    readonly version?: string;
    readonly schedule?: string;
    readonly keep?: number;
    readonly s3?: BackupPlan["s3"];
}

describe("backup.sh", () => {
    let server: Postgres | undefined;
    before(async function () {
        this.timeout("5m");
        server = programs === undefined ? undefined : await Postgres.start(programs);
    });
    after(() => server?.stop());

    /** A test that needs PostgreSQL's server. */
    function withDatabase(title: string, test: (postgres: Postgres) => void | Promise<void>) {
        return it(title, async function () {
            if (server === undefined) {
                this.skip();
            }
            server.sql("postgres", "drop database if exists registry with (force)");
            server.sql("postgres", "create database registry");
            server.sql("registry", harborSchema);
            await test(server);
        });
    }

    /** What a container has, in a folder: the scripts, the settings, the secrets, Harbor's keys, a place for backups. */
    function prepare(place: Place): void {
        const { folder, version = "2.14.4", schedule = "30 2 * * *", keep = 3, database = "registry" } = place;
        const plan = planBackup(backup.parse({ schedule, keep }), scheduleTimes(schedule), "node-1", "/srv/harborage");
        const { plainFiles } = backupParts({
            version,
            stack: "prod",
            node: "node-1",
            backup: { ...plan, ...(place.s3 === undefined ? {} : { s3: place.s3 }) },
            dataDirectory: "/srv/harborage/data/registry",
            database: {
                kind: "external",
                host: "127.0.0.1",
                port: server?.port ?? 1,
                name: database,
                user: place.user ?? "postgres",
                sslMode: "disable",
            },
            nodes: "only",
            redis: "bundled",
            state: "node",
        });
        for (const name of ["backup", "secrets", "backups", "keys", "core", "registry", "tmp", "bin"]) {
            mkdirSync(join(folder, name), { recursive: true });
        }
        for (const [name, { content }] of Object.entries(plainFiles)) {
            if (name.startsWith("backup/")) {
                writeFileSync(join(folder, name), moved(content, folder));
            }
        }
        writeFileSync(join(folder, "secrets/database-password"), `${server?.password ?? ""}\n`);
        writeFileSync(join(folder, "keys/secretkey"), "0123456789abcdef", { mode: 0o600 });
        writeFileSync(join(folder, "core/private_key.pem"), "a key\n", { mode: 0o600 });
        writeFileSync(join(folder, "registry/root.crt"), "a certificate\n", { mode: 0o600 });
    }

    function moved(text: string, folder: string): string {
        return text
            .replace("here=/etc/harborage-backup", `here=${folder}/backup`)
            .replace("secrets=/run/harborage-backup", `secrets=${folder}/secrets`)
            .replace("backups=/backups", `backups=${folder}/backups`)
            .replace("harbor=/harbor", `harbor=${folder}`)
            .replace("scratch=/tmp", `scratch=${folder}/tmp`)
            .replace("database_seconds=120", "database_seconds=1");
    }

    function environment(folder: string): NodeJS.ProcessEnv {
        return { PATH: `${folder}/bin:${programs ?? ""}:${process.env["PATH"] ?? ""}` };
    }

    function run(folder: string, ...words: readonly string[]) {
        const { status, stdout, stderr } = spawnSync("bash", [join(folder, "backup/backup.sh"), ...words], {
            env: environment(folder),
            encoding: "utf8",
        });
        return { status, stdout, stderr };
    }

    /** A program that is found before the machine's own. */
    function program(folder: string, name: string, text: string): void {
        writeFileSync(join(folder, "bin", name), `#!/bin/bash\n${text}\n`);
        chmodSync(join(folder, "bin", name), 0o755);
    }

    /** Makes a backup, and returns its name. */
    function make(folder: string, ...reason: readonly string[]): string {
        const { status, stdout, stderr } = run(folder, "now", ...reason);
        assert.equal(status, 0, stderr);
        return stdout.trim();
    }

    const backups = (folder: string) => readdirSync(join(folder, "backups")).sort();
    /** Everything in the database as text. */
    const content = (postgres: Postgres, database = "registry") =>
        spawnSync(
            join(postgres.programs, "pg_dump"),
            ["-h", "127.0.0.1", "-p", String(postgres.port), "-U", "postgres", "--no-owner", database],
            { env: { PGPASSWORD: postgres.password }, encoding: "utf8" },
        ).stdout.replaceAll(/^\\(?:un)?restrict .*$/gm, "");

    withDatabase("makes a folder with the database, the keys and what they are", (postgres) =>
        withFolder((folder) => {
            prepare({ folder });
            const { status, stdout, stderr } = run(folder, "now", "upgrade-to-2.15.2");
            assert.equal(status, 0, stderr);
            assert.match(stdout, /^\d{8}T\d{6}Z-v2\.14\.4-upgrade-to-2\.15\.2\n$/);
            const name = stdout.trim();
            assert.deepEqual(backups(folder), [name]);
            const made = join(folder, "backups", name);
            const files = ["manifest", "private_key.pem", "registry.dump", "root.crt", "secretkey"];
            assert.deepEqual(readdirSync(made).sort(), files);
            for (const file of files) {
                assert.equal(statSync(join(made, file)).mode & 0o777, 0o600, file);
            }
            assert.equal(statSync(made).mode & 0o777, 0o700);
            assert.equal(readFileSync(join(made, "secretkey"), "utf8"), "0123456789abcdef");

            const dump = readFileSync(join(made, "registry.dump"));
            const hash = createHash("sha256").update(dump).digest("hex");
            const manifest = readFileSync(join(made, "manifest"), "utf8").split("\n");
            const wanted = [
                "harborage-backup 1",
                "version 2.14.4",
                `stamp ${name.slice(0, 16)}`,
                "reason upgrade-to-2.15.2",
                "stack prod",
                "node node-1",
                `database-server ${postgres.sql("registry", "show server_version")}`,
                "schema 171 clean",
                `sha256:registry.dump ${hash} ${dump.length}`,
            ];
            assert.deepEqual(manifest.slice(0, wanted.length), wanted);
        }),
    );

    withDatabase("gives no program a password in its arguments or its environment", (postgres) =>
        withFolder((folder) => {
            prepare({ folder });
            for (const name of ["pg_dump", "pg_restore", "psql"]) {
                program(folder, name, `{ env; echo "$@"; } >>${folder}/seen; exec ${postgres.programs}/${name} "$@"`);
            }
            make(folder);
            const seen = readFileSync(join(folder, "seen"), "utf8");
            assert.match(seen, /PGPASSFILE=/);
            assert.ok(!seen.includes(postgres.password) && !seen.includes('a"s$w'), seen);
        }),
    );

    withDatabase("a restore brings back what was there, and nothing else", (postgres) =>
        withFolder((folder) => {
            prepare({ folder });
            const before = content(postgres);
            const name = make(folder);
            // What a newer version may have done.
            postgres.sql(
                "registry",
                `delete from project where id > 10; update harbor_user set username = 'root' where id = 1;
                update schema_migrations set version = 180, dirty = true;
                create table newer (id serial primary key, project int references project (id));
                create type newer_type as enum ('a'); create view newer_view as select * from newer;
                create function newer_function() returns int language sql as 'select 1';`,
            );
            const { status, stderr } = run(folder, "restore", join(folder, "backups", name));
            assert.equal(status, 0, stderr);
            assert.equal(content(postgres), before);
        }),
    );

    withDatabase("restores into a database that belongs to a user without further rights", (postgres) =>
        withFolder((folder) => {
            prepare({ folder });
            // What the dump has then is not the restoring user's.
            postgres.sql("registry", "comment on schema public is 'ours'; create extension pg_stat_statements");
            const name = make(folder);
            const rows = (text: string) => text.split("\n").filter((line) => !/^--|SCHEMA|EXTENSION|^$/.test(line));
            const before = rows(content(postgres));
            postgres.sql("postgres", "drop database if exists other");
            postgres.sql("postgres", "drop role if exists harbor");
            postgres.sql("postgres", `create role harbor login password '${postgres.password.replaceAll("'", "''")}'`);
            postgres.sql("postgres", "create database other owner harbor");
            // As it is in servers before 15.
            postgres.sql("other", "alter schema public owner to postgres; grant all on schema public to public");
            prepare({ folder, database: "other", user: "harbor" });
            for (let times = 0; times < 2; times += 1) {
                const { status, stderr } = run(folder, "restore", join(folder, "backups", name));
                assert.equal(status, 0, stderr);
            }
            assert.deepEqual(rows(content(postgres, "other")), before);
        }),
    );

    withDatabase("a dump that ends too early changes nothing", (postgres) =>
        withFolder((folder) => {
            prepare({ folder });
            const made = join(folder, "backups", make(folder));
            const size = statSync(join(made, "registry.dump")).size;
            truncateSync(join(made, "registry.dump"), size - 200);
            postgres.sql("registry", "delete from project where id > 10");
            const before = content(postgres);

            const damaged = run(folder, "restore", made);
            assert.equal(damaged.status, 1);
            assert.match(damaged.stderr, /is damaged: registry\.dump is not what was backed up/);
            assert.equal(content(postgres), before);

            // As if it had been backed up like this.
            const hash = createHash("sha256")
                .update(readFileSync(join(made, "registry.dump")))
                .digest("hex");
            const manifest = readFileSync(join(made, "manifest"), "utf8");
            writeFileSync(
                join(made, "manifest"),
                manifest.replace(/sha256:registry\.dump .*/, `sha256:registry.dump ${hash} ${size - 200}`),
            );
            const cut = run(folder, "restore", made);
            assert.equal(cut.status, 1);
            assert.match(cut.stderr, /the database was left as it was/);
            assert.equal(content(postgres), before);

            // Between two statements.
            program(
                folder,
                "pg_restore",
                `${postgres.programs}/pg_restore "$@" | sed '/^COPY public.project/,$d'; [[ $* == *--list* ]]`,
            );
            assert.equal(run(folder, "restore", made).status, 1);
            assert.equal(content(postgres), before);
        }),
    );

    withDatabase("a restore takes what is missing or unknown for no backup", () =>
        withFolder((folder) => {
            prepare({ folder });
            const made = join(folder, "backups", make(folder));
            rmSync(join(made, "secretkey"));
            assert.match(run(folder, "restore", made).stderr, /is not whole: secretkey is missing/);
            writeFileSync(join(made, "manifest"), "harborage-backup 2\n");
            assert.match(run(folder, "restore", made).stderr, /has the format 2; this version of Harborage reads 1/);
            rmSync(join(made, "manifest"));
            assert.match(run(folder, "restore", made).stderr, /is no backup: it has no manifest/);
        }),
    );

    withDatabase("leaves the older backups alone when the dump fails, and nothing of its own", (postgres) =>
        withFolder((folder) => {
            prepare({ folder, keep: 1 });
            const first = make(folder);
            for (const [name, text, reason] of [
                [
                    "pg_dump",
                    "echo 'pg_dump: error: No space left on device' >&2; exit 1",
                    /failed: pg_dump: .*No space/,
                ],
                ["pg_restore", "echo 'broken' >&2; exit 1", /failed: the dump cannot be read again: broken/],
            ] as const) {
                program(folder, name, text);
                const { status, stdout, stderr } = run(folder, "now", "by-hand");
                assert.equal(status, 1);
                assert.equal(stdout, "");
                assert.match(stderr, reason);
                rmSync(join(folder, "bin", name));
            }
            rmSync(join(folder, "core/private_key.pem"));
            assert.match(run(folder, "now", "by-hand").stderr, /failed: a key of Harbor is missing/);
            writeFileSync(join(folder, "secrets/database-password"), "wrong\n");
            assert.match(run(folder, "now", "by-hand").stderr, /does not answer: .*password authentication failed/s);
            assert.deepEqual(backups(folder), [first]);
            postgres.sql("postgres", "select 1");
        }),
    );

    withDatabase("makes no backup of a database that a migration has broken, but before a restore", (postgres) =>
        withFolder((folder) => {
            prepare({ folder });
            postgres.sql("registry", "update schema_migrations set dirty = true");
            const { status, stderr } = run(folder, "now", "by-hand");
            assert.equal(status, 1);
            assert.match(stderr, /a migration of the database has failed \(schema_migrations: 171 dirty\)/);
            assert.deepEqual(backups(folder), []);
            assert.equal(run(folder, "schema").stdout, "171 dirty\n");
            assert.match(make(folder, "before-restore"), /-before-restore$/);
            postgres.sql("registry", "drop table schema_migrations");
            assert.match(run(folder, "now").stderr, /has nothing of Harbor in it/);
        }),
    );

    withDatabase("ends at once when it is told to, and leaves nothing", (postgres) =>
        withFolderAsync(async (folder) => {
            prepare({ folder });
            program(folder, "pg_dump", `touch ${folder}/dumping; exec sleep 60`);
            const child = spawn("bash", [join(folder, "backup/backup.sh"), "now"], { env: environment(folder) });
            const ended = new Promise((done) => child.once("exit", done));
            while (!existsSync(join(folder, "dumping"))) {
                await sleep(20);
            }
            assert.match(backups(folder).join(), /^\..*\.partial$/);
            child.kill("SIGTERM");
            assert.equal(await ended, 143);
            assert.deepEqual(backups(folder), []);
            assert.ok(postgres.port > 0);
        }),
    );

    it("does not take what could be a path for a reason", () =>
        withFolder((folder) => {
            prepare({ folder });
            for (const reason of ["../../etc", "Big", "-x", "a b"]) {
                const { status, stderr } = run(folder, "now", reason);
                assert.equal(status, 1, reason);
                assert.match(stderr, /expected lower-case letters, digits, dots and hyphens/);
            }
            assert.match(run(folder, "fetch", "../x", folder).stderr, /is not the name of a backup/);
            const { status, stderr } = run(folder, "later");
            assert.equal(status, 64);
            assert.match(stderr, /^usage: backup\.sh schedule/);
        }));

    /** Backups that look whole, by name. */
    function pretend(folder: string, names: readonly string[]): void {
        for (const name of names) {
            mkdirSync(join(folder, "backups", name), { recursive: true });
            writeFileSync(join(folder, "backups", name, "manifest"), "harborage-backup 1\n");
        }
    }

    it("lists what is whole, oldest first", () =>
        withFolder((folder) => {
            prepare({ folder });
            const names = [
                "20270103T023000Z-v2.15.2",
                "20270102T101500Z-v2.14.4-upgrade-to-2.15.2",
                "20270101T023000Z-v2.14.4",
            ];
            pretend(folder, [...names, ".20270104T023000Z-v2.15.2.partial", "20270105", "lost+found"]);
            mkdirSync(join(folder, "backups", "20270106T023000Z-v2.15.2"));
            assert.equal(
                run(folder, "list").stdout,
                names
                    .sort()
                    .map((name) => `${name}\n`)
                    .join(""),
            );
        }));

    withDatabase("keeps the newest scheduled backups, and as many of the others", () =>
        withFolder((folder) => {
            prepare({ folder, keep: 2 });
            const day = (number: number, rest = "") => `2020010${number}T023000Z-v2.14.4${rest}`;
            pretend(
                folder,
                [1, 2, 3].map((number) => day(number)),
            );
            pretend(
                folder,
                [4, 5, 6].map((number) => day(number, "-upgrade-to-2.15.2")),
            );
            const { status, stderr } = run(folder, "scheduled");
            assert.equal(status, 0, stderr);
            const [newest = ""] = backups(folder).slice(-1);
            const reason = "-upgrade-to-2.15.2";
            assert.deepEqual(backups(folder), [day(3), day(5, reason), day(6, reason), newest]);
            // One by hand makes none go.
            make(folder);
            assert.equal(backups(folder).length, 5);
        }),
    );

    /** Runs a piece of shell after the functions of the script. */
    function functions(folder: string, code: string, environment: NodeJS.ProcessEnv = {}, input = "") {
        const script = readFileSync(join(folder, "backup/backup.sh"), "utf8");
        const end = script.indexOf("\ncase ${1:-} in");
        assert.ok(end > 0, "backup.sh has another shape; this test takes its functions from above the case");
        return spawnSync("bash", ["-c", `${script.slice(0, end)}\n${code}`], {
            env: { ...process.env, ...environment },
            input,
            encoding: "utf8",
        });
    }

    for (const line of [
        "30 2 * * *",
        "*/7 8-9 * * *",
        "8 9 1,15 * 1",
        "59 23 * JUL SUN",
        "0 0 */2 * 1",
        "30 4 1 * *",
    ]) {
        it(`is due when cron would be: ${line}`, () =>
            withFolder((folder) => {
                prepare({ folder, schedule: line });
                const start = Date.UTC(2027, 5, 26);
                const all = Array.from({ length: 60 * 24 * 40 }, (_, index) => new Date(start + index * 60_000));
                const right = all.filter((at) => matchesCron(line, at));
                const beside = right
                    .slice(0, 40)
                    .flatMap((at) => [-1, 1].map((each) => new Date(at.getTime() + each * 60_000)));
                const some = [...right.slice(0, 40), ...beside, ...all.filter((_, index) => index % 401 === 0)];
                const { stdout, stderr } = functions(
                    folder,
                    "read_schedule; while read -r now; do if due $now; then echo 1; else echo 0; fi; done",
                    // Schedules are in UTC, wherever the machine is.
                    { TZ: "Pacific/Auckland" },
                    some.map((at) => `${at.getTime() / 60_000}\n`).join(""),
                );
                const said = stdout.trim().split("\n");
                assert.equal(said.length, some.length, stderr);
                const wrong = some.filter((at, index) => (said[index] === "1") !== matchesCron(line, at));
                assert.deepEqual(wrong, []);
                assert.ok(said.includes("1") && said.includes("0"));
            }));
    }

    it("knows whether a time has gone by without a backup", () => {
        // One for all: between two of them the minute may end.
        const now = Date.now();
        const stamp = (minutes: number) =>
            `${new Date(now - minutes * 60_000).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z-v2.15.2`;
        const minuteOf = (minutes: number) => {
            const at = new Date(now - minutes * 60_000);
            return `${at.getUTCMinutes()} ${at.getUTCHours()} * * *`;
        };
        const cases = [
            // No backup yet: the first one has its time still to come.
            { due: 30, backups: [], missed: false },
            { due: 30, backups: [stamp(20)], missed: false },
            { due: 30, backups: [stamp(30)], missed: false },
            { due: 30, backups: [stamp(45)], missed: true },
            { due: 30, backups: [stamp(3 * 24 * 60)], missed: true },
            // One by hand is none of the schedule's.
            { due: 30, backups: [stamp(45), `${stamp(20)}-manual`], missed: true },
        ];
        for (const { due, backups: names, missed } of cases) {
            withFolder((folder) => {
                prepare({ folder, schedule: minuteOf(due) });
                pretend(folder, names);
                const { stdout, stderr } = functions(
                    folder,
                    "read_schedule; if missed; then echo yes; else echo no; fi",
                );
                assert.equal(stdout, missed ? "yes\n" : "no\n", `${due} ${names.join()} ${stderr}`);
            });
        }
    });

    withDatabase("makes up for a missed backup, is unhealthy while backups fail, and tries again", (postgres) =>
        withFolderAsync(async (folder) => {
            // Due some minutes ago, and then tomorrow.
            const due = new Date(Date.now() - 300_000);
            prepare({ folder, schedule: `${due.getUTCMinutes()} ${due.getUTCHours()} * * *` });
            const old = "20200101T000000Z-v2.14.4";
            pretend(folder, [old]);
            postgres.sql("registry", "update schema_migrations set dirty = true");
            const script = join(folder, "backup/backup.sh");
            const quick = readFileSync(script, "utf8")
                .replace("first_seconds=600", "first_seconds=0")
                .replace("retry_seconds=900", "retry_seconds=1")
                .replace('sleep "$tick" &', "sleep 0.1 &");
            writeFileSync(script, quick);
            assert.equal(run(folder, "health").stdout, "the schedule does not run\n");
            const child = spawn("bash", [script, "schedule"], { env: environment(folder) });
            let said = "";
            child.stderr.on("data", (data: Buffer) => (said += data.toString()));
            const ended = new Promise((done) => child.once("exit", done));
            try {
                const until = async (condition: () => boolean) => {
                    const end = Date.now() + 60_000;
                    while (!condition()) {
                        assert.ok(Date.now() < end, said);
                        await sleep(50);
                    }
                };
                await until(() =>
                    run(folder, "health").stdout.startsWith(
                        "the last backup failed: a migration of the database has failed",
                    ),
                );
                assert.deepEqual(backups(folder), [old]);
                postgres.sql("registry", "update schema_migrations set dirty = false");
                await until(() => run(folder, "health").status === 0);
                assert.match(said, /a backup was missed/);
                assert.match(said, /tries again/);
            } finally {
                child.kill("SIGTERM");
            }
            assert.equal(await ended, 0);
            const made = backups(folder).filter((name) => name !== old);
            assert.ok(made.length > 0 && made.every((name) => !name.startsWith(".")), made.join());
            // A loop that hangs.
            writeFileSync(join(folder, "tmp/alive"), String(Math.floor(Date.now() / 1000) - 200));
            assert.equal(run(folder, "health").stdout, "the schedule does not run\n");
        }),
    );

    /**
     * A server of S3: `http://ACCESSKEY:SECRETKEY@HOST:PORT/BUCKET`, region us-east-1. Building one takes minutes, so
     * it is not made here; `versitygw` is one (docs/testing of the project it belongs to: posix backend, empty bucket).
     */
    const given = process.env["HARBORAGE_S3_SERVER"];
    const location = given === undefined ? undefined : new URL(given);

    describe("in a bucket", () => {
        const prefix = `harborage-test-${String(process.pid)}/node-1`;

        function withBucket(title: string, test: (s3: NonNullable<BackupPlan["s3"]>) => void) {
            return it(title, function () {
                if (server === undefined || location === undefined) {
                    this.skip();
                }
                this.timeout("5m");
                server.sql("postgres", "drop database if exists registry with (force)");
                server.sql("postgres", "create database registry");
                server.sql("registry", harborSchema);
                test({
                    endpoint: location.origin,
                    region: "us-east-1",
                    bucket: location.pathname.slice(1),
                    prefix: `${prefix}-${title.replaceAll(/[^a-z]/g, "")}`,
                    accessKey: "accessKey",
                    secretKey: "secretKey",
                });
            });
        }

        function prepareBucket(folder: string, s3: NonNullable<BackupPlan["s3"]>, keep = 3): void {
            prepare({ folder, s3, keep });
            writeFileSync(join(folder, "secrets/s3-access-key"), `${decodeURIComponent(location?.username ?? "")}\n`);
            writeFileSync(join(folder, "secrets/s3-secret-key"), `${decodeURIComponent(location?.password ?? "")}\n`);
        }

        withBucket("puts a backup there and gets it back", (s3) =>
            withFolder((folder) => {
                prepareBucket(folder, s3);
                assert.equal(run(folder, "list").stdout, "");
                program(folder, "curl", `{ env; echo "$@"; } >>${folder}/seen; exec /usr/bin/curl "$@"`);
                const name = make(folder, "upgrade-to-2.15.2");
                const seen = readFileSync(join(folder, "seen"), "utf8");
                assert.ok(
                    seen.includes("--aws-sigv4") && !seen.includes(decodeURIComponent(location?.password ?? "")),
                    seen,
                );
                assert.deepEqual(backups(folder), []);
                assert.equal(run(folder, "list").stdout, `${name}\n`);

                mkdirSync(join(folder, "fetched"));
                const { status, stderr } = run(folder, "fetch", name, join(folder, "fetched"));
                assert.equal(status, 0, stderr);
                const restored = run(folder, "restore", join(folder, "fetched"));
                assert.equal(restored.status, 0, restored.stderr);
                const missing = run(folder, "fetch", name.replace("upgrade", "no"), join(folder, "fetched"));
                assert.equal(missing.status, 1);
                assert.match(missing.stderr, /answered with 404 NoSuchKey/);
            }),
        );

        withBucket("keeps the newest, page by page, and sees no backup without a manifest", (s3) =>
            withFolder((folder) => {
                prepareBucket(folder, s3, 2);
                const script = join(folder, "backup/store.sh");
                const paged = readFileSync(script, "utf8").replace("list-type=2&", "list-type=2&max-keys=3&");
                writeFileSync(script, paged);
                const made: string[] = [];
                for (let times = 0; times < 4; times += 1) {
                    const { status, stderr } = run(folder, "scheduled");
                    assert.equal(status, 0, stderr);
                    made.push(/made (\S+),/.exec(stderr)?.[1] ?? "");
                    spawnSync("sleep", ["1.1"]);
                }
                const by = make(folder, "by-hand");
                assert.equal(run(folder, "list").stdout, [...made.slice(-2), by].map((name) => `${name}\n`).join(""));
                const code = `s3 DELETE "/$s3_prefix/${by}/manifest" "$empty_hash" "$scratch/answer"; store_s3_names`;
                const listed = functions(folder, code);
                assert.equal(
                    listed.stdout,
                    made
                        .slice(-2)
                        .map((name) => `${name}\n`)
                        .join(""),
                    listed.stderr,
                );
            }),
        );

        withBucket("says what the server says, and what was refused is no backup", (s3) =>
            withFolder((folder) => {
                prepareBucket(folder, s3);
                const name = make(folder);
                // What arrives is not what was signed.
                program(folder, "sha256sum", `/usr/bin/sha256sum "$@" | tr 0-9a-f 1-9a-f0`);
                const changed = run(folder, "now", "by-hand");
                assert.equal(changed.status, 1);
                assert.match(changed.stderr, /answered with 400 XAmzContentSHA256Mismatch/);
                rmSync(join(folder, "bin/sha256sum"));
                assert.equal(run(folder, "list").stdout, `${name}\n`);
                assert.deepEqual(backups(folder), []);

                writeFileSync(join(folder, "secrets/s3-secret-key"), "wrong\n");
                const refused = run(folder, "now", "by-hand");
                assert.equal(refused.status, 1);
                assert.match(refused.stderr, /answered with 403 SignatureDoesNotMatch/);
                assert.match(refused.stderr, /failed: the backup could not be stored/);
                assert.equal(run(folder, "list").status, 1);
            }),
        );
    });
});
