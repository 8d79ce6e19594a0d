import assert from "node:assert/strict";
import { isIPv4 } from "node:net";
import fc from "fast-check";
import { describe, it } from "mocha";
import { parse } from "yaml";
import { renderCompose as renderBalancer } from "../../components/load-balancer/render";
import { renderCompose as renderNode } from "../../components/registry/distribution/render";
import { defaultImages, makePlan, type DistributionPlan, type MachinePlan, type Plan } from "../../config/plan";
import { requirementsFor } from "../../config/plan-machines";
import { writeOutMachines } from "../../config/topology";
import { imageReference } from "../../config/fields";
import type { StackConfig } from "../../config/schema";
import { parseStackFile } from "../../config/stack-file";
import { distributionDraft, fileWith, replicatedDraft, stackFile, validDraft } from "./support/stack-files";

function freeze<T>(value: T): T {
    if (typeof value === "object" && value !== null) {
        Object.values(value).forEach(freeze);
        Object.freeze(value);
    }
    return value;
}

function planOf(settings: Readonly<Record<string, unknown>>, secrets: readonly string[] = []): Plan {
    return makePlan("test", parseStackFile(fileWith(settings, secrets)));
}

function requirementsOf(config: StackConfig, name: string) {
    const named = writeOutMachines(config.machines).find((machine) => machine.name === name);
    assert.ok(named);
    return requirementsFor(config, named);
}

/** The images that compose files name, by the machine that they are for. */
function imagesInUse(plan: Plan): [machine: string, image: string][] {
    const images = (text: string) =>
        Object.values((parse(text) as { services: Record<string, { image: string }> }).services).map(
            ({ image }) => image,
        );
    const { stack, registry, loadBalancer } = plan;
    assert.ok(registry.engine === "distribution");
    const files = { address: "10.0.0.1", startFiles: [], collectorFiles: [] };
    const ofNodes = plan.nodes.flatMap((node) =>
        images(renderNode({ stack, registry, node, ...files })).map((image): [string, string] => [node.machine, image]),
    );
    return [
        ...ofNodes,
        ...images(renderBalancer(stack, loadBalancer)).map((image): [string, string] => [loadBalancer.machine, image]),
        ...(registry.isShared ? [[loadBalancer.machine, registry.image] as [string, string]] : []),
    ];
}

/** Where a machine is, as the stack file says it. */
function assertPlace({ name, entry, place, directory }: MachinePlan, plan: Plan, config: StackConfig) {
    const given = config.machines[entry];
    assert.equal(place.kind, given?.kind);
    assert.ok(place.kind === "local" || directory.startsWith("/"), `${name} is not in a home folder`);
    if (place.kind === "existing") {
        assert.ok(isIPv4(place.privateAddress), `${name}: ${place.privateAddress}`);
        assert.ok(given?.kind === "existing");
        // Only the stack file can say that any key is accepted.
        assert.equal(place.ssh.hostKey === undefined, given.hostKey === "accept-any");
        assert.equal(place.ssh.bastion === undefined, given.bastion === undefined);
        const { bastion = { hostKey: "accept-any" } } = given;
        assert.equal(place.ssh.bastion?.hostKey === undefined, bastion.hostKey === "accept-any");
    }
    if (place.kind === "openstack") {
        const balancer = config.machines[plan.loadBalancer.machine];
        const isReached = balancer?.kind === "openstack" && balancer.floatingIp;
        assert.equal(place.jump, place.floatingIp || !isReached ? undefined : plan.loadBalancer.machine, name);
        assert.notEqual(place.jump, name);
        const { network } = plan.cloud ?? {};
        assert.ok(!place.floatingIp || network?.externalNetwork !== undefined);
    }
}

