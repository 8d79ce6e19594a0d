import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { parseStackFile } from "../../config/stack-file";
import { assertOneMistake, lines, mistakesOf } from "./support/mistakes";
import { fileWith, minimal, stackFile } from "./support/stack-files";

describe("stack file", () => {
    it("fills in every default", () => {
        assert.deepEqual(parseStackFile(fileWith({})), {
            publicName: "localhost",
            additionalNames: [],
            machines: { box: { kind: "local", generation: 1 } },
            baseline: {
                timeZone: "Etc/UTC",
                timeSync: "chrony",
                timeServers: [],
                openFiles: 65_535,
                firewall: "keep",
                seLinux: "keep",
                journalMiB: 500,
                packages: { sources: [] },
                docker: { noProxy: [], daemon: {} },
            },
            topology: { kind: "single", node: "box", loadBalancer: "box" },
            registry: {
                engine: "distribution",
                port: 5000,
                users: [{ name: "admin" }],
                garbageCollection: {
                    enabled: true,
                    schedule: "0 3 * * *",
                    deleteUntagged: false,
                    drainMinutes: 15,
                },
                logLevel: "info",
            },
            storage: {
                objects: { kind: "node", deleteData: false },
                database: { kind: "node" },
                cache: { kind: "node" },
                jobLogs: { kind: "node" },
            },
            loadBalancer: {
                mode: "http",
                httpsPort: 443,
                httpPort: 80,
                hstsSeconds: 0,
                drainSeconds: 60,
                probeSeconds: 1,
            },
            certificate: { kind: "own-ca", validityDays: 365, renewBeforeDays: 60, caValidityDays: 3650 },
            images: {},
        });
    });

    it("reports five mistakes at once, each with its path, what was expected and an example", () => {
        const file = fileWith({
            publicName: "10.0.0.1",
            topology: { kind: "single", node: "bix", loadBalancer: "box" },
            registry: { engine: "distribution", port: 70000, users: [{ name: "ci" }, { name: "ci" }], colour: "red" },
        });
        assert.deepEqual(lines(file).sort(), [
            'harborage:publicName: "10.0.0.1" is wrong; expected a DNS name, not an address: it becomes part of every image name, for example registry.example.com',
            "harborage:registry.colour: there is no such key; the keys here are: engine, port, users, garbageCollection, logLevel",
            "harborage:registry.port: 70000 is wrong; expected a TCP port from 1 to 65535, for example 5000",
            'harborage:registry.users[1].name: "ci" is there twice; give each user a name of its own',
            'harborage:topology.node: "bix" is not one of the machines; there is: box',
        ]);
    });

    it("says in the message's first line which file it is, and that nothing was done", () => {
        const file = stackFile({ stack: "prod", settings: { ...minimal, publicName: "-" }, secrets: [] });
        assert.throws(
            () => parseStackFile(file),
            /^StackFileError: Pulumi\.prod\.yaml has a mistake; nothing was changed:\n {2}- harborage:publicName: /,
        );
    });

    it("names each required setting that an empty file lacks", () => {
        const paths = mistakesOf(stackFile({ stack: "dev", settings: {}, secrets: [] }));
        assert.deepEqual(
            paths.map(({ path, message }) => [path, message.startsWith("is missing; ")]),
            ["publicName", "machines", "topology", "registry"].map((key) => [`harborage:${key}`, true]),
        );
    });

    const unbuilt: [string, Record<string, unknown>, string][] = [
        [
            "a kind of machine that there is not",
            { machines: { box: { kind: "vmware" } } },
            'machines.box.kind: "vmware" is wrong; there is: local, existing, openstack',
        ],
        [
            "the engine quay",
            { registry: { engine: "quay" } },
            'registry.engine: "quay" is wrong; there is: distribution, harbor',
        ],
        [
            "the topology sharded",
            { topology: { kind: "sharded" } },
            'topology.kind: "sharded" is wrong; there is: single, shared, replicated',
        ],
        [
            "objects in S3",
            { storage: { objects: { kind: "s3" } } },
            'storage.objects.kind: "s3" is wrong; there is: node, volume, external, aws',
        ],
        [
            "a method that is not built",
            { loadBalancer: { mode: "http", method: "round_robin" } },
            'loadBalancer.method: "round_robin" is wrong; expected one of: random, least_conn, ip_hash',
        ],
        [
            "the mode tcp",
            { loadBalancer: { mode: "tcp" } },
            'loadBalancer.mode: "tcp" is wrong; there is: http, stream',
        ],
        [
            "given certificates",
            { certificate: { kind: "given" } },
            'certificate.kind: "given" is wrong; there is: own-ca',
        ],
        [
            "a machine without a kind",
            { machines: { box: {} } },
            "machines.box.kind: is missing; one of: local, existing, openstack",
        ],
        [
            "a database",
            { storage: { database: { kind: "rds" } } },
            'storage.database.kind: "rds" is wrong; there is: node, volume, external, machine, aws',
        ],
    ];
    for (const [what, settings, expected] of unbuilt) {
        it(`answers ${what} with what there is`, () => {
            assertOneMistake(fileWith(settings), `harborage:${expected}`);
        });
    }

    const installer = { path: "/srv/harbor.tgz", sha256: "0".repeat(64) };
    const harbor = { engine: "harbor", version: "2.15.2", installer };
    const external = (more: Record<string, unknown>) => ({
        registry: harbor,
        storage: { cache: { kind: "external", host: "redis.test:6379", ...more } },
    });
    const indexes = "storage.cache.indexes.registry";
    const refused: [string, Record<string, unknown>, string][] = [
        ["no machine", { machines: {} }, "machines"],
        [
            "two machines that are both this machine",
            { machines: { box: { kind: "local" }, bax: { kind: "local" } } },
            "machines",
        ],
        [
            "a machine's name with capitals",
            { machines: { box: { kind: "local" }, Box: { kind: "local" } } },
            "machines.Box",
        ],
        [
            "a machine's name that every object has",
            { topology: { kind: "single", node: "constructor", loadBalancer: "box" } },
            "topology.node",
        ],
        [
            "a folder that climbs",
            { machines: { box: { kind: "local", directory: "/srv/../etc" } } },
            "machines.box.directory",
        ],
        ["the home folder itself", { machines: { box: { kind: "local", directory: "~/" } } }, "machines.box.directory"],
        ["the root folder", { machines: { box: { kind: "local", directory: "/" } } }, "machines.box.directory"],
        ["a relative folder", { machines: { box: { kind: "local", directory: "srv" } } }, "machines.box.directory"],
        [
            "a folder with a space",
            { machines: { box: { kind: "local", directory: "/srv/my registry" } } },
            "machines.box.directory",
        ],
        ["no users", { registry: { engine: "distribution", users: [] } }, "registry.users"],
        [
            "a colon in a user's name",
            { registry: { engine: "distribution", users: [{ name: "a:b" }] } },
            "registry.users[0].name",
        ],
        ["a balancer on the node's port", { registry: { engine: "distribution", port: 443 } }, "registry.port"],
        ["a redirect on the node's port", { registry: { engine: "distribution", port: 80 } }, "registry.port"],
        ["a node on the balancer's own port", { loadBalancer: { mode: "http", httpsPort: 5000 } }, "registry.port"],
        ["a redirect to itself", { loadBalancer: { mode: "http", httpPort: 443 } }, "loadBalancer.httpPort"],
        ["a port as text", { loadBalancer: { mode: "http", httpsPort: "8443" } }, "loadBalancer.httpsPort"],
        ["half a port", { loadBalancer: { mode: "http", httpsPort: 1.5 } }, "loadBalancer.httpsPort"],
        [
            "six fields of cron",
            { registry: { engine: "distribution", garbageCollection: { schedule: "0 0 3 * * *" } } },
            "registry.garbageCollection.schedule",
        ],
        [
            "@daily",
            { registry: { engine: "distribution", garbageCollection: { schedule: "@daily" } } },
            "registry.garbageCollection.schedule",
        ],
        [
            "the last day of months",
            { registry: { engine: "distribution", garbageCollection: { schedule: "0 3 L * *" } } },
            "registry.garbageCollection.schedule",
        ],
        [
            "a schedule by chance",
            { registry: { engine: "distribution", garbageCollection: { schedule: "H 3 * * *" } } },
            "registry.garbageCollection.schedule",
        ],
        [
            "a certificate that is always renewed",
            { certificate: { kind: "own-ca", validityDays: 60 } },
            "certificate.renewBeforeDays",
        ],
        [
            "a CA that ends before its certificate",
            { certificate: { kind: "own-ca", caValidityDays: 364 } },
            "certificate.caValidityDays",
        ],
        ["an image without a digest", { images: { nginx: "nginx:1.30.1" } }, "images.nginx"],
        ["a name with a space", { additionalNames: ["a b"] }, "additionalNames[0]"],
        ["Redis' index 0, which Harbor takes for absent", external({ indexes: { registry: 0 } }), indexes],
        ["connections without any idle time, likewise", external({ idleSeconds: 0 }), "storage.cache.idleSeconds"],
        ["a user of Redis without a password", external({ username: "harbor" }), "storage.cache.username"],
        ["hosts of Redis without a master", external({ host: "a.test:1,b.test:1" }), "storage.cache.host"],
        [
            "a volume for two things",
            {
                registry: harbor,
                storage: { database: { kind: "volume", name: "one" }, jobLogs: { kind: "volume", name: "one" } },
            },
            "storage.jobLogs.name",
        ],
    ];
    const idle: [string, Record<string, unknown>, string | RegExp][] = [
        [
            "repositories of Trivy's databases before Harbor has them",
            { registry: { ...harbor, version: "2.14.4", trivy: { dbRepository: "mirror.test/db" } } },
            'registry.trivy.dbRepository: "mirror.test/db" has no effect before Harbor 2.15',
        ],
        ["a proxy that is none", { registry: { ...harbor, proxy: {} } }, /^harborage:registry\.proxy: is for nothing/],
        [
            "who may read metrics that there are not",
            { registry: { ...harbor, metrics: { cidrs: ["192.0.2.0/24"] } } },
            "registry.metrics.cidrs: has no effect without enabled: true",
        ],
    ];
    for (const [what, settings, expected] of idle) {
        it(`refuses ${what}`, () => {
            assertOneMistake(fileWith(settings), typeof expected === "string" ? `harborage:${expected}` : expected);
        });
    }

    for (const [what, settings, path] of refused) {
        it(`refuses ${what}`, () => {
            assertOneMistake(
                fileWith(settings),
                new RegExp(`^harborage:${path.replace(/[[\].]/g, "\\$&")}: .*(expected|digest|there is: box$)`),
            );
        });
    }

    it("asks for the images' names in a bundle", () => {
        const bundle = { path: "/srv/images.tar", sha256: "0".repeat(64) };
        assert.deepEqual(
            mistakesOf(fileWith({ images: { bundle } })).map(({ path }) => path),
            ["harborage:images.registry", "harborage:images.nginx"],
        );
        const images = { bundle, registry: "registry:3", nginx: "nginx:1" };
        assert.deepEqual(parseStackFile(fileWith({ images })).images, images);
    });

    it("accepts months and weekdays by name", () => {
        for (const schedule of ["0 3 1 JUL *", "0 3 * JAN-MAR SUN,THU", "*/5 0-23/2 1,15 * 1-5"]) {
            const registry = { engine: "distribution", garbageCollection: { schedule } };
            assert.equal(parseStackFile(fileWith({ registry })).registry.garbageCollection.schedule, schedule);
        }
    });

    it("refuses stack names that compose would refuse", () => {
        for (const stack of ["Prod", "prod.eu", "-prod", "p".repeat(61)]) {
            assertOneMistake(
                stackFile({ stack, settings: minimal, secrets: [] }),
                /^the stack's name: .* expected .* prod-eu$/,
            );
        }
    });

    it("cuts long values out of its messages", () => {
        const [line = ""] = lines(fileWith({ publicName: "_".repeat(5000) }));
        assert.ok(line.length < 250, line);
    });

    describe("secrets", () => {
        const users = (password: unknown) => ({
            registry: { engine: "distribution", users: [{ name: "ci", password }] },
        });
        const at = "harborage:registry.users[0].password";

        it("are found by their names", () => {
            const config = parseStackFile(fileWith(users("ciPassword"), ["ciPassword"]));
            assert.ok(config.registry.engine === "distribution");
            assert.deepEqual(config.registry.users, [{ name: "ci", password: "ciPassword" }]);
        });

        it("are never in the parsed file", () => {
            const config = parseStackFile(fileWith(users("ciPassword"), ["ciPassword"]));
            assert.doesNotMatch(JSON.stringify(config), /value of/);
        });

        it("that are missing are named with the command that sets them", () => {
            assertOneMistake(
                fileWith(users("ciPassword")),
                `${at}: there is no secret "ciPassword"; set it with: pulumi config set --secret ciPassword --stack test`,
            );
        });

        it("that every object has are missing all the same", () => {
            assertOneMistake(fileWith(users("constructor")), /there is no secret "constructor"/);
        });

        it("in plain text are refused, and their value is not shown", () => {
            const file = fileWith({ ...users("ciPassword"), ciPassword: "hunter2" });
            assertOneMistake(
                file,
                "harborage:ciPassword: is in plain text; set it again with: pulumi config set --secret ciPassword --stack test",
            );
        });

        it("that bcrypt would cut are refused, and not shown", () => {
            for (const [password, bytes] of [
                ["x".repeat(73), 73],
                ["\u00e9".repeat(37), 74],
                ["", 0],
            ] as const) {
                const file = {
                    ...fileWith({ ...users("ciPassword"), ciPassword: password }),
                    secretKeys: new Set(["ciPassword"]),
                };
                assertOneMistake(
                    file,
                    `harborage:ciPassword: has ${bytes} bytes; expected a password of 1 to 72: bcrypt does not look at more`,
                );
            }
            const longest = { ...users("ciPassword"), ciPassword: "x".repeat(72) };
            parseStackFile({ ...fileWith(longest), secretKeys: new Set(["ciPassword"]) });
        });

        it("that nothing refers to are refused", () => {
            assertOneMistake(fileWith({}, ["old"]), /^harborage:old: is a secret that nothing refers to/);
        });

        it("inside a setting are refused, and their value is not shown", () => {
            const file = fileWith({ registry: { ...users("hunter2").registry, colour: "hunter2", port: "hunter2" } });
            assertOneMistake(
                { ...file, secretKeys: new Set(["registry"]) },
                "harborage:registry: holds a secret; expected the secret as a key of its own (pulumi config set --secret NAME) and its name here",
            );
        });

        it("are not settings", () => {
            assertOneMistake(
                fileWith(users("publicName")),
                `${at}: "publicName" is a setting, not a secret; for example ciPassword`,
            );
        });

        it("need a name", () => {
            assertOneMistake(fileWith(users("my password")), new RegExp(`expected the name of a secret`));
        });
    });
});
