import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import { ask, layoutDigest, type Access, type Skopeo } from "../support/client";
import { closedSite } from "../support/closed-site";
import { accessTo, baseline, existing } from "../support/existing";
import {
    allHealthy,
    anonymous,
    api,
    harborInstaller,
    harborRegistry,
    healthOf,
    hostOf,
    livesOn,
    newClient,
    type Installer,
} from "../support/harbor";
import { makeImage, type Image } from "../support/image";
import { TestStack, type Settings } from "../support/launcher";
import { attempt, until } from "../support/processes";
import { newSshKey } from "../support/ssh-key";
import { SshMachine } from "../support/ssh-machine";
import { addHost } from "../support/system";

const directory = "/var/lib/harborage";
const data = `${directory}/data/registry`;
/** Folders of the node that are volumes of Docker. */
const volumes = "/srv/volumes";
const metricsPort = 9191;

describe("Harbor on a machine that is reached by SSH, with internal TLS, metrics and named volumes", function () {
    this.timeout("6m");

    let stack: TestStack | undefined;
    let installer: Installer;
    let lb: SshMachine;
    let node: SshMachine;
    let site: Settings;
    let image: Image;
    let access: Required<Access>;
    let skopeo: Skopeo;
    let forgetName: (() => void) | undefined;
    const key = newSshKey();

    const theStack = (): TestStack => {
        assert.ok(stack);
        return stack;
    };
    const folder = (name: string) => join(theStack().folder, name);
    const volume = (name: string) => ({
        kind: "volume",
        options: { type: "none", o: "bind", device: `${volumes}/${name}` },
    });
    const write = (registry: Settings = {}, storage: Settings = {}) =>
        theStack().write({
            ...site,
            machines: { lb: existing(lb), node: existing(node, { user: "ops" }) },
            topology: { kind: "single", node: "node", loadBalancer: "lb" },
            baseline,
            registry: harborRegistry(installer, {
                internalTls: true,
                metrics: { enabled: true, port: metricsPort, cidrs: ["198.18.0.0/15"] },
                adminPassword: "adminPassword",
                ...registry,
            }),
            storage: {
                objects: volume("images"),
                database: volume("database"),
                jobLogs: volume("job-logs"),
                ...storage,
            },
            loadBalancer: { mode: "http", httpsPort: 443, httpPort: 80 },
        });
    const reference = () => `${hostOf(access)}/team/app:one`;
    const pulls = async (name: string) => {
        const { code, output } = await skopeo.pull(reference(), folder(name));
        assert.equal(code, 0, output);
        assert.equal(layoutDigest(folder(name)), image.digest);
    };
    const logIn = async (name: string) => {
        skopeo = newClient(access, folder(name));
        const { code, output } = await skopeo.login(hostOf(access), access.login);
        assert.equal(code, 0, output);
    };
    const remains = async (machine: SshMachine) => ({
        containers: await machine.docker("ps", "--all", "--quiet"),
        networks: await machine.docker("network", "ls", "--filter", "type=custom", "--quiet"),
        images: await machine.docker("image", "ls", "--quiet"),
    });
    const nothing = { containers: [], networks: [], images: [] };
    const volumeNames = async () => (await node.docker("volume", "ls", "--format", "{{.Name}}")).sort();
    const ownNames = () => ["database", "job-logs", "registry"].map((part) => `harborage-${theStack().name}-${part}`);

    before(async function () {
        this.timeout("10m");
        const found = await harborInstaller();
        if (found === undefined || !(await SshMachine.possible())) {
            this.skip();
        }
        installer = found;
        stack = await TestStack.make("harbor-existing");
        const make = (name: string) =>
            SshMachine.make(theStack().folder, name, { authorizedKey: key.public, docker: true });
        [lb, node] = await Promise.all([make("lb"), make("node")]);
        await Promise.all([lb.boot(), node.boot()]);
        const name = `${stack.name}.example`;
        forgetName = addHost(name, lb.address);
        await node.script(
            `echo '${lb.address} ${name}' >>/etc/hosts`,
            `mkdir -p ${volumes}/images ${volumes}/database ${volumes}/job-logs`,
        );
        site = await closedSite(stack.folder);
        write();
        await stack.setSecret("sshKey", key.private);
        await stack.setSecret("adminPassword", "Right-1-Right-1");
        [image] = await Promise.all([makeImage(folder("image"), [3, 1]), stack.up()]);
        access = await accessTo(stack, lb);
    });

    after(async () => {
        forgetName?.();
        if (stack !== undefined) {
            await stack.cleanUp();
            await Promise.all([lb.close(), node.close()]);
            await attempt("rm", ["-rf", stack.folder]);
        }
    });

    it("is healthy, and its components talk TLS to each other", async () => {
        assert.deepEqual(await healthOf(access), allHealthy);
        for (const container of ["harbor-core", "harbor-jobservice", "registryctl"]) {
            const environment = await node.docker("inspect", "--format", "{{json .Config.Env}}", container);
            assert.match(environment.join(), /"INTERNAL_TLS_ENABLED=true"/, container);
        }
        // From where core asks: with the CA of the stack's own, and not without it.
        const ask = (url: string, ...trust: string[]) =>
            node.attempt("docker", ["exec", "harbor-core", "curl", "--silent", "--fail", ...trust, url]);
        const ca = ["--cacert", "/harbor_cust_cert/harbor_internal_ca.crt"];
        for (const url of ["https://registry:5443", "https://registryctl:8443/api/health", "https://portal:8443"]) {
            const { code, output } = await ask(url, ...ca);
            assert.equal(code, 0, `${url}: ${output}`);
        }
        assert.notEqual((await ask("https://registry:5443", "--cacert", "/dev/null")).code, 0);
        assert.notEqual((await ask("http://registry:5000")).code, 0);
    });

    it("lets in who has the password, and nobody else, with tokens of the public URL", async () => {
        await logIn("client");
        const wrong = await newClient(access, folder("stranger")).login(hostOf(access), {
            name: "admin",
            password: "Wrong-1-Wrong-1",
        });
        assert.notEqual(wrong.code, 0);
        const { headers } = await ask(anonymous(access), "GET", "/v2/");
        const realm = `https://${theStack().name}.example/service/token`;
        assert.equal(headers["www-authenticate"], `Bearer realm="${realm}",service="harbor-registry"`);
    });

    it("takes and gives images through the load balancer", async () => {
        const made = await api(access, "POST", "/projects", { project_name: "team", metadata: { public: "false" } });
        assert.equal(made.status, 201, made.body);
        const pushed = await skopeo.push(image.folder, reference());
        assert.equal(pushed.code, 0, pushed.output);
        await pulls("pulled");
        const refused = await newClient(access, folder("nobody")).pull(reference(), folder("pulled-by-nobody"));
        assert.match(refused.output, /unauthorized/);
    });

    it("gives its metrics, and those of its components", async () => {
        const metrics = async (query: string) => {
            const response = await fetch(`http://${node.address}:${metricsPort}/metrics${query}`);
            assert.equal(response.status, 200, query);
            return response.text();
        };
        assert.match(await metrics(""), /^harbor_project_total\{/m);
        assert.match(await metrics("?comp=core"), /^harbor_core_http_request_total\{/m);
        assert.match(await metrics("?comp=jobservice"), /^harbor_jobservice_info\{/m);
        assert.match(await metrics("?comp=registry"), /^registry_http_requests_total\{/m);
    });

    it("has images, database and job logs on its volumes, each for the user that writes there", async () => {
        assert.deepEqual(
            (await volumeNames()).filter((name) => !/^[0-9a-f]{64}$/.test(name)),
            ownNames(),
        );
        const started = await api(access, "POST", "/system/gc/schedule", { schedule: { type: "Manual" } });
        assert.equal(started.status, 201, started.body);
        await until("the log of a job is there", 60, async () => {
            return (await node.run("find", [`${volumes}/job-logs`, "-name", "*.log", "-size", "+0"])) !== "";
        });
        const stored = await node.run("find", [`${volumes}/images`, "-path", `*${image.digest.slice(7)}/data`]);
        assert.notEqual(stored, "");
        const version = await node.run("find", [`${volumes}/database`, "-maxdepth", "2", "-name", "PG_VERSION"]);
        assert.notEqual(version, "");
        for (const part of ["registry", "database", "job_logs"]) {
            assert.equal((await node.attempt("find", [`${data}/${part}`, "-type", "f"])).stdout, "", part);
        }
    });

    it("is left alone by an up that has nothing to change", async () => {
        const lives = await livesOn(node);
        const connections = { lb: lb.connections(), node: node.connections() };
        assert.deepEqual((await theStack().up()).changes, []);
        assert.deepEqual({ lb: lb.connections(), node: node.connections() }, connections);
        assert.deepEqual(await livesOn(node), lives);
    });

    it("goes back to the release before when a change makes it ill, and says what is ill and why", async () => {
        write({ healthMinutes: 1 }, { cache: { kind: "external", host: `${lb.address}:6379` } });
        const { code, output, changes } = await theStack().tryUp();
        assert.notEqual(code, 0);
        assert.match(output, /Harbor is not healthy after 60 s: .*redis|Harbor does not answer at \S+ after 60 s/);
        assert.match(output, /--- the last lines of (?:core|redis):\n\s+.*(?:redis|6379)/i);
        assert.match(output, /the release before runs again/);
        assert.deepEqual(
            changes.map(({ name }) => name),
            ["node-files", "node-release"],
        );
        assert.deepEqual(await healthOf(access), allHealthy);
        await logIn("client-after-failure");
        await pulls("pulled-after-failure");
        write();
        await theStack().up();
        assert.deepEqual(await healthOf(access), allHealthy);
    });

    it("keeps its volumes when it is destroyed, and says so", async () => {
        const key = await node.run("cat", [`${data}/secret/keys/secretkey`]);
        const { code, output } = await theStack().run("destroy");
        assert.equal(code, 0, output);
        for (const machine of [lb, node]) {
            assert.deepEqual(await remains(machine), nothing, machine.name);
        }
        assert.deepEqual(await volumeNames(), ownNames());
        for (const name of ownNames()) {
            assert.match(output, new RegExp(`the volume ${name} on node; delete it with: docker volume rm ${name}`));
        }
        await theStack().setSecret("harborKey", key);
    });

    it("finds its images there when it comes up again", async () => {
        write({ secrets: { secretKey: "harborKey" } });
        await theStack().up();
        access = await accessTo(theStack(), lb);
        assert.deepEqual(await healthOf(access), allHealthy);
        await logIn("client-after-destroy");
        await pulls("pulled-after-destroy");
    });
});
