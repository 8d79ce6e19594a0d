import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, it } from "mocha";
import { renderNodes, renderProbes } from "../../components/load-balancer/render-agent";
import { makePlan, type LoadBalancerPlan } from "../../config/plan";
import { parseStackFile } from "../../config/stack-file";
import { fileWith } from "./support/stack-files";

const agent = join(__dirname, "../../components/load-balancer/agent");
const decide = ["common.awk", "decide.awk"].flatMap((name) => ["-f", join(agent, name)]);
const classes = ["dead", "sick", "well"] as const;
type Class = (typeof classes)[number];
const rank = (of: Class) => classes.indexOf(of);

/** What happens in one second. */
interface Step {
    /** What is seen of each node; of some nothing. */
    readonly seen: readonly (Class | undefined)[];
    /** A node, by its place, that is drained for so many seconds; 0 puts it back. */
    readonly drain?: { readonly node: number; readonly seconds: number };
}

/** A node after a step. */
interface Node {
    readonly class: Class;
    readonly isIn: boolean;
    readonly drained: number;
    readonly need: number;
}

const start = 1000;
const list = (nodes: number) =>
    renderNodes(Array.from({ length: nodes }, (_, i) => ({ name: `n${i}`, address: `10.0.0.${i}`, port: 80 })));

const recordsOf = (step: Step, index: number) => [
    `now ${start + index} T`,
    ...step.seen.flatMap((seen, node) => (seen === undefined ? [] : [`seen n${node} ${seen} looks ${seen}`])),
    ...(step.drain === undefined
        ? []
        : [`drain n${step.drain.node} ${step.drain.seconds === 0 ? 0 : start + index + step.drain.seconds}`]),
    "decide",
];

/** Runs the program over a history, in one process. */
function play(nodes: number, steps: readonly Step[]): Node[][] {
    const input = [`now ${start} T`, list(nodes).trimEnd(), ...steps.flatMap(recordsOf)].join("\n");
    const words = ["-v", "state=/dev/stdout", "-v", "servers=/dev/null", "-v", "metrics=/dev/null"];
    const { stdout, stderr, status } = spawnSync("awk", [...words, ...decide], {
        input: `${input}\n`,
        encoding: "utf8",
        maxBuffer: 1e9,
    });
    assert.equal(status, 0, stderr);
    const states = stdout.split("\n").filter((line) => line.startsWith("state "));
    assert.equal(states.length, nodes * steps.length);
    return steps.map((_, step) => states.slice(step * nodes, (step + 1) * nodes).map(readState));
}

function readState(line: string): Node {
    const words = line.split(" ");
    return {
        class: words[4] as Class,
        isIn: words[5] === "in",
        drained: Number(words[7]),
        need: Number(words[12]),
    };
}

const seenOf = fc.constantFrom<Class | undefined>("well", "well", "well", "sick", "dead", undefined);

/** Spells of the same weather, as real failures are, and noise. */
const history = fc.integer({ min: 1, max: 5 }).chain((nodes) =>
    fc
        .array(
            fc.record({
                seen: fc.array(seenOf, { minLength: nodes, maxLength: nodes }),
                rounds: fc.integer({ min: 1, max: 12 }),
                drain: fc.option(
                    fc.record({
                        node: fc.integer({ min: 0, max: nodes - 1 }),
                        seconds: fc.constantFrom(0, 1, 10, 900),
                    }),
                    { nil: undefined, freq: 3 },
                ),
            }),
            { minLength: 60, maxLength: 120 },
        )
        .map((spells) => ({
            nodes,
            steps: spells.flatMap(({ seen, rounds, drain }) =>
                Array.from({ length: rounds }, (_, i): Step => ({
                    seen,
                    ...(i === 0 && drain !== undefined ? { drain } : {}),
                })),
            ),
        })),
);

/** Checks something of each step of many histories: what was before it, what happened, what is after it. */
function holds(check: (before: readonly Node[], after: readonly Node[], steps: readonly Step[], at: number) => void) {
    fc.assert(
        fc.property(history, ({ nodes, steps }) => {
            const states = play(nodes, steps);
            for (let at = 1; at < states.length; at += 1) {
                check(states[at - 1] ?? [], states[at] ?? [], steps, at);
            }
        }),
        { numRuns: 60 },
    );
}

/** How many of the last rounds in which a node was seen are such. */
function inARow(steps: readonly Step[], at: number, node: number, matches: (seen: Class) => boolean): number {
    let count = 0;
    for (let i = at; i >= 0; i -= 1) {
        const seen = steps[i]?.seen[node];
        if (seen !== undefined && !matches(seen)) {
            break;
        }
        count += seen === undefined ? 0 : 1;
    }
    return count;
}

