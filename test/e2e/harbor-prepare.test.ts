import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "mocha";
import { extract } from "tar-stream";
import { parse } from "yaml";
import { archive } from "../../components/compose-stack/archive";
import { scriptText } from "../../components/machines/script-text";
import { plain, runProgram } from "../program/program";
import { harborInstaller, harborRegistry, type Installer } from "../support/harbor";
import type { Settings } from "../support/launcher";
import { Machine } from "../support/machine";
import { attempt, run } from "../support/processes";

/** The part of what `docker compose config` says that is looked at. */
interface Service {
    readonly image: string;
    readonly environment?: Readonly<Record<string, string>>;
    readonly ports?: readonly { readonly host_ip?: string; readonly published?: string; readonly target: number }[];
    readonly volumes?: readonly { readonly type: string; readonly source: string; readonly target: string }[];
}

interface Composed {
    readonly services: Readonly<Record<string, Service>>;
    readonly volumes?: Readonly<Record<string, { readonly name: string; readonly external: boolean }>>;
}

/** What Harbor's own `prepare` made of a stack file. */
interface Generated extends Composed {
    /** A file that it wrote, below `common/config`. */
    readonly file: (path: string) => string;
    /** A file of the release. */
    readonly releaseFile: (path: string) => string;
}

interface StackFile {
    readonly registry?: Settings;
    readonly storage?: Settings;
    readonly secrets?: Readonly<Record<string, string>>;
}

const endOfData = "HARBORAGE-END-OF-DATA";

/** Certificates with the names in them that `prepare` looks for; those of the mocked program are none. */
const certificate = (() => {
    const folder = mkdtempSync(join(tmpdir(), "harborage-certificate-"));
    const files = ["-keyout", join(folder, "key"), "-out", join(folder, "crt")];
    const subject = ["-subj", "/CN=core", "-addext", "subjectAltName=DNS:core"];
    execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", ...files, ...subject], { stdio: "pipe" });
    const pem = readFileSync(join(folder, "crt"), "utf8");
    rmSync(folder, { recursive: true });
    return pem;
})();

/** The secret files of a release with certificates that are some. */
async function withCertificates(base64: string): Promise<string> {
    const files: Record<string, string> = {};
    const unpack = extract();
    unpack.on("entry", (header, stream, next) => {
        void text(stream).then((content) => {
            if (header.type !== "directory") {
                files[header.name] = /^root\/tls\/.*\.crt$/.test(header.name) ? certificate : content;
            }
            next();
        });
    });
    await pipeline([Buffer.from(base64, "base64")], unpack);
    return archive(files);
}

const s3Key = "AKIA/one+two=three";
const s3Secret = "wJalr/XUtn+FEMI=K7MDENG/bPx=";

