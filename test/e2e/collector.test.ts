import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { hashSync } from "bcryptjs";
import { after, before, describe, it } from "mocha";
import { hook } from "../../components/compose-stack";
import {
    renderCollectorCompose,
    renderCollectorConfig,
    renderCompose,
    renderConfig,
    renderGate,
    renderSchedule,
} from "../../components/registry/distribution/render";
import type { ObjectPlace } from "../../components/storage";
import { defaultImages, makePlan } from "../../config/plan";
import { parseStackFile } from "../../config/stack-file";
import { standInImages } from "../../toolchain/images/build";
import { machineAddress } from "../support/client";
import { ComposeProject } from "../support/compose-project";
import { ensureDocker } from "../support/docker";
import { freePorts } from "../support/launcher";
import { newContent } from "../support/load";
import { attempt, run, until } from "../support/processes";
import { S3Server } from "../support/s3-server";
import { fileWith } from "../unit/support/stack-files";

const login = { name: "admin", password: "secret" } as const;
const sources = resolve(__dirname, "../../components/registry/distribution");
const text = (file: string) => readFileSync(join(sources, file), "utf8");
const digestOf = (content: Buffer) => `sha256:${createHash("sha256").update(content).digest("hex")}`;
const manifestType = "application/vnd.oci.image.manifest.v1+json";

