/**
 * Measures the program: `npm run bench -- start [--runs N] [--stack NAME]` by itself, without an engine that does any work,
 * `-- machines` and `-- nodes` with machines to set up, `-- load-balancer` with blobs to carry, and `-- failover` with two
 * Harbors.
 */
import { parseArgs } from "node:util";
import { startFakeEngine } from "./fake-engine";
import { emptyProgram, projectProgram, projectRuntime, runProgram, type Cost, type Program } from "./program-run";

const USAGE = `usage: npm run bench -- start [--runs N] [--stack NAME]
       npm run bench -- machines
       npm run bench -- nodes
       npm run bench -- load-balancer
       npm run bench -- failover [--runs N]

  start    how long this program takes until it declares its first resource, and how much memory it needs in all, against
           an empty TypeScript program. The programs take turns, N times (11) after one run that is not measured.
  machines how long one up takes that makes eight machines of kind existing ready for services, against one that makes
           one, once each. The machines are on this one and busy with themselves for 20 s at first, as new ones are.
           Needs root; two idle cores, or what Docker costs on eight machines counts.
  nodes    how long two nodes of a cluster take to become five, and two again, while clients push and pull, against the
           first up of a load balancer and two nodes; that nothing fails, and that the nodes that stay are not touched.
           Needs root.
  load-balancer
           how fast blobs of 100 MB go to and from a node through the load balancer, with and without TLS, against the node
           itself, where the link is the limit; and what that costs nginx. Needs root, and the toolchain's own images.
  failover how long clients of an active Harbor that is killed wait for the first good pull from its standby, N times (11).
           Needs root, and HARBORAGE_HARBOR_INSTALLER, the path of Harbor's offline installer.`;

/** An empty program is what nobody can go below; much more than it would be felt at each preview. */
const TARGET_RATIO = 1.2;
const TARGET_BYTES = 200 * 1024 * 1024;

interface Contestant {
    name: string;
    program: Program;
    runtime: ReturnType<typeof projectRuntime>;
    costs: Cost[];
}

function median(values: readonly number[]): number {
    const sorted = values.toSorted((a, b) => a - b);
    const middle = sorted[Math.floor(sorted.length / 2)];
    if (middle === undefined) {
        throw new Error("no values");
    }
    return middle;
}

const columns: Record<string, (cost: Cost) => string> = {
    "start s": (cost) => cost.startSeconds.toFixed(2),
    "CPU s": (cost) => cost.startProcessorSeconds.toFixed(2),
    "whole s": (cost) => cost.wholeSeconds.toFixed(2),
    "CPU s ": (cost) => cost.processorSeconds.toFixed(2),
    "peak MB": (cost) => (cost.peakBytes / 2 ** 20).toFixed(0),
    resources: (cost) => cost.resources.toFixed(0),
};

const TIMES = ["startSeconds", "startProcessorSeconds", "wholeSeconds", "processorSeconds"] as const;

/** The median of each figure. */
function typical(costs: readonly Cost[]): Cost {
    const figure = (name: keyof Cost) => median(costs.map((cost) => cost[name]));
    return {
        startSeconds: figure("startSeconds"),
        startProcessorSeconds: figure("startProcessorSeconds"),
        wholeSeconds: figure("wholeSeconds"),
        processorSeconds: figure("processorSeconds"),
        peakBytes: figure("peakBytes"),
        resources: figure("resources"),
    };
}

function report(name: string, cells: readonly string[]): void {
    console.log([name.padEnd(28), ...cells.map((cell) => cell.padStart(9))].join(" "));
}

async function start(runs: number, stack: string): Promise<boolean> {
    const runtime = projectRuntime();
    const own: Contestant = { name: `this, stack ${stack}`, program: projectProgram(stack), runtime, costs: [] };
    const others: Contestant[] = [
        { name: "empty, same options", program: emptyProgram, runtime, costs: [] },
        {
            name: "empty, Pulumi's defaults",
            program: emptyProgram,
            runtime: { typescript: true, nodeArguments: [] },
            costs: [],
        },
    ];
    const contestants = [own, ...others];
    const engine = await startFakeEngine();
    try {
        for (let run = 0; run <= runs; run++) {
            for (const { program, runtime: options, costs } of contestants) {
                const cost = await runProgram(program, options, engine);
                // The first one fills the compiler's cache.
                if (run > 0) {
                    costs.push(cost);
                }
            }
        }
    } finally {
        engine.close();
    }
    const ours = typical(own.costs);
    report("median", Object.keys(columns));
    for (const { name, costs } of contestants) {
        report(
            name,
            Object.values(columns).map((column) => column(typical(costs))),
        );
    }
    for (const { name, costs } of others) {
        const theirs = typical(costs);
        const ratios = TIMES.map((time) => `× ${(ours[time] / theirs[time]).toFixed(2)}`);
        report(`against ${name}`, ratios);
    }
    // A start is work on one core: on an idle machine both kinds of seconds agree, on a busy one these still tell.
    const best = Math.min(...others.map(({ costs }) => typical(costs).startProcessorSeconds));
    const met = ours.startProcessorSeconds <= TARGET_RATIO * best && ours.peakBytes <= TARGET_BYTES;
    const target = `CPU to start × ${TARGET_RATIO.toFixed(2)} of an empty program, ${TARGET_BYTES / 2 ** 20} MB`;
    console.log(`target: ${target}: ${met ? "met" : "not met"}`);
    return met;
}

async function main(): Promise<void> {
    const { values, positionals } = parseArgs({
        options: {
            runs: { type: "string", default: "11" },
            stack: { type: "string", default: "dev" },
            help: { type: "boolean", short: "h" },
        },
        allowPositionals: true,
    });
    const runs = Number(values.runs);
    const cases: Readonly<Record<string, () => Promise<boolean>>> = {
        start: () => start(runs, values.stack),
        // Loaded here and not at the top: it takes the tests' machines along.
        machines: async () => (await import("./machines.js")).compareMachines(),
        nodes: async () => (await import("./nodes.js")).compareNodes(),
        failover: async () => (await import("./failover.js")).measureFailover(runs),
        "load-balancer": async () => (await import("./load-balancer.js")).compareThroughput(),
    };
    const chosen = cases[positionals.join()];
    if (values.help === true || chosen === undefined || !Number.isInteger(runs) || runs < 1) {
        console.log(USAGE);
        process.exitCode = values.help === true ? 0 : 2;
        return;
    }
    process.exitCode = (await chosen()) ? 0 : 1;
}

main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
});
