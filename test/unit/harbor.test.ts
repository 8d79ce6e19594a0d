import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { describe, it } from "mocha";
import { parse } from "yaml";
import {
    namedVolumes,
    placeholder,
    renderHarborYml,
    renderOverride,
    settle,
    type SettledPlan,
} from "../../components/registry/harbor/render";
import { cachePlace, databasePlace, objectPlace } from "../../components/storage/places";
import { makePlan, type HarborPlan, type Plan } from "../../config/plan";
import { parseStackFile, type StackFile } from "../../config/stack-file";
import type { Settings } from "../support/launcher";
import { selfSigned } from "../support/self-signed";
import { assertOneMistake, lines } from "./support/mistakes";
import { withFolderAsync } from "./support/machine";
import { minimal, stackFile } from "./support/stack-files";

const sha256 = "ab".repeat(32);

interface File {
    readonly registry?: Settings;
    /** What is beside the registry. */
    readonly settings?: Settings;
    /** Secrets by name. */
    readonly secrets?: Readonly<Record<string, string>>;
}

function file({ registry = {}, settings = {}, secrets = {} }: File): StackFile {
    const harbor = { engine: "harbor", version: "2.15.2", installer: { path: "/srv/harbor.tgz", sha256 } };
    const loadBalancer = { mode: "http", httpsPort: 8443, httpPort: 8081 };
    const all = { ...minimal, loadBalancer, ...settings, registry: { ...harbor, ...registry } };
    const { values, ...rest } = stackFile({ stack: "test", settings: all, secrets: [] });
    return { ...rest, values: { ...values, ...secrets }, secretKeys: new Set(Object.keys(secrets)) };
}

function planOf(draft: File): Plan & { readonly registry: HarborPlan } {
    const plan = makePlan("test", parseStackFile(file(draft)));
    assert.ok(plan.registry.engine === "harbor");
    return { ...plan, registry: plan.registry };
}

/** A plan with the places that the stack file gives. */
function settledOf({ registry }: { registry: HarborPlan }): SettledPlan {
    const { objects, database, cache } = registry.storage;
    return settle(registry, {
        objects: objects.kind === "external" ? objectPlace(objects) : undefined,
        database: database.kind === "external" ? databasePlace(database) : undefined,
        cache: cache.kind === "external" ? cachePlace(cache) : undefined,
    });
}

function nodeOf({ nodes: [node] }: Plan) {
    assert.ok(node);
    return node;
}

/** harbor.yml of a stack file, parsed. */
function harborYml(draft: File): Record<string, unknown> {
    const plan = planOf(draft);
    return parse(renderHarborYml(settledOf(plan), nodeOf(plan))) as Record<string, unknown>;
}

interface Service {
    readonly labels: Record<string, string>;
    readonly environment?: Record<string, string>;
    readonly env_file?: string[];
    readonly ports?: string[];
    readonly volumes?: string[];
    readonly entrypoint?: string[];
    readonly logging?: unknown;
}

/** The compose file that is laid over Harbor's own, parsed, and as it is. */
function override(draft: File) {
    const plan = planOf(draft);
    const node = nodeOf(plan);
    const backup = { labels: { "harborage.stack": "test" } };
    const text = renderOverride({ stack: "test", plan: settledOf(plan), node, address: "10.0.0.7", backup });
    const parsed = parse(text, { customTags: [{ tag: "!override", collection: "seq" }] }) as {
        services: Record<string, Service>;
        volumes?: Record<string, unknown>;
    };
    return { text, ...parsed };
}

