import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, it } from "mocha";
import { ask, type Access } from "../support/client";
import type { Cluster } from "../support/cluster";
import { anonymous, api, harborInstaller } from "../support/harbor";
import type { Settings } from "../support/launcher";
import { Load, LoadClient, type LoadOptions } from "../support/load";
import { ClusterPair } from "../support/pair";
import { until } from "../support/processes";
import { SshMachine } from "../support/ssh-machine";

/** The steps of a planned switchover, as its journal names them. */
const steps = [
    "check",
    "full",
    "readonly",
    "drain",
    "fence",
    "pull",
    "compare",
    "switch",
    "ended",
    "turn",
    "settle",
    "armed",
] as const;

describe("two Harbors, one of them active", function () {
    this.timeout("15m");

    let pair: ClusterPair | undefined;
    let access: Required<Access>;

    const thePair = (): ClusterPair => {
        assert.ok(pair);
        return pair;
    };
    const cluster = (): Cluster => thePair().cluster;
    const load = (more: Partial<LoadOptions> = {}): LoadOptions => ({
        access,
        prefix: "team",
        pushers: 2,
        pullers: 1,
        ...more,
    });
    const push = (repository: string, tag: string) => thePair().push(repository, tag);
    /** Power and Docker on again; its Harbor is well. */
    const switchOn = async (node: SshMachine) => {
        await node.boot();
        await node.startDocker();
        await until(`${node.name} is well`, 240, async () => {
            const { status } = await ask(anonymous(await thePair().at(node)), "GET", "/v2/").catch(() => ({
                status: 0,
            }));
            return status === 401;
        });
    };
    const rejoin = () => thePair().rejoin();
    const write = (topology: Settings, more: Settings = {}) => cluster().write(2, { topology, ...more });

    before(async function () {
        this.timeout("20m");
        const found = await harborInstaller();
        if (found === undefined || !(await SshMachine.possible())) {
            this.skip();
        }
        pair = await ClusterPair.make("pair", found);
        access = await cluster().access();
    });

    after(() => pair?.close());

    it("is left alone by an up that has nothing to change", async () => {
        assert.deepEqual((await cluster().up()).names, []);
        const { active, armed } = await thePair().armed();
        assert.deepEqual({ active, armed }, { active: "n1", armed: true });
    });

    it("has what is pushed on the standby", async () => {
        const began = Date.now();
        const image = await push("team/first", "one");
        await thePair().replicated(cluster().node(2), [image]);
        console.log(`      on the standby after ${((Date.now() - began) / 1000).toFixed(1)} s`);
        const asked = (await cluster().watch.log(began)).filter(({ request }) => request.includes("/v2/team/first/"));
        assert.deepEqual([...new Set(asked.map(({ answeredBy }) => answeredBy))], ["n1"]);
    });

    it("takes what is deleted from the standby", async () => {
        const image = await push("team/gone", "one");
        await thePair().replicated(cluster().node(2), [image]);
        const { status, body } = await api(access, "DELETE", "/projects/team/repositories/gone/artifacts/one");
        assert.equal(status, 200, body);
        await until("it is gone", 60, async () => {
            return (await thePair().digestAt(cluster().node(2), "team/gone", "one")) === undefined;
        });
    });

    it("fails over when the active loses its power, and stays when it is back", async () => {
        const image = await push("team/kept", "one");
        const { epoch } = await thePair().armed();
        await thePair().replicated(cluster().node(2), [image]);
        const began = Date.now();
        await cluster().node(1).cutPower();
        const good = await thePair().firstGoodPull(image);
        console.log(`      first good pull ${((good - began) / 1000).toFixed(1)} s after the power was cut`);
        assert.ok(
            good - began <= 5000 + 1500,
            `${(good - began) / 1000} s, of which the machine takes up to 1.5 s to end`,
        );
        const failedOver = await thePair().agent();
        assert.equal(failedOver.active, "n2");
        assert.equal(failedOver.by, "agent");
        assert.equal(failedOver.epoch, epoch + 1);
        assert.equal(failedOver.armed, false);
    });

    it("keeps a tag that was moved meanwhile, whatever the old active does when it is back", async () => {
        const first = await push("team/moved", "latest");
        const second = await push("team/moved", "latest");
        await switchOn(cluster().node(1));
        assert.equal((await thePair().agent()).active, "n2");
        // It still has the old one of what was there before.
        const old = await push("team/kept", "one");
        const outcomes = [
            await thePair().run(cluster().node(1), "harborage-push").catch(String),
            await thePair().run(cluster().node(1), "harborage-full").catch(String),
        ];
        console.log(`      the old active: ${outcomes.join(", ")}`);
        assert.equal(await thePair().digestAt(cluster().node(2), "team/kept", "one"), old.digest);
        assert.equal(await thePair().digestAt(cluster().node(2), "team/moved", "latest"), second.digest);
        assert.notEqual(first.digest, second.digest);
        assert.equal((await thePair().agent()).active, "n2");
    });

    it("asks what is wanted before it changes anything after a failover, and does what was said", async () => {
        const before = await thePair().agent();
        write({ active: "n1" }, { registry: { log: { level: "warning" } } });
        const refused = await cluster().stack.tryUp();
        assert.notEqual(refused.code, 0);
        assert.deepEqual(refused.changes, []);
        assert.match(refused.output, /topology\.active: n2/);
        assert.match(refused.output, new RegExp(`topology\\.epoch: ${before.epoch}`));
        assert.deepEqual(await thePair().agent(), before);
        write({ active: "n2" });
        const { names } = await cluster().up();
        assert.ok(names.includes("n1-release") && names.includes("n2-release"), names.join(", "));
        assert.equal((await thePair().agent()).active, "n2");
        assert.equal((await thePair().agent()).epoch, before.epoch);
    });

    it("takes the old active back as the standby when an operator says so", async () => {
        await rejoin();
        await thePair().replicated(cluster().node(1), [await push("team/after", "one")]);
        const now = await push("team/kept", "two");
        await thePair().replicated(cluster().node(1), [now]);
        assert.equal((await thePair().agent()).active, "n2");
    });

    it("changes the active as planned, and loses nothing that was acknowledged", async () => {
        const { epoch } = await thePair().armed();
        const [from, to] = [await thePair().active(), await thePair().standby()];
        const running = Load.start(load());
        await running.more(20);
        write({ active: to.name });
        await cluster().up();
        await running.more(20);
        await running.stop();
        const refused = running.failures().map(({ failure }) => failure?.at ?? 0);
        const pause = refused.length === 0 ? 0 : (Math.max(...refused) - Math.min(...refused)) / 1000;
        console.log(`      ${running.summary()}; pushes were refused for ${pause.toFixed(1)} s`);
        assert.deepEqual(await running.verify(), [], "acknowledged, and not there");
        const agent = await thePair().armed();
        assert.deepEqual([agent.active, agent.epoch], [to.name, epoch + 1]);
        await thePair().replicated(from, running.acknowledged().slice(-3));
    });

    for (const step of steps) {
        it(`is consistent after the agent and the up were killed at the step ${step}`, async () => {
            const { balancer, stack } = cluster();
            await thePair().armed();
            const [from, to] = [await thePair().active(), await thePair().standby()];
            const image = await push("team/killed", step);
            write({ active: to.name });
            const journal = "/var/lib/harborage/balancer/journal";
            const running = stack.start("up", ["--skip-preview"]);
            // It has the steps that are left. Some take no longer than a look.
            const earlier: readonly string[] = steps.slice(0, steps.indexOf(step));
            let begun = false;
            let ended = false;
            void running.done.then(() => (ended = true));
            await until(`the step ${step}`, 240, async () => {
                const { code, output } = await balancer.attempt("cat", [journal]);
                begun ||= code === 0;
                assert.ok(begun || !ended, "the up has ended without a switchover");
                return begun && (code !== 0 || !earlier.includes(output.trim().split(" ")[5] ?? ""));
            });
            await balancer.docker("kill", `harborage-${stack.name}-lb-agent-1`);
            running.kill("SIGKILL");
            await running.done;
            await balancer.docker("start", `harborage-${stack.name}-lb-agent-1`);
            await cluster().up();
            const { active } = await thePair().armed();
            assert.equal(active, to.name);
            assert.equal(await thePair().digestAt(to, "team/killed", step), image.digest);
            for (const node of [from, to]) {
                const { body } = await api(await thePair().at(node), "GET", "/configurations");
                assert.equal((JSON.parse(body) as { read_only: { value: boolean } }).read_only.value, false, node.name);
            }
            await thePair().replicated(from, [await push("team/killed", `after-${step}`)]);
        });
    }

    it("changes the active once at most when it comes and goes", async () => {
        const { epoch } = await thePair().armed();
        const active = await thePair().active();
        for (let round = 0; round < 8; round += 1) {
            await active.docker("pause", "nginx");
            await sleep(2000);
            await active.docker("unpause", "nginx");
            await sleep(2000);
        }
        assert.ok((await thePair().agent()).epoch <= epoch + 1);
        if (!(await thePair().agent()).armed) {
            await rejoin();
        }
    });

    it("leaves the active where it is when both are ill, and says 503", async () => {
        const before = await thePair().armed();
        const [active, standby] = [await thePair().active(), await thePair().standby()];
        await standby.docker("stop", "nginx");
        await until("the standby is ill", 60, async () => (await thePair().must("status")).includes("dead"));
        await active.docker("stop", "nginx");
        await sleep(8000);
        const { status, headers } = await ask(anonymous(access), "GET", "/v2/");
        assert.equal(status, 503);
        assert.ok(Number(headers["retry-after"]) > 0);
        assert.equal((await thePair().agent()).epoch, before.epoch);
        const log = await cluster().balancer.docker("logs", `harborage-${cluster().stack.name}-lb-agent-1`);
        assert.match(log.join("\n"), new RegExp(`${standby.name} is (dead|sick)`));
        await active.docker("start", "nginx");
        await standby.docker("start", "nginx");
        await until("it answers", 60, async () => (await ask(anonymous(access), "GET", "/v2/")).status === 401);
        assert.equal((await thePair().agent()).epoch, before.epoch);
    });

    it("goes on with its active when the agent is killed", async () => {
        const agent = `harborage-${cluster().stack.name}-lb-agent-1`;
        const image = await push("team/agent", "one");
        await cluster().balancer.docker("stop", agent);
        const client = new LoadClient(access);
        for (let count = 0; count < 10; count += 1) {
            const { failure } = await client.operation("pull", (session) => session.pull(image, "one"));
            assert.equal(failure, undefined);
        }
        client.close();
        await cluster().balancer.docker("start", agent);
    });

    it("passes TLS through where the stack file says stream, and sends the old active nothing after a switch", async () => {
        write({ active: (await thePair().active()).name }, { loadBalancer: { mode: "stream" } });
        await cluster().up();
        await thePair().armed();
        const image = await push("team/stream", "one");
        const [active, standby] = [await thePair().active(), await thePair().standby()];
        await thePair().replicated(standby, [image]);
        const running = Load.start(load({ pushers: 0, pullers: 0, callers: 3, calls: ["/api/v2.0/projects"] }));
        await running.more(20);
        await thePair().must("switch", standby.name);
        await sleep(5000);
        const since = new Date().toISOString();
        await running.more(40);
        await running.stop();
        const asked = (await active.docker("logs", "--since", since, "nginx")).filter((line) =>
            line.includes("projects"),
        );
        assert.deepEqual(asked, [], `${active.name} was asked after the switch`);
        write({ active: standby.name });
        await cluster().up();
    });

    it("keeps its data when it is destroyed", async () => {
        const { code, output } = await cluster().stack.run("destroy");
        assert.equal(code, 0, output);
        for (const node of cluster().nodes) {
            assert.deepEqual(await node.docker("ps", "--all", "--quiet"), []);
            await node.script("test -d /var/lib/harborage/data/registry/database");
        }
    });
});
