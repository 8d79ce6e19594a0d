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
const openstack = { network: { kind: "own", externalNetwork: "public" }, sshCidrs: ["198.51.100.0/24"] };
const registry = {
    engine: "harbor",
    version: "2.15.2",
    installer: { path: "/srv/harbor.tgz", sha256: "ab".repeat(32) },
};
const loadBalancer = { mode: "http", adminCidrs: ["198.51.100.0/24"] };
const topology = { kind: "replicated", nodes: ["first", "second"], loadBalancer: "lb" };

/** Two nodes on machines that exist; the order of `machines` says nothing. */
const metal = {
    machines: { second: existing(3), lb: existing(1), first: existing(2) },
    topology,
    registry,
    loadBalancer,
};

/** The same in a cloud. */
const cloud = {
    ...metal,
    machines: { lb: { ...vm, floatingIp: true }, node: { ...vm, count: 2 } },
    openstack,
    topology: { ...topology, nodes: ["node"] },
};

const planOf = (settings: Settings) => makePlan("test", parseStackFile(fileWith(settings)));

describe("topology replicated", () => {
    it("has an active node and a standby, each with state, backups and HTTPS of its own", () => {
        const { nodes } = planOf(metal);
        assert.deepEqual(
            nodes.map(({ name, role, rank, tls, peer, backup }) => [name, role, rank, tls, peer, backup?.enabled]),
            [
                ["second", "standby", "only", true, "first", true],
                ["first", "active", "only", true, "second", true],
            ],
        );
    });

    it("tells the load balancer who is to be active, and which port leads to which node", () => {
        assert.deepEqual(planOf(metal).loadBalancer.failover, {
            mode: "http",
            misses: 3,
            active: "first",
            adminPorts: { first: 8441, second: 8442 },
            adminCidrs: ["198.51.100.0/24"],
        });
        const settings = {
            ...cloud,
            topology: { ...cloud.topology, active: "node-2", epoch: 4 },
            loadBalancer: { ...loadBalancer, mode: "stream", failoverMisses: 5, adminPort: 9000 },
        };
        assert.deepEqual(planOf(settings).loadBalancer.failover, {
            mode: "stream",
            misses: 5,
            active: "node-2",
            epoch: 4,
            adminPorts: { "node-1": 9000, "node-2": 9001 },
            adminCidrs: ["198.51.100.0/24"],
        });
    });

    it("says nothing of it with another topology", () => {
        const plan = planOf({});
        assert.equal(plan.loadBalancer.failover, undefined);
        assert.deepEqual(
            plan.nodes.map(({ role, tls, peer }) => [role, tls, peer]),
            [["active", false, undefined]],
        );
    });

    it("looks at the admin ports on the load balancer's machine before it uses them", () => {
        const ports = planOf(metal).machines.map(({ name, ports: taken }) => [name, taken.map(({ port }) => port)]);
        assert.deepEqual(ports, [
            ["second", [8080, 1514]],
            ["lb", [443, 80, 8441, 8442]],
            ["first", [8080, 1514]],
        ]);
    });

    it("lets the nodes replicate to each other, and administrators to each node, and nobody else", () => {
        const before = planOf({
            ...cloud,
            loadBalancer: { mode: "http" },
            topology: { ...cloud.topology, kind: "shared" },
            storage: {
                objects: { kind: "external", bucket: "registry", region: "eu-central-1" },
                database: { kind: "machine", machine: "lb" },
                cache: { kind: "machine", machine: "lb" },
            },
        }).cloud?.rules;
        const rules = (planOf(cloud).cloud?.rules ?? []).filter(
            (rule) => !(before ?? []).some((other) => JSON.stringify(other) === JSON.stringify(rule)),
        );
        assert.deepEqual(
            rules.map(({ role, port, from }) => [role, port, "cidr" in from ? from.cidr : from.role]),
            [
                ["node", 8080, "node"],
                ["load-balancer", 443, "node"],
                ["load-balancer", 8441, "198.51.100.0/24"],
                ["load-balancer", 8442, "198.51.100.0/24"],
            ],
        );
    });

    it("opens a port once, whatever it is opened for", () => {
        const rules = planOf({
            ...cloud,
            machines: { lb: cloud.machines.lb, first: existing(2), second: existing(3) },
            openstack: { ...openstack, clientCidrs: ["192.0.2.2/32"] },
            topology,
        }).cloud?.rules;
        const opened = (rules ?? []).map(({ role, port, from }) => JSON.stringify([role, port, from]));
        assert.deepEqual(opened, [...new Set(opened)]);
        assert.ok(opened.includes('["load-balancer",443,{"cidr":"192.0.2.3/32"}]'));
    });

    it("needs no DNS for the public name on the nodes", () => {
        const names = (settings: Settings) =>
            planOf(settings).machines.map(({ requirements }) => requirements.resolves);
        assert.deepEqual(names(metal), [undefined, undefined, undefined]);
    });

    const storage = (part: string, value: Settings) => ({ ...metal, storage: { [part]: value } });
    const mistakes: readonly [what: string, settings: Settings, expected: string][] = [
        [
            "one node",
            { ...metal, topology: { ...topology, nodes: ["first"] } },
            "topology.nodes: is wrong; expected two machines, for example [first, second], or one with count: 2",
        ],
        [
            "three nodes",
            { ...cloud, machines: { ...cloud.machines, node: { ...vm, count: 3 } } },
            "topology.nodes: is wrong; expected two machines, for example [first, second], or one with count: 2",
        ],
        [
            "an active node that is none",
            { ...metal, topology: { ...topology, active: "lb" } },
            'topology.active: "lb" is none of the nodes; expected one of: first, second',
        ],
        [
            "several machines as the active node",
            { ...cloud, topology: { ...cloud.topology, active: "node" } },
            'topology.active: "node" is none of the nodes; expected one of: node-1, node-2',
        ],
        [
            "an epoch of nothing",
            { ...metal, topology: { ...topology, epoch: 0 } },
            "topology.epoch: 0 is wrong; expected a number from 1 to 1000000000, for example 4",
        ],
        [
            "the load balancer among the nodes",
            { ...metal, topology: { ...topology, loadBalancer: "second" } },
            'topology.loadBalancer: "second" is wrong; expected a machine that is none of the nodes: the end of a node must not end it',
        ],
        [
            "a load balancer that nodes do not reach",
            { ...metal, machines: { ...metal.machines, lb: { kind: "local" } } },
            'topology.loadBalancer: "lb" is wrong; expected a machine of kind openstack or existing: the nodes ask the load balancer for tokens',
        ],
        [
            "a load balancer in front of VMs that their security group cannot name",
            { ...cloud, machines: { ...cloud.machines, lb: { kind: "local" } } },
            "topology.loadBalancer: \"lb\" is wrong; expected a machine of kind openstack or existing: the node's security group must name the load balancer's address",
        ],
        [
            "CNCF Distribution",
            { ...metal, registry: { engine: "distribution" } },
            'registry.engine: "distribution" is wrong; expected harbor: it is Harbor\'s own replication that fills the standby',
        ],
        [
            "objects that both share",
            storage("objects", { kind: "external", bucket: "registry", region: "eu-central-1" }),
            'storage.objects.kind: "external" is wrong; expected node or volume: each of the two nodes has its own',
        ],
        [
            "a database that both share",
            storage("database", { kind: "machine", machine: "lb" }),
            'storage.database.kind: "machine" is wrong; expected node or volume: each of the two nodes has its own',
        ],
        [
            "a cache that both share",
            storage("cache", { kind: "external", host: "redis.example.com:6379" }),
            'storage.cache.kind: "external" is wrong; expected node: each of the two nodes has its own',
        ],
        [
            "a volume that both mount",
            storage("objects", { kind: "volume", driver: "local", options: { type: "nfs", device: ":/srv" } }),
            'storage.objects.options.type: "nfs" is wrong; expected no network\'s file system: both nodes would mount the same one, and each has its own',
        ],
        [
            "admin ports for nobody",
            { ...metal, loadBalancer: { mode: "http" } },
            "loadBalancer.adminCidrs: the default does not fit; expected at least one range: `up` reaches each of the two nodes from there, for example [192.0.2.0/24]",
        ],
        [
            "no range",
            { ...metal, loadBalancer: { mode: "http", adminCidrs: [] } },
            "loadBalancer.adminCidrs: is wrong; expected at least one range: `up` reaches each of the two nodes from there, for example [192.0.2.0/24]",
        ],
        [
            "a range twice",
            { ...metal, loadBalancer: { mode: "http", adminCidrs: ["192.0.2.0/24", "192.0.2.0/24"] } },
            'loadBalancer.adminCidrs[1]: "192.0.2.0/24" is there twice; expected each range once',
        ],
        [
            "the port of clients as the second node's",
            { ...metal, loadBalancer: { ...loadBalancer, adminPort: 442 } },
            "loadBalancer.adminPort: 442 is wrong; expected another port: this one and the next are for the nodes, and one of them is that of loadBalancer.httpsPort; for example 8441",
        ],
        [
            "SSH's port as an admin port",
            { ...cloud, loadBalancer: { ...loadBalancer, adminPort: 22 } },
            "loadBalancer.adminPort: 22 is wrong; expected another port: this one and the next are for the nodes, and one of them is that of SSH; for example 8441",
        ],
        [
            "fewer misses than are sure",
            { ...metal, loadBalancer: { ...loadBalancer, failoverMisses: 1 } },
            "loadBalancer.failoverMisses: 1 is wrong; expected rounds from 2 to 60, for example 3",
        ],
        [
            "a method",
            { ...metal, loadBalancer: { ...loadBalancer, method: "random" } },
            'loadBalancer.method: "random" has no effect with topology replicated, where one node answers; remove it',
        ],
        [
            "HSTS where no TLS ends",
            { ...metal, loadBalancer: { ...loadBalancer, mode: "stream", hstsSeconds: 1 } },
            "loadBalancer.hstsSeconds: there is no such key; the keys here are: mode, httpsPort, httpPort, drainSeconds, probeSeconds, failoverMisses, adminPort, adminCidrs",
        ],
        [
            "TLS at nodes that have no certificates",
            { loadBalancer: { mode: "stream", httpsPort: 8443 } },
            'loadBalancer.mode: "stream" is for topology replicated only, where nodes have certificates; expected http',
        ],
        [
            "admin ports of other topologies",
            { loadBalancer: { mode: "http", adminPort: 8441 } },
            "loadBalancer.adminPort: 8441 has no effect without topology replicated; remove it",
        ],
    ];
    for (const [what, settings, expected] of mistakes) {
        it(`refuses ${what}`, () => {
            assertOneMistake(fileWith(settings), `harborage:${expected}`);
        });
    }

    it("finds every mistake of a file that has several", () => {
        const found = lines(fileWith({ ...metal, topology: { kind: "replicated" }, loadBalancer: { mode: "stream" } }));
        assert.ok(found.some((line) => line.startsWith("harborage:topology.nodes: is missing")));
        assert.ok(found.some((line) => line.startsWith("harborage:topology.loadBalancer: is missing")));
    });
});