describe("harbor.yml", () => {
    it("names the public URL, and leaves TLS to the load balancer", () => {
        const yml = harborYml({ settings: { publicName: "registry.example.com" } });
        assert.equal(yml["hostname"], "registry.example.com");
        assert.equal(yml["external_url"], "https://registry.example.com:8443");
        assert.deepEqual(yml["http"], { port: 8080 });
        assert.equal(yml["https"], undefined);
    });

    it("has its folders as single plain lines: prepare finds one of them by grep", () => {
        const plan = planOf({});
        const text = renderHarborYml(settledOf(plan), nodeOf(plan));
        assert.match(text, /^data_volume: HARBORAGE_DATA$/m);
        assert.match(text, /^ {4}location: HARBORAGE_DATA\/logs$/m);
    });

    it("holds names in place of secrets, and no two that begin alike where one could be taken for the other", () => {
        const objects = { kind: "external", bucket: "registry", region: "eu", accessKey: "key", secretKey: "secret" };
        const cache = { kind: "external", host: "redis.example.com:6379", password: "redis" };
        const text = JSON.stringify(
            harborYml({
                registry: {
                    trivy: { githubToken: "github" },
                    trace: { exporter: { kind: "jaeger", endpoint: "http://j.example.com", password: "jaeger" } },
                },
                settings: { storage: { objects, cache } },
                secrets: { key: "akey", secret: "asecret", redis: "redis1", github: "token", jaeger: "jaeger1" },
            }),
        );
        const names = [
            "admin",
            "database",
            "redis",
            "s3_access_key",
            "s3_secret_key",
            "github_token",
            "jaeger",
        ] as const;
        const words = [...names.map((name) => placeholder.secret(name)), placeholder.data, placeholder.release];
        for (const name of names) {
            assert.ok(text.includes(`"${placeholder.secret(name)}"`), name);
        }
        for (const word of words) {
            assert.deepEqual(
                words.filter((other) => other !== word && other.startsWith(word)),
                [],
                word,
            );
        }
        assert.doesNotMatch(text, /akey|asecret|redis1|jaeger1/);
    });

    it("leaves trivy and metrics out where they are off", () => {
        assert.equal(harborYml({ registry: { trivy: { enabled: false } } })["trivy"], undefined);
        assert.equal(harborYml({})["metric"], undefined);
    });

    it("has rootCA with TLS to Redis, also without a CA: prepare fails for want of the key", () => {
        const cache = { kind: "external", host: "redis.example.com:6380", tls: true };
        const yml = harborYml({ settings: { storage: { cache } } });
        const { tlsOptions } = yml["external_redis"] as { tlsOptions: unknown };
        assert.deepEqual(tlsOptions, { enable: true, rootCA: null });
    });

    it("asks a server of S3 by http where its URL says so", () => {
        const objects = { kind: "external", bucket: "registry", region: "eu", endpoint: "http://s3.example.com" };
        const yml = harborYml({ settings: { storage: { objects } } });
        const { s3, redirect } = yml["storage_service"] as { s3: Settings; redirect: unknown };
        assert.equal(s3["secure"], false);
        // With the quotes that the registry's configuration needs.
        assert.equal(s3["bucket"], '"registry"');
        assert.deepEqual(redirect, { disable: true });
    });

    it("is in the format of its version", () => {
        assert.equal(harborYml({ registry: { version: "2.14.4" } })["_version"], "2.14.0");
        assert.equal(harborYml({})["_version"], "2.15.0");
    });

    it("is the same text for the same stack file, whatever numbers are in it", () => {
        const drafts = fc.record({
            rotateCount: fc.integer({ min: 1, max: 1000 }),
            rotateMiB: fc.integer({ min: 1, max: 10_000 }),
            ageHours: fc.integer({ min: 2, max: 87_600 }),
            workers: fc.integer({ min: 1, max: 1000 }),
            timeoutMinutes: fc.constantFrom(1, 5, 30),
        });
        fc.assert(
            fc.property(drafts, ({ rotateCount, rotateMiB, ageHours, workers, timeoutMinutes }) => {
                const draft = {
                    registry: {
                        log: { rotateCount, rotateMiB },
                        uploadPurging: { ageHours },
                        jobs: { workers },
                        trivy: { timeoutMinutes },
                    },
                };
                const yml = harborYml(draft);
                assert.deepEqual(harborYml(draft), yml);
                const { local } = yml["log"] as { local: Settings };
                assert.deepEqual([local["rotate_count"], local["rotate_size"]], [rotateCount, `${String(rotateMiB)}M`]);
                assert.equal((yml["upload_purging"] as Settings)["age"], `${String(ageHours)}h`);
                assert.equal((yml["jobservice"] as Settings)["max_job_workers"], workers);
                assert.equal((yml["trivy"] as Settings)["timeout"], `${String(timeoutMinutes)}m0s`);
            }),
            { numRuns: 50 },
        );
    });
});

