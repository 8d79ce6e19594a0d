import assert from "node:assert/strict";
import { compareSync, hashSync } from "bcryptjs";
import { describe, it } from "mocha";
import { parse } from "yaml";
import {
    renderCollectorCompose,
    renderCollectorConfig,
    renderCompose,
    renderConfig,
    renderSchedule,
} from "../../components/registry/distribution/render";
import { renderHtpasswd } from "../../components/registry/htpasswd";
import type { ObjectPlace } from "../../components/storage";
import { makePlan, type DistributionPlan, type Plan } from "../../config/plan";
import { parseStackFile } from "../../config/stack-file";
import { fileWith } from "./support/stack-files";

type DistributionStack = Plan & { readonly registry: DistributionPlan };

function planWith(registry: Readonly<Record<string, unknown>> = {}, settings: object = {}): DistributionStack {
    const all = { registry: { engine: "distribution", ...registry }, ...settings };
    const plan = makePlan("test", parseStackFile(fileWith(all)));
    assert.equal(plan.registry.engine, "distribution");
    return { ...plan, registry: plan.registry };
}

interface Service {
    image: string;
    restart: string;
    user: string;
    labels: Record<string, string>;
    environment: Record<string, string>;
    command: string[];
    ports?: string[];
    volumes: string[];
    tmpfs: string[];
    read_only: boolean;
    cap_drop: string[];
}

interface Compose {
    name: string;
    services: { registry: Service; collector: Service; gate?: Service };
}

function compose(plan: DistributionStack, startFiles = ["a"], collectorFiles = ["b"], address = "127.0.0.1"): Compose {
    const [node] = plan.nodes;
    assert.ok(node !== undefined);
    const { stack, registry } = plan;
    return parse(renderCompose({ stack, registry, node, address, startFiles, collectorFiles })) as Compose;
}

describe("configuration of the registry", () => {
    interface Config {
        version: number;
        log: { level: string };
        storage: Record<string, unknown>;
        auth: Record<string, unknown>;
        http: { addr: string; secret: string; debug: { addr: string; prometheus: unknown }; tls?: unknown };
        health: unknown;
        redis?: unknown;
    }
    const text = renderConfig(planWith().registry);
    const config = parse(text) as Config;

    it("lets clients delete", () => {
        assert.deepEqual(config.storage["delete"], { enabled: true });
    });

    it("has no cache that could outlive a collection", () => {
        assert.deepEqual(Object.keys(config.storage).sort(), ["delete", "filesystem", "maintenance"]);
        assert.equal(config.redis, undefined);
    });

    it("keeps images where the data folder is mounted", () => {
        assert.deepEqual(config.storage["filesystem"], { rootdirectory: "/var/lib/registry" });
        assert.ok(compose(planWith()).services.registry.volumes.some((each) => each.endsWith(":/var/lib/registry")));
    });

    it("asks for a password, from the htpasswd file of the release", () => {
        assert.deepEqual(config.auth, {
            htpasswd: { realm: "Harborage", path: "/etc/harborage/current/secrets/service/htpasswd" },
        });
    });

    it("holds no secret: config.sh puts it in", () => {
        assert.equal(config.http.secret, "@http-secret@");
        assert.equal(text.split("@http-secret@").length, 2);
    });

    it("shows metrics at a port of their own", () => {
        assert.notEqual(config.http.debug.addr, config.http.addr);
        assert.deepEqual(config.http.debug.prometheus, { enabled: true, path: "/metrics" });
    });

    it("is of the one version that there is, and logs as the stack file says", () => {
        assert.match(text, /^version: 0\.1$/m);
        assert.equal((parse(renderConfig(planWith({ logLevel: "debug" }).registry)) as Config).log.level, "debug");
    });
});