const stackFiles: Readonly<Record<string, StackFile>> = {
    plain: {},
    "no trivy": { registry: { trivy: { enabled: false } } },
    "an external PostgreSQL": {
        registry: {
            database: { maxIdleConnections: 20, maxOpenConnections: 80, connectionMinutes: 7, idleMinutes: 3 },
        },
        storage: {
            database: {
                kind: "external",
                host: "db.example.com",
                port: 5433,
                name: "harbor_db",
                user: "harbor",
                password: "databasePassword",
                sslMode: "verify-full",
            },
        },
        secrets: { databasePassword: "databasepassword123" },
    },
    "an external Redis with TLS": {
        storage: {
            cache: {
                kind: "external",
                host: "redis.example.com:6380",
                username: "harbor",
                password: "redisPassword",
                tls: true,
                caCertificate: certificate,
                indexes: { registry: 11, jobs: 12, trivy: 15, harbor: 16, cacheLayer: 17 },
                idleSeconds: 45,
            },
        },
        registry: { cache: { enabled: true } },
        secrets: { redisPassword: "redispassword123" },
    },
    "Redis sentinels": {
        storage: {
            cache: {
                kind: "external",
                host: "one.example.com:26379,two.example.com:26379",
                sentinelMaster: "mymaster",
                password: "redisPassword",
            },
        },
        secrets: { redisPassword: "redispassword123" },
    },
    "a bucket": {
        storage: {
            objects: {
                kind: "external",
                bucket: "registry.example",
                region: "eu-central-1",
                endpoint: "https://s3.example.com:9000",
                rootDirectory: "/harbor/one",
                accessKey: "s3AccessKey",
                secretKey: "s3SecretKey",
                caCertificate: certificate,
                encrypt: true,
                storageClass: "STANDARD_IA",
                redirect: true,
            },
        },
        secrets: { s3AccessKey: s3Key, s3SecretKey: s3Secret },
    },
    "a proxy": {
        registry: {
            proxy: {
                http: "http://proxy.example.com:3128",
                https: "http://proxy.example.com:3129",
                noProxy: [".example.com", "192.0.2.0/24"],
                components: ["core", "trivy"],
            },
        },
    },
    "metrics and traces for a collector": {
        registry: {
            metrics: { enabled: true, port: 9191, cidrs: ["192.0.2.0/24"] },
            trace: {
                sampleRate: 0.5,
                namespace: "one",
                attributes: { application: "harbor" },
                exporter: {
                    kind: "otel",
                    endpoint: "collector.example.com:4318",
                    urlPath: "/v1/other",
                    compression: true,
                    insecure: true,
                    timeoutSeconds: 20,
                },
            },
        },
    },
    "traces for Jaeger": {
        registry: {
            trace: {
                exporter: {
                    kind: "jaeger",
                    endpoint: "http://jaeger.example.com:14268/api/traces",
                    username: "tracer",
                    password: "jaegerPassword",
                },
            },
        },
        secrets: { jaegerPassword: "jaegerpassword123" },
    },
    "internal TLS": { registry: { internalTls: true, metrics: { enabled: true } } },
    "what is rarely set": {
        registry: {
            cache: { enabled: true, expireHours: 48 },
            quotaUpdates: "redis",
            uploadPurging: { enabled: false },
            jobs: { workers: 7, maxHours: 36, loggers: ["STD_OUTPUT", "DB"], keepLogDays: 21 },
            webhooks: { retries: 9, timeoutSeconds: 11 },
            log: {
                level: "debug",
                rotateCount: 33,
                rotateMiB: 77,
                external: { protocol: "udp", host: "syslog.example.com", port: 5514 },
            },
            trivy: {
                skipUpdate: true,
                offlineScan: true,
                ignoreUnfixed: true,
                securityChecks: ["vuln", "secret"],
                timeoutMinutes: 9,
                dbRepository: "mirror.example.com/trivy-db",
                javaDbRepository: "mirror.example.com/trivy-java-db",
                githubToken: "githubToken",
            },
        },
        secrets: { githubToken: "githubtoken123" },
    },
    "named volumes": {
        storage: {
            objects: {
                kind: "volume",
                name: "images",
                options: { type: "none", o: "bind", device: "/run/images" },
            },
            database: { kind: "volume" },
            jobLogs: { kind: "volume" },
        },
    },
};

/** The same for a version before 2.15, which refuses what would have no effect there. */
function forOlder({ registry = {}, ...rest }: StackFile): StackFile {
    const { trivy, ...others } = registry as { trivy?: Settings };
    const known = Object.entries(trivy ?? {}).filter(([key]) => !key.endsWith("Repository"));
    return { ...rest, registry: { ...others, ...(trivy === undefined ? {} : { trivy: Object.fromEntries(known) }) } };
}

/** The lines of an environment file. */
function variables(content: string): Record<string, string> {
    return Object.fromEntries(
        content
            .split("\n")
            .filter((line) => line.includes("="))
            .map((line) => line.split(/=(.*)/s).slice(0, 2) as [string, string]),
    );
}

/** Loads an installer on a machine and has stack files prepared by it. */
class Prepare {
    private count = 0;
    private constructor(
        private readonly machine: Machine,
        private readonly installer: Installer,
        private readonly folder: string,
    ) {}

    static async on(machine: Machine, installer: Installer, folder: string): Promise<Prepare> {
        mkdirSync(folder, { recursive: true });
        const prepare = new Prepare(machine, installer, folder);
        await prepare.script("installer.sh", [installer.version, installer.path, installer.sha256]);
        return prepare;
    }

    private incarnation(incarnation: string): void {
        writeFileSync(join(this.folder, "incarnation"), `${incarnation}\n`);
    }

    private async script(name: string, words: readonly string[]): Promise<void> {
        this.incarnation("claim-1");
        const file = join(__dirname, "../../components/machines/scripts", name);
        await this.machine.run("bash", ["-s", "--", "apply", this.folder, "claim-1", ...words], {
            input: scriptText(file),
        });
    }

