import assert from "node:assert/strict";
import { changesOf, type Cluster, type ClusterUp } from "./cluster";
import { livesOn } from "./harbor";
import { Load, LoadClient, newContent, type LoadOptions } from "./load";
import type { SshMachine } from "./ssh-machine";

const mebibyte = 1024 * 1024;

/** What is done to every cluster, whichever engine it runs. */

/**
 * Does something while a load is on the registry, and checks at the end that everything that was acknowledged is there.
 *
 * @param title for people: the sums are shown behind it
 */
export async function underLoad(
    title: string,
    options: LoadOptions,
    work: (load: Load) => Promise<void>,
): Promise<Load> {
    const load = Load.start(options);
    const began = Date.now();
    try {
        await load.more(20);
        await work(load);
        await load.more(20);
    } finally {
        await load.stop();
        console.log(`      ${title}: ${((Date.now() - began) / 1000).toFixed(0)} s; ${load.summary()}`);
    }
    assert.deepEqual(await load.verify(), [], "acknowledged, and not there");
    return load;
}

/** So many pushes and pulls: none fails, and every node has its share. */
export async function checkLoad(cluster: Cluster, nodes: number, options: LoadOptions, count: number): Promise<void> {
    const began = Date.now();
    const load = await underLoad(`${nodes} nodes`, { ...options, pushes: count, pulls: count }, ({ done }) => done);
    assert.deepEqual(load.complaints(), []);
    assert.equal(load.count("push").acknowledged, count);
    assert.equal(load.count("pull").acknowledged, count);
    const answers = await cluster.watch.answers(began);
    const all = Object.values(answers).reduce((sum, each) => sum + each, 0);
    for (const { name } of cluster.used(nodes)) {
        assert.ok((answers[name] ?? 0) > all / nodes / 2, `${name}: ${answers[name]} of ${all}`);
    }
}

/** A layer of 120 MiB in chunks of 10: they go to different nodes, and it comes back whole. */
export async function checkChunks(cluster: Cluster, repository: string): Promise<void> {
    const began = Date.now();
    const client = new LoadClient(await cluster.access());
    const layer = { content: newContent(120 * mebibyte), way: "chunks", chunk: 10 * mebibyte } as const;
    const pushed = await client.operation("push", (session) => session.push(repository, "one", [layer]));
    assert.equal(pushed.failure, undefined);
    const { image } = pushed;
    assert.ok(image);
    const pulled = await client.operation("pull", (session) => session.pull(image, image.digest));
    assert.equal(pulled.failure, undefined);
    client.close();
    const patches = (await cluster.watch.log(began)).filter(({ request }) => request.startsWith("PATCH "));
    assert.equal(patches.length, 12);
    assert.ok(new Set(patches.map(({ answeredBy }) => answeredBy)).size > 1);
}

export interface Illness {
    /** For people: `a node that …`. */
    readonly title: string;
    readonly node: SshMachine;
    readonly load: LoadOptions;
    readonly begin: () => Promise<unknown>;
    readonly end: () => Promise<unknown>;
    /** After so many seconds it must not be asked any more. */
    readonly outWithin: number;
    /** After so many seconds from the end it must be asked again. */
    readonly backWithin: number;
    /** Operations while it is out. Default: 40. */
    readonly meanwhile?: number;
    /**
     * Whether an answer that says that the node is ill may reach clients until it is out. Default: no; then at most 1 % of the
     * operations may fail, or as many as there can be on their way at once where that is more.
     */
    readonly mayAnswer?: boolean;
}

/**
 * Makes a node ill under load and well again: it is out in time and back by itself, no acknowledged push is lost, and few
 * operations fail.
 */
export async function checkIllness(cluster: Cluster, illness: Illness): Promise<void> {
    const { title, node, begin, end, outWithin, backWithin, meanwhile = 40, mayAnswer = false } = illness;
    const { watch } = cluster;
    let out = 0;
    let back = 0;
    const load = await underLoad(`a node that ${title}`, illness.load, async (running) => {
        const began = Date.now();
        await begin();
        out = await watch.secondsUntilOut(node, began);
        await running.more(meanwhile);
        const asked = (await watch.log(began + out * 1000 + 1)).filter(({ nodes }) => nodes.includes(node.name));
        assert.deepEqual(asked, [], "it was asked again while it was ill");
        await end();
        back = await watch.secondsUntilBack(node, Date.now(), backWithin * 2);
    });
    const failed = load.failures().length;
    console.log(`      out after ${out.toFixed(1)} s, back after ${back.toFixed(1)} s, ${failed} failed`);
    for (const complaint of load.complaints(mayAnswer ? 3 : 20)) {
        console.log(`        ${complaint}`);
    }
    const { pushers = 4, pullers = 4 } = illness.load;
    const allowed = Math.max(pushers + pullers, load.operations.length / 100);
    assert.ok(mayAnswer || failed <= allowed, load.complaints().join("\n"));
    assert.ok(out <= outWithin, `it was asked for ${out} s`);
    assert.ok(back <= backWithin, `it was back after ${back} s`);
}

/** An `up` under load: nothing fails. */
export async function checkChange(title: string, cluster: Cluster, load: LoadOptions): Promise<ClusterUp> {
    let result: ClusterUp | undefined;
    const done = await underLoad(title, load, async () => {
        result = await cluster.up();
    });
    assert.deepEqual(done.complaints(), []);
    assert.ok(result);
    return result;
}

export interface Resize {
    readonly count: number;
    readonly seconds: number;
}

/**
 * Changes the number of nodes under load, from one to the next: nothing fails, what stays is not touched, and exactly the
 * nodes of the stack file answer.
 */
export async function checkResize(cluster: Cluster, load: LoadOptions, counts: readonly number[]): Promise<Resize[]> {
    const kept = cluster.used(Math.min(...counts));
    const others = [cluster.balancer, ...cluster.others.values()];
    const before = await livesOfServing([...others, ...kept]);
    const steps: Resize[] = [];
    const done = await underLoad(`${counts.join(" → ")} nodes`, load, async (running) => {
        for (const count of counts) {
            cluster.write(count);
            const ran = await cluster.up();
            steps.push({ count, seconds: ran.seconds });
            console.log(`      ${count} nodes after ${ran.seconds.toFixed(1)} s`);
            assert.deepEqual(changesOf(ran, kept), [], `${count} nodes`);
            const changed = Date.now();
            await running.more(30);
            const names = cluster.used(count).map(({ name }) => name);
            assert.deepEqual(Object.keys(await cluster.watch.answers(changed)).sort(), names);
        }
    });
    assert.deepEqual(done.complaints(), []);
    assert.deepEqual(await livesOfServing([...others, ...kept]), before);
    return steps;
}

/** As {@link livesOnAll}, of what clients' requests go through: the collector of garbage is told of every node when it starts. */
export async function livesOfServing(machines: readonly SshMachine[]): Promise<Record<string, Record<string, string>>> {
    const all = Object.entries(await livesOnAll(machines));
    const serving = (containers: Record<string, string>) =>
        Object.fromEntries(Object.entries(containers).filter(([name]) => !name.includes("-collector-")));
    return Object.fromEntries(all.map(([machine, containers]) => [machine, serving(containers)]));
}

/** Containers of several machines with their ids and starts, see {@link livesOn}. */
export async function livesOnAll(machines: readonly SshMachine[]): Promise<Record<string, Record<string, string>>> {
    const lives = machines.map(async (machine) => [machine.name, await livesOn(machine)] as const);
    return Object.fromEntries(await Promise.all(lives));
}
