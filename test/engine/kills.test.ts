import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { containersOf, networksOf } from "../support/docker";
import { TestStack } from "../support/launcher";
import { kill, markedProcesses, newMark, type MarkedProcess } from "../support/marked-processes";
import { until, type Running } from "../support/processes";
import { randomNumbers, testSeed } from "../support/random";
import { locksFolder, machineResources, pendingOperations, registryStatus, stateResources } from "../support/state";

/** How long what a killed run has started may take to notice, in seconds. */
const GRACE = 60;

/** What is killed: Pulumi's process alone, or the launcher's process group with everything in it. */
type Victim = "pulumi" | "group";

interface Round {
    readonly victim: Victim;
    /**
     * When, as a part of the time that Pulumi takes if nobody kills it; or as soon as the machine's folder is claimed, by a
     * script that is at work then and that no state knows of.
     */
    readonly moment: number | "claimed";
    /** Not before the state knows of something on the machine, however slow this one is. Default: false. */
    readonly known?: true;
}

/** One stack that is killed again and again, while others are. */
class Killed {
    readonly mark = newMark();

    constructor(
        readonly stack: TestStack,
        /** How long Pulumi takes for the run that is going to be killed, in seconds. */
        public seconds = 10,
    ) {
        stack.env = this.mark;
    }

    /** Pulumi's own process, as long as it runs `up`; before that it may be called to make the stack. */
    pulumi(): MarkedProcess | undefined {
        return markedProcesses(this.mark).find(
            ({ program, command }) => program === "pulumi" && /\bpulumi up\b/.test(command),
        );
    }

    /** Runs `up` to its end and notes how long Pulumi took. */
    async measure(): Promise<void> {
        const up = this.stack.start("up", ["--skip-preview"]);
        await this.started(up);
        const start = performance.now();
        const { code, output } = await up.done;
        this.seconds = (performance.now() - start) / 1000;
        assert.equal(code, 0, output);
    }

    /**
     * Starts `up` and kills it.
     *
     * @returns whether it was killed; a machine that has less to do than before may have been quicker, which is noted
     */
    async kill({ victim, moment, known }: Round): Promise<boolean> {
        const up = this.stack.start("up", ["--skip-preview"]);
        const { pid } = await this.started(up);
        const start = performance.now();
        const ended = up.done.then(() => (performance.now() - start) / 1000);
        if (moment === "claimed") {
            const mark = join(this.stack.machineDirectory, "incarnation");
            await until("the machine's folder is claimed", 60, () => existsSync(mark));
        } else {
            await sleep(moment * this.seconds * 1000);
        }
        if (known) {
            await until("something is in the state", 60, () => machineResources(this.stack).length > 0);
        }
        kill(victim === "pulumi" ? pid : -up.pid);
        kill(pid);
        const { code } = await up.done;
        // What it had started notices by itself. A script on the machine may end what it is doing first.
        const left = () => markedProcesses(this.mark);
        await until("a killed up has left no process", GRACE, () => left().length === 0).catch((error: unknown) => {
            throw new Error(`${String(error)}:\n${JSON.stringify(left(), null, 2)}`);
        });
        if (code === 0) {
            this.seconds = Math.min(this.seconds, await ended);
        }
        return code !== 0;
    }

    /** Kills again until it was no run that had ended, with what has to be done in between. */
    async killSurely(round: Round, prepare: () => Promise<void> | void): Promise<void> {
        for (let tries = 0; tries < 4; tries += 1) {
            await prepare();
            if (await this.kill(round)) {
                return;
            }
        }
        throw new Error("every run had ended before it was killed");
    }

    /** The next `up`, without any help, and what must be true after it. */
    async converge(): Promise<void> {
        const { code, output } = await this.stack.tryUp();
        assert.equal(code, 0, output);
        assert.doesNotMatch(output, /warning/i);
        assert.deepEqual(pendingOperations(this.stack), []);
        assert.equal(await registryStatus(this.stack), 401);
        assert.equal((await containersOf(this.stack.name)).length, 3);
        for (const project of readdirSync(join(this.stack.machineDirectory, "stacks"))) {
            for (const kind of ["plain", "releases"]) {
                const kept = readdirSync(join(this.stack.machineDirectory, "stacks", project, kind));
                assert.equal(kept.length, 1, `${project}/${kind}: ${kept.join(", ")}`);
            }
        }
        const preview = await this.stack.run("preview", ["--expect-no-changes"]);
        assert.equal(preview.code, 0, preview.output);
        assert.doesNotMatch(preview.output, /warning|pending|interrupted|cut short|released/i);
    }