describe("what is laid over Harbor's compose file", () => {
    it("publishes Harbor where the load balancer reaches it, in place of everywhere", () => {
        const { services, text } = override({});
        assert.deepEqual(services["proxy"]?.ports, ["10.0.0.7:8080:8080"]);
        assert.match(text, /ports: !override/);
    });

    it("opens metrics to all addresses only where somebody may read them", () => {
        const ports = (metrics: Settings) => override({ registry: { metrics } }).services["proxy"]?.ports;
        assert.deepEqual(ports({ enabled: true, port: 9191 }), ["10.0.0.7:8080:8080", "10.0.0.7:9191:9090"]);
        assert.deepEqual(ports({ enabled: true, cidrs: ["192.0.2.0/24"] }), [
            "10.0.0.7:8080:8080",
            "0.0.0.0:9090:9090",
        ]);
    });

    it("has secrets as files only, and a label on every service", () => {
        const { services, text } = override({ registry: { internalTls: true, metrics: { enabled: true } } });
        for (const [name, { labels, environment = {} }] of Object.entries(services)) {
            assert.equal(labels["harborage.stack"], "test", name);
            assert.deepEqual(
                Object.keys(environment).filter((key) => /SECRET|PASSWORD|KEY/.test(key)),
                [],
                name,
            );
        }
        assert.doesNotMatch(text, new RegExp(placeholder.secret("admin").replace("admin", "")));
        assert.deepEqual(services["core"]?.env_file, ["./secrets/root/core.env"]);
    });

    it("keeps logs with Docker, which Harbor's log service is not there for after a reboot, or sends them on", () => {
        const logging = (log: Settings) =>
            Object.entries(override({ registry: { log } }).services)
                .filter(([name]) => name !== "backup")
                .map(([, service]) => service.logging);
        const own = { driver: "json-file", options: { "max-size": "20m", "max-file": "4" } };
        for (const each of logging({ rotateMiB: 20, rotateCount: 3 })) {
            assert.deepEqual(each, own);
        }
        for (const each of logging({ external: { protocol: "tcp", host: "syslog.example.com", port: 514 } })) {
            assert.equal(each, undefined);
        }
    });

    it("has no service that the stack file leaves out: compose would take it for one without an image", () => {
        const database = { kind: "external", host: "db.example.com", user: "harbor", password: "database" };
        const cache = { kind: "external", host: "redis.example.com:6379" };
        const { services } = override({
            registry: { trivy: { enabled: false } },
            settings: { storage: { database, cache } },
            secrets: { database: "database1" },
        });
        for (const name of ["postgresql", "redis", "trivy-adapter", "exporter"]) {
            assert.equal(services[name], undefined, name);
        }
    });

    it("sorts what needs no proxy, Harbor's own names among it, for those alone that use one", () => {
        const proxy = {
            http: "http://proxy.example.com:3128",
            noProxy: [".example.com", "core"],
            components: ["core"],
        };
        const { services } = override({ registry: { proxy } });
        const list = services["core"]?.environment?.["NO_PROXY"]?.split(",") ?? [];
        assert.deepEqual(list, [...new Set(list)].sort());
        assert.ok(list.includes(".example.com") && list.includes("registryctl"));
        assert.equal(services["jobservice"]?.environment, undefined);
        assert.equal(override({}).services["core"]?.environment, undefined);
    });

    it("has volumes that compose does not know as its own, as they are", () => {
        const storage = { objects: { kind: "volume" }, database: { kind: "volume", name: "rows" } };
        const { services, volumes } = override({ settings: { storage } });
        assert.deepEqual(volumes, {
            "harborage-test-registry": { name: "harborage-test-registry", external: true },
            rows: { name: "rows", external: true },
        });
        assert.ok(services["registry"]?.volumes?.includes("harborage-test-registry:/storage:nocopy"));
        assert.ok(services["registryctl"]?.volumes?.includes("harborage-test-registry:/storage:nocopy"));
        assert.deepEqual(services["postgresql"]?.volumes, ["rows:/var/lib/postgresql/data:nocopy"]);
        assert.equal(services["jobservice"]?.volumes, undefined);
    });

    it("knows who writes to a volume", () => {
        const storage = { objects: { kind: "volume" }, database: { kind: "volume" }, jobLogs: { kind: "volume" } };
        const owners = namedVolumes(planOf({ settings: { storage } }).registry).map(({ name, owner }) => [name, owner]);
        assert.deepEqual(owners, [
            ["harborage-test-registry", "10000:10000"],
            ["harborage-test-database", "999:999"],
            ["harborage-test-job-logs", "10000:10000"],
        ]);
    });
});

