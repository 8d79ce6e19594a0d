import { harborInstaller } from "../test/support/harbor";
import { ClusterPair } from "../test/support/pair";
import { SshMachine } from "../test/support/ssh-machine";

/** Seconds from the kill to the first good pull. */
const TARGET_SECONDS = 5;

/**
 * Kills the front of the active Harbor again and again, and measures until the first good pull through the load balancer.
 * Gives whether each was in time.
 */
export async function measureFailover(runs: number): Promise<boolean> {
    const installer = await harborInstaller();
    if (installer === undefined || !(await SshMachine.possible())) {
        throw new Error("this needs an installer of Harbor, root, namespaces and overlay file systems");
    }
    const pair = await ClusterPair.make("bench-failover", installer);
    try {
        const image = await pair.push("team/app", "one");
        await pair.replicated(await pair.standby(), [image]);
        const took: number[] = [];
        for (let run = 0; run < runs; run += 1) {
            await pair.armed();
            const active = await pair.active();
            const began = Date.now();
            await active.docker("kill", "--signal", "KILL", "nginx");
            took.push(((await pair.firstGoodPull(image)) - began) / 1000);
            await active.docker("start", "nginx");
            await pair.rejoin();
        }
        const sorted = took.toSorted((a, b) => a - b);
        const at = (share: number) => (sorted[Math.ceil(share * sorted.length) - 1] ?? 0).toFixed(1);
        const worst = sorted.at(-1) ?? Infinity;
        console.log(`first good pull after the kill, s: ${took.map((each) => each.toFixed(1)).join(" ")}`);
        console.log(`half of them within ${at(0.5)} s, nine of ten within ${at(0.9)} s, all within ${at(1)} s`);
        const met = worst <= TARGET_SECONDS;
        console.log(`target: all within ${TARGET_SECONDS} s: ${met ? "met" : "not met"}`);
        return met;
    } finally {
        await pair.close();
    }
}