describe("compose file of a node", () => {
    const { name, services } = compose(planWith());

    it("keeps the registry and its collector running", () => {
        assert.equal(name, "harborage-test-registry");
        assert.deepEqual(Object.keys(services), ["registry", "collector"]);
        for (const service of Object.values(services)) {
            assert.equal(service.restart, "always");
            assert.equal(service.image, planWith().registry.image);
        }
    });

    it("takes every right that they do not need", () => {
        for (const service of Object.values(services)) {
            assert.equal(service.user, "${HARBORAGE_USER}");
            assert.equal(service.read_only, true);
            assert.deepEqual(service.cap_drop, ["ALL"]);
            assert.ok(service.volumes.includes("${HARBORAGE_STACK}:/etc/harborage:ro"));
        }
    });

    it("opens the registry's port, at the one address, and no other: metrics stay inside", () => {
        assert.deepEqual(services.registry.ports, ["127.0.0.1:5000:5000"]);
        assert.equal(services.collector.ports, undefined);
        assert.deepEqual(compose(planWith({ port: 5555 })).services.registry.ports, ["127.0.0.1:5555:5000"]);
    });

    it("mounts the data folder of the plan", () => {
        assert.ok(
            services.registry.volumes.includes(
                "${HARBORAGE_HOME}/.local/share/harborage/test/data/registry:/var/lib/registry",
            ),
        );
        const machines = { box: { kind: "local", directory: "/srv/registry" } };
        const other = compose(planWith({}, { machines }));
        assert.ok(other.services.registry.volumes.includes("/srv/registry/data/registry:/var/lib/registry"));
    });

    it("holds no secret, and nothing that changes with users", () => {
        const users = [{ name: "admin" }, { name: "ci" }];
        assert.deepEqual(compose(planWith({ users })), compose(planWith()));
        assert.doesNotMatch(JSON.stringify(services), /htpasswd|\$2[aby]\$|password|http-secret/i);
    });

    it("makes a container anew exactly when what it reads at its start changes", () => {
        const labels = (start: string[], collector: string[]) => {
            const made = compose(planWith(), start, collector).services;
            return [made.registry.labels["harborage.config"], made.collector.labels["harborage.config"]];
        };
        const [registry, collector] = labels(["a"], ["b"]);
        assert.deepEqual(labels(["a"], ["b"]), [registry, collector]);
        assert.equal(labels(["a"], ["other"])[0], registry);
        assert.notEqual(labels(["a"], ["other"])[1], collector);
        assert.equal(labels(["other"], ["b"])[1], collector);
        assert.notEqual(labels(["other"], ["b"])[0], registry);
        // Where one text ends and the next begins counts.
        assert.notEqual(labels(["ab", "c"], ["b"])[0], labels(["a", "bc"], ["b"])[0]);
    });

    it("is marked as the stack's, for the check of ports", () => {
        assert.deepEqual(
            Object.values(services).map(({ labels }) => labels["harborage.stack"]),
            ["test", "test"],
        );
    });

    it("tells the collector what the stack file says of it", () => {
        assert.deepEqual(services.collector.command, ["schedule"]);
        assert.deepEqual(services.collector.environment, {
            OTEL_TRACES_EXPORTER: "none",
            METRICS: "http://registry:5001/metrics",
            QUIET_SECONDS: "3",
            DELETE_UNTAGGED: "false",
            DRAIN_SECONDS: "900",
            IMAGES: "/var/lib/registry",
            EITHER_DAY: "false",
        });
        const garbageCollection = { enabled: false, deleteUntagged: true, drainMinutes: 2, schedule: "0 0 1 * 1" };
        const other = compose(planWith({ garbageCollection })).services.collector;
        assert.deepEqual(other.command, ["wait"]);
        assert.deepEqual(
            [other.environment["DELETE_UNTAGGED"], other.environment["DRAIN_SECONDS"], other.environment["EITHER_DAY"]],
            ["true", "120", "true"],
        );
    });
});

