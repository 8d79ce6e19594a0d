import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "mocha";
import type { PlainFile } from "../../components/compose-stack/render-files";
import type { LoadBalancerPlan } from "../../config/plan";
import { ask } from "../support/client";
import { docker, lifeOf } from "../support/docker";
import { FakeNode } from "../support/fake-node";
import { freePorts } from "../support/launcher";
import { LocalBalancer } from "../support/local-balancer";
import { until, type Ran } from "../support/processes";
import { selfSigned } from "../support/self-signed";

const stack = `test-balancer-${process.pid}`;

/** A client that keeps connections and tries nothing twice, but for what RFC 9112, 9.3.1 asks of every client. */
class Load {
    readonly failures: string[] = [];
    /** Requests on a kept connection that was being closed: asked again. */
    closed = 0;
    readonly nodes = new Map<string, number>();
    requests = 0;
    private readonly agent = new Agent({ keepAlive: true, rejectUnauthorized: false });
    private running = true;
    private readonly workers: Promise<void>[];

    constructor(
        private readonly port: number,
        workers: number,
        private readonly pauseMilliseconds: number,
    ) {
        this.workers = Array.from({ length: workers }, () => this.work());
    }

    async end(): Promise<void> {
        this.running = false;
        await Promise.all(this.workers);
        this.agent.destroy();
    }

    private async work(): Promise<void> {
        while (this.running) {
            let failure = await this.ask();
            for (; failure === "closed"; failure = await this.ask()) {
                this.closed += 1;
            }
            this.requests += 1;
            if (failure !== undefined) {
                this.failures.push(failure);
            }
            await new Promise((done) => setTimeout(done, this.pauseMilliseconds));
        }
    }

    private ask(): Promise<string | undefined> {
        return new Promise((done) => {
            const asked = request(
                { host: "127.0.0.1", port: this.port, path: "/v2/app/tags/list", agent: this.agent },
                (response) => {
                    response.resume();
                    response
                        .on("error", (error) => done(String(error)))
                        .on("end", () => {
                            const node = String(response.headers["x-node"]);
                            this.nodes.set(node, (this.nodes.get(node) ?? 0) + 1);
                            done(response.statusCode === 200 ? undefined : `status ${String(response.statusCode)}`);
                        });
                },
            );
            const failed = (error: NodeJS.ErrnoException) => {
                done(asked.reusedSocket && error.code === "ECONNRESET" ? "closed" : String(error));
            };
            asked.on("error", failed).end();
        });
    }
}