    async destroy(): Promise<void> {
        const { code, output } = await this.stack.run("destroy", ["--skip-preview"]);
        assert.equal(code, 0, output);
        assert.deepEqual(stateResources(this.stack), []);
        assert.deepEqual(await containersOf(this.stack.name), []);
        assert.deepEqual(await networksOf(this.stack.name), []);
        const { machineDirectory } = this.stack;
        const left = existsSync(machineDirectory) ? readdirSync(machineDirectory, { recursive: true }) : [];
        assert.ok(!existsSync(machineDirectory), `the machine's directory is still there, with: ${left.join(", ")}`);
    }

    async cleanUp(): Promise<void> {
        for (const { pid } of markedProcesses(this.mark)) {
            kill(pid);
        }
        await this.stack.cleanUp();
    }

    private async started(up: Running): Promise<MarkedProcess> {
        let over = false;
        void up.done.finally(() => (over = true));
        return until("the start of Pulumi", 60, () => {
            assert.ok(!over, `it ended before Pulumi ran:\n${up.output()}`);
            return this.pulumi();
        });
    }
}

/** Moments that are spread over the whole, each at random within its part. */
function rounds(count: number, random: () => number): Round[] {
    return Array.from({ length: count }, (_, index) => ({
        victim: index % 2 === 0 ? "pulumi" : "group",
        moment: (0.9 * (index + random())) / count,
    }));
}

describe("an up that is killed", function () {
    this.timeout("30m");
    // Another seed gives other moments: HARBORAGE_TEST_SEED=7 npm test -- engine --grep killed
    const random = randomNumbers(testSeed);
    const updateRounds = rounds(6, random);
    const firstRounds = rounds(3, random);
    const lastRounds: Round[] = [
        { victim: "group", moment: 0.5 + random() * 0.4, known: true },
        { victim: "pulumi", moment: "claimed" },
    ];
    const stacks: Killed[] = [];

    after(async () => {
        await Promise.all(stacks.map((each) => each.cleanUp()));
    });

    const make = async (word: string) => {
        const killed = new Killed(await TestStack.make(word));
        stacks.push(killed);
        return killed;
    };
    /** What `work` fails with says in which round it was. */
    const at = async (round: Round, work: () => Promise<void>) => {
        try {
            await work();
        } catch (error) {
            const moment = round.moment === "claimed" ? "when claimed" : `at ${round.moment.toFixed(2)} of the time`;
            const where = `killed (${round.victim}) ${moment}, seed ${testSeed}`;
            throw new Error(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
        }
    };

    const firstUps = async (seconds: number) => {
        const killed = await make("kill-first");
        killed.seconds = seconds;
        killed.stack.write({ storage: { objects: { kind: "node", deleteData: true } } });
        const empty = async () => {
            if (stateResources(killed.stack).length > 0) {
                await killed.destroy();
            }
        };
        for (const round of firstRounds) {
            await at(round, async () => {
                await killed.killSurely(round, empty);
                await killed.converge();
                await killed.destroy();
            });
        }
        // The last ones are not mended but destroyed as they are.
        for (const round of lastRounds) {
            await at(round, async () => {
                await killed.killSurely(round, empty);
                assert.notDeepEqual(machineResources(killed.stack), []);
                await killed.destroy();
            });
        }
    };

    /** Two stack files that differ in every kind of thing: the node, its users, the load balancer, the certificate. */
    const write = (stack: TestStack, odd: boolean) => {
        const { registryPort: port, httpsPort, httpPort } = stack;
        stack.write({
            registry: {
                engine: "distribution",
                port,
                logLevel: odd ? "debug" : "info",
                users: odd ? [{ name: "admin" }, { name: "ci" }] : [{ name: "admin" }],
            },
            loadBalancer: { mode: "http", httpsPort, httpPort, hstsSeconds: odd ? 600 : 0 },
            certificate: { kind: "own-ca", validityDays: odd ? 300 : 200 },
        });
    };

    const updates = async (killed: Killed) => {
        const { stack } = killed;
        write(stack, true);
        await killed.measure();
        let odd = true;
        const change = () => write(stack, (odd = !odd));
        for (const round of updateRounds) {
            await at(round, async () => {
                await killed.killSurely(round, change);
                await killed.converge();
            });
        }
        assert.deepEqual(existsSync(locksFolder(stack)) ? readdirSync(locksFolder(stack)) : [], []);
    };

    // Both wait most of the time, so they run beside each other; what one throws must not be left to nobody meanwhile.
    let started: readonly Promise<{ readonly error?: unknown }>[] = [];
    const result = async (index: number) => {
        const settled = await started[index];
        if (settled !== undefined && "error" in settled) {
            throw settled.error;
        }
    };

    before(async () => {
        const updated = await make("kill-update");
        write(updated.stack, false);
        await updated.measure();
        started = [firstUps(updated.seconds), updates(updated)].map((work) =>
            work.then(
                () => ({}),
                (error: unknown) => ({ error }),
            ),
        );
    });

    it("converges with the next up when it was the first, and can be destroyed as it is", () => result(0));

    it("converges with the next up when it was a change", () => result(1));
});
