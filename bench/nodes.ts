import { changesOf, Cluster } from "../test/support/cluster";
import { livesOfServing, underLoad } from "../test/support/cluster-checks";
import { baseline } from "../test/support/existing";
import { SshMachine } from "../test/support/ssh-machine";

/** Three nodes more may take so many times as long as a load balancer and two nodes from nothing. */
const TARGET_RATIO = 1.5;

/** Measures two nodes, five and two again under load. Gives whether the target is met, with nothing failed and nothing touched. */
export async function compareNodes(): Promise<boolean> {
    if (!(await SshMachine.possible())) {
        throw new Error("this needs root, namespaces and overlay file systems");
    }
    const cluster = await Cluster.make({
        word: "bench-nodes",
        nodes: 5,
        settings: ({ objects }) => ({
            baseline,
            storage: { objects },
            registry: { engine: "distribution", port: 5000 },
            loadBalancer: { mode: "http" },
        }),
    });
    try {
        const first = await cluster.up();
        const kept = [cluster.balancer, ...cluster.used(2)];
        const before = await livesOfServing(kept);
        const seconds = [first.seconds];
        let touched = 0;
        // More would take from new nodes, which share this machine, what they need to start.
        const options = { access: await cluster.access(), pushers: 1, pullers: 1 };
        const load = await underLoad("2 → 5 → 2 nodes", options, async (running) => {
            for (const count of [5, 2]) {
                cluster.write(count);
                const ran = await cluster.up();
                seconds.push(ran.seconds);
                touched += changesOf(ran, cluster.used(2)).length;
                await running.more(100);
            }
        });
        const same = JSON.stringify(await livesOfServing(kept)) === JSON.stringify(before);
        const [made = 0, more = 0, fewer = 0] = seconds;
        const ratio = more / made;
        const text = (value: number) => `${value.toFixed(1)} s`;
        console.log(`0 → 2 nodes: ${text(made)}, 2 → 5: ${text(more)}, 5 → 2: ${text(fewer)}: × ${ratio.toFixed(2)}`);
        console.log(`changes of nodes that stay: ${touched}; their containers: ${same ? "the same" : "others"}`);
        const failed = load.failures().length;
        const met = ratio <= TARGET_RATIO && touched === 0 && same && failed === 0;
        console.log(`target: × ${TARGET_RATIO.toFixed(2)}, nothing failed or touched: ${met ? "met" : "not met"}`);
        return met;
    } finally {
        await cluster.close();
    }
}
