import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, it } from "mocha";
import { selfSigned } from "../support/self-signed";
import { FakeHarbor } from "../support/fake-harbor";

const programs = join(__dirname, "../../components/load-balancer/agent");
const HOST = "registry.failover.test";

/** What agent.sh does, and nginx's container, with probes that see what a file says. */
const agentLoop = `
while :; do
    if cat "$1/seen" | sh "$1/release/agent/balancer.sh" decide; then
        date +%s >"$1/balancer/round.new" && mv "$1/balancer/round.new" "$1/balancer/round"
    fi
    cmp -s "$1/balancer/wanted.conf" "$1/balancer/nodes.conf" || sh "$1/release/agent/balancer.sh" apply
    sh "$1/release/agent/balancer.sh" work &
    sleep 1
done`;

/** The agent dies when it has done a step, and has not written that down. */
const killed = `{ "step_$step" 2>"$work/why" && { ! grep -qx "$step" "$home/kill" || { sed -i "/^$step\\$/d" "$home/kill"; kill -KILL 0; }; }; } || {`;

/** The agent dies when it has fenced, before it can change the active; and the active is back when it runs again. */
const killedFenced =
    'if grep -qx fenced "$home/kill"; then : >"$home/kill"; cp "$home/../seen.next" "$home/../seen"; kill -KILL 0; fi\n    ';

class Bed {
    readonly folder = mkdtempSync(join(tmpdir(), "harborage-failover-"));
    readonly n0: FakeHarbor;
    readonly n1: FakeHarbor;
    /** How often the agent was started. */
    starts = 0;
    private agent: ChildProcess | undefined;
    private isStopped = false;

    constructor(private readonly identity: { cert: string; key: string }) {
        this.n0 = new FakeHarbor(identity);
        this.n1 = new FakeHarbor(identity);
        this.n0.peer = this.n1;
        this.n1.peer = this.n0;
    }

    async start(): Promise<this> {
        const ports = [await this.n0.start(), await this.n1.start()];
        const release = join(this.folder, "release");
        for (const name of ["release/agent", "release/secrets/root", "balancer", "bin"]) {
            mkdirSync(join(this.folder, name), { recursive: true });
        }
        for (const name of ["common.awk", "common.sh", "failover.awk", "json.awk"]) {
            cpSync(join(programs, name), join(release, "agent", name));
        }
        const decides = readFileSync(join(programs, "failover.sh"), "utf8");
        const told = "printf 'fenced %s";
        assert.ok(decides.includes(told));
        const steps = readFileSync(join(programs, "switchover.sh"), "utf8");
        const line = '"step_$step" 2>"$work/why" || {';
        assert.ok(steps.includes(line));
        const files: Record<string, string> = {
            "release/agent/balancer.sh": decides.replace(told, () => killedFenced + told),
            "release/agent/switchover.sh": steps.replace(line, () => killed),
            "release/agent/nodes": ports.map((port, i) => `node n${i} 127.0.0.1 ${port}\n`).join(""),
            "release/agent/machines": "machine n0 first-1\nmachine n1 second-1\n",
            "release/agent/misses": "3\n",
            "release/agent/probe-seconds": "1\n",
            "release/agent/first": "n0\n",
            "release/agent/host": HOST,
            "release/agent/api.curl": `cacert = "${this.folder}/ca.crt"\nconnect-timeout = 2\n`,
            "release/secrets/root/harbor.curl": 'user = "admin:Secret1"\n',
            "release/nginx.conf": `include ${this.folder}/balancer/nodes.conf;\n`,
            "ca.crt": this.identity.cert,
            "bin/nginx": "#!/bin/sh\nexit 0\n",
            "balancer/kill": "",
        };
        for (const [name, content] of Object.entries(files)) {
            writeFileSync(join(this.folder, name), content, { mode: 0o755 });
        }
        this.see("well", "well");
        this.run();
        return this;
    }

    private get environment(): NodeJS.ProcessEnv {
        const { folder } = this;
        return {
            ...process.env,
            PATH: `${folder}/bin:${process.env.PATH ?? ""}`,
            HARBORAGE_BALANCER: `${folder}/balancer`,
            HARBORAGE_LOG: `${folder}/log`,
        };
    }