describe("compose file of a node whose load balancer is on another machine", () => {
    const there = { kind: "existing", address: "10.0.0.1", hostKey: "accept-any" };
    const plan = planWith(
        { port: 5555 },
        { machines: { lb: there, node: there }, topology: { kind: "single", node: "node", loadBalancer: "lb" } },
    );
    const { registry, collector, gate } = compose(plan, ["a"], ["b"], "10.0.0.1").services;

    it("opens the gate's port in place of the registry's", () => {
        assert.equal(registry.ports, undefined);
        assert.equal(collector.ports, undefined);
        assert.deepEqual(gate?.ports, ["10.0.0.1:5555:8080"]);
        assert.equal(gate.image, plan.loadBalancer.image);
    });

    it("takes every right that the gate does not need", () => {
        assert.equal(gate?.user, "${HARBORAGE_USER}");
        assert.equal(gate.read_only, true);
        assert.deepEqual(gate.cap_drop, ["ALL"]);
        assert.deepEqual(gate.volumes, [
            "${HARBORAGE_STACK}:/etc/harborage:ro",
            "${HARBORAGE_DIRECTORY}/gate:/gate:ro",
        ]);
        assert.equal(gate.restart, "always");
        assert.equal(gate.labels["harborage.stack"], "test");
    });

    it("closes the gate by the flags that the collector sets", () => {
        assert.ok(collector.volumes.includes("${HARBORAGE_DIRECTORY}/gate:/gate"));
    });
});

describe("a node with its images in a bucket", () => {
    const objects = {
        ...{ bucket: "images", region: "eu-1", rootDirectory: "/registry", hasKey: true },
        ...{ encrypt: true, storageClass: "STANDARD_IA" as const, redirect: false },
    };
    const { stack, registry, nodes } = planWith();
    const storageOf = (place: ObjectPlace) =>
        (parse(renderConfig(registry, place)) as { storage: Record<string, unknown> }).storage;
    const composeOf = (place: ObjectPlace) => {
        const [node] = nodes;
        assert.ok(node !== undefined);
        const files = { startFiles: ["a"], collectorFiles: ["b"] };
        const args = { stack, registry, node, objects: place, address: "127.0.0.1", ...files };
        return (parse(renderCompose(args)) as Compose).services;
    };

    it("uses Amazon's S3 with the keys, which are not in the text", () => {
        const { filesystem, s3, redirect } = storageOf(objects);
        assert.equal(filesystem, undefined);
        assert.deepEqual(s3, {
            ...{ bucket: "images", region: "eu-1", rootdirectory: "/registry", v4auth: true },
            ...{
                accesskey: "@s3-access-key@",
                secretkey: "@s3-secret-key@",
                encrypt: true,
                storageclass: "STANDARD_IA",
            },
        });
        assert.deepEqual(redirect, { disable: true });
        assert.deepEqual(storageOf({ ...objects, redirect: true })["redirect"], { disable: false });
    });

    it("uses the machine's role where there is no key", () => {
        const { s3 } = storageOf({ ...objects, hasKey: false });
        assert.doesNotMatch(JSON.stringify(s3), /key/);
        assert.equal(composeOf({ ...objects, hasKey: false }).registry.labels["harborage.keys"], undefined);
    });

    it("notices within ten seconds that the bucket cannot be reached", () => {
        const { health } = parse(renderConfig(registry, objects)) as {
            health: { storagedriver: { enabled: boolean; interval: string; threshold: number } };
        };
        const { enabled, interval, threshold } = health.storagedriver;
        assert.ok(enabled);
        assert.ok(Number(/^(\d+)s$/.exec(interval)?.[1]) * threshold < 10);
    });

    it("names the bucket in the path where the server is not Amazon's", () => {
        for (const [endpoint, secure] of [
            ["https://s3.test:9000", true] as const,
            ["http://s3.test", false] as const,
        ]) {
            const { s3 } = storageOf({ ...objects, endpoint }) as { s3: Record<string, unknown> };
            assert.deepEqual([s3["regionendpoint"], s3["forcepathstyle"], s3["secure"]], [endpoint, true, secure]);
        }
    });

    it("has no folder for images, and no volume in its place", () => {
        for (const service of Object.values(composeOf(objects))) {
            assert.ok(!service.volumes.some((each) => each.endsWith(":/var/lib/registry")));
            assert.ok(service.tmpfs.includes("/var/lib/registry"));
            assert.equal(service.environment["IMAGES"], undefined);
        }
    });

    it("trusts the server's own CA", () => {
        const trusts = ({ environment }: Service) => environment["AWS_CA_BUNDLE"];
        const file = "/etc/harborage/current/registry/objects-ca.pem";
        const { registry: with_, collector } = composeOf({ ...objects, caCertificate: "PEM" });
        assert.deepEqual([trusts(with_), trusts(collector)], [file, file]);
        assert.equal(trusts(composeOf(objects).registry), undefined);
    });

    it("makes containers anew when the keys change", () => {
        for (const service of Object.values(composeOf(objects))) {
            assert.equal(service.labels["harborage.keys"], "${HARBORAGE_KEYS}");
        }
    });
});

