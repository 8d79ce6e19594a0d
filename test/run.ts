import { fork, spawn, type ChildProcess } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { KindResult } from "./run-kind";

const project = resolve(__dirname, "..");

const USAGE = `usage: npm test [-- [KIND...] [--grep TEXT] [--help]]

Runs the tests, cheap kinds first and what does not share anything side by side, and prints \`N passed, M failed\` as its last
line (\`, K skipped\` when there are any).

  checks    formatter, linter, type check, shell scripts
  unit      pure functions
  program   the whole program under Pulumi's mocks
  engine    the real Pulumi command line
  e2e       real containers, a real client
  openstack a real OpenStack, on a throw-away machine (npm run test:openstack); never without being named

  --grep TEXT   only tests whose full title contains TEXT

Without a KIND all of them run. engine and e2e need root and Docker or the means to install it; Pulumi is got first.`;

/** The kinds in the order in which they run, each with the minutes after which it is given up. */
const KINDS = { checks: 30, unit: 30, program: 30, engine: 90, e2e: 120, openstack: 240 } as const;
type Kind = keyof typeof KINDS;
const kinds = Object.keys(KINDS) as Kind[];

const NEEDS_PREPARATION: readonly Kind[] = ["engine", "e2e", "openstack"];
/** It takes the machine over, and an hour. */
const ONLY_WHEN_NAMED: readonly Kind[] = ["openstack"];
const PREPARATION_MINUTES = 90;

/** Counts of tests that really ran, over all kinds. */
const totals = { passed: 0, failed: 0, skipped: 0, failures: new Array<string>() };
let interrupted = false;

/**
 * What runs side by side writes one after the other: the first that has not ended as it comes, the others when it is their
 * turn.
 */
class Report {
    private readonly parts: Part[] = [];

    /** What is written in this turn; turns are in the order of the calls. */
    part(title: string): Part {
        const part = new Part(title, () => this.flush());
        this.parts.push(part);
        return part;
    }

    private flush(): void {
        for (const part of this.parts) {
            part.show();
            if (!part.ended) {
                return;
            }
        }
    }
}

class Part {
    ended = false;
    private text: string;

    constructor(
        title: string,
        private readonly changed: () => void,
    ) {
        this.text = `\n=== ${title}\n`;
    }

    write(text: string): void {
        this.text += text;
        this.changed();
    }

    end(): void {
        this.ended = true;
        this.changed();
    }

    show(): void {
        process.stdout.write(this.text);
        this.text = "";
    }
}

const report = new Report();

function testFiles(kind: Kind): string[] {
    const directory = join(__dirname, kind);
    if (!existsSync(directory)) {
        return [];
    }
    return readdirSync(directory, { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".test.ts"))
        .sort()
        .map((name) => join(directory, name));
}

/** Whether tests have machines to themselves: they can run beside those that share this one's Docker. */
function hasOwnMachines(file: string, kind: Kind): boolean {
    return kind === "e2e" && /from "\.\.\/support\/(?:ssh-)?machine"/.test(readFileSync(file, "utf8"));
}

/**
 * Waits for a child. It is killed, with all that it started, when it takes too long or this process is told to end.
 *
 * @returns why it is no success; undefined when it is one
 */
async function outcome(child: ChildProcess, minutes: number): Promise<string | undefined> {
    const kill = (signal: NodeJS.Signals) => {
        try {
            // The child leads a process group of its own.
            process.kill(-(child.pid ?? 0), signal);
        } catch {
            // It has ended already.
        }
    };
    let limit: string | undefined;
    const timer = setTimeout(() => {
        limit = `it was ended after ${minutes} minutes`;
        kill("SIGTERM");
        setTimeout(() => kill("SIGKILL"), 10_000).unref();
    }, minutes * 60_000);
    const interrupt = (signal: NodeJS.Signals) => {
        interrupted = true;
        kill(signal);
    };
    process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
    const reason = await new Promise<string | undefined>((done) => {
        child.once("error", (error) => done(error.message));
        child.once("exit", (code, signal) =>
            done(code === 0 ? undefined : `it ended with ${signal ?? `code ${code}`}`),
        );
    });
    clearTimeout(timer);
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
    return limit ?? reason;
}

/** Counts a failure of the run itself, which no test stands for. */
function fail(title: string, reason: string, part?: Part): void {
    const text = `${title}: ${reason}`;
    if (part === undefined) {
        console.error(`\n${text}`);
    } else {
        part.write(`\n${text}\n`);
    }
    totals.failed += 1;
    totals.failures.push(text);
}

