import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createPlain, type AddressInfo, type Server as NetServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createServer as createSecure } from "node:tls";
import { after, before, describe, it } from "mocha";
import type { CachePlace, DatabasePlace, ObjectPlace } from "../../components/storage";
import { storageChecks, type StorageChecks } from "../../components/storage/checks";
import { attempt, run } from "../support/processes";
import { S3Server } from "../support/s3-server";
import { selfSigned } from "../support/self-signed";
import { freePort, Postgres, postgresPrograms } from "../unit/support/postgres";

/** Runs the program that a container would run, with its environment, as this machine's own. */
const docker = `#!/bin/bash
shift
while [[ $1 == --* ]]; do
    case $1 in
        --rm | --read-only) shift; continue ;;
        --env) export "$2" ;;
        --entrypoint) program=$2 ;;
        --user | --pull | --network | --tmpfs | --cap-drop | --cap-add | --security-opt | --volume) ;;
        *) echo "unknown option $1" >&2; exit 125 ;;
    esac
    shift 2
done
[[ $1 != image-that-is-not-there ]] || { echo "No such image" >&2; exit 125; }
shift
exec "$program" "$@"
`;

const root = mkdtempSync(join(tmpdir(), "harborage-checks-"));

interface Found {
    readonly code: number;
    /** What was said, a line each. */
    readonly said: readonly string[];
}

let releases = 0;

/** What a node's release says of its storage. */
async function look(
    checks: Omit<StorageChecks, "machine">,
    files: Readonly<Record<string, string>>,
    programs: Readonly<Record<string, string>> = {},
): Promise<Found> {
    const release = join(root, `release-${++releases}`);
    const bin = join(release, "bin");
    const write = (name: string, content: string) => {
        mkdirSync(dirname(join(release, name)), { recursive: true });
        writeFileSync(join(release, name), content);
    };
    for (const [name, { content }] of Object.entries(storageChecks({ machine: "node-1", ...checks }))) {
        write(name, content);
    }
    for (const [name, content] of Object.entries(files)) {
        write(name, content);
    }
    for (const [name, content] of Object.entries({ docker, ...programs })) {
        write(`bin/${name}`, content);
        chmodSync(join(bin, name), 0o755);
    }
    const { code, output, seconds } = await attempt("bash", [join(release, "hooks/validate.sh")], {
        env: { RELEASE: release, PROJECT: "test", PATH: `${bin}:${process.env["PATH"] ?? ""}` },
    });
    assert.ok(seconds < 60, `it took ${seconds} s`);
    for (const [name, content] of Object.entries(files)) {
        if (name.startsWith("secrets/") && content.trim().length > 4) {
            assert.ok(!output.includes(content.trim()), "a secret is shown");
        }
    }
    return { code, said: output.split("\n").filter((line) => line !== "") };
}

function refuses({ code, said }: Found, ...expected: readonly RegExp[]): void {
    assert.equal(said.length, expected.length, said.join("\n"));
    for (const [index, pattern] of expected.entries()) {
        assert.match(said[index] ?? "", pattern);
    }
    assert.equal(code, 1);
}

const well: Found = { code: 0, said: [] };

const listen = async (server: Server | NetServer) => {
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return (server.address() as AddressInfo).port;
};

after(() => rmSync(root, { recursive: true, force: true }));