describe("nodes that share a bucket", () => {
    const machine = (number: number) => ({ kind: "existing", address: `192.0.2.${number}`, hostKey: "accept-any" });
    const plan = planWith(
        {},
        {
            machines: { lb: machine(1), a: machine(2), b: machine(3) },
            topology: { kind: "shared", nodes: ["a", "b"], loadBalancer: "lb" },
            storage: { objects: { kind: "external", bucket: "images", region: "eu-1" } },
        },
    );
    const { stack, registry } = plan;
    const objects = {
        ...{ bucket: "images", region: "eu-1", rootDirectory: "/", hasKey: true },
        ...{ encrypt: false, storageClass: "STANDARD" as const, redirect: false },
    };
    const nodes = [
        { name: "a", address: "10.0.0.1", port: 5000 },
        { name: "b", address: "10.0.0.2", port: 5001 },
    ];
    const project = registry.collectorProject;
    const { name, services } = parse(
        renderCollectorCompose({ stack, registry, project, objects, nodes, files: ["a"] }),
    ) as Compose;

    it("do not collect by themselves", () => {
        assert.deepEqual(Object.keys(compose(plan).services).sort(), ["gate", "registry"]);
    });

    it("have one collector, beside the load balancer", () => {
        assert.equal(name, "harborage-test-collector");
        assert.deepEqual(Object.keys(services), ["collector"]);
        const [balancer, ...others] = plan.machines;
        assert.deepEqual(balancer?.projects, ["harborage-test-lb", "harborage-test-collector"]);
        assert.deepEqual(balancer.images.references, [registry.image, plan.loadBalancer.image]);
        assert.ok(!others.some(({ projects }) => projects.includes(project)));
        assert.ok(!planWith().machines.some(({ projects }) => projects.includes(project)));
    });

    it("are all asked what they write, for longer than the load balancer may hold a request", () => {
        const { environment, volumes } = services.collector;
        assert.equal(
            environment["METRICS"],
            "http://10.0.0.1:5000/harborage/metrics http://10.0.0.2:5001/harborage/metrics",
        );
        assert.equal(environment["QUIET_SECONDS"], "33");
        assert.equal(environment["ASKED"], "/gate/asked");
        assert.deepEqual(volumes, ["${HARBORAGE_STACK}:/etc/harborage:ro", "${HARBORAGE_DIRECTORY}/gate:/gate"]);
    });

    it("give it no more than what it needs of their configuration", () => {
        const own = parse(renderCollectorConfig(registry, objects)) as Record<string, Record<string, unknown>>;
        const theirs = parse(renderConfig(registry, objects)) as Record<string, Record<string, unknown>>;
        assert.deepEqual(Object.keys(own).sort(), ["log", "storage", "version"]);
        assert.deepEqual(own["storage"]?.["s3"], theirs["storage"]?.["s3"]);
    });
});

describe("htpasswd", () => {
    it("has a line for each user, with a hash that its password matches", () => {
        const hash = hashSync("correct horse", 4);
        const lines = renderHtpasswd([
            { name: "admin", hash },
            { name: "ci", hash: hashSync("other", 4) },
        ]).split("\n");
        assert.deepEqual(
            lines.map((line) => line.split(":")[0]),
            ["admin", "ci", ""],
        );
        assert.ok(compareSync("correct horse", lines[0]?.split(":")[1] ?? ""));
        assert.ok(!compareSync("correct horse", lines[1]?.split(":")[1] ?? ""));
    });
});

describe("schedule of the collector", () => {
    it("has a word and its numbers on each line", () => {
        const { times } = planWith({ garbageCollection: { schedule: "5,35 3 * JAN 0" } }).registry.garbageCollection;
        assert.deepEqual(renderSchedule(times).split("\n"), [
            "minutes 5 35",
            "hours 3",
            `days ${Array.from({ length: 31 }, (_, index) => index + 1).join(" ")}`,
            "months 1",
            "weekdays 0",
            "",
        ]);
    });
});
