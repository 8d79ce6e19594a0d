import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { after, before, describe, it } from "mocha";
import { postgresqlFiles } from "../../components/storage/postgresql";
import { valkeyFiles } from "../../components/storage/valkey";
import { renderUsers } from "../../components/storage/valkey/render";
import { ComposeProject } from "../support/compose-project";
import { docker, ensureDocker, lifeOf } from "../support/docker";
import { freePorts } from "../support/launcher";
import { attempt, until } from "../support/processes";
import { selfSigned } from "../support/self-signed";
import { storageImages } from "../support/storage-images";

const address = "127.0.0.1";

/** What a client is shown: the certificate's fingerprint. */
function shownCertificate(port: number): Promise<string> {
    return new Promise((done, failed) => {
        const socket = connect({ host: address, port, rejectUnauthorized: false }, () => {
            done(socket.getPeerX509Certificate()?.fingerprint256 ?? "");
            socket.destroy();
        });
        socket.once("error", failed);
    });
}

describe("storage that runs on a machine", function () {
    this.timeout("4m");

    let folder: string;
    let images: Awaited<ReturnType<typeof storageImages>>;
    let ports: { readonly database: number; readonly cache: number };

    before(async () => {
        const [database = 0, cache = 0] = await freePorts(2);
        ports = { database, cache };
        folder = mkdtempSync(join(tmpdir(), "harborage-test-storage-"));
        await ensureDocker();
        images = await storageImages();
        await docker("load", "--quiet", "--input", images.path);
    });

    after(() => rmSync(folder, { recursive: true, force: true }));

    describe("a database", () => {
        const plan = () => ({
            kind: "machine" as const,
            machine: "db",
            project: "harborage-storagetest-database",
            image: images.postgres,
            port: ports.database,
            dataDirectory: join(folder, "database/data"),
            deleteData: true,
            maxConnections: 50,
        });
        const first = selfSigned([`IP:${address}`]);
        let project: ComposeProject;

        const release = (password: string, certificate = first, change = {}) =>
            project.release(postgresqlFiles("storagetest", { ...plan(), ...change }, address), {
                "root/password": password,
                "root/server.crt": certificate.cert,
                "root/server.key": certificate.key,
            });
        /** Runs a statement as nodes do. */
        const sql = (statement: string, password: string, options = "", trusted = first) => {
            writeFileSync(join(folder, "ca.pem"), trusted.cert);
            writeFileSync(join(folder, "pgpass"), `*:*:*:*:${password}\n`, { mode: 0o600 });
            const target = `host=${address} port=${String(ports.database)} dbname=registry user=harbor sslmode=verify-full sslrootcert=${join(folder, "ca.pem")} ${options}`;
            return attempt("psql", ["-XAtq", "--no-password", target, "--command", statement], {
                env: { PGPASSFILE: join(folder, "pgpass") },
            });
        };

        before(async () => {
            project = new ComposeProject(join(folder, "database"), plan().project);
            const { code, output } = await release("first1");
            assert.equal(code, 0, output);
        });

        after(() => project.remove());

        it("lets its user in by TLS, to a database of its own where it may make tables", async () => {
            const { code, stdout, stderr } = await sql("create table kept (x int); select current_user", "first1");
            assert.deepEqual([code, stdout.trim()], [0, "harbor"], stderr);
            const rights =
                "select rolsuper or rolcreatedb or rolcreaterole or rolreplication from pg_roles where rolname = current_user";
            assert.equal((await sql(rights, "first1")).stdout.trim(), "f");
            const settings = "select current_setting('max_connections'), current_setting('data_checksums')";
            assert.equal((await sql(settings, "first1")).stdout.trim(), "50|on");
        });

        it("lets nobody in without TLS, with a wrong password, as the superuser, or into another database", async () => {
            for (const [password, options, reason] of [
                ["first1", "sslmode=disable", /no pg_hba\.conf entry/],
                ["wrong1", "", /password authentication failed/],
                ["first1", "user=postgres", /no pg_hba\.conf entry/],
                ["first1", "dbname=postgres", /no pg_hba\.conf entry/],
            ] as const) {
                const { code, stderr } = await sql("select 1", password, options);
                assert.notEqual(code, 0, options);
                assert.match(stderr, reason);
            }
        });

        it("takes a new password and a new certificate while it runs", async () => {
            const before = await lifeOf(project.container("postgresql"));
            const second = selfSigned([`IP:${address}`]);
            const { code, output } = await release("second2", second);
            assert.equal(code, 0, output);
            assert.deepEqual(await lifeOf(project.container("postgresql")), before);
            const { stdout, stderr } = await sql("select count(*) from kept", "second2", "", second);
            assert.equal(stdout.trim(), "0", stderr);
            assert.notEqual((await sql("select 1", "first1", "", second)).code, 0);
            assert.notEqual((await sql("select 1", "second2", "", first)).code, 0);
        });

        it("keeps what was written, and its password, when it is killed and when its settings change", async () => {
            const inserted = await sql("insert into kept values (7)", "second2", "sslmode=require sslrootcert=/none");
            assert.equal(inserted.code, 0, inserted.output);
            await docker("kill", project.container("postgresql"));
            await docker("start", project.container("postgresql"));
            const { code, output } = await release("second2", first, { maxConnections: 60 });
            assert.equal(code, 0, output);
            const { stdout, stderr } = await sql("select x, current_setting('max_connections') from kept", "second2");
            assert.equal(stdout.trim(), "7|60", stderr);
        });

        it("shows no password in its log, its environment, or how it is called", async () => {
            const container = project.container("postgresql");
            const { output } = await attempt("docker", ["logs", container]);
            const seen = `${output}${await docker("inspect", container)}${await docker("top", container, "-eo", "pid,args")}`;
            assert.doesNotMatch(seen, /first1|second2/);
        });

        it("refuses data of another major version, and says what to do", async () => {
            const container = project.container("postgresql");
            await docker("exec", container, "bash", "-c", "echo 15 >/data/postgresql/PG_VERSION");
            await docker("restart", container);
            await until("it says what is wrong", 60, async () => {
                const { output } = await attempt("docker", ["logs", container]);
                return output.includes("the data is of PostgreSQL 15, and the image (images.postgres) has 17");
            });
        });
    });

    describe("a cache", () => {
        const plan = () => ({
            kind: "machine" as const,
            machine: "db",
            project: "harborage-storagetest-cache",
            image: images.valkey,
            port: ports.cache,
            dataDirectory: join(folder, "cache/data"),
            deleteData: true,
        });
        const first = selfSigned([`IP:${address}`]);
        let project: ComposeProject;

        const release = (password: string, certificate = first) =>
            project.release(valkeyFiles("storagetest", plan(), address), {
                "service/users.acl": renderUsers(password),
                "service/server.crt": certificate.cert,
                "service/server.key": certificate.key,
            });
        /** The answers to commands, one on each line. */
        const ask = (commands: readonly string[], trusted = first): Promise<string> =>
            new Promise((done, failed) => {
                let answer = "";
                const socket = connect({ host: address, port: ports.cache, ca: trusted.cert }, () => {
                    socket.end(`${[...commands, "QUIT"].join("\r\n")}\r\n`);
                });
                socket.on("data", (text: Buffer) => (answer += text.toString()));
                socket.once("error", failed).once("close", () => done(answer));
            });

        before(async () => {
            project = new ComposeProject(join(folder, "cache"), plan().project);
            const { code, output } = await release("first1");
            assert.equal(code, 0, output);
        });

        after(() => project.remove());

        it("answers by TLS with the password alone", async () => {
            assert.match(await ask(["GET x"]), /^-NOAUTH/);
            assert.match(await ask(["AUTH wrong1"]), /^-WRONGPASS/);
            assert.match(await ask(["AUTH first1", "SELECT 5", "SET x 1"]), /^\+OK\r\n\+OK\r\n\+OK/);
            const plain = await attempt("bash", [
                "-c",
                `exec 3<>/dev/tcp/${address}/${String(ports.cache)}; printf 'PING\\r\\n' >&3; timeout 2 cat <&3`,
            ]);
            assert.doesNotMatch(plain.output, /PONG/);
        });

        it("takes a new password and a new certificate while it runs", async () => {
            const before = await lifeOf(project.container("valkey"));
            const shown = await shownCertificate(ports.cache);
            const second = selfSigned([`IP:${address}`]);
            const { code, output } = await release("second2", second);
            assert.equal(code, 0, output);
            assert.deepEqual(await lifeOf(project.container("valkey")), before);
            assert.notEqual(await shownCertificate(ports.cache), shown);
            assert.match(await ask(["AUTH second2", "SELECT 5", "GET x"], second), /\$1\r\n1/);
            assert.match(await ask(["AUTH first1"], second), /^-WRONGPASS/);
        });

        it("keeps what was written when it is restarted", async () => {
            await docker("restart", project.container("valkey"));
            const { code, output } = await release("second2");
            assert.equal(code, 0, output);
            assert.match(await ask(["AUTH second2", "SELECT 5", "GET x"]), /\$1\r\n1/);
            const container = project.container("valkey");
            const seen = `${await docker("inspect", container)}${await docker("top", container, "-eo", "pid,args")}`;
            assert.doesNotMatch(seen, /first1|second2/);
        });
    });
});