/** Who may come in: clients to the load balancer's doors, `up` to SSH, the load balancer to nodes, and nobody else. */
function assertClosed({ cloud, loadBalancer, nodes, machines }: Plan, { openstack, machines: given }: StackConfig) {
    assert.equal(cloud === undefined, openstack === undefined);
    if (cloud === undefined || openstack === undefined) {
        return;
    }
    const doors = [loadBalancer.httpsPort, loadBalancer.httpPort];
    const nodePorts = nodes.map(({ port }) => port);
    const jumps = machines.some(({ place }) => place.kind === "openstack" && place.jump !== undefined);
    for (const { role, port, from, why } of cloud.rules) {
        const rule = `${role} ${String(port)} ${JSON.stringify(from)} ${why}`;
        if ("role" in from) {
            assert.equal(from.role, "load-balancer", rule);
            assert.equal(role, "node", rule);
            assert.ok([22, ...nodePorts].includes(port), rule);
        } else if (port === 22) {
            assert.ok(openstack.sshCidrs.includes(from.cidr), rule);
        } else if (role === "load-balancer") {
            assert.ok(doors.includes(port) && openstack.clientCidrs.includes(from.cidr), rule);
        } else {
            const balancer = given[loadBalancer.machine];
            assert.ok(balancer?.kind === "existing" && nodePorts.includes(port), rule);
            assert.equal(from.cidr, `${balancer.privateAddress ?? balancer.address}/32`, rule);
        }
    }
    const opened = (of: "node" | "load-balancer", port: number) =>
        cloud.rules.filter((rule) => rule.role === of && rule.port === port);
    const isInCloud = (of: "node" | "load-balancer") =>
        machines.some(({ roles, place }) => place.kind === "openstack" && roles.includes(of));
    for (const door of doors) {
        const wanted: number = isInCloud("load-balancer") ? openstack.clientCidrs.length : 0;
        assert.equal(opened("load-balancer", door).length, wanted);
    }
    for (const port of nodePorts) {
        assert.equal(opened("node", port).length, isInCloud("node") ? 1 : 0);
    }
    assert.ok(!jumps || opened("node", 22).some(({ from }) => "role" in from));
    const keys = cloud.rules.map(({ role, port, from }) => JSON.stringify([role, port, from]));
    assert.equal(new Set(keys).size, keys.length, "a rule twice is a resource twice");
}

function distributionOf({ registry }: Plan): DistributionPlan {
    assert.ok(registry.engine === "distribution");
    return registry;
}