describe("what is said of a bucket before nodes start", function () {
    this.timeout("2m");

    const certificate = selfSigned(["IP:127.0.0.1"]);
    let plain: S3Server;
    let secure: S3Server;

    before(async () => {
        [plain, secure] = await Promise.all([
            S3Server.start({ folder: join(root, "plain") }),
            S3Server.start({ folder: join(root, "secure"), certificate }),
        ]);
    });
    after(async () => {
        await Promise.all([plain.kill(), secure.kill()]);
    });

    const usual = {
        ...{ bucket: "registry", region: "test-1", rootDirectory: "/", hasKey: true, encrypt: false },
        ...{ storageClass: "STANDARD" as const, redirect: false },
    };
    const objects = (
        place: Partial<ObjectPlace>,
        [access, secret] = [plain.accessKey, plain.secretKey],
        more: { image?: string; programs?: Readonly<Record<string, string>> } = {},
    ) =>
        look(
            {
                objects: {
                    place: { ...usual, endpoint: plain.endpoint, ...place },
                    image: more.image ?? "image",
                    caFile: "ca.pem",
                    accessKeyFile: "service/access",
                    secretKeyFile: "service/secret",
                },
            },
            {
                "secrets/service/access": `${access}\n`,
                "secrets/service/secret": `${secret}\n`,
                ...(place.caCertificate === undefined ? {} : { "ca.pem": place.caCertificate }),
            },
            more.programs,
        );

    it("is nothing where all is well, and nothing is left there", async () => {
        assert.deepEqual(await objects({}), well);
        assert.deepEqual(await objects({ rootDirectory: "/a/b" }), well);
        const trusted = { endpoint: secure.endpoint, caCertificate: certificate.cert };
        assert.deepEqual(await objects(trusted, [secure.accessKey, secure.secretKey]), well);
        assert.deepEqual([plain.size(), secure.size()], [0, 0]);
    });

    it("is why it cannot be reached", async () => {
        const closed = await freePort();
        refuses(
            await objects({ endpoint: "http://nowhere.invalid" }),
            /^storage\.objects\.endpoint: the name in http:\/\/nowhere\.invalid is not known here; expected a name/,
        );
        refuses(
            await objects({ endpoint: `http://127.0.0.1:${closed}` }),
            /^storage\.objects\.endpoint: nothing can be reached at http:\/\/127\.0\.0\.1:\d+: Failed to connect/,
        );
        const silent = createPlain();
        refuses(
            await objects({ endpoint: `http://127.0.0.1:${await listen(silent)}` }),
            /^storage\.objects\.endpoint: http:\/\/127\.0\.0\.1:\d+ does not answer within 6 s/,
        );
        silent.close();
    });

    it("is that its certificate is not trusted, or that it has none", async () => {
        const keys = [secure.accessKey, secure.secretKey] as [string, string];
        refuses(
            await objects({ endpoint: secure.endpoint }, keys),
            /^storage\.objects\.caCertificate: the certificate of https:\S+ is not trusted: .*; expected the CA that signed it$/,
        );
        refuses(
            await objects({ endpoint: secure.endpoint, caCertificate: selfSigned(["IP:127.0.0.1"]).cert }, keys),
            /^storage\.objects\.caCertificate: the certificate of https:\S+ is not from this CA, or not for this name/,
        );
        refuses(
            await objects({ endpoint: plain.endpoint.replace("http:", "https:") }),
            /^storage\.objects\.endpoint: https:\S+ does not speak the protocol that its URL names/,
        );
        refuses(
            await objects({ endpoint: secure.endpoint.replace("https:", "http:") }, keys),
            /^storage\.objects\.endpoint: http:\S+ does not speak the protocol that its URL names/,
        );
    });

    it("is which setting is another one there", async () => {
        refuses(
            await objects({ region: "test-2" }),
            /^storage\.objects\.region: the bucket registry is in test-1, not in test-2; expected region: test-1$/,
        );
        refuses(
            await objects({ bucket: "other" }),
            /^storage\.objects\.bucket: there is no bucket other at http:\S+; expected one that exists$/,
        );
        refuses(
            await objects({}, ["nobody", plain.secretKey]),
            /^storage\.objects\.accessKey: http:\S+ does not know it: 403 InvalidAccessKeyId: .*; expected a key that exists/,
        );
        refuses(
            await objects({}, [plain.accessKey, "another secret"]),
            /^storage\.objects\.secretKey: it is not the one of the access key; expected the two that were made together$/,
        );
    });

    it("is everything that the key may not do", async () => {
        const reader = ["reader", "reader's secret"] as [string, string];
        await plain.addUser(...reader);
        refuses(
            await objects({}, reader),
            /^storage\.objects: the key may not do this below \/ in the bucket registry: s3:ListBucket, s3:ListBucketMultipartUploads, s3:PutObject, s3:PutObject \(in parts\); expected a policy/,
        );
        const reading = ["ListBucket", "ListBucketMultipartUploads", "GetObject"];
        await plain.allow("reader", reading);
        refuses(await objects({}, reader), /: s3:PutObject, s3:PutObject \(in parts\); expected a policy/);
        await plain.allow("reader", [...reading, "PutObject", "ListMultipartUploadParts", "AbortMultipartUpload"]);
        refuses(
            await objects({}, reader),
            /^storage\.objects: the object harborage-check-[0-9a-f]{16} was left in the bucket registry; delete it by hand$/,
            /: s3:DeleteObject; expected a policy that allows it$/,
        );
        assert.equal(plain.size(), "harborage".length);
    });

    it("is nothing where a new key is known in time", async () => {
        const made = ["made", "made user's secret"] as [string, string];
        const looking = objects({ settleSeconds: 30 }, made);
        await delay(1000);
        await plain.addUser(...made);
        await delay(2000);
        const objectActions = ["GetObject", "PutObject", "DeleteObject"];
        const partActions = ["ListMultipartUploadParts", "AbortMultipartUpload"];
        await plain.allow("made", ["ListBucket", "ListBucketMultipartUploads", ...objectActions, ...partActions]);
        assert.deepEqual(await looking, well);
    });

    it("is that the clock of the machine is another one", async () => {
        // What asks the server for the time sees it right; only what the machine calls now is another time.
        const date = (seconds: number) =>
            `#!/bin/bash\nif [[ $* == +%s ]]; then echo $(($(/bin/date +%s) + ${seconds})); else exec /bin/date "$@"; fi\n`;
        const clock = (seconds: number) =>
            objects({}, [plain.accessKey, plain.secretKey], { programs: { date: date(seconds) } });
        refuses(
            await clock(90),
            /^machines\.node-1: its clock is (?:89|9\d) s ahead of http:\S+: [\d:]{8} here, \w{3}, .* GMT there; expected a clock that is kept right \(baseline\.timeSync\)/,
        );
        refuses(await clock(-90), /^machines\.node-1: its clock is (?:8\d|9[01]) s behind http:/);
        assert.deepEqual(await clock(50), well);
    });

    it("is the region that Amazon names, in each of its ways", async () => {
        const answers: readonly ((answer: ServerResponse) => unknown)[] = [
            (answer) =>
                answer
                    .writeHead(301, { "x-amz-bucket-region": "eu-west-1" })
                    .end("<Error><Code>PermanentRedirect</Code><Message>.</Message></Error>"),
            (answer) =>
                answer
                    .writeHead(400)
                    .end("<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>"),
        ];
        for (const give of answers) {
            const server = createServer((_, answer) => give(answer));
            refuses(
                await objects({ endpoint: `http://127.0.0.1:${await listen(server)}` }),
                /^storage\.objects\.region: the bucket registry is in eu-west-1, not in test-1; expected region: eu-west-1$/,
            );
            server.close();
        }
    });

    it("is that something else answers there", async () => {
        const server = createServer((_, answer) => answer.end("<html>welcome</html>"));
        const found = await objects({ endpoint: `http://127.0.0.1:${await listen(server)}` });
        server.close();
        refuses(found, /^storage\.objects\.endpoint: what answers at http:\S+ does not speak S3/);
    });

    it("is that there is neither a key nor a role", async () => {
        refuses(
            await objects({ hasKey: false }, undefined, { programs: { curl: "#!/bin/sh\nexit 7\n" } }),
            /^storage\.objects\.accessKey: there is none, and the machine has no role/,
        );
    });

    it("is nothing where the machine's role has the keys", async () => {
        const asked: string[] = [];
        const server = createServer((request: IncomingMessage, answer) => {
            asked.push(`${request.method ?? ""} ${request.url ?? ""}`);
            const keys = { AccessKeyId: plain.accessKey, SecretAccessKey: "role/+=secret", Token: "a/b+c==" };
            const { url = "" } = request;
            answer.end(
                url === "/latest/api/token"
                    ? "grant"
                    : request.headers["x-aws-ec2-metadata-token"] !== "grant"
                      ? answer.writeHead(401)
                      : url.endsWith("/registry-role")
                        ? JSON.stringify(keys, undefined, 2)
                        : "registry-role",
            );
        });
        const port = await listen(server);
        // Requests to the address that Amazon's machines have go to that server, and those to S3 are only looked at.
        const curl = `#!/bin/bash
for word; do [[ $word != http://169.254.169.254/* ]] || exec /usr/bin/curl "\${@//169.254.169.254/127.0.0.1:${port}}"; done
cat "$2" >"$RELEASE/signed-with"
exit 7
`;
        refuses(
            await objects({ hasKey: false }, undefined, { programs: { curl } }),
            /^storage\.objects\.endpoint: nothing can be reached/,
        );
        server.close();
        const configuration = await run("cat", [join(root, `release-${releases}`, "signed-with")]);
        assert.match(configuration, /^user = "root:role\/\+=secret"$/m);
        assert.match(configuration, /^header = "x-amz-security-token: a\/b\+c=="$/m);
        assert.equal(asked.length, 3);
    });

    it("is that it could not be looked at", async () => {
        refuses(
            await objects({}, undefined, { image: "image-that-is-not-there" }),
            /^storage\.objects: cannot be looked at: No such image$/,
            /^exit code 125$/,
        );
    });
});