/** Two nodes that share a bucket, and what collects for them. The gate that it closes is the first node's here. */
describe("the collector of nodes that share a bucket", function () {
    this.timeout("5m");

    const root = mkdtempSync(join(tmpdir(), "harborage-collector-"));
    const address = machineAddress();
    const projects: ComposeProject[] = [];
    let s3: S3Server;
    let ports: number[];
    let collector: ComposeProject;

    const request = (node: number, method: string, path: string, body?: Buffer, type = "application/octet-stream") =>
        fetch(`http://${address}:${ports[node] ?? 0}${path}`, {
            method,
            headers: {
                Authorization: `Basic ${Buffer.from(`${login.name}:${login.password}`).toString("base64")}`,
                ...(body === undefined ? {} : { "Content-Type": type }),
            },
            ...(body === undefined ? {} : { body: new Uint8Array(body) }),
        });
    const expect = async (status: number, asked: Promise<Response>) => {
        const answer = await asked;
        assert.equal(answer.status, status, await answer.clone().text());
        return answer;
    };

    /** Uploads a blob that begins at one node and ends at the other. */
    async function upload(repository: string, content: Buffer): Promise<string> {
        const begun = await expect(202, request(0, "POST", `/v2/${repository}/blobs/uploads/`));
        const { pathname, search } = new URL(begun.headers.get("location") ?? "", "http://x");
        const digest = digestOf(content);
        await expect(201, request(1, "PUT", `${pathname}${search}&digest=${digest}`, content));
        return digest;
    }

    /** Pushes an image with one layer; gives the digests of both. */
    async function push(repository: string): Promise<{ manifest: string; layer: string }> {
        const content = newContent(100_000);
        const config = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", repository }));
        const layer = await upload(repository, content);
        const manifest = Buffer.from(
            JSON.stringify({
                schemaVersion: 2,
                mediaType: manifestType,
                config: {
                    mediaType: "application/vnd.oci.image.config.v1+json",
                    size: config.length,
                    digest: await upload(repository, config),
                },
                layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", size: content.length, digest: layer }],
            }),
        );
        await expect(201, request(0, "PUT", `/v2/${repository}/manifests/latest`, manifest, manifestType));
        return { manifest: digestOf(manifest), layer };
    }

    before(async () => {
        await ensureDocker();
        const images = await standInImages();
        if (images !== undefined) {
            await run("docker", ["load", "--quiet", "--input", images.bundle.path]);
        }
        const { registry: image, nginx } = images ?? defaultImages;
        s3 = await S3Server.start({ folder: join(root, "s3"), address });
        ports = await freePorts(2);
        const there = (at: string) => ({ kind: "existing", address: at, hostKey: "accept-any" });
        const plan = makePlan(
            "collector",
            parseStackFile(
                fileWith({
                    machines: { lb: there("10.0.0.1"), a: there("10.0.0.2"), b: there("10.0.0.3") },
                    topology: { kind: "shared", nodes: ["a", "b"], loadBalancer: "lb" },
                    // The tests collect when they say so, at whatever hour they run.
                    registry: { engine: "distribution", garbageCollection: { enabled: false } },
                    storage: { objects: { kind: "external", bucket: "registry", region: s3.region } },
                }),
            ),
        );
        const { stack } = plan;
        assert.ok(plan.registry.engine === "distribution");
        const registry = { ...plan.registry, image };
        const objects: ObjectPlace = {
            ...{ bucket: "registry", region: s3.region, endpoint: s3.endpoint, rootDirectory: "/images" },
            ...{ hasKey: true, encrypt: false, storageClass: "STANDARD", redirect: false },
        };
        const keys = { "service/s3-access-key": `${s3.accessKey}\n`, "service/s3-secret-key": `${s3.secretKey}\n` };
        const common = {
            "registry/config.sh": { content: text("config.sh") },
            "hooks/generate.sh": hook(join(sources, "hooks/generate.sh")),
        };
        const name = `harborage-test-collector-${process.pid}`;
        const release = async (machine: string, role: string, ...files: Parameters<ComposeProject["release"]>) => {
            const folder = join(root, machine);
            mkdirSync(join(folder, "gate"), { recursive: true });
            // The services' user is another one than this.
            chmodSync(join(folder, "gate"), 0o777);
            const project = new ComposeProject(folder, `${name}-${role}`);
            projects.push(project);
            const { code, output } = await project.release(...files);
            assert.equal(code, 0, output);
            return project;
        };
        const ofNodes = plan.nodes.map(({ name: machine, ...node }, index) => {
            const placed = {
                ...node,
                ...{ name: machine, project: `${name}-${machine}`, port: ports[index] ?? 0, gateImage: nginx },
            };
            const args = { stack, registry, objects, address, startFiles: [], collectorFiles: [] };
            return release(
                machine,
                machine,
                {
                    "compose.yaml": { content: renderCompose({ ...args, node: placed }) },
                    "registry/config.yml": { content: renderConfig(registry, objects) },
                    "registry/start.sh": { content: text("start.sh"), mode: "0755" },
                    "gate/nginx.conf": { content: renderGate(registry) },
                    ...common,
                },
                {
                    "service/htpasswd": `${login.name}:${hashSync(login.password, 4)}\n`,
                    "service/http-secret": "the same on all nodes\n",
                    ...keys,
                },
            );
        });
        const nodes = ports.map((port, index) => ({ name: `n${index}`, address, port }));
        const args = { stack, registry, project: `${name}-collector`, objects, nodes, files: [] };
        const compose = renderCollectorCompose(args);
        assert.match(compose, /QUIET_SECONDS: "33"/);
        const ofCollector = release(
            "a",
            "collector",
            {
                // There is no load balancer that could hold a request.
                "compose.yaml": { content: compose.replace('QUIET_SECONDS: "33"', 'QUIET_SECONDS: "3"') },
                "registry/config.yml": { content: renderCollectorConfig(registry, objects) },
                "registry/schedule": { content: renderSchedule(registry.garbageCollection.times) },
                "registry/collect.sh": { content: text("collect.sh"), mode: "0755" },
                ...common,
            },
            keys,
        );
        [collector] = await Promise.all([ofCollector, ...ofNodes]);
    });
    after(async () => {
        await Promise.all(projects.map((project) => project.remove()));
        await s3.kill();
        rmSync(root, { recursive: true, force: true });
    });

    const collect = () =>
        attempt("docker", [
            "exec",
            collector.container("collector"),
            "/etc/harborage/current/registry/collect.sh",
            "now",
        ]);
    const flags = () => readdirSync(join(root, "a/gate")).filter((file) => file !== "asked");

    it("has nothing to do where nothing was ever pushed", async () => {
        const { code, output } = await collect();
        assert.match(output, /collect: 0 blobs marked, 0 blobs and 0 manifests eligible for deletion, \d+ s\n$/);
        assert.equal(code, 0);
    });

    it("frees what was deleted and nothing else, and refuses what clients write meanwhile", async () => {
        const [gone, kept] = [await push("gone"), await push("kept")];
        await expect(202, request(1, "DELETE", `/v2/gone/manifests/${gone.manifest}`));
        const before = s3.size();
        const collecting = collect();
        await until("every write is refused", 60, () => flags().includes("writes-closed"));
        const refused = await expect(503, request(0, "POST", "/v2/kept/blobs/uploads/"));
        assert.equal(refused.headers.get("retry-after"), "60");
        await expect(200, request(0, "GET", `/v2/kept/blobs/${kept.layer}`));
        const { code, output } = await collecting;
        assert.equal(code, 0, output);
        assert.match(output, /[1-9]\d* blobs and 0 manifests eligible for deletion/);
        assert.deepEqual(flags(), []);
        assert.ok(before - s3.size() > 100_000, `${before} bytes before, ${s3.size()} after`);
        await expect(200, request(1, "GET", `/v2/kept/blobs/${kept.layer}`));
        // No node remembers that the layer was there.
        for (const node of [0, 1]) {
            await expect(404, request(node, "HEAD", `/v2/gone/blobs/${gone.layer}`));
        }
        await push("again");
    });

    it("waits for what is written to any node", async () => {
        const begun = await expect(202, request(0, "POST", "/v2/slow/blobs/uploads/"));
        const { pathname, search } = new URL(begun.headers.get("location") ?? "", "http://x");
        let finish: () => void = () => undefined;
        const body = new ReadableStream<Uint8Array>({
            start: (controller) => {
                controller.enqueue(new Uint8Array(1000));
                finish = () => controller.close();
            },
        });
        const upload = fetch(`http://${address}:${ports[1] ?? 0}${pathname}${search}`, {
            method: "PATCH",
            headers: {
                Authorization: `Basic ${Buffer.from(`${login.name}:${login.password}`).toString("base64")}`,
                "Content-Type": "application/octet-stream",
            },
            body,
            duplex: "half",
        });
        const counted = /blob_upload_chunk"\} 1$/m;
        await until("the node counts it", 60, async () =>
            counted.test(await (await request(1, "GET", "/harborage/metrics")).text()),
        );
        const collecting = collect();
        await until("uploads are refused", 60, () => flags().includes("uploads-closed"));
        await new Promise((resolve) => setTimeout(resolve, 7000));
        assert.ok(!flags().includes("writes-closed"), "it did not wait");
        finish();
        await expect(202, upload);
        const { code, output } = await collecting;
        assert.equal(code, 0, output);
    });

    it("collects nothing while a node does not answer", async () => {
        const gate = projects.find(({ project }) => project.endsWith("-b"))?.container("gate") ?? "";
        await run("docker", ["stop", "--time", "1", gate]);
        const { code, output } = await collect();
        assert.equal(code, 75, output);
        assert.match(output, /put off: http:\S+\/harborage\/metrics does not answer, so its writes cannot be seen/);
        assert.deepEqual(flags(), []);
    });
});