/** Passes on what a child writes. */
function pipe({ stdout, stderr }: ChildProcess, part: Part): void {
    for (const stream of [stdout, stderr]) {
        stream?.setEncoding("utf8").on("data", (text: string) => part.write(text));
    }
}

/** Runs tests of one kind in a process of its own: a crash there costs these, and is counted. */
async function runTests(title: string, kind: Kind, files: readonly string[], grep: string | undefined): Promise<void> {
    const part = report.part(title);
    const child = fork(join(__dirname, "run-kind.ts"), [grep ?? "", ...files], {
        cwd: project,
        detached: true,
        execArgv: ["--import", "tsx"],
        silent: true,
    });
    pipe(child, part);
    let result: KindResult | undefined;
    child.on("message", (message) => (result = message as KindResult));
    const reason = await outcome(child, KINDS[kind]);
    totals.passed += result?.passed ?? 0;
    totals.failed += result?.failures.length ?? 0;
    totals.skipped += result?.skipped ?? 0;
    totals.failures.push(...(result?.failures ?? []).map((failure) => `${kind}: ${failure}`));
    if (result === undefined || (reason !== undefined && result.failures.length === 0)) {
        fail(title, `the tests did not run to their end: ${reason ?? "no result"}`, part);
    }
    part.end();
}

async function prepare(): Promise<void> {
    const part = report.part("preparation");
    // Builds take every core that they get; tests that run meanwhile have limits of time.
    const child = spawn("nice", ["-n", "10", process.execPath, "--import", "tsx", "test/prepare.ts"], {
        cwd: project,
        detached: true,
        stdio: ["ignore", "pipe", "pipe"],
    });
    pipe(child, part);
    const reason = await outcome(child, PREPARATION_MINUTES);
    if (reason !== undefined) {
        fail("preparation", `Pulumi, its plugins or the images could not be had: ${reason}`, part);
    }
    part.end();
}

function selectedKinds(names: readonly string[]): Kind[] {
    const unknown = names.filter((name) => !kinds.some((kind) => kind === name));
    if (unknown.length > 0) {
        throw new Error(`${unknown.join(", ")}: no such kind of tests; there are ${kinds.join(", ")}`);
    }
    return kinds.filter((kind) => (names.length === 0 ? !ONLY_WHEN_NAMED.includes(kind) : names.includes(kind)));
}

async function main(): Promise<void> {
    const { values, positionals } = parseArgs({
        options: { grep: { type: "string", short: "g" }, help: { type: "boolean", short: "h" } },
        allowPositionals: true,
    });
    if (values.help === true) {
        console.log(USAGE);
        return;
    }
    const chosen = selectedKinds(positionals).map((kind) => ({ kind, files: testFiles(kind) }));
    const isNeeded = ({ kind, files }: (typeof chosen)[number]) => files.length > 0 && NEEDS_PREPARATION.includes(kind);
    const preparation = chosen.some(isNeeded) ? prepare() : Promise.resolve();
    /** One after the other. */
    const inTurn = async (accept: (file: string, kind: Kind) => boolean, title = (kind: Kind): string => kind) => {
        for (const { kind, files } of chosen) {
            const accepted = files.filter((file) => accept(file, kind));
            if (accepted.length > 0 && !interrupted) {
                await runTests(title(kind), kind, accepted, values.grep);
            }
        }
    };
    const needsPreparation = (_: string, kind: Kind) => NEEDS_PREPARATION.includes(kind);
    await Promise.all([preparation, inTurn((file, kind) => !needsPreparation(file, kind))]);
    await Promise.all([
        inTurn((file, kind) => needsPreparation(file, kind) && !hasOwnMachines(file, kind)),
        inTurn(hasOwnMachines, (kind) => `${kind}, on machines of their own`),
    ]);
    if (interrupted) {
        fail("tests", "interrupted");
    }
    if (totals.passed + totals.failed === 0) {
        console.error("\nNo test ran.");
    }
    for (const title of totals.failures) {
        console.log(`failed: ${title}`);
    }
    const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : "";
    console.log(`\n${totals.passed} passed, ${totals.failed} failed${skipped}`);
    // No exit(): what has been written must get out first.
    process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0;
}

main().catch((error: unknown) => {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exitCode = 2;
});
