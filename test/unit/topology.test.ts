import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { makePlan } from "../../config/plan";
import { parseStackFile } from "../../config/stack-file";
import { assertOneMistake, lines } from "./support/mistakes";
import { fileWith } from "./support/stack-files";

type Settings = Readonly<Record<string, unknown>>;

const existing = (number: number) => ({
    kind: "existing",
    address: `192.0.2.${String(number)}`,
    hostKey: "accept-any",
});
const vm = { kind: "openstack", image: "debian-12", flavor: "m1.large" };
const lb = { ...vm, floatingIp: true };
const openstack = { network: { kind: "own", externalNetwork: "public" }, sshCidrs: ["198.51.100.0/24"] };
const objects = { kind: "external", bucket: "registry", region: "eu-central-1" };
const installer = { path: "/srv/harbor.tgz", sha256: "ab".repeat(32) };
const harbor = { engine: "harbor", version: "2.15.2", installer };

/** Three nodes in a cloud. */
const cloud = {
    machines: { lb, node: { ...vm, count: 3 } },
    openstack,
    topology: { kind: "shared", nodes: ["node"], loadBalancer: "lb" },
    storage: { objects },
};

/** Two nodes on machines that exist. */
const metal = {
    machines: { lb: existing(1), a: existing(2), b: existing(3), db: existing(4) },
    topology: { kind: "shared", nodes: ["a", "b"], loadBalancer: "lb" },
    storage: { objects },
};

const database = { kind: "machine", machine: "db" };
const harborOnMetal = {
    ...metal,
    registry: harbor,
    storage: { objects, database, cache: database },
};

const planOf = (settings: Settings) => makePlan("test", parseStackFile(fileWith(settings)));