describe("a load balancer with several nodes", function () {
    this.timeout("5m");

    const certificate = selfSigned(["DNS:registry.test"]);
    const balancer = new LocalBalancer(stack, certificate);
    const { project } = balancer;
    const container = `${project}-nginx-1`;
    const nodes = ["a", "b", "c"].map((name, index) => new FakeNode(name, `127.0.9.${index + 1}`, 5000));
    const [a, b, c] = nodes as [FakeNode, FakeNode, FakeNode];
    let plan: LoadBalancerPlan;

    const release = (
        behind: readonly FakeNode[],
        files: Record<string, PlainFile> = {},
        engine: LoadBalancerPlan["engine"] = "harbor",
    ): Promise<Ran> => balancer.release({ ...plan, engine, nodes: behind.map(({ name }) => name) }, behind, { files });
    const command = (...words: readonly string[]) => balancer.command(...words);
    const rotation = () => balancer.rotation();
    /** What `status` says of a node, but for its address and for how long. */
    const statusOf = async (node: FakeNode) => {
        const { stdout } = await command("status");
        const words = stdout
            .split("\n")
            .find((line) => line.startsWith(`${node.name} `))
            ?.split(/\s+/);
        return words && { class: words[2], rotation: words[3], why: words.slice(6).join(" ") };
    };
    /** How soon it is so is for bench/ to say; a node that keeps falling is out for longer each time. */
    const untilRotation = (expected: string) => until(`in rotation: ${expected}`, 60, () => rotation() === expected);
    /** Whether nginx knows how to keep idle connections on a reload. */
    const keepsConnections = () => balancer.current("release.conf").includes("keepalive_min_timeout");
    const underLoad = async (action: () => Promise<void>) => {
        const load = new Load(plan.httpsPort, 8, 5);
        await action().finally(() => load.end());
        assert.deepEqual(load.failures.slice(0, 5), [], `${load.failures.length} of ${load.requests} failed`);
        if (keepsConnections()) {
            assert.equal(load.closed, 0);
        }
        return load;
    };

    before(async () => {
        const [httpsPort = 0, httpPort = 0] = await freePorts(2);
        plan = await balancer.prepare(httpsPort, httpPort);
        for (const node of nodes) {
            await node.become("well");
        }
        const ran = await release(nodes);
        assert.equal(ran.code, 0, ran.output);
    });

    beforeEach(async () => {
        for (const node of nodes) {
            node.milliseconds = 0;
            await node.become("well");
        }
        await untilRotation("a b c");
    });

    after(async () => {
        await balancer.remove();
        for (const node of nodes) {
            await node.become("dead");
        }
    });

    it("sends requests to all of them, and says in its log which one answered", async () => {
        const load = await underLoad(() => new Promise((done) => setTimeout(done, 1000)));
        assert.deepEqual([...load.nodes.keys()].sort(), ["a", "b", "c"]);
        assert.match(await docker("logs", container), /"name":"b","node":"127\.0\.9\.2:5000"/);
    });

    it("takes a dead node out, and puts it back when it is well; no request fails", async () => {
        await underLoad(async () => {
            await a.become("dead");
            await untilRotation("b c");
            await a.become("well");
            await untilRotation("a b c");
        });
        // It takes connections, and says nothing.
        await c.become("mute");
        await untilRotation("a b");
        await c.become("well");
        await untilRotation("a b c");
    });

    it("takes a node out that answers and is sick, but never the last one", async () => {
        await b.become("sick");
        await untilRotation("a c");
        assert.deepEqual(await statusOf(b), { class: "sick", rotation: "out", why: "jobservice unhealthy" });
        await a.become("dead");
        await untilRotation("c");
        const refused = await command("drain", "c");
        assert.equal(refused.code, 1);
        assert.match(refused.stderr, /c stays in rotation: no other node is as good as c, which is well/);
        assert.match(refused.stderr, /a is dead \(no answer\); b is sick \(jobservice unhealthy\)/);
        await c.become("sick");
        await untilRotation("b c");
        await b.become("well");
        await untilRotation("b");
        await a.become("well");
        await c.become("well");
        await untilRotation("a b c");
    });

    it("drains a node: its requests end, and nobody sees it", async () => {
        a.milliseconds = 1500;
        await underLoad(async () => {
            await new Promise((done) => setTimeout(done, 300));
            const drained = await command("drain", "a");
            assert.equal(drained.code, 0, drained.output);
            const { requests } = a;
            assert.equal(rotation(), "b c");
            assert.equal((await statusOf(a))?.rotation, "out");
            await new Promise((done) => setTimeout(done, 500));
            assert.equal(a.requests, requests);
            await a.become("dead");
            a.milliseconds = 0;
            await a.become("well");
            const restored = await command("restore", "a");
            assert.equal(restored.code, 0, restored.output);
            assert.equal(rotation(), "a b c");
        });
    });

    it("goes on with the nodes that it has while the agent is down", async () => {
        await docker("stop", "--time", "5", `${project}-agent-1`);
        await underLoad(async () => {
            await a.become("dead");
            await new Promise((done) => setTimeout(done, 3000));
            assert.equal(rotation(), "a b c");
            assert.equal((await command("drain", "a", "3")).code, 0);
            assert.equal(rotation(), "b c");
            await a.become("well");
            assert.equal((await command("restore", "a")).code, 0);
            assert.equal(rotation(), "a b c");
        }).finally(() => docker("start", `${project}-agent-1`));
    });

    it("gets another list of nodes, and a new agent, without a restart; no request fails", async () => {
        const lives = async () => [await lifeOf(container), await lifeOf(`${project}-agent-1`)];
        const before = await lives();
        b.milliseconds = 1000;
        await underLoad(async () => {
            const fewer = await release([a, c], { "agent/agent.sh": changedAgent() });
            assert.equal(fewer.code, 0, fewer.output);
            // Its requests have ended: it may be taken down.
            await b.become("dead");
            b.milliseconds = 0;
            await b.become("well");
            const more = await release(nodes);
            assert.equal(more.code, 0, more.output);
        });
        assert.deepEqual(
            (await lives()).map(({ id, startedAt }) => [id, startedAt]),
            before.map(({ id, startedAt }) => [id, startedAt]),
        );
        assert.match(await docker("logs", `${project}-agent-1`), /a new agent/);
    });

    it("keeps its nodes when each answers 500 to what has become of an upload; CNCF Distribution does", async () => {
        const other = await release(nodes, {}, "distribution");
        assert.equal(other.code, 0, other.output);
        const access = { name: plan.host, port: plan.httpsPort, address: "127.0.0.1", ca: certificate.cert };
        await underLoad(async () => {
            for (let count = 0; count < 20; count += 1) {
                const { status } = await ask(access, "PUT", "/v2/app/blobs/uploads/lost?digest=sha256:0");
                assert.equal(status, 500);
            }
        });
        const harbor = await release(nodes);
        assert.equal(harbor.code, 0, harbor.output);
    });

    it("comes back with its agent when nginx has crashed", async () => {
        const { pid } = await lifeOf(container);
        process.kill(pid, "SIGKILL");
        await until("it answers again", 60, async () => (await command("status")).stdout.includes("c "));
        await b.become("sick");
        await untilRotation("a c");
    });

    /** The agent as it is, and one line in its log. */
    function changedAgent(): PlainFile {
        const text = readFileSync(join(__dirname, "../../components/load-balancer/agent/agent.sh"), "utf8");
        return { content: text.replace("set -eu\n", "set -eu\necho a new agent\n") };
    }
});
