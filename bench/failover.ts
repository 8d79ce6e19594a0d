import { setTimeout as sleep } from "node:timers/promises";
import { Cluster } from "../test/support/cluster";
import { clusterImages } from "../test/support/cluster-images";
import { baseline } from "../test/support/existing";
import { api, harborInstaller, harborRegistry } from "../test/support/harbor";
import { LoadClient, newContent } from "../test/support/load";
import { Pair } from "../test/support/pair";
import { until } from "../test/support/processes";
import { SshMachine } from "../test/support/ssh-machine";
import { addHost } from "../test/support/system";

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
    const cluster = await Cluster.make({
        word: "bench-failover",
        nodes: 2,
        topology: { kind: "replicated" },
        images: clusterImages,
        settings: () => ({
            baseline,
            registry: harborRegistry(installer, { adminPassword: "adminPassword", trivy: { enabled: false } }),
            loadBalancer: { mode: "http", adminCidrs: ["198.18.0.0/15"] },
        }),
    });
    const forgetName = addHost(`${cluster.stack.name}.example`, cluster.balancer.address);
    try {
        const pair = new Pair(cluster);
        await cluster.stack.setSecret("adminPassword", "Admin-1-Password");
        cluster.write(2);
        await cluster.up();
        const access = await cluster.access();
        await api(access, "POST", "/projects", { project_name: "team", metadata: { public: "false" } });
        const client = new LoadClient(access);
        const layer = { content: newContent(1_000_000), way: "whole" } as const;
        const { image } = await client.operation("push", (session) => session.push("team/app", "one", [layer]));
        client.close();
        if (image === undefined) {
            throw new Error("the image could not be pushed");
        }
        await pair.replicated(await pair.standby(), [image]);
        const took: number[] = [];
        for (let run = 0; run < runs; run += 1) {
            await pair.armed();
            const active = await pair.active();
            const began = Date.now();
            await active.docker("kill", "--signal", "KILL", "nginx");
            took.push(((await pair.firstGoodPull(image)) - began) / 1000);
            await active.docker("start", "nginx");
            await until("the peer takes part again", 240, async () => {
                if ((await pair.lb("rejoin")).code === 0) {
                    return true;
                }
                await sleep(2000);
                return undefined;
            });
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
        forgetName();
        await cluster.close();
    }
}