describe("the agent's decision", function () {
    this.timeout("2m");

    it("always leaves nodes in rotation, and only the best that there are", () => {
        holds((_, after) => {
            const best = Math.max(...after.map((node) => rank(node.class)));
            const chosen = after.filter(({ isIn }) => isIn);
            assert.ok(chosen.length > 0);
            assert.ok(chosen.every((node) => rank(node.class) === best));
        });
    });

    it("has every one of the best in rotation, but for drained ones where there are others", () => {
        holds((_, after, _steps, at) => {
            const best = Math.max(...after.map((node) => rank(node.class)));
            const candidates = after.filter((node) => rank(node.class) === best);
            const free = candidates.filter(({ drained }) => drained <= start + at);
            for (const node of candidates) {
                assert.equal(node.isIn, free.length === 0 || free.includes(node));
            }
        });
    });

    it("thinks worse of a node only after two rounds in a row, and better only after as many as it needs", () => {
        holds((before, after, steps, at) => {
            for (const [index, node] of after.entries()) {
                const old = before[index];
                assert.ok(old);
                if (rank(node.class) < rank(old.class)) {
                    assert.ok(inARow(steps, at, index, (seen) => rank(seen) <= rank(node.class)) >= 2);
                }
                if (rank(node.class) > rank(old.class)) {
                    assert.ok(inARow(steps, at, index, (seen) => rank(seen) >= rank(node.class)) >= old.need);
                }
            }
        });
    });

    it("does not wait longer than that", () => {
        holds((before, after, steps, at) => {
            for (const [index, node] of after.entries()) {
                for (const of of classes) {
                    if (inARow(steps, at, index, (seen) => rank(seen) <= rank(of)) >= 2) {
                        assert.ok(rank(node.class) <= rank(of));
                    }
                    if (
                        inARow(steps, at, index, (seen) => rank(seen) >= rank(of)) >=
                        Math.max(node.need, before[index]?.need ?? 0)
                    ) {
                        assert.ok(rank(node.class) >= rank(of));
                    }
                }
            }
        });
    });

    it("lets a drain end by itself", () => {
        holds((_, after, _steps, at) => {
            assert.ok(after.every(({ drained }) => drained === 0 || drained > start + at));
        });
    });

    it("refuses a drain only where no other node would be as good", () => {
        holds((before, after, steps, at) => {
            const { drain } = steps[at] ?? {};
            const node = drain && after[drain.node];
            if (drain === undefined || node === undefined || drain.seconds === 0) {
                return;
            }
            const others = after.filter((other) => other !== node && rank(other.class) >= rank(node.class));
            const isFree = ({ drained }: Node) => drained <= start + at;
            const until = start + at + drain.seconds;
            if (others.some((other) => rank(other.class) > rank(node.class) || isFree(other))) {
                assert.equal(node.drained, until);
                assert.equal(node.isIn, false);
            } else {
                assert.equal(
                    node.drained,
                    before[drain.node]?.drained === until
                        ? until
                        : (before[drain.node]?.drained ?? 0) > start + at
                          ? before[drain.node]?.drained
                          : 0,
                );
            }
        });
    });

    it("asks more of a node that does not stay well, and no more than a minute of it", () => {
        const spell = (seen: Class, seconds: number) =>
            Array.from({ length: seconds }, (): Step => ({ seen: [seen, "well"] }));
        const steps = Array.from({ length: 8 }, () => [...spell("dead", 3), ...spell("well", 70)]).flat();
        const states = play(2, steps);
        const outs = states.map(([node]) => node?.isIn === false);
        const lengths = outs
            .map(Number)
            .join("")
            .split("0")
            .filter((run) => run !== "")
            .map((run) => run.length);
        // Of three dead rounds the second takes it out.
        assert.deepEqual(
            lengths,
            [3, 6, 12, 24, 48, 60, 60, 60].map((need) => need + 1),
        );
        // After five quiet minutes it has a new start.
        const later = play(2, [...steps, ...spell("well", 400), ...spell("dead", 3), ...spell("well", 10)]);
        assert.equal(later.at(-1)?.[0]?.need, 3);
    });

    it("does not hold it against a node that it was stopped while it was drained", () => {
        const roll = [
            { seen: ["well", "well"], drain: { node: 0, seconds: 900 } },
            ...Array.from({ length: 5 }, () => ({ seen: ["dead", "well"] })),
            ...Array.from({ length: 5 }, () => ({ seen: ["well", "well"] })),
            { seen: ["well", "well"], drain: { node: 0, seconds: 0 } },
        ] as Step[];
        const states = play(2, Array.from({ length: 5 }, () => roll).flat());
        assert.ok(states.every(([node]) => node?.need === 3));
        assert.ok(states.at(-1)?.[0]?.isIn);
    });

    it("puts a node without a history into rotation, and forgets one that is elsewhere now", () => {
        const words = ["-v", "state=/dev/stdout", "-v", "servers=/dev/null", "-v", "metrics=/dev/null"];
        const state = "state n0 10.0.0.9 80 dead out 1 0 0 0 9 9 3 0 no answer\n";
        const { stdout } = spawnSync("awk", [...words, ...decide], {
            input: `now 1000 T\n${list(2)}${state}decide\n`,
            encoding: "utf8",
        });
        assert.deepEqual(
            stdout
                .trimEnd()
                .split("\n")
                .map(readState)
                .map((node) => [node.class, node.isIn]),
            [
                ["well", true],
                ["well", true],
            ],
        );
    });

    it("decides the same when each round is a run of its own, with files between", () => {
        withFolder((folder) => {
            const file = (name: string) => join(folder, name);
            const words = ["state", "servers", "metrics"].flatMap((name) => ["-v", `${name}=${file(`${name}.new`)}`]);
            writeFileSync(file("state"), "");
            const [{ nodes, steps }] = fc.sample(history, { numRuns: 1, seed: 7 }) as [
                { nodes: number; steps: Step[] },
            ];
            const few = steps.slice(0, 80);
            const expected = play(nodes, few);
            for (const [index, step] of few.entries()) {
                const [now = "", ...records] = recordsOf(step, index);
                const input = [now, list(nodes).trimEnd(), readFileSync(file("state"), "utf8").trimEnd(), ...records];
                const ran = spawnSync("awk", [...words, ...decide], {
                    input: `${input.join("\n")}\n`,
                });
                assert.equal(ran.status, 0, String(ran.stderr));
                const state = readFileSync(file("state.new"), "utf8");
                assert.deepEqual(state.trimEnd().split("\n").map(readState), expected[index]);
                writeFileSync(file("state"), state);
            }
        });
    });

    it("says what changed and why, in lines of JSON, whatever a node answers", () => {
        const words = ["-v", "state=/dev/null", "-v", "servers=/dev/stderr", "-v", "metrics=/dev/null"];
        const bad = 'seen n0 sick core "x" \\ {} \u0007 unhealthy\nseen n1 well well\n';
        const { stdout, stderr } = spawnSync("awk", [...words, ...decide], {
            input: `now 1000 T\n${list(2)}${bad}decide\n${bad}decide\ndrain n1 2000\n`,
            encoding: "utf8",
        });
        const lines = stdout.trimEnd().split("\n");
        const reason = "core ?x? ? ?? ? unhealthy";
        assert.deepEqual(
            lines.slice(0, 2).map((line) => JSON.parse(line) as unknown),
            [
                { time: "T", event: "class", node: "n0", class: "sick", reason },
                { time: "T", event: "rotation", node: "n0", rotation: "out", reason: `sick: ${reason}`, in: "n1" },
            ],
        );
        assert.equal(lines[2], `refused no other node is as good as n1, which is well; n0 is sick (${reason})`);
        assert.match(
            stderr,
            /server 10\.0\.0\.0:80 max_fails=3 fail_timeout=5s down; # n0\nserver 10\.0\.0\.1:80 max_fails=3 fail_timeout=5s; # n1\n$/,
        );
    });

    it("does not decide about no nodes", () => {
        const words = ["-v", "state=/dev/null", "-v", "servers=/dev/null", "-v", "metrics=/dev/null"];
        const { status } = spawnSync("awk", [...words, ...decide], {
            input: "now 1 T\ndecide\n",
        });
        assert.equal(status, 1);
    });
});