    /** Does on the machine what `up` does until services would be started. */
    async generate({ registry = {}, storage, secrets = {} }: StackFile): Promise<Generated> {
        this.count += 1;
        const stack = `prepare-${this.count}`;
        const settings = {
            publicName: "registry.example.com",
            machines: { box: { kind: "local", directory: this.folder } },
            topology: { kind: "single", node: "box", loadBalancer: "box" },
            loadBalancer: { mode: "http", httpsPort: 8443, httpPort: 8081 },
            registry: harborRegistry(this.installer, { ...registry, secrets: { secretKey: "harborKey" } }),
            ...(storage === undefined ? {} : { storage }),
        };
        const { resources, error } = await runProgram({
            stack,
            settings,
            // The one that `prepare` looks at.
            secrets: { ...secrets, harborKey: "0123456789abcdef" },
        });
        assert.equal(error, undefined, error?.message);
        for (const part of ["data", "project", "files", "release"]) {
            const inputs = plain(resources.find(({ name }) => name === `box-${part}`)?.inputs) as Record<
                string,
                string
            >;
            const { create = "", stdin = "" } = inputs;
            this.incarnation(create.split(" ")[5] ?? "");
            const ran = await this.machine.attempt("sh", ["-c", create], {
                input: part === "release" ? await this.stopBeforeServices(stdin) : stdin,
            });
            assert.equal(ran.code, 0, ran.output);
        }
        const root = join(this.folder, "stacks", `harborage-${stack}-registry`, "releases");
        const release = join(root, (await run("ls", [root])).trim());
        const composed = await this.machine.script(`cd '${release}'`, "docker compose config --format json");
        return {
            ...(JSON.parse(composed) as Composed),
            file: (path) => readFileSync(join(release, "common/config", path), "utf8"),
            releaseFile: (path) => readFileSync(join(release, path), "utf8"),
        };
    }

    private async stopBeforeServices(script: string): Promise<string> {
        const [code = "", rest = ""] = script.split(`\nmain "$@" <<'${endOfData}'\n`);
        const secrets = await withCertificates(rest.replace(endOfData, "").trim());
        return `${code}\nactivate() { :; }\nmain "$@" <<'${endOfData}'\n${secrets}\n${endOfData}\n`;
    }
}