/** What must hold for every plan. */
function assertSound(plan: Plan, config: StackConfig) {
    const machines = new Map(plan.machines.map((machine) => [machine.name, machine]));
    assert.deepEqual(
        [...machines.keys()],
        writeOutMachines(config.machines).map(({ name }) => name),
    );
    const services = [
        ...plan.nodes.map(({ machine, project, port }) => ({
            machine,
            project,
            ports: [port],
            image: distributionOf(plan).image,
        })),
        {
            machine: plan.loadBalancer.machine,
            project: plan.loadBalancer.project,
            ports: [plan.loadBalancer.httpsPort, plan.loadBalancer.httpPort],
            image: plan.loadBalancer.image,
        },
        ...(plan.registry.engine === "distribution" && plan.registry.isShared
            ? [
                  {
                      machine: plan.loadBalancer.machine,
                      project: plan.registry.collectorProject,
                      ports: [],
                      image: plan.registry.image,
                  },
              ]
            : []),
    ];
    for (const { machine, project, ports, image } of services) {
        const place = machines.get(machine);
        assert.ok(place !== undefined, `${project} runs on ${machine}`);
        assert.ok(place.projects.includes(project));
        assert.ok(place.images.references.includes(image));
        for (const port of ports) {
            assert.equal(place.ports.filter((each) => each.port === port).length, 1, `port ${port}`);
        }
        // docs.docker.com/compose: the names that a project may have.
        assert.match(project, /^[a-z0-9][a-z0-9_-]*$/);
        assert.ok(project.includes(plan.stack));
    }
    const projects = services.map(({ machine, project }) => `${machine} ${project}`);
    assert.equal(new Set(projects).size, projects.length);
    const declared = plan.machines.flatMap((machine) =>
        machine.projects.map((project) => `${machine.name} ${project}`),
    );
    assert.deepEqual(declared.sort(), projects.sort());
    for (const machine of plan.machines) {
        const ports = machine.ports.map(({ port }) => port);
        assert.equal(new Set(ports).size, ports.length, `a port twice on ${machine.name}: ${ports.join(" ")}`);
        assert.match(machine.directory, /^(~\/|\/)./);
        assert.deepEqual(machine.requirements, requirementsOf(config, machine.name));
        assert.equal(
            machine.requirements.freeDiskGiB,
            config.machines[machine.entry]?.minimumFreeDiskGiB ?? 5,
            "what the stack file says counts",
        );
    }
    for (const node of plan.nodes) {
        const directory = machines.get(node.machine)?.directory ?? "";
        assert.ok(node.dataDirectory.startsWith(`${directory}/`), `${node.dataDirectory} in ${directory}`);
        assert.ok(plan.loadBalancer.nodes.includes(node.name));
    }
    const inUse = imagesInUse(plan);
    for (const [machine, image] of inUse) {
        assert.ok(machines.get(machine)?.images.references.includes(image), `${image} on ${machine}`);
    }
    for (const machine of plan.machines) {
        assertPlace(machine, plan, config);
        const used = inUse.filter(([name]) => name === machine.name);
        assert.deepEqual(new Set(machine.images.references), new Set(used.map(([, image]) => image)), machine.name);
        assert.equal(new Set(machine.images.references).size, machine.images.references.length);
    }
    for (const node of plan.nodes) {
        assert.equal(node.gateImage === undefined, node.machine === plan.loadBalancer.machine);
    }
    assertClosed(plan, config);
    assert.equal(plan.loadBalancer.nodes.length, plan.nodes.length);
    assert.equal(
        plan.registryUrl,
        new URL(`https://${plan.publicName}:${plan.loadBalancer.httpsPort}`).origin.replace(
            plan.publicName.toLowerCase(),
            plan.publicName,
        ),
    );
    assert.equal(plan.registryUrl, `https://${plan.registryHost}`);
    assert.ok(plan.certificate.names.includes(plan.publicName));
}

/** A stack file's content with Harbor in place of its engine. */
function harbor(settings: Readonly<Record<string, unknown>>): StackConfig {
    const config = parseStackFile(fileWith(settings));
    return { ...config, registry: { ...config.registry, engine: "harbor" } } as unknown as StackConfig;
}

