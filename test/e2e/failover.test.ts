import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, beforeEach, describe, it } from "mocha";
import { renderLogin } from "../../components/load-balancer/render-agent";
import type { LoadBalancerPlan } from "../../config/plan";
import { ask, type Answer } from "../support/client";
import { docker, lifeOf } from "../support/docker";
import { FakeHarbor } from "../support/fake-harbor";
import { freePorts } from "../support/launcher";
import { LocalBalancer } from "../support/local-balancer";
import { until } from "../support/processes";
import { selfSigned } from "../support/self-signed";

const HOST = "registry.test";

interface Active {
    readonly active: string;
    readonly epoch: number;
    readonly armed: boolean;
    readonly by: string;
}

describe("a load balancer of an active node and a standby", function () {
    this.timeout("5m");

    const door = selfSigned([`DNS:${HOST}`]);
    const identities = [selfSigned([`DNS:${HOST}`]), selfSigned([`DNS:${HOST}`])] as const;
    const [n0, n1] = [new FakeHarbor(identities[0]), new FakeHarbor(identities[0])] as const;
    [n0.peer, n1.peer] = [n1, n0];
    const balancer = new LocalBalancer(`test-failover-${process.pid}`, door);
    let plan: LoadBalancerPlan;
    let ports: readonly [number, number];

    const at = (port: number, path: string, method = "GET"): Promise<Answer> =>
        ask({ name: HOST, port, address: "127.0.0.1", ca: door.cert }, method, path);
    /** Who answers a pull; the status where it is no node. */
    const answering = async (): Promise<string> => {
        const { status, headers } = await at(plan.httpsPort, "/v2/app/manifests/latest");
        return (
            ({ [n0.port]: "n0", [n1.port]: "n1" } as Record<string, string>)[String(headers["x-node"])] ?? `${status}`
        );
    };
    /** What the agent tells at the ports for administrators. */
    const told = async (): Promise<Active> => JSON.parse((await at(ports[0], "/harborage/active")).body) as Active;
    const untilAnswers = (who: string) => until(`${who} answers`, 60, async () => (await answering()) === who);
    const must = async (...words: readonly string[]): Promise<string> => {
        const ran = await balancer.command(...words);
        assert.equal(ran.code, 0, ran.output);
        return ran.stdout;
    };
    const directionOf = (node: FakeHarbor) => [node.policy("push").enabled, node.robot.disable, node.readOnly];
    const release = async (nodesCa: string, mode: "http" | "stream" = "http") => {
        const upstreams = [n0, n1].map(({ port }, index) => ({
            name: `n${index}`,
            address: "127.0.0.1",
            port,
            machine: `machine-${index}`,
        }));
        const chosen = { ...plan, ...(plan.failover && { failover: { ...plan.failover, mode } }) };
        const secrets = { "root/harbor.curl": renderLogin("admin", "Secret1") };
        const ran = await balancer.release(chosen, upstreams, { secrets, nodesCa });
        assert.equal(ran.code, 0, ran.output);
    };

    before(async () => {
        const [httpsPort = 0, httpPort = 0, first = 0, second = 0] = await freePorts(4);
        const prepared = await balancer.prepare(httpsPort, httpPort);
        await Promise.all([n0.start(), n1.start()]);
        ports = [first, second];
        plan = {
            ...prepared,
            nodes: ["n0", "n1"],
            failover: {
                mode: "http",
                misses: 3,
                active: "n0",
                adminPorts: { n0: first, n1: second },
                adminCidrs: ["127.0.0.0/8"],
            },
        };
        await release(identities[0].cert);
    });

    after(async () => {
        await balancer.remove();
        await Promise.all([n0.stop(), n1.stop()]);
    });

    beforeEach(async () => {
        await must("activate", "n0");
        await untilAnswers("n0");
    });

    it("sends everything to the active one, and administrators to each", async () => {
        assert.deepEqual(directionOf(n0), [true, false, false]);
        assert.deepEqual(directionOf(n1), [false, false, false]);
        for (const [port, node] of [
            [ports[0], n0],
            [ports[1], n1],
        ] as const) {
            const { headers } = await at(port, "/v2/app/manifests/latest");
            assert.equal(headers["x-node"], String(node.port));
        }
        const { active, armed } = await told();
        assert.deepEqual([active, armed], ["n0", true]);
    });

    it("fails over when it dies, stays there when it is back, and goes back when somebody says so", async () => {
        const { epoch } = await told();
        await n0.stop();
        await untilAnswers("n1");
        assert.equal(n1.robot.disable, true);
        await n0.start();
        const ends = Date.now() + 6_000;
        while (Date.now() < ends) {
            assert.equal(await answering(), "n1");
            await sleep(100);
        }
        const after = await told();
        assert.deepEqual([after.active, after.epoch, after.armed, after.by], ["n1", epoch + 1, false, "agent"]);
        assert.match(await docker("logs", `${balancer.project}-agent-1`), /"event":"failover","node":"n1"/);
        assert.match(await must("rejoin"), /n0 follows n1/);
        assert.deepEqual(directionOf(n1), [true, false, false]);
        assert.match(await must("switch", "n0"), /n0 is active/);
        assert.deepEqual((await told()).epoch, epoch + 2);
    });

    it("tells clients to come again while neither is well, and goes on with the active one", async () => {
        const { epoch } = await told();
        await n1.stop();
        await until("n1 is dead", 60, async () => (await must("status")).includes(" dead "));
        await n0.stop();
        await untilAnswers("503");
        const { status, headers } = await at(plan.httpsPort, "/v2/app/manifests/latest");
        assert.deepEqual([status, headers["retry-after"]], [503, "5"]);
        await sleep(6_000);
        await n0.start();
        await n1.start();
        await untilAnswers("n0");
        assert.equal((await told()).epoch, epoch);
    });

    it("goes on with the active one while the agent is down, and looks again when it is back", async () => {
        const agent = `${balancer.project}-agent-1`;
        const { startedAt } = await lifeOf(agent);
        await docker("kill", agent);
        await sleep(3_000);
        assert.equal(await answering(), "n0");
        await docker("start", agent);
        assert.notEqual((await lifeOf(agent)).startedAt, startedAt);
        assert.match(await must("changed", "n0"), /n0 is well/);
        assert.equal(await answering(), "n0");
    });

    it("believes nodes with certificates of another CA when it has been told of it, one after the other", async () => {
        const { epoch } = await told();
        const { startedAt } = await lifeOf(`${balancer.project}-nginx-1`);
        const trusted = await balancer.script("load-balancer/scripts/trust.sh", [balancer.project], identities[1].cert);
        assert.equal(trusted.code, 0, trusted.output);
        await must("hold", "600");
        for (const [node, name] of [
            [n0, "n0"],
            [n1, "n1"],
        ] as const) {
            await node.stop();
            node.identity = identities[1];
            await node.start();
            assert.match(await must("changed", name), / is well/);
            assert.equal(await answering(), "n0");
        }
        await release(identities[1].cert);
        await untilAnswers("n0");
        await must("hold", "off");
        assert.equal(await until("it is still armed", 60, async () => (await told()).armed), true);
        assert.deepEqual((await told()).epoch, epoch);
        assert.equal((await lifeOf(`${balancer.project}-nginx-1`)).startedAt, startedAt);
    });

    it("lets TLS through to the active one in mode stream, and to nobody else after a switch", async () => {
        await release(identities[1].cert, "stream");
        const access = { name: HOST, port: plan.httpsPort, address: "127.0.0.1", ca: identities[1].cert };
        const node = async () => (await ask(access, "GET", "/v2/app/manifests/latest")).headers["x-node"];
        await until("it answers", 60, async () => (await node().catch(() => "")) === String(n0.port));
        await must("switch", "n1");
        assert.equal(await node(), String(n1.port));
        await release(identities[1].cert);
    });
});