describe("Harbor's own prepare", function () {
    this.timeout("5m");

    let folder: string | undefined;
    let machine: Machine;
    let prepare: Prepare;
    const theFolder = (): string => {
        assert.ok(folder);
        return folder;
    };

    before(async function () {
        const installer = await harborInstaller();
        if (installer === undefined || !(await Machine.possible())) {
            this.skip();
        }
        folder = mkdtempSync(join(tmpdir(), "harborage-prepare-"));
        machine = await Machine.make(join(folder, "box"));
        await machine.boot();
        await machine.startDocker();
        await machine.run("mkdir", ["/run/images"]);
        prepare = await Prepare.on(machine, installer, join(folder, "machine"));
    });

    after(async () => {
        if (folder !== undefined) {
            await machine.close();
            await attempt("rm", ["-rf", folder]);
        }
    });

    const generate = (name: string) => prepare.generate(stackFiles[name] ?? {});

    it("takes a plain stack file: public URL, ports, database, job logs, rotation", async () => {
        const { services, file } = await generate("plain");
        const core = services["core"]?.environment ?? {};
        assert.equal(core["EXT_ENDPOINT"], "https://registry.example.com:8443");
        assert.equal(core["POSTGRESQL_HOST"], "postgresql");
        assert.equal(core["POSTGRESQL_MAX_OPEN_CONNS"], "900");
        assert.equal(core["_REDIS_URL_CORE"], "redis://redis:6379?idle_timeout_seconds=30");
        assert.equal(core["WITH_TRIVY"], "True");
        assert.equal(core["LOG_LEVEL"], "info");
        assert.equal(core["QUOTA_UPDATE_PROVIDER"], "db");
        assert.deepEqual(
            services["proxy"]?.ports?.map(({ host_ip, published, target }) => [host_ip, published, target]),
            [["127.0.0.1", "8080", 8080]],
        );
        const registry = parse(file("registry/config.yml")) as { storage: Settings };
        assert.deepEqual(registry.storage["filesystem"], { maxthreads: 100, rootdirectory: "/storage" });
        assert.deepEqual(registry.storage["redirect"], undefined);
        const jobs = parse(file("jobservice/config.yml")) as { worker_pool: Settings; job_loggers: Settings[] };
        assert.equal(jobs.worker_pool["workers"], 10);
        assert.deepEqual(
            jobs.job_loggers.map(({ name }) => name),
            ["STD_OUTPUT", "FILE"],
        );
        assert.match(file("log/logrotate.conf"), /rotate 10\n\s+size 50M\n/);
        assert.match(file("log/rsyslog_docker.conf"), /omfile/);
        // What `prepare` makes anew each time gives way to what the stack has.
        const made = variables(file("core/env"));
        for (const name of ["CORE_SECRET", "JOBSERVICE_SECRET", "CSRF_KEY", "REGISTRY_CREDENTIAL_PASSWORD"]) {
            assert.notEqual(core[name], made[name], name);
            assert.match(core[name] ?? "", /^password of registry-/, name);
        }
        assert.equal(services["jobservice"]?.environment?.["CORE_SECRET"], core["CORE_SECRET"]);
        assert.equal(services["registryctl"]?.environment?.["JOBSERVICE_SECRET"], core["JOBSERVICE_SECRET"]);
    });

    it("leaves trivy out", async () => {
        const { services } = await generate("no trivy");
        assert.equal(services["trivy-adapter"], undefined);
        assert.equal(services["core"]?.environment?.["WITH_TRIVY"], "False");
    });

    it("takes an external PostgreSQL", async () => {
        const { services } = await generate("an external PostgreSQL");
        assert.equal(services["postgresql"], undefined);
        const core = services["core"]?.environment ?? {};
        const found = Object.fromEntries(Object.entries(core).filter(([name]) => name.startsWith("POSTGRESQL_")));
        assert.deepEqual(found, {
            POSTGRESQL_HOST: "db.example.com",
            POSTGRESQL_PORT: "5433",
            POSTGRESQL_DATABASE: "harbor_db",
            POSTGRESQL_USERNAME: "harbor",
            POSTGRESQL_PASSWORD: "databasepassword123",
            POSTGRESQL_SSLMODE: "verify-full",
            POSTGRESQL_MAX_IDLE_CONNS: "20",
            POSTGRESQL_MAX_OPEN_CONNS: "80",
            POSTGRESQL_CONN_MAX_LIFETIME: "7m",
            POSTGRESQL_CONN_MAX_IDLE_TIME: "3m",
        });
    });

    it("takes an external Redis with TLS, a CA and a user", async () => {
        const { services, file } = await generate("an external Redis with TLS");
        assert.equal(services["redis"], undefined);
        const url = (index: string) =>
            `rediss://harbor:redispassword123@redis.example.com:6380${index}?idle_timeout_seconds=45`;
        const core = services["core"]?.environment ?? {};
        assert.equal(core["_REDIS_URL_CORE"], url(""));
        assert.equal(core["_REDIS_URL_REG"], url("/11"));
        assert.equal(core["_REDIS_URL_HARBOR"], url("/16"));
        assert.equal(core["_REDIS_URL_CACHE_LAYER"], url("/17"));
        assert.equal(services["trivy-adapter"]?.environment?.["SCANNER_REDIS_URL"], url("/15"));
        assert.ok(file("jobservice/config.yml").includes(url("/12")));
        const { redis } = parse(file("registry/config.yml")) as { redis: Settings };
        assert.equal(redis["addr"], "redis.example.com:6380");
        assert.equal(redis["username"], "harbor");
        assert.equal(redis["password"], "redispassword123");
        assert.equal(redis["db"], 11);
        assert.equal(redis["enableTLS"], true);
        assert.ok(file("shared/trust-certificates/redis_tls_ca.crt").includes(certificate.trim()));
    });

    it("takes Redis sentinels", async () => {
        const { services, file } = await generate("Redis sentinels");
        assert.equal(
            services["core"]?.environment?.["_REDIS_URL_CORE"],
            "redis+sentinel://:redispassword123@one.example.com:26379,two.example.com:26379/mymaster?idle_timeout_seconds=30",
        );
        const { redis } = parse(file("registry/config.yml")) as { redis: Settings };
        assert.equal(redis["addr"], "one.example.com:26379,two.example.com:26379");
        assert.equal(redis["sentinelMasterSet"], "mymaster");
    });

    it("takes a bucket, with keys that YAML and URLs would take for something else", async () => {
        const { file } = await generate("a bucket");
        const { storage } = parse(file("registry/config.yml")) as { storage: Settings };
        assert.deepEqual(storage["s3"], {
            region: "eu-central-1",
            bucket: "registry.example",
            accesskey: s3Key,
            secretkey: s3Secret,
            regionendpoint: "https://s3.example.com:9000",
            encrypt: true,
            secure: true,
            v4auth: true,
            rootdirectory: "/harbor/one",
            storageclass: "STANDARD_IA",
        });
        assert.equal(storage["redirect"], undefined);
        assert.ok(file("shared/trust-certificates/storage_ca_bundle.crt").includes(certificate.trim()));
    });

    it("takes a proxy for some components, and always the same list of what needs none", async () => {
        const { services } = await generate("a proxy");
        const of = (name: string) => services[name]?.environment ?? {};
        for (const name of ["core", "trivy-adapter"]) {
            assert.equal(of(name)["HTTP_PROXY"], "http://proxy.example.com:3128", name);
            assert.equal(of(name)["HTTPS_PROXY"], "http://proxy.example.com:3129", name);
            const list = of(name)["NO_PROXY"]?.split(",") ?? [];
            assert.deepEqual(list, [...list].sort(), name);
            assert.ok(
                list.includes(".example.com") && list.includes("192.0.2.0/24") && list.includes("registry"),
                name,
            );
        }
        assert.equal(of("jobservice")["HTTP_PROXY"] ?? "", "");
    });

    it("takes metrics and traces for a collector", async () => {
        const { services, file } = await generate("metrics and traces for a collector");
        const core = services["core"]?.environment ?? {};
        const traces = Object.fromEntries(Object.entries(core).filter(([name]) => name.startsWith("TRACE_")));
        assert.deepEqual(traces, {
            TRACE_ENABLED: "true",
            TRACE_SERVICE_NAME: "harbor-core",
            TRACE_SAMPLE_RATE: "0.5",
            TRACE_NAMESPACE: "one",
            TRACE_ATTRIBUTES: '{"application": "harbor"}',
            TRACE_OTEL_ENDPOINT: "collector.example.com:4318",
            TRACE_OTEL_URL_PATH: "/v1/other",
            TRACE_OTEL_COMPRESSION: "True",
            TRACE_OTEL_TIMEOUT: "20",
            TRACE_OTEL_INSECURE: "True",
        });
        assert.equal(core["METRIC_ENABLE"], "true");
        assert.equal(services["exporter"]?.environment?.["HARBOR_SERVICE_SCHEME"], "http");
        assert.deepEqual(
            services["proxy"]?.ports?.map(({ host_ip, published, target }) => [host_ip, published, target]),
            [
                ["127.0.0.1", "8080", 8080],
                ["0.0.0.0", "9191", 9090],
            ],
        );
        assert.match(file("nginx/nginx.conf"), /listen 9090/);
    });

    it("takes traces for Jaeger", async () => {
        const { services } = await generate("traces for Jaeger");
        for (const name of ["core", "jobservice", "registryctl"]) {
            const environment = services[name]?.environment ?? {};
            assert.equal(environment["TRACE_JAEGER_ENDPOINT"], "http://jaeger.example.com:14268/api/traces", name);
            assert.equal(environment["TRACE_JAEGER_USERNAME"], "tracer", name);
            assert.equal(environment["TRACE_JAEGER_PASSWORD"], "jaegerpassword123", name);
        }
    });

    it("takes internal TLS", async () => {
        const { services } = await generate("internal TLS");
        for (const name of ["core", "jobservice", "registryctl"]) {
            assert.equal(services[name]?.environment?.["INTERNAL_TLS_ENABLED"], "true", name);
        }
        assert.equal(services["core"]?.environment?.["REGISTRY_URL"], "https://registry:5443");
        for (const name of ["core", "jobservice", "registry", "registryctl", "proxy", "trivy-adapter", "exporter"]) {
            assert.ok(
                services[name]?.volumes?.some(({ target }) => target === "/harbor_cust_cert/harbor_internal_ca.crt"),
                name,
            );
        }
    });

    it("takes what is rarely set", async () => {
        const { services, file } = await generate("what is rarely set");
        const core = services["core"]?.environment ?? {};
        assert.equal(core["CACHE_ENABLED"], "true");
        assert.equal(core["CACHE_EXPIRE_HOURS"], "48");
        assert.equal(core["QUOTA_UPDATE_PROVIDER"], "redis");
        assert.equal(core["LOG_LEVEL"], "debug");
        const registry = parse(file("registry/config.yml")) as { storage: { maintenance: Settings } };
        assert.deepEqual(registry.storage.maintenance, { uploadpurging: { enabled: false } });
        const jobs = parse(file("jobservice/config.yml")) as {
            worker_pool: Settings;
            job_loggers: Settings[];
            reaper: Settings;
        };
        assert.equal(jobs.worker_pool["workers"], 7);
        assert.equal(jobs.reaper["max_update_hours"], 36);
        assert.deepEqual(jobs.job_loggers, [
            { name: "STD_OUTPUT", level: "DEBUG" },
            { name: "DB", level: "DEBUG", sweeper: { duration: 21 } },
        ]);
        const jobservice = services["jobservice"]?.environment ?? {};
        assert.equal(jobservice["JOBSERVICE_WEBHOOK_JOB_MAX_RETRY"], "9");
        assert.equal(jobservice["JOBSERVICE_WEBHOOK_JOB_HTTP_CLIENT_TIMEOUT"], "11");
        assert.match(file("log/logrotate.conf"), /rotate 33\n\s+size 77M\n/);
        assert.match(file("log/rsyslog_docker.conf"), /Target="syslog\.example\.com" Port="5514" Protocol="udp"/);
        const trivy = services["trivy-adapter"]?.environment ?? {};
        assert.equal(trivy["SCANNER_TRIVY_SKIP_UPDATE"], "True");
        assert.equal(trivy["SCANNER_TRIVY_OFFLINE_SCAN"], "True");
        assert.equal(trivy["SCANNER_TRIVY_IGNORE_UNFIXED"], "True");
        assert.equal(trivy["SCANNER_TRIVY_SECURITY_CHECKS"], "vuln,secret");
        assert.equal(trivy["SCANNER_TRIVY_TIMEOUT"], "9m0s");
        assert.equal(trivy["SCANNER_TRIVY_DB_REPOSITORY"], "mirror.example.com/trivy-db");
        assert.equal(trivy["SCANNER_TRIVY_GITHUB_TOKEN"], "githubtoken123");
    });

    it("takes named volumes in the place of folders", async () => {
        const { services, volumes } = await generate("named volumes");
        const on = (name: string, target: string) =>
            services[name]?.volumes
                ?.filter((volume) => volume.target === target)
                .map(({ type, source }) => [type, source]);
        assert.deepEqual(on("registry", "/storage"), [["volume", "images"]]);
        assert.deepEqual(on("registryctl", "/storage"), [["volume", "images"]]);
        const stack =
            Object.keys(volumes ?? {})
                .find((name) => name.endsWith("-database"))
                ?.replace(/-database$/, "") ?? "";
        assert.deepEqual(on("postgresql", "/var/lib/postgresql/data"), [["volume", `${stack}-database`]]);
        assert.deepEqual(on("jobservice", "/var/log/jobs"), [["volume", `${stack}-job-logs`]]);
        assert.deepEqual(volumes?.["images"], { name: "images", external: true });
        const format = "{{.Driver}} {{.Options.device}}";
        assert.deepEqual(await machine.docker("volume", "inspect", "--format", format, "images"), [
            "local /run/images",
        ]);
        assert.equal(await machine.run("stat", ["--format", "%u:%g", "/run/images"]), "10000:10000");
    });

    it("of an older version takes them all", async function () {
        this.timeout("10m");
        const older = await harborInstaller("HARBORAGE_HARBOR_OLD_INSTALLER");
        if (older === undefined) {
            this.skip();
        }
        const prepareOlder = await Prepare.on(machine, older, join(theFolder(), "older"));
        for (const [name, stackFile] of Object.entries(stackFiles)) {
            const { services } = await prepareOlder.generate(forOlder(stackFile));
            assert.equal(services["core"]?.image, `goharbor/harbor-core:v${older.version}`, name);
        }
    });
});