describe("plan", () => {
    it("is sound for every stack file that the schema accepts", () => {
        fc.assert(
            fc.property(distributionDraft, (draft) => {
                const config = parseStackFile(stackFile(draft));
                assertSound(makePlan(draft.stack, config), config);
            }),
            { numRuns: 300 },
        );
    });

    it("is sound for every active node with a standby", () => {
        fc.assert(
            fc.property(replicatedDraft, (draft) => {
                const config = parseStackFile(stackFile(draft));
                const plan = makePlan(draft.stack, config);
                const { nodes, loadBalancer, machines } = plan;
                assert.deepEqual(nodes.map(({ role }) => role).sort(), ["active", "standby"]);
                assert.deepEqual(
                    nodes.map(({ peer }) => peer),
                    nodes.map(({ name }) => name).reverse(),
                );
                assert.ok(nodes.every(({ tls, backup, rank }) => tls && backup !== undefined && rank === "only"));
                assert.equal(loadBalancer.failover?.active, nodes.find(({ role }) => role === "active")?.name);
                assert.deepEqual(
                    Object.keys(loadBalancer.failover?.adminPorts ?? {}),
                    nodes.map(({ name }) => name),
                );
                for (const machine of machines) {
                    const ports = machine.ports.map(({ port }) => port);
                    assert.equal(
                        new Set(ports).size,
                        ports.length,
                        `a port twice on ${machine.name}: ${ports.join(" ")}`,
                    );
                    assertPlace(machine, plan, config);
                }
            }),
            { numRuns: 100 },
        );
    });

    it("is the same each time, and changes nothing that it is made from", () => {
        fc.assert(
            fc.property(validDraft, (draft) => {
                const config = freeze(parseStackFile(stackFile(draft)));
                const before = structuredClone(config);
                assert.deepEqual(makePlan(draft.stack, config), makePlan(draft.stack, structuredClone(config)));
                assert.deepEqual(config, before);
            }),
        );
    });

    it("holds no password", () => {
        fc.assert(
            fc.property(validDraft, (draft) => {
                const plan = makePlan(draft.stack, parseStackFile(stackFile(draft)));
                assert.doesNotMatch(JSON.stringify(plan), /value of/);
            }),
        );
    });

    it("shows the port in the registry's address unless it is 443", () => {
        assert.equal(planOf({}).registryUrl, "https://localhost");
        const other = planOf({ loadBalancer: { mode: "http", httpsPort: 8443 } });
        assert.deepEqual([other.registryHost, other.registryUrl], ["localhost:8443", "https://localhost:8443"]);
    });

    it("keeps everything of the stack below a folder of its own", () => {
        const plan = planOf({});
        assert.equal(plan.machines[0]?.directory, "~/.local/share/harborage/test");
        assert.equal(plan.nodes[0]?.dataDirectory, "~/.local/share/harborage/test/data/registry");
        const other = planOf({ machines: { box: { kind: "local", directory: "/srv/registry" } } });
        assert.equal(other.nodes[0]?.dataDirectory, "/srv/registry/data/registry");
    });

    it("hands on what the stack file says of the node's data", () => {
        assert.equal(planOf({}).nodes[0]?.deleteData, false);
        assert.equal(planOf({ storage: { objects: { kind: "node", deleteData: true } } }).nodes[0]?.deleteData, true);
    });

    it("makes the first user the administrator", () => {
        const users = [{ name: "root" }, { name: "ci", password: "ciPassword" }];
        const plan = planOf({ registry: { engine: "distribution", users } }, ["ciPassword"]);
        assert.deepEqual(distributionOf(plan).users, users);
    });

    it("names the certificate's names once", () => {
        const plan = planOf({ additionalNames: ["localhost", "10.0.0.1", "10.0.0.1"] });
        assert.deepEqual(plan.certificate.names, ["localhost", "10.0.0.1"]);
    });

    it("pulls images by digest, and loads those of a bundle under their names", () => {
        for (const image of Object.values(defaultImages)) {
            assert.match(image, /^docker\.io\/(library|valkey)\/[a-z]+:\d+\.\d+(\.\d+)?@sha256:[0-9a-f]{64}$/);
            assert.ok(imageReference("x").safeParse(image).success);
        }
        assert.deepEqual(planOf({}).machines[0]?.images, {
            references: [defaultImages.registry, defaultImages.nginx],
        });
        const bundle = { path: "/srv/images.tar", sha256: "0".repeat(64) };
        const images = { registry: "registry:3", nginx: "nginx:1", bundle };
        assert.deepEqual(planOf({ images }).machines[0]?.images, { references: ["registry:3", "nginx:1"], bundle });
    });

    it("tells the machine which ports it needs, by the settings that choose them", () => {
        assert.deepEqual(planOf({}).machines[0]?.ports, [
            { port: 443, purpose: "loadBalancer.httpsPort" },
            { port: 80, purpose: "loadBalancer.httpPort" },
            { port: 5000, purpose: "registry.port" },
        ]);
    });

    describe("of machines that are reached by SSH", () => {
        const hostKey = "ssh-ed25519 AAAA";
        const lb = { kind: "openstack", image: "debian-12", flavor: "m1.small", floatingIp: true };
        const node = { kind: "openstack", image: "debian-12", flavor: "m1.medium" };
        const openstack = {
            network: { kind: "own", externalNetwork: "public" },
            sshCidrs: ["192.0.2.0/24", "198.51.100.7/32"],
        };
        const topology = { kind: "single", node: "node", loadBalancer: "lb" };
        const placeOf = (plan: Plan, name: string) => plan.machines.find((each) => each.name === name)?.place;

        it("says how one that exists is reached, and accepts any host key only where the file says so", () => {
            const machines = {
                lb: { kind: "existing", address: "192.0.2.1", hostKey: "accept-any" },
                node: {
                    kind: "existing",
                    address: "node.internal",
                    privateAddress: "10.0.0.2",
                    port: 2222,
                    user: "deploy",
                    hostKey,
                    privateKey: "keyOfNode",
                    bastion: { address: "jump.example.com", hostKey, privateKey: "keyOfJump" },
                    dataDevice: "/dev/sdb",
                },
            };
            const plan = planOf({ machines, topology }, ["keyOfNode", "keyOfJump"]);
            assert.equal(plan.cloud, undefined);
            assert.deepEqual(placeOf(plan, "lb"), {
                kind: "existing",
                ssh: { address: "192.0.2.1", port: 22, user: "root" },
                privateAddress: "192.0.2.1",
            });
            assert.deepEqual(placeOf(plan, "node"), {
                kind: "existing",
                ssh: {
                    address: "node.internal",
                    port: 2222,
                    user: "deploy",
                    hostKey,
                    privateKey: "keyOfNode",
                    bastion: { address: "jump.example.com", port: 22, user: "root", hostKey, privateKey: "keyOfJump" },
                },
                privateAddress: "10.0.0.2",
                dataDevice: "/dev/sdb",
            });
        });

        it("reaches a VM without a floating IP through the load balancer's, where that has one", () => {
            const jump = (machines: object) => {
                const place = placeOf(planOf({ machines, openstack, topology }), "node");
                assert.ok(place?.kind === "openstack");
                return place.jump;
            };
            assert.equal(jump({ lb, node }), "lb");
            assert.equal(jump({ lb: { ...lb, floatingIp: false }, node }), undefined);
            assert.equal(jump({ lb, node: { ...node, floatingIp: true } }), undefined);
            assert.equal(jump({ lb: { kind: "existing", address: "192.0.2.1", hostKey }, node }), undefined);
            const alone = planOf({
                machines: { lb },
                openstack,
                topology: { kind: "single", node: "lb", loadBalancer: "lb" },
            });
            assert.equal((placeOf(alone, "lb") as { jump?: string }).jump, undefined);
        });

        it("lets clients to the load balancer, `up` to SSH, and the load balancer to the node", () => {
            const rules = (settings: object) =>
                planOf({ machines: { lb, node }, openstack, topology, ...settings }).cloud?.rules.map(
                    ({ role, port, from }) => `${role} ${String(port)} ${"cidr" in from ? from.cidr : from.role}`,
                );
            const ssh = ["192.0.2.0/24", "198.51.100.7/32"].flatMap((cidr) => [
                `load-balancer 22 ${cidr}`,
                `node 22 ${cidr}`,
            ]);
            assert.deepEqual(rules({}), [
                "load-balancer 443 0.0.0.0/0",
                "load-balancer 80 0.0.0.0/0",
                ...ssh,
                "node 22 load-balancer",
                "node 5000 load-balancer",
            ]);
            // Nothing goes through a load balancer that is not reached from outside.
            assert.deepEqual(
                rules({
                    machines: { lb: { ...lb, floatingIp: false }, node },
                    openstack: { ...openstack, clientCidrs: ["10.0.0.0/8", "172.16.0.0/12"] },
                    loadBalancer: { mode: "http", httpsPort: 8443, httpPort: 8080 },
                    registry: { engine: "distribution", port: 5555 },
                }),
                [
                    "load-balancer 8443 10.0.0.0/8",
                    "load-balancer 8080 10.0.0.0/8",
                    "load-balancer 8443 172.16.0.0/12",
                    "load-balancer 8080 172.16.0.0/12",
                    ...ssh,
                    "node 5555 load-balancer",
                ],
            );
            const outside = { kind: "existing", address: "lb.example.com", privateAddress: "10.0.0.1", hostKey };
            assert.ok(rules({ machines: { lb: outside, node } })?.includes("node 5000 10.0.0.1/32"));
        });

        it("gives the node a gate of its own exactly where the load balancer is on another machine", () => {
            const apart = planOf({ machines: { lb, node }, openstack, topology });
            assert.equal(apart.nodes[0]?.gateImage, defaultImages.nginx);
            assert.deepEqual(
                apart.machines.map(({ name, images }) => [name, images.references]),
                [
                    ["lb", [defaultImages.nginx]],
                    ["node", [defaultImages.registry, defaultImages.nginx]],
                ],
            );
            const together = planOf({
                machines: { lb },
                openstack,
                topology: { kind: "single", node: "lb", loadBalancer: "lb" },
            });
            assert.equal(together.nodes[0]?.gateImage, undefined);
        });

        it("needs of a flavor what the registry needs", () => {
            const place = placeOf(planOf({ machines: { lb, node }, openstack, topology }), "node");
            assert.ok(place?.kind === "openstack");
            assert.deepEqual(place.minimum, { cpus: 1, memoryMiB: 512 });
            const { cpus, memoryMiB } = requirementsOf(harbor({ machines: { lb, node }, openstack, topology }), "node");
            assert.deepEqual({ cpus, memoryMiB }, { cpus: 2, memoryMiB: 3700 });
        });
    });

    describe("of what a machine must have", () => {
        const lb = { kind: "existing", address: "192.0.2.10", hostKey: "accept-any" };
        const node = { ...lb, address: "192.0.2.11" };
        const apart = { machines: { lb, node }, topology: { kind: "single", node: "node", loadBalancer: "lb" } };
        const least = {
            cpus: 1,
            memoryMiB: 512,
            freeDiskGiB: 5,
            dockerVersion: "20.10",
            composeVersion: "2.17",
            root: false,
            clock: false,
            containerNames: [],
        };

        it("wants little for CNCF Distribution and for a load balancer", () => {
            for (const { requirements } of planOf(apart).machines) {
                assert.deepEqual(requirements, least);
            }
            assert.deepEqual(requirementsOf(harbor(apart), "lb"), least);
        });

        it("wants for a node with Harbor what its documents and its compose file say", () => {
            const { containerNames, ...rest } = requirementsOf(
                harbor({ publicName: "registry.test", ...apart }),
                "node",
            );
            assert.deepEqual(rest, {
                cpus: 2,
                memoryMiB: 3700,
                freeDiskGiB: 40,
                dockerVersion: "20.10.10",
                composeVersion: "2.24.4",
                root: true,
                clock: true,
                resolves: "registry.test",
            });
            // make/photon/prepare/templates/docker_compose/docker-compose.yml.jinja
            assert.deepEqual(
                [...containerNames].sort(),
                [
                    "harbor-core",
                    "harbor-db",
                    "harbor-exporter",
                    "harbor-jobservice",
                    "harbor-log",
                    "harbor-portal",
                ].concat(["nginx", "redis", "registry", "registryctl", "trivy-adapter"]),
            );
        });

        it("asks no VM for the public name: its address may not be known yet", () => {
            const vm = { kind: "openstack", image: "debian-12", flavor: "m1.small", floatingIp: true };
            const network = { kind: "own", externalNetwork: "public" };
            const openstack = { network, sshCidrs: ["192.0.2.0/24"] };
            const config = harbor({
                machines: { box: vm },
                openstack,
                topology: { kind: "single", node: "box", loadBalancer: "box" },
            });
            const { resolves, root } = requirementsOf(config, "box");
            assert.deepEqual([resolves, root], [undefined, true]);
        });

        it("takes the disk that the stack file says, in either direction", () => {
            const machines = { lb, node: { ...node, minimumFreeDiskGiB: 3 } };
            assert.equal(requirementsOf(harbor({ ...apart, machines }), "node").freeDiskGiB, 3);
            assert.equal(planOf({ ...apart, machines }).machines[1]?.requirements.freeDiskGiB, 3);
        });
    });
});