describe("what the agent sees of a node", () => {
    const health = (components: readonly object[]) => JSON.stringify({ components, status: "unhealthy" });
    const healthy = { name: "core", status: "healthy" };
    const observe = (answers: readonly string[], bodies: Readonly<Record<string, string>> = {}): string =>
        withFolder((folder) => {
            for (const [name, body] of Object.entries(bodies)) {
                writeFileSync(join(folder, name), body);
            }
            const { stdout, status } = spawnSync(
                "awk",
                ["-v", `directory=${folder}`, "-f", join(agent, "observe.awk")],
                {
                    input: answers.map((answer) => `answer ${answer}\n`).join(""),
                    encoding: "utf8",
                },
            );
            assert.equal(status, 0);
            return stdout.trimEnd();
        });
    const harbor = (body: string, { token = '{"token": "a.b"}', v2 = 401, tokenStatus = 200 } = {}) =>
        observe([`n v2 ${v2} 0`, `n token ${tokenStatus} 0`, "n health 200 0"], { "n.health": body, "n.token": token });

    it("is well when it asks for a password, and with Harbor gives tokens and says that each component is", () => {
        assert.equal(observe(["n v2 401 0"]), "seen n well well");
        assert.equal(harbor(health([healthy])), "seen n well well");
        assert.equal(
            harbor('{\n  "components": [\n { "status" : "healthy",\n "name" : "core" } ] }'),
            "seen n well well",
        );
    });

    it("is sick when anything of that is not so, and says what", () => {
        const ill = { error: 'it said "status":"healthy" {}', name: "database", status: "unhealthy" };
        const cases: readonly (readonly [string, string])[] = [
            [harbor(health([healthy, ill, { name: "redis", status: "unhealthy" }])), "database, redis unhealthy"],
            [harbor(""), "its health cannot be read"],
            [harbor("<html>"), "its health cannot be read"],
            [harbor(health([healthy]), { token: "{}" }), "no token"],
            [harbor(health([healthy]), { tokenStatus: 500 }), "token gives 500"],
            [harbor(health([healthy]), { v2: 502 }), "/v2/ gives 502"],
            [observe(["n v2 503 0"]), "/v2/ gives 503"],
            [observe(["n v2 401 0", "n token 000 28"]), "token gives no answer"],
        ];
        for (const [seen, reason] of cases) {
            assert.equal(seen, `seen n sick ${reason}`);
        }
    });

    it("is dead when nothing answers, and an answer that breaks off is none", () => {
        assert.equal(observe(["n v2 000 7", "n token 200 28"]), "seen n dead no answer");
    });

    it("says nothing of a node that was not asked", () => {
        assert.equal(observe([]), "");
    });
});