describe("plan of a Harbor", () => {
    it("claims the ports that Harbor takes, each with its setting", () => {
        const ports = (registry: Settings) =>
            planOf({ registry }).machines[0]?.ports.map(
                ({ port, purpose }) => `${String(port)} ${purpose.split(",")[0] ?? ""}`,
            );
        const always = [
            "8443 loadBalancer.httpsPort",
            "8081 loadBalancer.httpPort",
            "8080 registry.port",
            "1514 Harbor's log service",
        ];
        assert.deepEqual(ports({}), always);
        assert.deepEqual(ports({ metrics: { enabled: true, port: 9191 } }), [...always, "9191 registry.metrics.port"]);
    });

    it("asks for what Harbor's documentation asks for, and for less disk where the stack file says so", () => {
        const [machine] = planOf({}).machines;
        const { cpus, freeDiskGiB, root, clock, resolves } = machine?.requirements ?? {};
        assert.deepEqual([cpus, freeDiskGiB, root, clock, resolves], [2, 40, true, true, "localhost"]);
        const box = { kind: "local", minimumFreeDiskGiB: 7 };
        const [smaller] = planOf({ settings: { machines: { box } } }).machines;
        assert.equal(smaller?.requirements.freeDiskGiB, 7);
    });

    it("deletes data only where it is on the node, and is to be deleted", () => {
        const deleteData = (objects: Settings) => nodeOf(planOf({ settings: { storage: { objects } } })).deleteData;
        assert.equal(deleteData({ kind: "node", deleteData: true }), true);
        assert.equal(deleteData({ kind: "node" }), false);
        assert.equal(deleteData({ kind: "volume" }), false);
    });

    it("gives volumes names without an underscore, whatever the stack is called", () => {
        const { values, secretKeys } = file({ settings: { storage: { objects: { kind: "volume" } } } });
        const { registry } = makePlan("my_stack", parseStackFile({ stack: "my_stack", values, secretKeys }));
        assert.ok(registry.engine === "harbor" && registry.storage.objects.kind === "volume");
        assert.equal(registry.storage.objects.name, "harborage-my-stack-registry");
    });

    it("scans by itself only where there is a scanner", () => {
        assert.deepEqual(Object.keys(planOf({}).registry.schedules), ["garbageCollection", "scan", "auditLog"]);
        const registry = {
            trivy: { enabled: false },
            garbageCollection: { enabled: false },
            auditLog: { purge: false },
        };
        assert.deepEqual(planOf({ registry }).registry.schedules, {});
    });
});