const programs = postgresPrograms();
(programs === undefined ? describe.skip : describe)("what is said of a database before nodes start", function () {
    this.timeout("2m");

    let server: Postgres;
    const certificate = selfSigned(["IP:127.0.0.1"]);

    before(async () => {
        server = await Postgres.start(programs ?? "");
        server.sql("postgres", `CREATE ROLE harbor LOGIN PASSWORD '${server.password}'`);
        server.sql("postgres", "CREATE DATABASE registry OWNER harbor");
        server.sql("registry", "GRANT ALL ON SCHEMA public TO harbor");
        server.sql("postgres", "CREATE DATABASE foreign_one");
        server.sql("postgres", "CREATE DATABASE bare OWNER harbor");
        server.sql("bare", "GRANT ALL ON SCHEMA public TO harbor");
        server.sql("bare", "DROP EXTENSION plpgsql");
        server.sql("postgres", "CREATE DATABASE mute OWNER harbor");
        server.sql("mute", "GRANT ALL ON SCHEMA public TO harbor");
        server.sql("mute", "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC");
    });
    after(() => server.stop());

    const database = (
        place: Partial<DatabasePlace> = {},
        password = server.password,
        more: Readonly<Record<string, string>> = {},
    ) =>
        look(
            {
                database: {
                    place: {
                        ...{
                            host: "127.0.0.1",
                            port: server.port,
                            name: "registry",
                            user: "harbor",
                            sslMode: "disable",
                        },
                        ...place,
                    },
                    image: "image",
                    caFile: "ca.pem",
                    passwordFile: "root/password",
                },
            },
            {
                "secrets/root/password": password,
                ...(place.caCertificate === undefined ? {} : { "ca.pem": place.caCertificate }),
            },
            more,
        );

    it("is nothing where all is well, and nothing is left there", async () => {
        assert.deepEqual(await database(), well);
        assert.equal(server.sql("registry", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    });

    it("is why it cannot be reached", async () => {
        refuses(
            await database({ host: "nowhere.invalid" }),
            /^storage\.database\.host: the name nowhere\.invalid is not known here/,
        );
        refuses(
            await database({ port: await freePort() }),
            /^storage\.database\.port: nothing listens at 127\.0\.0\.1:\d+; expected a PostgreSQL/,
        );
    });

    it("is that it has no TLS, or a certificate that is not trusted", async () => {
        refuses(
            await database({ sslMode: "require" }),
            /^storage\.database\.sslMode: the server at 127\.0\.0\.1:\d+ has no TLS, and require wants it/,
        );
        const folder = join(root, "postgres-tls");
        mkdirSync(folder);
        chmodSync(root, 0o755);
        const user = (option: string) => run("id", [option, "postgres"]).then(Number);
        for (const [name, content] of Object.entries({ "tls.key": certificate.key, "tls.crt": certificate.cert })) {
            writeFileSync(join(folder, name), content, { mode: 0o600 });
            if (process.getuid?.() === 0) {
                chownSync(join(folder, name), await user("-u"), await user("-g"));
            }
        }
        server.sql("postgres", `ALTER SYSTEM SET ssl_key_file = '${folder}/tls.key'`);
        server.sql("postgres", `ALTER SYSTEM SET ssl_cert_file = '${folder}/tls.crt'`);
        server.sql("postgres", "ALTER SYSTEM SET ssl = on");
        server.sql("postgres", "SELECT pg_reload_conf()");
        assert.deepEqual(await database({ sslMode: "require" }), well);
        assert.deepEqual(await database({ sslMode: "verify-full", caCertificate: certificate.cert }), well);
        const other = selfSigned(["IP:127.0.0.1"]).cert;
        refuses(
            await database({ sslMode: "verify-ca", caCertificate: other }),
            /^storage\.database\.caCertificate: the certificate of 127\.0\.0\.1:\d+ is not trusted: .*; expected the CA/,
        );
        refuses(
            await database({ host: "localhost", sslMode: "verify-full", caCertificate: certificate.cert }),
            /^storage\.database\.host: the certificate of the server has another name than localhost: .*; expected a name that it has, or sslMode: verify-ca/,
        );
    });

    it("is which setting is another one there", async () => {
        refuses(
            await database({}, "anotherpassword"),
            /^storage\.database\.password: it is not the one of the user harbor at 127\.0\.0\.1:\d+/,
        );
        refuses(
            await database({ user: "nobody" }),
            /^storage\.database\.password: it is not the one of the user nobody/,
        );
        refuses(
            await database({ name: "missing" }),
            /^storage\.database\.name: there is no database missing at .*: CREATE DATABASE "missing" OWNER "harbor"$/,
        );
    });

    it("is what the user may not do, and what the migrations need", async () => {
        refuses(
            await database({ name: "foreign_one" }),
            /^storage\.database\.user: harbor may not make tables in the database foreign_one; expected its owner: ALTER DATABASE/,
        );
        refuses(
            await database({ name: "bare" }),
            /^storage\.database\.name: the database bare has no plpgsql, .*: CREATE EXTENSION plpgsql$/,
        );
        refuses(
            await database({ name: "mute" }),
            /^storage\.database\.user: harbor may not use plpgsql in the database mute, .*: GRANT USAGE ON LANGUAGE plpgsql TO "harbor"$/,
        );
    });

    it("is that it is too old, a standby, and what the clock is", async () => {
        // Other facts than the server's own.
        const facts = (text: string) => ({ psql: `#!/bin/sh\ncat >/dev/null\necho "${text}"\n` });
        refuses(
            await database({}, undefined, facts("110022 $(date +%s) f true 00:00:00")),
            /^storage\.database: 127\.0\.0\.1:\d+ is PostgreSQL 11; Harbor needs 12 or newer$/,
        );
        refuses(
            await database({}, undefined, facts("150000 $(date +%s) t true 00:00:00")),
            /^storage\.database\.host: 127\.0\.0\.1:\d+ is a standby, which takes no writes; expected the primary$/,
        );
        refuses(
            await database({}, undefined, facts("150000 $(($(date +%s) + 100)) f true 00:00:00")),
            /^machines\.node-1: its clock is (?:9\d|100) s behind 127\.0\.0\.1: [\d:]{8} here, 00:00:00 there \(UTC\)/,
        );
    });
});

/** Answers as Redis does, by what is asked: each answer as it goes over the line. */
function redis(answer: (words: readonly string[]) => string): (socket: Socket) => void {
    return (socket) => {
        let text = "";
        socket
            .on("error", () => undefined)
            .on("data", (data) => {
                text += data.toString();
                for (;;) {
                    const words = /^\*(\d+)\r\n((?:\$\d+\r\n[^\r]*\r\n)*)/.exec(text);
                    const all = words?.[2]?.split("\r\n").filter((_, index) => index % 2 === 1) ?? [];
                    if (words === null || all.length < Number(words[1])) {
                        return;
                    }
                    text = text.slice(words[0].length);
                    socket.write(answer(all));
                }
            });
    };
}

describe("what is said of a cache before nodes start", function () {
    this.timeout("2m");

    const certificate = selfSigned(["IP:127.0.0.1"]);
    const info = "role:master\r\nmaxmemory_policy:noeviction";
    const usual = (words: readonly string[], text = info) =>
        words[0] === "INFO" ? `$${text.length}\r\n${text}\r\n` : words[0] === "PING" ? "+PONG\r\n" : "+OK\r\n";
    const servers: NetServer[] = [];
    after(() => servers.forEach((server) => server.close()));
    const serve = async (answer: (words: readonly string[]) => string, tls = false) => {
        const server = tls ? createSecure(certificate, redis(answer)) : createPlain(redis(answer));
        servers.push(server);
        return `127.0.0.1:${await listen(server)}`;
    };
    const cache = (host: string, place: Partial<CachePlace> = {}, password = "apassword") =>
        look(
            {
                cache: {
                    place: {
                        ...{ host, tls: false, hasPassword: true, indexes: { registry: 1, jobs: 2, trivy: 5 } },
                        ...{ idleSeconds: 30, ...place },
                    },
                    image: "image",
                    caFile: "ca.pem",
                    passwordFile: "root/password",
                },
            },
            {
                "secrets/root/password": password,
                ...(place.caCertificate === undefined ? {} : { "ca.pem": place.caCertificate }),
            },
        );

    it("is nothing where all is well", async () => {
        const asked: string[] = [];
        const host = await serve((words) => (asked.push(words.join(" ")), usual(words)));
        assert.deepEqual(await cache(host), well);
        assert.deepEqual(asked, ["AUTH apassword", "PING", "SELECT 1", "SELECT 2", "SELECT 5", "INFO"]);
        const secure = await serve(usual, true);
        assert.deepEqual(await cache(secure, { tls: true, caCertificate: certificate.cert }), well);
    });

    it("is why it cannot be reached", async () => {
        refuses(
            await cache("nowhere.invalid:6379"),
            /^storage\.cache\.host: the name nowhere\.invalid is not known here/,
        );
        refuses(
            await cache(`127.0.0.1:${await freePort()}`),
            /^storage\.cache\.host: nothing listens at 127\.0\.0\.1:\d+; expected a Redis or Valkey/,
        );
    });

    it("is that TLS is not what it should be", async () => {
        const [plain, secure] = [await serve(usual), await serve(usual, true)];
        refuses(
            await cache(secure, { tls: true }),
            /^storage\.cache\.caCertificate: the certificate of 127\.0\.0\.1:\d+ is not trusted: .*; expected the CA/,
        );
        refuses(await cache(plain, { tls: true }), /^storage\.cache\.tls: 127\.0\.0\.1:\d+ does not speak TLS/);
        refuses(await cache(secure), /^storage\.cache\.tls: 127\.0\.0\.1:\d+ does not answer without TLS/);
    });

    it("is that the password is wrong, missing or too much", async () => {
        const wrong = await serve((words) => (words[0] === "AUTH" ? "-WRONGPASS invalid\r\n" : usual(words)));
        refuses(await cache(wrong), /^storage\.cache\.password: 127\.0\.0\.1:\d+ does not take it: WRONGPASS invalid$/);
        const none = await serve((words) =>
            words[0] === "AUTH" ? "-ERR AUTH <password> called without any password configured\r\n" : usual(words),
        );
        refuses(await cache(none), /^storage\.cache\.password: 127\.0\.0\.1:\d+ has none; expected no password here/);
        const wanted = await serve(() => "-NOAUTH Authentication required.\r\n");
        refuses(
            await cache(wanted, { hasPassword: false }),
            /^storage\.cache\.password: 127\.0\.0\.1:\d+ wants one; expected the name of the secret/,
        );
    });

    it("is that there are too few databases, that it is a replica, and, as a warning, that it throws keys away", async () => {
        const few = await serve((words) => (words[1] === "5" ? "-ERR DB index is out of range\r\n" : usual(words)));
        refuses(await cache(few), /^storage\.cache\.indexes\.trivy: 127\.0\.0\.1:\d+ has no database 5: ERR DB index/);
        const replica = await serve((words) => usual(words, "role:slave"));
        refuses(await cache(replica), /^storage\.cache\.host: 127\.0\.0\.1:\d+ is a replica/);
        const lru = await serve((words) => usual(words, "role:master\r\nmaxmemory_policy:allkeys-lru"));
        const { code, said } = await cache(lru);
        assert.equal(code, 0);
        assert.match(said.join(), /^storage\.cache: \S+ throws keys away .*\(maxmemory-policy allkeys-lru\)/);
    });

    it("asks sentinels for the master", async () => {
        const master = (await serve(usual)).split(":");
        const found = `*2\r\n${master.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
        const sentinel = await serve((words) => (words[2] === "mymaster" ? found : "*-1\r\n"));
        const hosts = `127.0.0.1:${await freePort()},${sentinel}`;
        assert.deepEqual(await cache(hosts, { sentinelMaster: "mymaster" }), well);
        refuses(
            await cache(hosts, { sentinelMaster: "other" }),
            /^storage\.cache\.sentinelMaster: the sentinel 127\.0\.0\.1:\d+ does not know other/,
        );
    });

    it("is said together with what is wrong elsewhere", async () => {
        const place = { host: "nowhere.invalid", port: 5432, name: "registry", user: "harbor" } as const;
        const files = { image: "image", caFile: "ca.pem", passwordFile: "root/password" };
        refuses(
            await look(
                {
                    database: { place: { ...place, sslMode: "disable" }, ...files },
                    cache: {
                        place: {
                            ...{ host: "nowhere.invalid:1", tls: false, hasPassword: false, idleSeconds: 30 },
                            indexes: { registry: 1, jobs: 2, trivy: 5 },
                        },
                        ...files,
                    },
                },
                { "secrets/root/password": "apassword" },
            ),
            /^storage\.database\.host: /,
            /^storage\.cache\.host: /,
        );
    });
});