describe("the agent's probes", () => {
    const plan = makePlan("test", parseStackFile(fileWith({}))).loadBalancer;
    const upstreams = [
        { name: "a", address: "10.0.0.1", port: 8080 },
        { name: "b", address: "fd00::2", port: 8080 },
    ];
    const probes = (engine: LoadBalancerPlan["engine"]) => renderProbes({ ...plan, engine }, upstreams);
    const urls = (text: string) => [...text.matchAll(/^url = "(.*)"$/gm)].map(([, url]) => url);

    it("ask of each node what tells of its engine, all at once", () => {
        assert.deepEqual(urls(probes("distribution")), ["http://10.0.0.1:8080/v2/", "http://[fd00::2]:8080/v2/"]);
        assert.deepEqual(urls(probes("harbor")).slice(0, 3), [
            "http://10.0.0.1:8080/v2/",
            "http://10.0.0.1:8080/service/token?service=harbor-registry&scope=",
            "http://10.0.0.1:8080/api/v2.0/health",
        ]);
        assert.match(probes("harbor"), /^silent\nparallel\nparallel-immediate\nparallel-max = 6\n/);
    });

    it("wait for an answer about as long as it is to the next round", () => {
        const bounds = (text: string) => text.split("\n").filter((line) => /^(?:connect-timeout|max-time)/.test(line));
        const slow = renderProbes({ ...plan, probeSeconds: 5 }, upstreams.slice(0, 1));
        assert.deepEqual(bounds(slow), ["connect-timeout = 5", "max-time = 5.8"]);
    });

    it("are read by curl itself, which says of each what came of it", () => {
        withFolder((folder) => {
            mkdirSync(join(folder, "seen"));
            const text = renderProbes({ ...plan, engine: "harbor" }, [
                { name: "a", address: "127.0.0.1", port: 1 },
                { name: "b", address: "127.0.0.1", port: 1 },
            ]).replaceAll("/tmp/seen", join(folder, "seen"));
            writeFileSync(join(folder, "probes"), text);
            const { stdout } = spawnSync("curl", ["--disable", "--config", join(folder, "probes")], {
                encoding: "utf8",
            });
            assert.deepEqual(
                stdout.trimEnd().split("\n").sort(),
                ["a", "b"].flatMap((name) => ["health", "token", "v2"].map((probe) => `answer ${name} ${probe} 000 7`)),
            );
        });
    });
});

function withFolder<T>(work: (folder: string) => T): T {
    const folder = mkdtempSync(join(tmpdir(), "harborage-agent-"));
    try {
        return work(folder);
    } finally {
        rmSync(folder, { recursive: true });
    }
}
