import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "mocha";
import { defaultImages, makePlan, type Plan } from "../../config/plan";
import { imageReference } from "../../config/fields";
import type { StackConfig } from "../../config/schema";
import { parseStackFile } from "../../config/stack-file";
import { fileWith, stackFile, validDraft } from "./support/stack-files";

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

/** What must hold for every plan. */
function assertSound(plan: Plan, config: StackConfig) {
    const machines = new Map(plan.machines.map((machine) => [machine.name, machine]));
    assert.deepEqual([...machines.keys()], Object.keys(config.machines));
    const services = [
        ...plan.nodes.map(({ machine, project, port }) => ({
            machine,
            project,
            ports: [port],
            image: plan.registry.image,
        })),
        {
            machine: plan.loadBalancer.machine,
            project: plan.loadBalancer.project,
            ports: [plan.loadBalancer.httpsPort, plan.loadBalancer.httpPort],
            image: plan.loadBalancer.image,
        },
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
    const projects = services.map(({ project }) => project);
    assert.equal(new Set(projects).size, projects.length);
    assert.deepEqual(plan.machines.flatMap((machine) => machine.projects).sort(), projects.sort());
    for (const machine of plan.machines) {
        const ports = machine.ports.map(({ port }) => port);
        assert.equal(new Set(ports).size, ports.length, `a port twice on ${machine.name}: ${ports.join(" ")}`);
        assert.match(machine.directory, /^(~\/|\/)./);
    }
    for (const node of plan.nodes) {
        const directory = machines.get(node.machine)?.directory ?? "";
        assert.ok(node.dataDirectory.startsWith(`${directory}/`), `${node.dataDirectory} in ${directory}`);
        assert.ok(plan.loadBalancer.nodes.includes(node.name));
    }
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

describe("plan", () => {
    it("is sound for every stack file that the schema accepts", () => {
        fc.assert(
            fc.property(validDraft, (draft) => {
                const config = parseStackFile(stackFile(draft));
                assertSound(makePlan(draft.stack, config), config);
            }),
            { numRuns: 300 },
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
        assert.deepEqual(planOf({ registry: { engine: "distribution", users } }, ["ciPassword"]).registry.users, users);
    });

    it("names the certificate's names once", () => {
        const plan = planOf({ additionalNames: ["localhost", "10.0.0.1", "10.0.0.1"] });
        assert.deepEqual(plan.certificate.names, ["localhost", "10.0.0.1"]);
    });

    it("pulls images by digest, and loads those of a bundle under their names", () => {
        for (const image of Object.values(defaultImages)) {
            assert.match(image, /^docker\.io\/library\/(registry|nginx):\d+\.\d+\.\d+@sha256:[0-9a-f]{64}$/);
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
});