describe("stack file of a Harbor", () => {
    const path = "harborage:registry";
    const mistakes: readonly (readonly [string, File, string])[] = [
        [
            "a version that is too old",
            { registry: { version: "2.13.1" } },
            `${path}.version: "2.13.1" is wrong; expected a version of Harbor, 2.14.0 or newer, for example 2.15.2`,
        ],
        [
            "an installer in two places",
            { registry: { installer: { path: "/a", url: "https://b.example.com/c", sha256 } } },
            `${path}.installer.path: "/a" is there beside url; expected either path or url, for example /srv/harbor-offline-installer-v2.15.2.tgz`,
        ],
        [
            "the port of Harbor's log service",
            { registry: { port: 1514 } },
            `${path}.port: 1514 is wrong; expected another port than that of Harbor's log service, for example 8080`,
        ],
        [
            "metrics at the port of Harbor itself",
            { registry: { metrics: { enabled: true, port: 8080 } } },
            `${path}.metrics.port: 8080 is wrong; expected another port than that of Harbor itself, for example 9090`,
        ],
        [
            "uploads that Harbor would purge at once",
            { registry: { uploadPurging: { ageHours: 1 } } },
            `${path}.uploadPurging.ageHours: 1 is wrong; expected hours from 2 to 87600, for example 168`,
        ],
        [
            "what only a newer Harbor knows",
            { registry: { version: "2.14.4", trivy: { dbRepository: "mirror.example.com/trivy-db" } } },
            `${path}.trivy.dbRepository: "mirror.example.com/trivy-db" has no effect before Harbor 2.15`,
        ],
        [
            "no place for the logs of jobs",
            { registry: { jobs: { loggers: [] } } },
            `${path}.jobs.loggers: is wrong; expected at least one of: STD_OUTPUT, FILE, DB`,
        ],
        [
            "a collector that Harbor does not know",
            { registry: { trace: { exporter: { kind: "zipkin" } } } },
            `${path}.trace.exporter.kind: "zipkin" is wrong; there is: otel, jaeger, jaeger-agent`,
        ],
        [
            "a proxy that is no URL",
            { registry: { proxy: { http: "proxy:3128" } } },
            `${path}.proxy.http: "proxy:3128" is wrong; expected an http or https URL without a password, for example http://proxy.example.com:3128`,
        ],
        [
            "a schedule of four fields",
            { registry: { garbageCollection: { schedule: "* * * *" } } },
            `${path}.garbageCollection.schedule: "* * * *" is wrong; expected five fields of cron (minute hour day month weekday), for example 0 3 * * *`,
        ],
        [
            "a volume whose name some drivers do not take",
            { settings: { storage: { objects: { kind: "volume", name: "a_b" } } } },
            'harborage:storage.objects.name: "a_b" is wrong; expected a name of letters, digits, . and -, for example registry-data',
        ],
        [
            "a Redis without its port",
            { settings: { storage: { cache: { kind: "external", host: "redis" } } } },
            'harborage:storage.cache.host: "redis" is wrong; expected a host and its port, or those of all sentinels, with commas, for example redis.example.com:6379',
        ],
        [
            "a Redis on a volume",
            { settings: { storage: { cache: { kind: "volume" } } } },
            'harborage:storage.cache.kind: "volume" is wrong; there is: node, external, machine, aws',
        ],
    ];
    for (const [what, draft, expected] of mistakes) {
        it(`refuses ${what}`, () => assertOneMistake(file(draft), expected));
    }

    it("refuses keys of S3 by halves", () => {
        const objects = { kind: "external", bucket: "registry", region: "eu", accessKey: "key" };
        const found = lines(file({ settings: { storage: { objects } }, secrets: { key: "akey" } }));
        assert.equal(found.length, 1, found.join("\n"));
        assert.match(
            found[0] ?? "",
            /^harborage:storage\.objects\.secretKey: .*expected accessKey and secretKey, or neither/,
        );
    });

    const refused: readonly (readonly [string, File, string])[] = [
        ["a password that Harbor refuses", { registry: { adminPassword: "it" } }, "short1A"],
        ["a password without a digit", { registry: { adminPassword: "it" } }, "PasswordPassword"],
        ["the password that everybody knows", { registry: { adminPassword: "it" } }, "Harbor12345"],
        ["a key of 17 characters", { registry: { secrets: { secretKey: "it" } } }, "0123456789abcdefg"],
        ["a key with its line end", { registry: { secrets: { secretKey: "it" } } }, "0123456789abcde\n"],

        [
            "a key of S3 with a quote",
            {
                settings: {
                    storage: {
                        objects: { kind: "external", bucket: "abc", region: "eu", accessKey: "it", secretKey: "it" },
                    },
                },
            },
            'a"b',
        ],
        [
            "a password of Redis with a slash",
            { settings: { storage: { cache: { kind: "external", host: "redis:6379", password: "it" } } } },
            "pass/word",
        ],
    ];
    for (const [what, draft, value] of refused) {
        it(`refuses ${what}, without showing it`, () => {
            const [first = "", ...others] = lines(file({ ...draft, secrets: { it: value } }));
            assert.deepEqual(others, []);
            assert.match(first, /^harborage:it: .*expected /);
            // The one of the documentation is no secret, but it is not repeated either.
            assert.ok(!first.includes(value), first);
        });
    }

    it("takes keys of S3 as Amazon makes them", () => {
        const objects = { kind: "external", bucket: "abc", region: "eu", accessKey: "key", secretKey: "secret" };
        const secrets = { key: "AKIA0123456789", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfi=CYEXAMPLEKEY" };
        assert.doesNotThrow(() => parseStackFile(file({ settings: { storage: { objects } }, secrets })));
    });
});

describe("health of a Harbor", () => {
    const script = readFileSync(join(__dirname, "../../components/registry/harbor/hooks/health.sh"), "utf8");
    const identity = selfSigned(["IP:127.0.0.1"]);

    interface Answers {
        /** Status of each component. */
        readonly health?: Readonly<Record<string, string>>;
        /** Body of the token service. */
        readonly token?: string;
    }

    interface CheckOptions {
        readonly database?: string;
        readonly https?: { readonly trusts: string };
        /** After which it gives up. */
        readonly seconds?: number;
    }

    /**
     * Runs the hook against a stand-in. Nothing listens where there is no answer. A stand-in for Docker writes down what
     * it is called with, and shows a line of each container's log.
     */
    function check(answers: readonly Answers[], { database = "external", https, seconds = 60 }: CheckOptions = {}) {
        return withFolderAsync(async (folder) => {
            let count = 0;
            const answer = (request: IncomingMessage, response: ServerResponse) => {
                const { health = {}, token } = answers[Math.min(count, answers.length - 1)] ?? {};
                if (request.url === "/api/v2.0/health") {
                    count += 1;
                    const components = Object.entries(health).map(([name, status]) => ({ name, status }));
                    response.end(JSON.stringify({ components, status: "healthy" }));
                } else {
                    response.statusCode = token === undefined ? 500 : 200;
                    response.end(token ?? '{"errors":[{"code":"UNKNOWN"}]}');
                }
            };
            const server = https === undefined ? createServer(answer) : createTlsServer(identity, answer);
            await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
            const { port } = server.address() as AddressInfo;
            if (answers.length === 0) {
                server.close();
            }
            for (const name of ["backup", "secrets/root", "bin", "trust"]) {
                mkdirSync(join(folder, name), { recursive: true });
            }
            writeFileSync(join(folder, "backup/record-version.sh"), "echo recorded\n");
            writeFileSync(join(folder, "trust/stack.crt"), https?.trusts ?? "");
            writeFileSync(join(folder, "secrets/root/backup-database-password"), "password1\n");
            const docker = [
                `printf '%s\\n' "$*" >>'${folder}/docker.log'`,
                `case $1 in exec) cat >>'${folder}/docker.input' ;; logs) echo "a line of $4" ;; ps) echo ended1 ;; esac`,
            ];
            writeFileSync(join(folder, "bin/docker"), `#!/bin/sh\n${docker.join("\n")}\n`);
            chmodSync(join(folder, "bin/docker"), 0o755);
            const values = {
                ...{ ADDRESS: "127.0.0.1", PORT: String(port), SECONDS_TO_HEALTH: String(seconds), DATABASE: database },
                ...(https && { CA: "trust/stack.crt" }),
            };
            const text = [...Object.entries(values).map(([name, value]) => `readonly ${name}='${value}'`), script];
            writeFileSync(join(folder, "health.sh"), text.join("\n"));
            const child = spawn("bash", [join(folder, "health.sh")], {
                env: {
                    ...process.env,
                    RELEASE: folder,
                    PROJECT: "harbor-1",
                    PATH: `${folder}/bin:${process.env["PATH"] ?? ""}`,
                },
                stdio: ["ignore", "pipe", "pipe"],
            });
            let output = "";
            child.stdout.on("data", (data: Buffer) => (output += data.toString()));
            child.stderr.on("data", (data: Buffer) => (output += data.toString()));
            const code = await new Promise<number | null>((done) => child.once("close", done));
            server.close();
            const read = (name: string) => {
                try {
                    return readFileSync(join(folder, name), "utf8");
                } catch {
                    return "";
                }
            };
            return { code, output, docker: read("docker.log"), input: read("docker.input") };
        });
    }

    const well = { core: "healthy", redis: "healthy" };
    const token = '{"token":"abc"}';
    /** What each look calls Docker with. */
    const startsEnded =
        "ps --all --quiet --filter label=com.docker.compose.project=harbor-1 --filter status=exited\nstart ended1\n";

    it("is good once every component is healthy and tokens are signed", async () => {
        const { code, output, docker } = await check([
            { health: { ...well, core: "unhealthy" } },
            { health: well, token },
        ]);
        assert.deepEqual([code, output, docker], [0, "recorded\n", startsEnded.repeat(2)]);
    });

    it("starts containers that have ended, as Docker gives up on one that it could not start once", async () => {
        const { docker } = await check([{ health: well, token }]);
        assert.equal(docker, startsEnded);
    });

    it("asks a node that serves HTTPS, and believes it by the stack's CA alone", async () => {
        const answers = [{ health: well, token }];
        const { code, output } = await check(answers, { https: { trusts: identity.cert } });
        assert.deepEqual([code, output], [0, "recorded\n"]);
        const stranger = await check(answers, { https: { trusts: selfSigned(["IP:127.0.0.1"]).cert }, seconds: 5 });
        assert.equal(stranger.code, 1);
        assert.match(stranger.output, /^Harbor does not answer at https:/);
    });

    it("names the components that are ill, with the last lines of their containers", async () => {
        const health = { core: "healthy", redis: "unhealthy", database: "unhealthy", trivy: "healthy" };
        const { code, output } = await check([{ health, token }], { seconds: 5 });
        assert.equal(code, 1);
        assert.match(output, /^Harbor is not healthy after 5 s: redis database$/m);
        assert.match(output, /^--- the last lines of redis:\n {4}a line of redis$/m);
        assert.match(output, /^--- the last lines of database:\n {4}a line of harbor-db$/m);
        assert.doesNotMatch(output, /core|trivy|recorded/);
    });

    it("is bad where the token service cannot sign, although all components say that they are healthy", async () => {
        const { code, output } = await check([{ health: well }], { seconds: 5 });
        assert.equal(code, 1);
        assert.match(
            output,
            /^Harbor is healthy, but its token service does not sign; nobody can log in with docker$/m,
        );
        assert.match(output, /a line of harbor-core/);
    });

    it("says so where nobody answers", async () => {
        const { code, output } = await check([], { seconds: 5 });
        assert.equal(code, 1);
        assert.match(output, /^Harbor does not answer at http:\/\/127\.0\.0\.1:\d+ after 5 s$/m);
        assert.match(output, /a line of harbor-core/);
    });

    it("tells Harbor's own database its password once, by standard input alone", async () => {
        const { code, docker, input } = await check([{ health: well, token }], { database: "bundled" });
        assert.equal(code, 0);
        assert.ok(docker.startsWith(`${startsEnded}exec --interactive harbor-db bash -c `), docker);
        assert.doesNotMatch(docker, /password1/);
        assert.equal(input, "password1\n");
    });
});