describe("topology shared", () => {
    it("makes as many machines as the number says, and the load balancer knows all of them", () => {
        for (const count of [2, 3, 5]) {
            const machines = { lb, node: { ...vm, count } };
            const plan = planOf({ ...cloud, machines });
            const names = Array.from({ length: count }, (_, index) => `node-${String(index + 1)}`);
            assert.deepEqual(plan.loadBalancer.nodes, names);
            assert.deepEqual(
                plan.machines.map(({ name, entry }) => [name, entry]),
                [["lb", "lb"], ...names.map((name) => [name, "node"])],
            );
        }
    });

    it("leaves every other node as it is when the number changes", () => {
        const nodes = (count: number) => planOf({ ...cloud, machines: { lb, node: { ...vm, count } } });
        const [two, five] = [nodes(2), nodes(5)];
        assert.deepEqual(five.nodes.slice(0, 2), two.nodes);
        assert.deepEqual(five.machines.slice(0, 3), two.machines);
        assert.deepEqual(five.registry, two.registry);
        assert.deepEqual(five.cloud, two.cloud);
    });

    it("sets up one of the machines again by its own generation", () => {
        const machines = { lb, node: { ...vm, count: 3, generation: 2, generations: { "node-2": 5 } } };
        const generations = planOf({ ...cloud, machines }).machines.map(({ generation }) => generation);
        assert.deepEqual(generations, [1, 2, 5, 2]);
    });

    it("backs up a database that nodes share once, and keeps the logs of jobs in it", () => {
        const plan = planOf(harborOnMetal);
        assert.deepEqual(
            plan.nodes.map(({ rank, backup }) => [rank, backup?.enabled]),
            [
                ["first", true],
                ["other", false],
            ],
        );
        assert.ok(plan.registry.engine === "harbor");
        assert.deepEqual(plan.registry.jobLoggers, ["STD_OUTPUT", "DB"]);
        assert.equal(plan.registry.maxOpenConnections, 80);
    });

    it("lets nodes alone to their database and cache", () => {
        const machines = { lb, node: { ...vm, count: 2 }, db: vm, old: existing(9) };
        const plan = planOf({
            ...cloud,
            machines,
            topology: { ...cloud.topology, nodes: ["node", "old"] },
            registry: harbor,
            storage: { objects, database, cache: { ...database, port: 6380 } },
        });
        const opened = (plan.cloud?.rules ?? []).filter(({ role }) => role === "storage");
        assert.deepEqual(
            opened.map(({ port, from }) => [port, "cidr" in from ? from.cidr : from.role]),
            [
                [22, "198.51.100.0/24"],
                [22, "load-balancer"],
                [5432, "node"],
                [5432, "192.0.2.9/32"],
                [6380, "node"],
                [6380, "192.0.2.9/32"],
            ],
        );
    });

    const mistakes: readonly [what: string, settings: Settings, expected: string][] = [
        [
            "a single machine",
            { ...metal, topology: { ...metal.topology, nodes: ["a"] } },
            "topology.nodes: is wrong; expected at least two machines, for example one with count: 3, or kind: single for one",
        ],
        [
            "a machine twice",
            { ...metal, topology: { ...metal.topology, nodes: ["a", "b", "a"] } },
            'topology.nodes[2]: "a" is there twice; name each machine once',
        ],
        [
            "a machine that there is not",
            { ...metal, topology: { ...metal.topology, nodes: ["a", "c"] } },
            'topology.nodes[1]: "c" is not one of the machines; there is: lb, a, b, db',
        ],
        [
            "the load balancer among the nodes",
            { ...metal, topology: { ...metal.topology, loadBalancer: "a" } },
            'topology.loadBalancer: "a" is wrong; expected a machine that is none of the nodes: the end of a node must not end it',
        ],
        [
            "state on the nodes",
            { ...metal, storage: {} },
            "storage.objects.kind: the default does not fit; expected external or aws: several nodes share it",
        ],
        [
            "Harbor's database on the nodes",
            { ...harborOnMetal, storage: { objects, cache: database } },
            "storage.database.kind: the default does not fit; expected external or machine or aws: several nodes share it",
        ],
        [
            "a cache for CNCF Distribution",
            { ...metal, storage: { objects, cache: database } },
            'storage.cache.kind: "machine" is for engine harbor; expected node with engine distribution',
        ],
        [
            "logs of jobs in files",
            { ...harborOnMetal, registry: { ...harbor, jobs: { loggers: ["FILE"] } } },
            "registry.jobs.loggers: is wrong; expected DB among them: with several nodes a log in a file is on one of them only",
        ],
        [
            "more connections than the database takes",
            { ...harborOnMetal, registry: { ...harbor, database: { maxOpenConnections: 300 } } },
            "storage.database.maxConnections: the default does not fit; expected at least 1200: 2 nodes with 2 components that open 300 each (registry.database.maxOpenConnections)",
        ],
        [
            "a database on the port of the cache",
            { ...harborOnMetal, storage: { objects, database, cache: { ...database, port: 5432 } } },
            "storage.cache.port: 5432 is wrong; expected another port than that of the database on the same machine",
        ],
        [
            "a database that is one of several machines",
            {
                ...cloud,
                registry: harbor,
                storage: {
                    objects,
                    database: { kind: "machine", machine: "node" },
                    cache: { kind: "machine", machine: "lb" },
                },
            },
            'storage.database.machine: "node" is wrong; expected a machine without count: one of several is not meant',
        ],
        [
            "a database on this machine",
            {
                ...harborOnMetal,
                machines: { ...metal.machines, db: { kind: "local" } },
                storage: { objects, database, cache: { kind: "machine", machine: "lb" } },
            },
            'storage.database.machine: "db" is wrong; expected a machine that nodes can reach: what is on this machine answers to this machine only',
        ],
        [
            "a name that a number makes as well",
            {
                ...cloud,
                machines: { ...cloud.machines, "node-2": vm },
                topology: { ...cloud.topology, nodes: ["node", "node-2"] },
            },
            "machines.node-2: is also one of those that node stands for; rename it",
        ],
        [
            "one address for several machines",
            { ...cloud, machines: { lb, node: { ...vm, count: 3, address: "10.42.0.9" } } },
            'machines.node.address: "10.42.0.9" cannot be that of several machines; remove it',
        ],
        [
            "the generation of a machine that there is not",
            { ...cloud, machines: { lb, node: { ...vm, count: 2, generations: { "node-3": 2 } } } },
            "machines.node.generations.node-3: 2 is none of its machines; expected one of: node-1, node-2",
        ],
        [
            "generations without a number",
            {
                ...cloud,
                machines: { lb, node: { ...vm, count: 2 }, other: { ...vm, generations: { other: 2 } } },
                topology: { ...cloud.topology, nodes: ["node", "other"] },
            },
            "machines.other.generations: has no effect without count; expected generation",
        ],
    ];
    for (const [what, settings, expected] of mistakes) {
        it(`refuses ${what}`, () => {
            assertOneMistake(fileWith(settings), `harborage:${expected}`);
        });
    }

    it("refuses one of several machines as the load balancer", () => {
        const settings = { ...cloud, topology: { ...cloud.topology, loadBalancer: "node" } };
        assert.ok(
            lines(fileWith(settings)).includes(
                'harborage:topology.loadBalancer: "node" is wrong; expected a machine without count: one of several is not meant',
            ),
        );
    });
});
