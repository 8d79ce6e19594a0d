import assert from "node:assert/strict";
import { after, before, describe, it } from "mocha";
import { ask, servedCertificate, type Access, type Answer } from "../support/client";
import { changesOf, Cluster } from "../support/cluster";
import { clusterImages } from "../support/cluster-images";
import { checkChange, checkChunks, checkIllness, checkLoad, checkResize, livesOnAll } from "../support/cluster-checks";
import { baseline, nothing, remains } from "../support/existing";
import { api, harborInstaller, harborRegistry, healthOf, read, type Installer } from "../support/harbor";
import type { Settings } from "../support/launcher";
import type { LoadOptions } from "../support/load";
import { until } from "../support/processes";
import { SshMachine } from "../support/ssh-machine";
import { addHost } from "../support/system";

/** How many pushes and how many pulls go through a cluster that is well. */
const operations = Number(process.env["HARBORAGE_LOAD_OPERATIONS"] ?? 1000);

const data = "/var/lib/harborage/data/registry";

/** Variables of containers that must be the same on every node. */
const sharedVariables = {
    "harbor-core": ["CORE_SECRET", "JOBSERVICE_SECRET", "CSRF_KEY", "REGISTRY_CREDENTIAL_PASSWORD"],
    "harbor-jobservice": ["CORE_SECRET", "JOBSERVICE_SECRET", "REGISTRY_CREDENTIAL_PASSWORD"],
    registry: ["REGISTRY_HTTP_SECRET"],
} as const;

