import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { describe, it } from "mocha";

const files = ["common.awk", "failover.awk"].map((name) =>
    join(__dirname, "../../components/load-balancer/agent", name),
);
const program = files.map((file) => readFileSync(file, "utf8")).join("\n");

type Class = "dead" | "sick" | "well";
const nodes = ["n0", "n1"] as const;
type Node = (typeof nodes)[number];
const other = (node: Node): Node => (node === "n0" ? "n1" : "n0");

/** What happens in one second. */
interface Step {
    /** What is seen of each node; of some nothing. */
    readonly seen: readonly [Class | undefined, Class | undefined];
    /** Whether the old active can be kept from writing to the new one; undefined where the call does not end. */
    readonly fence: boolean | undefined;
    /** Seconds; 0 ends it. */
    readonly hold?: { readonly who: "operator" | "up"; readonly seconds: number };
    readonly isJournaled: boolean;
    /** What somebody says. */
    readonly word?: "arm" | Node;
    /** Seconds until the next step. */
    readonly pause: number;
}

interface History {
    readonly steps: readonly Step[];
    readonly misses: number;
}

/** What was decided. */
interface State {
    readonly active: Node;
    readonly epoch: number;
    readonly by: string;
    readonly isArmed: boolean;
    readonly failovers: number;
    /** What it says besides: the events, and whether it asks for a fence. */
    readonly said: readonly string[];
}

const start = 1000;
const list = ["node n0 10.0.0.1 443", "node n1 10.0.0.2 443", "first n0"];

function times(steps: readonly Step[]): number[] {
    let now = start;
    return steps.map(({ pause }) => (now += pause));
}

/** A round; what would come of a fence is told before it is asked for. */
function recordsOf(step: Step, now: number): string[] {
    return [
        `now ${now} T${now}`,
        ...(step.hold ? [`hold ${step.hold.who} ${step.hold.seconds === 0 ? 0 : now + step.hold.seconds}`] : []),
        ...(step.word === undefined ? [] : [step.word === "arm" ? "arm" : `switch ${step.word} operator word`]),
        ...step.seen.flatMap((seen, node) => (seen === undefined ? [] : [`seen n${node} ${seen} looks ${seen}`])),
        ...(step.isJournaled ? ["journal switchover"] : []),
        ...(step.fence === undefined
            ? []
            : nodes.map((node) => `fenced ${node} ${step.fence ? "yes" : "no"} it says so`)),
        "decide",
    ];
}

/** Has the program forget everything, so that one process plays many histories. */
const forget = `$1 == "forget" {
    split("", address); split("", fenced); split("", held)
    epoch = failovers = armed = joined = count = 0
    active = refused = journal = lag = moved = ""
}`;

/** @param state where it writes its state */
async function awk(records: readonly string[], state = "/dev/null"): Promise<string> {
    const outputs = { state, told: "/dev/stdout", servers: "/dev/null", metrics: "/dev/null" };
    const words = Object.entries(outputs).flatMap(([name, path]) => ["-v", `${name}=${path}`]);
    const child = spawn("awk", [...words, `${program}\n${forget}`], { stdio: ["pipe", "pipe", "inherit"] });
    child.stdin.end(`${records.join("\n")}\n`);
    return text(child.stdout);
}