    /** As a container that is started again when it ends. */
    private run(): void {
        this.starts += 1;
        this.agent = spawn("sh", ["-c", agentLoop, "agent", this.folder], {
            env: this.environment,
            detached: true,
            stdio: "ignore",
        });
        this.agent.on("exit", () => {
            if (!this.isStopped) {
                this.run();
            }
        });
    }

    async stop(): Promise<void> {
        if (this.isStopped) {
            return;
        }
        this.isStopped = true;
        process.kill(-(this.agent?.pid ?? 0), "SIGKILL");
        await Promise.all([this.n0.stop(), this.n1.stop()]);
        rmSync(this.folder, { recursive: true, maxRetries: 5, force: true });
    }

    see(n0: string, n1: string, file = "seen"): void {
        writeFileSync(join(this.folder, file), `seen n0 ${n0} looks ${n0}\nseen n1 ${n1} looks ${n1}\n`);
    }

    async command(...words: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
        const child = spawn("sh", [join(this.folder, "release/agent/balancer.sh"), ...words], {
            env: this.environment,
            stdio: ["ignore", "pipe", "pipe"],
        });
        const code = new Promise<number | null>((done) => child.on("exit", done));
        const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
        return { code: await code, out, err };
    }

    async succeeds(...words: readonly string[]): Promise<string> {
        const { code, out, err } = await this.command(...words);
        assert.equal(code, 0, `${words.join(" ")}: ${out}${err}${this.file("log")}`);
        return out;
    }

    file(name: string): string {
        const path = join(this.folder, name);
        return existsSync(path) ? readFileSync(path, "utf8") : "";
    }

    get active(): Record<string, unknown> {
        return JSON.parse(this.file("balancer/active.json") || "{}") as Record<string, unknown>;
    }

    async until(what: string, seconds: number, isSo: () => boolean): Promise<void> {
        for (const end = Date.now() + seconds * 1000; !isSo();) {
            assert.ok(Date.now() < end, `${what}: not within ${seconds} s\n${this.file("log")}`);
            await sleep(20);
        }
    }

    /** Who pushes to whom, and whether anything is refused. */
    get direction(): unknown {
        return [this.n0, this.n1].map((node) => ({
            pushes: node.policy("push").enabled,
            runs: node.policy("full").enabled,
            fenced: node.robot.disable,
            readOnly: node.readOnly,
        }));
    }
}

const toRight = [
    { pushes: true, runs: true, fenced: false, readOnly: false },
    { pushes: false, runs: false, fenced: false, readOnly: false },
];
const toLeft = toRight.toReversed();