describe("Harbor on several machines that share a database, a cache and an object store", function () {
    this.timeout("15m");

    let cluster: Cluster | undefined;
    let installer: Installer;
    let access: Required<Access>;
    let forgetName: (() => void) | undefined;

    const theCluster = (): Cluster => {
        assert.ok(cluster);
        return cluster;
    };
    const settings = ({ objects }: Cluster, changed: Settings): Settings => ({
        baseline,
        registry: harborRegistry(installer, {
            adminPassword: "adminPassword",
            trivy: { enabled: false },
            ...(changed["registry"] as Settings),
        }),
        storage: {
            objects,
            database: { kind: "machine", machine: "db" },
            cache: { kind: "machine", machine: "db" },
        },
        loadBalancer: { mode: "http", drainSeconds: 20, ...(changed["loadBalancer"] as Settings) },
        ...(changed["certificate"] === undefined ? {} : { certificate: changed["certificate"] }),
    });
    const load = (more: Partial<LoadOptions> = {}): LoadOptions => ({
        access,
        // More would take from the nodes, which share this machine, what they need to start again.
        pushers: 2,
        pullers: 2,
        prefix: "team",
        calls: ["/api/v2.0/projects", "/api/v2.0/users/current", "/api/v2.0/projects/team/repositories"],
        ...more,
    });
    /** The same request until each of the nodes has answered it; each answer must have the status. */
    const askAll = async (path: string, count: number) => {
        const began = Date.now();
        const used = theCluster()
            .used(count)
            .map(({ name }) => name);
        const bodies = new Set<string>();
        await until(`${path} from ${used.join(", ")}`, 60, async () => {
            const { status, body } = await api(access, "GET", path);
            assert.equal(status, 200, `${path}: ${body}`);
            bodies.add(body);
            const answered = (await theCluster().watch.log(began)).filter(({ request }) => request.includes(path));
            return used.every((name) => answered.some(({ answeredBy }) => answeredBy === name));
        });
        return bodies;
    };

    before(async function () {
        this.timeout("20m");
        const found = await harborInstaller();
        if (found === undefined || !(await SshMachine.possible())) {
            this.skip();
        }
        installer = found;
        cluster = await Cluster.make({
            word: "shared-harbor",
            nodes: 5,
            others: ["db"],
            settings,
            images: clusterImages,
        });
        const { balancer, nodes, stack } = cluster;
        const name = `${stack.name}.example`;
        forgetName = addHost(name, balancer.address);
        await Promise.all(nodes.map((node) => node.script(`echo '${balancer.address} ${name}' >>/etc/hosts`)));
        await stack.setSecret("adminPassword", "Admin-1-Password");
        cluster.write(3);
        const { seconds } = await cluster.up();
        console.log(`      three nodes after ${seconds.toFixed(0)} s`);
        access = await cluster.access();
        const made = await api(access, "POST", "/projects", { project_name: "team", metadata: { public: "false" } });
        assert.equal(made.status, 201, made.body);
    });

    after(async () => {
        forgetName?.();
        await cluster?.close();
    });

    it("is left alone by an up that has nothing to change", async () => {
        assert.deepEqual((await theCluster().up()).names, []);
    });

    it("has the same secrets on every node", async () => {
        const secrets = async (node: SshMachine) => {
            const files = await node.script(
                `sha256sum ${data}/secret/keys/secretkey ${data}/secret/core/private_key.pem | cut -d ' ' -f 1`,
            );
            const variables = await Promise.all(
                Object.entries(sharedVariables).map(async ([container, names]) => {
                    const [text = ""] = await node.docker("inspect", "--format", "{{json .Config.Env}}", container);
                    const found = (JSON.parse(text) as string[]).filter((variable) =>
                        (names as readonly string[]).includes(variable.split("=")[0] ?? ""),
                    );
                    return [container, found.sort()] as const;
                }),
            );
            return { files: files.split("\n"), ...Object.fromEntries(variables) };
        };
        const [first, ...others] = await Promise.all(theCluster().used(3).map(secrets));
        assert.equal(first?.files.length, 2);
        assert.equal(Object.values(first).flat().length >= 2 + 6, true);
        for (const other of others) {
            assert.deepEqual(other, first);
        }
    });

    it(`takes and gives ${operations} images through all of its nodes, and nothing fails`, async function () {
        this.timeout("60m");
        await checkLoad(theCluster(), 3, load({ pushers: 4, pullers: 4 }), operations);
    });

    it("takes a layer of more than 100 MB in chunks that go to different nodes", () =>
        checkChunks(theCluster(), "team/big"));

    it("keeps a login in the browser, whichever node answers", async () => {
        const began = Date.now();
        const { login, ...nobody } = access;
        const jar = new Map<string, string>();
        const Cookie = () => [...jar.values()].join("; ");
        const keep = ({ headers }: Answer) => {
            for (const cookie of headers["set-cookie"] ?? []) {
                const [pair = ""] = cookie.split(";");
                jar.set(pair.split("=")[0] ?? "", pair);
            }
        };
        // The first answer begins a session, the second has the token that forms need.
        keep(await ask(nobody, "GET", "/api/v2.0/systeminfo"));
        const second = await ask(nobody, "GET", "/api/v2.0/systeminfo", { headers: { Cookie: Cookie() } });
        keep(second);
        const form = new URLSearchParams({ principal: login.name, password: login.password }).toString();
        const entered = await ask(nobody, "POST", "/c/login", {
            headers: {
                Cookie: Cookie(),
                "Content-Type": "application/x-www-form-urlencoded",
                "X-Harbor-CSRF-Token": String(second.headers["x-harbor-csrf-token"] ?? ""),
                Referer: `https://${access.name}/`,
            },
            body: form,
        });
        assert.equal(entered.status, 200, entered.body);
        keep(entered);
        for (let count = 0; count < 20; count += 1) {
            const { status, body } = await ask(nobody, "GET", "/api/v2.0/users/current", {
                headers: { Cookie: Cookie() },
            });
            assert.equal(status, 200, body);
        }
        const answers = (await theCluster().watch.log(began)).filter(({ request }) =>
            request.includes("/users/current"),
        );
        assert.equal(new Set(answers.map(({ answeredBy }) => answeredBy)).size, 3);
    });

    it("gives the log of a job through every node", async () => {
        const started = await api(access, "POST", "/system/gc/schedule", { schedule: { type: "Manual" } });
        assert.equal(started.status, 201, started.body);
        const job = await until("a collection has ended", 120, async () => {
            const [newest] = await read<{ id: number; job_status: string }[]>(access, "/system/gc?sort=-creation_time");
            return newest?.job_status === "Success" ? newest : undefined;
        });
        const bodies = await askAll(`/system/gc/${job.id}/log`, 3);
        assert.equal(bodies.size, 1);
        assert.match([...bodies].join(""), /garbage/i);
    });

    it("replicates, and gives the log of it through every node", async () => {
        const { login } = access;
        // Containers do not know the name.
        const url = `https://${theCluster().balancer.address}`;
        const credential = { type: "basic", access_key: login.name, access_secret: login.password };
        const place = { name: "self", type: "harbor", url, insecure: true, credential };
        const added = await api(access, "POST", "/registries", place);
        assert.equal(added.status, 201, added.body);
        const [registry] = await read<{ id: number }[]>(access, "/registries?q=name%3Dself");
        assert.ok(registry);
        const rule = {
            name: "copy",
            enabled: true,
            override: true,
            src_registry: { id: 0 },
            dest_registry: { id: registry.id },
            dest_namespace: "copy",
            dest_namespace_replace_count: 1,
            filters: [{ type: "name", value: "team/app-1" }],
            trigger: { type: "manual" },
        };
        const made = await api(access, "POST", "/replication/policies", rule);
        assert.equal(made.status, 201, made.body);
        const [policy] = await read<{ id: number }[]>(access, "/replication/policies?q=name%3Dcopy");
        assert.ok(policy);
        // Jobs of one execution run on different nodes, and each must read what another has stored, with its key.
        for (let round = 0; round < 3; round += 1) {
            const begun = await api(access, "POST", "/replication/executions", { policy_id: policy.id });
            assert.equal(begun.status, 201, begun.body);
        }
        const executions = await until("the replications have ended", 300, async () => {
            const all = await read<{ id: number; status: string }[]>(
                access,
                `/replication/executions?policy_id=${policy.id}`,
            );
            return all.every(({ status }) => status !== "InProgress") ? all : undefined;
        });
        assert.deepEqual(
            executions.map(({ status }) => status),
            ["Succeed", "Succeed", "Succeed"],
        );
        const id = executions[0]?.id ?? 0;
        const tasks = await read<{ id: number }[]>(access, `/replication/executions/${id}/tasks`);
        assert.ok(tasks[0]);
        const bodies = await askAll(`/replication/executions/${id}/tasks/${tasks[0].id}/log`, 3);
        assert.match([...bodies].join(""), /copy/);
    });

    it("loses nothing that was acknowledged when a node loses its power, and takes it back when it is well", () => {
        const node = theCluster().node(2);
        return checkIllness(theCluster(), {
            title: "has lost its power",
            node,
            load: load(),
            begin: () => node.cutPower(),
            end: async () => {
                await node.boot();
                await node.startDocker();
            },
            outWithin: 5,
            backWithin: 240,
            meanwhile: 300,
        });
    });

    it("takes a node out when its containers are killed, and takes it back", () => {
        const node = theCluster().node(1);
        return checkIllness(theCluster(), {
            title: "has no living container",
            node,
            load: load(),
            begin: () => node.script("docker kill $(docker ps --quiet)"),
            end: () => node.script("docker start $(docker ps --all --quiet)"),
            outWithin: 5,
            backWithin: 240,
        });
    });

    it("takes a node out that has no jobservice, and takes it back when it has one", () => {
        const node = theCluster().node(3);
        return checkIllness(theCluster(), {
            title: "has no jobservice",
            node,
            load: load(),
            // Stopped, it would go on for seconds.
            begin: () => node.docker("kill", "harbor-jobservice"),
            end: () => node.docker("start", "harbor-jobservice"),
            outWithin: 15,
            backWithin: 60,
            mayAnswer: true,
        });
    });

    it("takes a node out that cannot sign tokens, and takes it back when it can", () => {
        const node = theCluster().node(3);
        const file = `${data}/secret/core/private_key.pem`;
        return checkIllness(theCluster(), {
            title: "cannot sign tokens",
            node,
            load: load(),
            // In its place: the container has the file itself mounted.
            begin: () => node.script(`cp ${file} /root/key`, `echo none >${file}`),
            end: () => node.script(`cat /root/key >${file}`, "rm /root/key"),
            outWithin: 15,
            backWithin: 60,
            mayAnswer: true,
        });
    });

    it("changes a setting of every node, one after the other, and nothing fails", async () => {
        const others = [theCluster().balancer, ...theCluster().others.values()];
        const before = await livesOnAll(others);
        theCluster().write(3, { registry: { log: { level: "warning" } } });
        const { names } = await checkChange("a setting of every node", theCluster(), load());
        for (const { name } of theCluster().used(3)) {
            assert.ok(names.includes(`${name}-release`), names.join(", "));
        }
        assert.deepEqual(await livesOnAll(others), before);
    });

    it("changes the load balancer's settings and its certificate, and nothing fails", async () => {
        const machines = [theCluster().balancer, ...theCluster().used(3), ...theCluster().others.values()];
        const before = await livesOnAll(machines);
        const { serialNumber } = await servedCertificate(access);
        theCluster().write(3, {
            loadBalancer: { hstsSeconds: 600 },
            certificate: { kind: "own-ca", validityDays: 300 },
        });
        const ran = await checkChange("a certificate", theCluster(), load());
        assert.deepEqual(changesOf(ran, theCluster().nodes), []);
        assert.notEqual((await servedCertificate(access)).serialNumber, serialNumber);
        assert.deepEqual(await livesOnAll(machines), before);
    });

    it("is two nodes, five and two again while it is used: nothing fails, and the others are not touched", async () => {
        await checkResize(theCluster(), load(), [2, 5, 2]);
        for (const node of theCluster().nodes.slice(2)) {
            assert.deepEqual((await remains(node)).containers, [], node.name);
        }
    });

    it("leaves images, database and cache when it is destroyed, and nothing else", async () => {
        const { stack, machines } = theCluster();
        assert.ok(Object.values(await healthOf(access)).every((status) => status === "healthy"));
        const stored = theCluster().objectNames();
        const { code, output } = await stack.run("destroy");
        assert.equal(code, 0, output);
        for (const machine of machines) {
            assert.deepEqual(await remains(machine), nothing, machine.name);
        }
        assert.deepEqual(theCluster().objectNames(), stored);
        assert.match(output, /on db/);
    });
});