/** What is told of each decision. */
function readStates(output: string): State[] {
    const states: State[] = [];
    let said: string[] = [];
    for (const line of output.split("\n")) {
        if (line.startsWith('{"active"')) {
            const { active, epoch, by, armed, failovers } = JSON.parse(line) as Record<string, unknown>;
            states.push({ active, epoch, by, isArmed: armed, failovers, said } as State);
            said = [];
        } else if (/^(fence |\{)/.test(line)) {
            said.push(line);
        }
    }
    return states;
}

/** Runs the program over histories, in one process. */
async function playAll(histories: readonly History[]): Promise<State[][]> {
    const records = histories.flatMap(({ steps, misses }) => {
        const at = times(steps);
        const rounds = steps.flatMap((step, index) => recordsOf(step, at[index] ?? 0));
        return ["forget", `now ${start} T`, `misses ${misses}`, ...list, ...rounds];
    });
    const states = readStates(await awk(records));
    assert.equal(
        states.length,
        histories.reduce((sum, { steps }) => sum + steps.length, 0),
    );
    return histories.map(({ steps }) => states.splice(0, steps.length));
}

async function play(steps: readonly Step[], misses: number): Promise<State[]> {
    return (await playAll([{ steps, misses }]))[0] ?? [];
}

/** The same with an agent that starts again before each of so many steps. */
async function playWithRestarts({ steps, misses }: History, every: number): Promise<State[]> {
    const at = times(steps);
    const states: State[] = [];
    let kept: string[] = [];
    for (let from = 0; from < steps.length; from += every) {
        const part = steps.slice(from, from + every);
        const rounds = part.flatMap((step, index) => recordsOf(step, at[from + index] ?? 0));
        const output = await awk([`now ${start} T`, `misses ${misses}`, ...list, ...kept, ...rounds], "/dev/stdout");
        states.push(...readStates(output));
        const written = output.split("\n").filter((line) => /^(state|active|hold|refused) /.test(line));
        kept = written.slice(written.findLastIndex((line) => line.startsWith("state n0 ")));
    }
    return states;
}

const seenOf = fc.constantFrom<Class | undefined>("well", "well", "well", "sick", "dead", "dead", undefined);

/** Spells of the same weather, as real failures are, and what people say meanwhile. */
const spell = fc.record({
    seen: fc.tuple(seenOf, fc.constantFrom<Class | undefined>("well", "well", "well", "sick", "dead", undefined)),
    swapped: fc.boolean(),
    rounds: fc.integer({ min: 1, max: 16 }),
    pause: fc.constantFrom(1, 1, 1, 2, 60),
    fence: fc.constantFrom(true, true, true, false, undefined),
    isJournaled: fc.constantFrom(false, false, false, true),
    hold: fc.option(
        fc.record({
            who: fc.constantFrom("operator" as const, "up" as const),
            seconds: fc.constantFrom(0, 0, 3, 20, 900),
        }),
        { nil: undefined, freq: 2 },
    ),
    word: fc.constantFrom<Step["word"]>(undefined, undefined, "arm", "arm", "n0", "n1"),
});

const history = fc.record({
    misses: fc.integer({ min: 2, max: 5 }),
    steps: fc.array(spell, { minLength: 4, maxLength: 10 }).map((spells) =>
        spells.flatMap(({ seen: [a, b], swapped, rounds, hold, word, ...each }) =>
            Array.from({ length: rounds }, (_, i): Step => ({
                ...each,
                seen: swapped ? [b, a] : [a, b],
                ...(i === 0 && hold !== undefined ? { hold } : {}),
                ...(i === 0 && word !== undefined ? { word } : {}),
            })),
        ),
    ),
});

interface Played extends History {
    readonly states: readonly State[];
}

/** Many histories, each with what came of it; some side by side. */
async function playMany(count: number): Promise<Played[]> {
    const histories = fc.sample(history, { numRuns: count, seed: 7 });
    const size = 250;
    const parts = Array.from({ length: Math.ceil(count / size) }, (_, i) => histories.slice(i * size, (i + 1) * size));
    const played = await Promise.all(
        parts.map(async (part) => {
            const states = await playAll(part);
            return part.map((each, i): Played => ({ ...each, states: states[i] ?? [] }));
        }),
    );
    return played.flat();
}

/** How many of the last rounds in which a node was seen are such, without a pause in between. */
function inARow({ steps }: Played, at: number, node: Node, matches: (seen: Class) => boolean): number {
    const time = times(steps);
    let count = 0;
    let last: number | undefined;
    for (let i = at; i >= 0; i -= 1) {
        const seen = steps[i]?.seen[nodes.indexOf(node)];
        if (seen === undefined) {
            continue;
        }
        const now = time[i] ?? 0;
        if (!matches(seen) || (last ?? time[at] ?? 0) - now > 10) {
            break;
        }
        last = now;
        count += 1;
    }
    return count;
}

/** Until when somebody holds it, after the words of this step. */
function heldUntil({ steps }: Played, at: number): number {
    const time = times(steps);
    const until = { operator: 0, up: 0 };
    for (const [index, { hold }] of steps.slice(0, at + 1).entries()) {
        if (hold) {
            until[hold.who] = hold.seconds === 0 ? 0 : (time[index] ?? 0) + hold.seconds;
        }
    }
    return Math.max(until.operator, until.up);
}

describe("the agent's failover", function () {
    this.timeout("2m");
    const count = 3000;
    let all: readonly Played[] = [];
    /** Each step, with the state before it. */
    const each = (check: (played: Played, at: number, before: State, after: State) => void): void => {
        for (const played of all) {
            for (let at = 1; at < played.steps.length; at += 1) {
                const [before, after] = [played.states[at - 1], played.states[at]];
                assert.ok(before && after);
                check(played, at, before, after);
            }
        }
    };
    /** Those at which the agent switched by itself. */
    const eachFailover = (check: (played: Played, at: number, before: State, after: State) => void): number => {
        let found = 0;
        each((played, at, before, after) => {
            if (after.failovers > before.failovers) {
                found += 1;
                check(played, at, before, after);
            }
        });
        return found;
    };

    before("play thousands of histories", async () => {
        all = await playMany(count);
        assert.equal(all.length, count);
    });

    it("is there once, and not again without somebody's word", () => {
        const found = eachFailover(({ steps, states }, at, before, after) => {
            assert.equal(after.failovers, before.failovers + 1);
            const earlier = states.findLastIndex((state, i) => i < at && state.failovers < before.failovers);
            const armed = steps.findLastIndex(({ word }, i) => i <= at && word === "arm");
            assert.ok(armed > earlier + 1 || (before.failovers === 0 && armed >= 0));
            assert.equal(after.isArmed, false);
        });
        assert.ok(found > count / 10, `only ${found} failovers`);
    });

    it("changes who is active by itself only so, and never back", () => {
        each((played, at, before, after) => {
            const { word } = played.steps[at] ?? {};
            if (after.active !== before.active && after.failovers === before.failovers) {
                assert.equal(word, after.active);
            }
            if (after.failovers > before.failovers && word !== before.active && word !== after.active) {
                assert.equal(after.active, other(before.active));
            }
        });
    });

    it("counts each change of who is active, and nothing else, in the epoch", () => {
        each((_, _at, before, after) => {
            const changes = after.said.filter((line) => /"event":"(switch|failover)"/.test(line)).length;
            assert.equal(after.epoch, before.epoch + changes);
            assert.ok(changes > 0 || after.active === before.active);
        });
    });

    it("is not there while it is held or a switchover is under way", () => {
        eachFailover((played, at) => {
            assert.equal(played.steps[at]?.isJournaled, false);
            assert.ok(heldUntil(played, at) <= (times(played.steps)[at] ?? 0));
        });
    });

    it("goes only to a node that is well, and that the old one cannot write to", () => {
        eachFailover((played, at, _, { active }) => {
            assert.ok(inARow(played, at, active, (seen) => seen === "well") >= 3);
            assert.equal(played.steps[at]?.fence, true);
        });
    });

    it("is there only when the active has been dead or sick for as many rounds as it takes", () => {
        eachFailover((played, at, _, { active }) => {
            const dead = inARow(played, at, other(active), (seen) => seen === "dead");
            const ill = inARow(played, at, other(active), (seen) => seen !== "well");
            assert.ok(dead >= played.misses || ill >= 5 * played.misses);
        });
    });

    it("is there as soon as it may be", () => {
        let waited = 0;
        each((played, at, before, after) => {
            const step = played.steps[at];
            const now = times(played.steps)[at] ?? 0;
            if (
                step?.word === undefined &&
                before.isArmed &&
                step?.fence === true &&
                !step.isJournaled &&
                heldUntil(played, at) <= now &&
                step.seen[nodes.indexOf(before.active)] !== undefined &&
                inARow(played, at, other(before.active), (seen) => seen === "well") >= 3 &&
                step.seen[nodes.indexOf(other(before.active))] !== undefined &&
                (inARow(played, at, before.active, (seen) => seen === "dead") >= played.misses ||
                    inARow(played, at, before.active, (seen) => seen !== "well") >= 5 * played.misses)
            ) {
                waited += 1;
                assert.equal(after.failovers, before.failovers + 1);
            }
        });
        assert.ok(waited > count / 20, `only ${waited} were to be`);
    });

    it("says once why there is none", () => {
        let refusals = 0;
        each((_, _at, before, after) => {
            const reason = (state: State): string[] =>
                state.said.flatMap((line) => /"refused":"(\w+)"/.exec(line)?.[1] ?? []);
            refusals += reason(after).length;
            const [last] = reason(before).slice(-1);
            const [first] = reason(after);
            assert.ok(first === undefined || first !== last || after.active !== before.active, `${first} twice`);
        });
        assert.ok(refusals > count / 10, `only ${refusals} refusals`);
    });

    it("decides the same when the agent starts again and again", async () => {
        const few = all.slice(0, 20).map(({ steps, misses, states }) => ({
            history: { steps: steps.slice(0, 60), misses },
            states: states.slice(0, 60),
        }));
        await Promise.all(
            few.map(async ({ history, states }, i) => {
                assert.deepEqual(await playWithRestarts(history, 1 + 4 * i), states);
            }),
        );
    });

    const calm: Step = { seen: ["well", "well"], fence: true, isJournaled: false, pause: 1 };
    const rounds = (length: number, step: Partial<Step>): Step[] =>
        Array.from({ length }, () => ({ ...calm, ...step }));
    const armed: Step[] = [...rounds(5, {}), { ...calm, word: "arm" }];

    it("takes `misses` rounds of a dead active", async () => {
        for (const misses of [2, 3, 7]) {
            const states = await play([...armed, ...rounds(10, { seen: ["dead", "well"] })], misses);
            assert.equal(
                states.findIndex(({ active }) => active === "n1"),
                armed.length + misses - 1,
            );
        }
    });

    it("happens at most once with an active that comes and goes", async () => {
        for (const length of [1, 2, 3, 4, 10]) {
            const turn = [...rounds(length, { seen: ["dead", "well"] }), ...rounds(length, {})];
            const states = await play([...armed, ...Array.from({ length: 20 }, () => turn).flat()], 3);
            assert.equal(states.at(-1)?.failovers, length >= 3 ? 1 : 0);
            assert.equal(states.at(-1)?.active, length >= 3 ? "n1" : "n0");
        }
    });

    it("does not happen where both are ill, and says so", async () => {
        const both: readonly Step["seen"][] = [
            ["dead", "dead"],
            ["dead", "sick"],
            ["sick", "sick"],
            ["sick", "dead"],
        ];
        for (const seen of both) {
            const states = await play([...armed, ...rounds(40, { seen })], 3);
            assert.equal(states.at(-1)?.epoch, 1);
            const refused = states.flatMap(({ said }) => said.filter((line) => line.includes('"refused":"standby"')));
            assert.equal(refused.length, 1);
        }
    });

    it("does not go by what was seen before a pause", async () => {
        const dead = { seen: ["dead", "well"] } as const;
        const states = await play(
            [...armed, ...rounds(2, dead), ...rounds(1, { ...dead, pause: 3600 }), ...rounds(1, {})],
            3,
        );
        assert.equal(states.at(-1)?.failovers, 0);
    });

    it("goes by what was seen a longer while ago where there are rounds less often", async () => {
        const pause = 25;
        const steps = [...armed, ...rounds(3, { seen: ["dead", "well"] })].map((step) => ({ ...step, pause }));
        const failovers = async (each: number) => {
            const records = steps.flatMap((step, index) => recordsOf(step, start + pause * index));
            const states = readStates(await awk([`now ${start} T`, "misses 3", `each ${each}`, ...list, ...records]));
            return states.at(-1)?.failovers;
        };
        assert.equal(await failovers(10), 1);
        assert.equal(await failovers(1), 0);
    });

    it("has to be prepared again when a node is elsewhere or another machine, and when the active is no longer one", async () => {
        const kept = [
            "was n0 a-1",
            "state n0 10.0.0.1 443 well 1000 9 0 0 1000 well",
            "was n1 b-2",
            "state n1 10.0.0.9 443 well 1000 9 0 0 1000 well",
            "active n0 4 900 T up armed joined 1 planned",
        ];
        const elsewhere = ["node n0 10.0.0.1 443", "node n1 10.0.0.9 443"];
        const told = async (nodeList: readonly string[]) =>
            JSON.parse(
                (await awk(["now 1001 T", ...nodeList, ...kept, "decide"]))
                    .split("\n")
                    .find((line) => line.startsWith('{"active"')) ?? "",
            ) as Record<string, unknown>;
        const moved = await told(list);
        assert.deepEqual([moved.active, moved.epoch, moved.armed, moved.joined], ["n0", 4, false, false]);
        assert.equal((await told([...elsewhere, "machine n0 a-1", "machine n1 b-2"])).joined, true);
        const rebuilt = await told([...elsewhere, "machine n0 a-1", "machine n1 b-3"]);
        assert.deepEqual([rebuilt.active, rebuilt.epoch, rebuilt.armed, rebuilt.joined], ["n0", 4, false, false]);
        const gone = await told(["node n1 10.0.0.9 443", "node n2 10.0.0.3 443", "first n2"]);
        assert.deepEqual([gone.active, gone.epoch, gone.armed, gone.joined, gone.by], ["n2", 5, false, false, "new"]);
        assert.equal(gone.reason, "n0 is no longer a node");
    });

    it("tells nginx of the active alone, in lines of JSON why, and in numbers how it is", async () => {
        const outputs = { state: "/dev/null", told: "/dev/null", servers: "/dev/stdout", metrics: "/dev/stdout" };
        const words = Object.entries(outputs).flatMap(([name, path]) => ["-v", `${name}=${path}`]);
        const child = spawn("awk", [...words, ...files.flatMap((file) => ["-f", file])]);
        const bad = 'seen n0 dead "x" \\ {} \u0007\nseen n1 well well\n';
        child.stdin.end(
            `now 1000 T\n${list.join("\n")}\narm\nlag 12\n${`now 1001 T\n${bad}`.repeat(3)}fenced n1 yes\nlag 12\ndecide\n`,
        );
        const out = await text(child.stdout);
        assert.match(out, /^server 10\.0\.0\.2:443; # n1$/m);
        const [failover] = out.split("\n").filter((line) => line.includes('"failover"'));
        assert.deepEqual(JSON.parse(failover ?? ""), {
            time: "T",
            event: "failover",
            node: "n1",
            active: "n1",
            epoch: 2,
            reason: "n0 is dead: ?x? ? ?? ?",
        });
        for (const line of [
            'node_active{node="n1"} 1',
            'node_active{node="n0"} 0',
            "epoch 2",
            "armed 0",
            "held 0",
            "failovers_total 1",
            'failover_refused{reason="fence"} 0',
            "replication_lag_seconds 12",
        ]) {
            assert.ok(out.includes(`\nharborage_lb_${line}\n`), line);
        }
    });

    it("does not decide about anything but two nodes", async () => {
        assert.equal(await awk(["now 1 T", "node n0 10.0.0.1 443", "decide"]), "");
    });
});