describe("the switchover of two Harbors", function () {
    this.timeout("4m");
    const identity = { cert: "", key: "" };
    /** They wait most of their time, so they do it together. */
    const beds: Bed[] = [];
    const together: Record<string, Promise<void>> = {};
    const scenario = (title: string, work: (test: Bed) => Promise<void>): void => {
        before(() => {
            const bed = new Bed(identity);
            beds.push(bed);
            together[title] = bed
                .start()
                .then(work)
                .finally(() => bed.stop());
            together[title].catch(() => undefined);
        });
        it(title, () => together[title]);
    };

    before(() => {
        Object.assign(identity, selfSigned([`DNS:${HOST}`]));
    });

    // Those as well that this run did not wait for.
    after(() => Promise.all(beds.map((bed) => bed.stop())));

    scenario("is the same when the agent is killed after each of its steps", async (test) => {
        const { n0, n1 } = test;
        const robots = [n0.robot, n1.robot];
        n0.tags.set("library/deep/name:v1", "sha256:1").set("library/app:latest", "sha256:2");
        await test.succeeds("activate", "n0");
        assert.deepEqual(test.direction, toRight);
        assert.equal(test.active.armed, true);
        assert.equal(test.active.epoch, 1);
        assert.deepEqual(n1.tags, n0.tags);
        // Not replicated: the last pull has to bring it.
        n0.tags.set("library/app:latest", "sha256:3");
        const steps =
            /planned_steps="(.*)"/.exec(readFileSync(join(programs, "switchover.sh"), "utf8"))?.[1]?.split(" ") ?? [];
        assert.ok(steps.length > 10);
        writeFileSync(join(test.folder, "balancer/kill"), `${steps.join("\n")}\n`);
        const watching = new AbortController();
        const watch = (async () => {
            while (!watching.signal.aborted) {
                await sleep(5);
                const { active } = test.active;
                if (active === "n1") {
                    // Its schedule may begin a run also while it is read-only.
                    const overwrites = n0.policy("full").enabled && n1.robot.disable === false;
                    assert.ok(!overwrites, "what the old active replicates would overwrite what is new");
                } else {
                    assert.equal(active, "n0");
                }
            }
        })();
        // Who looks on is told that the agent is gone at most.
        for (let tries = 0; `${String(test.active.active)} ${String(test.active.armed)}` !== "n1 true"; tries += 1) {
            assert.ok(tries < 20);
            await test.command("activate", "n1", "1");
        }
        watching.abort();
        await watch;
        assert.equal(test.file("balancer/kill"), "");
        assert.equal(test.starts, steps.length + 1);
        assert.deepEqual([test.active.epoch, test.active.by], [2, "up"]);
        assert.deepEqual(test.direction, toLeft);
        assert.equal(n1.tags.get("library/app:latest"), "sha256:3");
        assert.equal(n1.tags.get("library/deep/name:v1"), "sha256:1");
        for (const [i, { robot }] of [n0, n1].entries()) {
            assert.deepEqual({ ...robot, disable: false }, { ...robots[i], disable: false });
        }
        assert.match(test.file("balancer/nodes.conf"), /^server [^;]*; # n1\n$/);
        assert.match(await test.succeeds("activate", "n1", "1"), /n1 is active/);
        const late = await test.command("activate", "n0", "1");
        assert.match(late.err, /n1 is active since .*, epoch 2, and not 1/);
        assert.equal(test.active.epoch, 2);
    });

    scenario("fetches what the other node does not have, tagged or not, and nothing else", async (test) => {
        const { n0, n1 } = test;
        const fetched = (node: FakeHarbor) =>
            node.executions.filter(({ policy_id }) => policy_id === node.policy("pull").id).length;
        n0.tags.set("library/app:v1", "sha256:1").set("library/app@sha256:2", "sha256:2");
        n0.tags.set("library/app+sha256:3", "sha256:3");
        await test.succeeds("activate", "n0");
        await test.succeeds("switch", "n1");
        assert.equal(fetched(n1), 0);
        assert.deepEqual(n1.tags, n0.tags);
        for (const [key, digest] of [
            ["library/app@sha256:4", "sha256:4"],
            ["library/app+sha256:5", "sha256:5"],
        ] as const) {
            const [from, to] = test.active.active === "n1" ? [n1, n0] : [n0, n1];
            const before = fetched(to);
            from.tags.set(key, digest);
            from.lost.add(key);
            await test.succeeds("switch", to === n0 ? "n0" : "n1");
            assert.equal(fetched(to), before + 1, key);
            assert.equal(to.tags.get(key), digest);
        }
        // n1 is active. What was deleted there, and the other node was not told of:
        n1.tags.delete("library/app:v1");
        await test.succeeds("switch", "n0");
        assert.equal(test.file("balancer/switchover-only-on-n0.txt"), "library/app v1 sha256:1\n");
        assert.match(test.file("log"), /"event":"differ","node":"n0",.*1 tags are not on n1, and will be there again/);
    });

    scenario("is undone when the other node does not have everything", async (test) => {
        await test.succeeds("activate", "n0");
        test.n0.tags.set("library/app:v1", "sha256:1").set("library/app:v2", "sha256:2");
        for (const each of [test.n0, test.n1]) {
            each.lost.add("library/app:v2");
        }
        const { code, err } = await test.command("switch", "n1");
        assert.equal(code, 1);
        assert.match(err, /compare: n1 does not have 1 of 2 tags as n0 has them, for example library\/app:v2/);
        assert.deepEqual(test.direction, toRight);
        assert.deepEqual([test.active.active, test.active.epoch, test.active.armed], ["n0", 1, true]);
        assert.ok(test.n0.calls.some((call) => call.includes('"read_only":true')));
        assert.match(await test.succeeds("status"), /The last one: failed switchover to n1: compare: /);
    });

    scenario("is undone when the active dies, and there is a failover then", async (test) => {
        await test.succeeds("activate", "n0");
        const switching = test.command("switch", "n1");
        await test.until("the drain", 60, () => test.file("balancer/journal").includes(" operator drain "));
        await test.n0.stop();
        test.see("dead", "well");
        const { code, err } = await switching;
        assert.equal(code, 1);
        assert.match(err, /drain: n0/);
        await test.until("the failover", 60, () => test.active.active === "n1");
        assert.deepEqual([test.active.by, test.active.failovers, test.active.epoch], ["agent", 1, 2]);
        assert.equal(test.n1.robot.disable, true);
        // It returns as it was left, and may be written to again; who is active stays fenced.
        await test.n0.start();
        test.see("well", "well");
        await test.until("it is writable", 60, () => !test.n0.readOnly && test.file("balancer/undo") === "");
        assert.equal(test.n1.robot.disable, true);
        assert.equal(test.active.armed, false);
    });

    scenario(
        "is not needed for a failover, after which the old active overwrites nothing, and rejoins",
        async (test) => {
            const { n0, n1 } = test;
            n0.tags.set("library/app:latest", "sha256:old");
            await test.succeeds("activate", "n0");
            n0.tags.set("library/app:lost", "sha256:lost");
            test.see("dead", "well");
            await test.until("the failover", 60, () => test.active.active === "n1");
            assert.deepEqual([test.active.by, test.active.armed, test.active.epoch], ["agent", false, 2]);
            n1.tags.set("library/app:latest", "sha256:new");
            test.see("well", "well");
            n0.replicate(n0.policy("full"));
            assert.equal(n1.tags.get("library/app:latest"), "sha256:new");
            // Somebody enables it all the same.
            n1.robot.disable = false;
            await test.until("it is fenced again", 60, () => n1.robot.disable === true);
            test.see("well", "dead");
            await test.until("the refusal", 60, () => test.file("log").includes('"refused":"unarmed"'));
            test.see("well", "well");
            assert.match(await test.succeeds("status"), /no failover until `harborage-lb rejoin` has run/);
            await test.until("it is well", 60, () =>
                test.file("balancer/state").includes(" n1 127.0.0.1 " + String(n1.port) + " well"),
            );
            assert.match(await test.succeeds("rejoin"), /n0 follows n1\n2 tags of n0 are not or not so on n1/);
            assert.deepEqual(test.file("balancer/rejoin-only-on-n0.txt").trim().split("\n").sort(), [
                "library/app latest sha256:old",
                "library/app lost sha256:lost",
            ]);
            assert.deepEqual(test.direction, toLeft);
            assert.equal(n0.tags.get("library/app:latest"), "sha256:new");
            assert.deepEqual([test.active.active, test.active.armed, test.active.epoch], ["n1", true, 2]);
            assert.deepEqual(n1.robot.permissions, new FakeHarbor(identity).robot.permissions);
        },
    );

    scenario("does not fail over to a node that cannot be fenced, nor while it is held", async (test) => {
        await test.succeeds("activate", "n0");
        const { robot } = test.n1;
        test.n1.robot = { ...robot, name: "robot$other" };
        test.see("dead", "well");
        await test.until("the refusal", 60, () => test.file("log").includes('"refused":"fence"'));
        assert.match(test.file("log"), /n0 could still write to n1|n1 has no account/);
        assert.equal(test.active.active, "n0");
        await test.succeeds("hold", "600");
        test.n1.robot = robot;
        await test.until("the next refusal", 60, () => test.file("log").includes('"refused":"held"'));
        await sleep(2000);
        assert.equal(test.active.active, "n0");
        await test.succeeds("hold", "off");
        await test.until("the failover", 60, () => test.active.active === "n1");
    });

    scenario(
        "has the active write to the other one again when a failover that was prepared did not come",
        async (test) => {
            await test.succeeds("activate", "n0");
            test.see("well", "well", "seen.next");
            writeFileSync(join(test.folder, "balancer/kill"), "fenced\n");
            test.see("dead", "well");
            await test.until("the end of the agent", 60, () => test.starts === 2);
            await test.until("it is lifted", 60, () => test.file("log").includes('"event":"lifted","node":"n1"'));
            assert.deepEqual(test.direction, toRight);
            assert.deepEqual([test.active.active, test.active.armed], ["n0", true]);
            assert.ok(test.n1.calls.some((call) => call.startsWith("PUT /robots/") && call.includes('"disable":true')));
        },
    );

    scenario("can be put an end to when the old active does not come back after the switch", async (test) => {
        const { n0, n1 } = test;
        await test.succeeds("activate", "n0");
        const { robot } = n1;
        const switching = test.command("switch", "n1");
        await test.until("the switch", 60, () => test.active.active === "n1");
        await n0.stop();
        test.see("dead", "well");
        const { code, err } = await switching;
        assert.equal(code, 1);
        assert.match(
            err,
            /n0 is dead: looks dead, and turn waits for it; .* harborage-lb switch n1 now puts an end to it/,
        );
        const wanted = await test.command("activate", "n1");
        assert.equal(wanted.code, 1);
        assert.match(wanted.err, /n0 is dead: looks dead; switchover cannot go on without it/);
        // What sets it up again does not wait for it.
        assert.match(await test.succeeds("change", "n0"), /no failover for/);
        assert.match(
            await test.succeeds("switch", "n1", "now"),
            /put an end to what was under way\nn1 is active already/,
        );
        assert.equal(test.file("balancer/journal"), "");
        await n0.start();
        test.see("well", "well");
        await test.until("it is fenced and can be written to", 60, () => n1.robot.disable === true && !n0.readOnly);
        await test.until("it is well", 60, () => /state n0 \S+ \S+ well/.test(test.file("balancer/state")));
        await test.succeeds("rejoin");
        assert.deepEqual(test.direction, toLeft);
        assert.deepEqual({ ...n1.robot, disable: false }, { ...robot, disable: false });
        assert.deepEqual([test.active.active, test.active.armed, test.active.epoch], ["n1", true, 2]);
    });

    scenario("is not begun by `up` where the other node has images that the active never had", async (test) => {
        const { n0, n1 } = test;
        n0.tags.set("library/app:latest", "sha256:2").set("library/app@sha256:1", "sha256:1");
        n1.tags.set("library/app:latest", "sha256:1").set("library/app:new", "sha256:3");
        const refused = await test.command("activate", "n0");
        assert.equal(refused.code, 1);
        assert.match(
            refused.err,
            /differ: n1 has images that n0 does not have, 1 of them, for example library\/app@sha256:3;/,
        );
        assert.deepEqual([test.active.active, test.active.armed, test.active.joined], ["n0", false, false]);
        assert.equal(n1.tags.get("library/app:latest"), "sha256:1");
        n1.tags.delete("library/app:new");
        await test.succeeds("activate", "n0");
        assert.deepEqual(test.direction, toRight);
        assert.equal(n1.tags.get("library/app:latest"), "sha256:2");
        // It is set up anew: what it had is gone.
        n1.tags.clear();
        writeFileSync(join(test.folder, "release/agent/machines"), "machine n0 first-1\nmachine n1 second-2\n");
        await test.until("it follows nobody", 60, () => test.active.armed === false && test.active.joined === false);
        await test.succeeds("activate", "n0");
        assert.equal(n1.tags.get("library/app:latest"), "sha256:2");
        assert.deepEqual([test.active.active, test.active.armed, test.active.epoch], ["n0", true, 1]);
    });

    scenario("holds while `up` changes a node, and can be had at once", async (test) => {
        await test.succeeds("activate", "n0");
        await test.succeeds("change", "n0");
        assert.ok(Number(test.active.heldUntil) > Date.now() / 1000 + 800);
        test.see("dead", "well");
        await sleep(4500);
        assert.equal(test.active.active, "n0");
        test.see("well", "well");
        assert.match(await test.succeeds("changed", "n0"), /n0 is well/);
        assert.equal(test.active.heldUntil, 0);
        const unknown = await test.command("switch", "n7");
        assert.match(unknown.err, /there is no node n7; there are: n0 n1/);
        await test.succeeds("switch", "n1", "now");
        assert.deepEqual([test.active.active, test.active.armed, test.active.by], ["n1", false, "operator"]);
        assert.equal(test.n1.robot.disable, true);
    });

    scenario("measures how old the oldest push is that the other node does not have", async (test) => {
        const { n0 } = test;
        await test.succeeds("activate", "n0");
        const pushed = Date.now() - 1000;
        n0.executions.push({
            id: 99,
            policy_id: n0.policy("push").id,
            status: "Failed",
            start_time: new Date(pushed).toISOString(),
        });
        const lag = (): number => Number(/lag_seconds (\d+)/.exec(test.file("balancer/metrics.prom"))?.[1] ?? -1);
        // It is measured each 15 s, and again after as long where a call took too long on a busy machine.
        await test.until("a lag", 60, () => lag() > 0);
        // Both are whole seconds.
        assert.ok(lag() <= (Date.now() - pushed) / 1000 + 1);
        n0.replicate(n0.policy("full"));
        await test.until("no lag", 60, () => lag() === 0);
    });
});
