import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { ask, type Access } from "./client";
import { Cluster } from "./cluster";
import { clusterImages } from "./cluster-images";
import { baseline } from "./existing";
import { anonymous, api, harborRegistry, read, type Installer } from "./harbor";
import type { Settings } from "./launcher";
import { LoadClient, newContent, type PushedImage } from "./load";
import { until, type Ran } from "./processes";
import type { SshMachine } from "./ssh-machine";
import { addHost } from "./system";

/** What the agent says of itself. */
export interface Agent {
    /** The node that gets every request. */
    readonly active: string;
    /** How often that has changed. */
    readonly epoch: number;
    readonly armed: boolean;
    readonly by: string;
    readonly reason: string;
}

/** The ports of the load balancer that lead to one node. */
const firstAdminPort = 8441;

/** Where the commands for operators are on the load balancer's machine. */
export function lbProgram(stack: string): string {
    return `/var/lib/harborage/stacks/harborage-${stack}-lb/current/harborage-lb`;
}

/** The way to two Harbors that replicate. */
export interface PairSite<Node> {
    readonly nodes: readonly Node[];
    /** Through the load balancer, as the administrator. */
    access(): Promise<Required<Access>>;
    /** `harborage-lb` with these words, on the load balancer's machine. */
    lb(words: readonly string[]): Promise<Ran>;
    /** How long a request may take, seconds. Default: 60, and 2 for a pull that is tried again. */
    readonly requestSeconds?: number;
}

/** Two Harbors that replicate, behind a load balancer that knows which one is active. */
export class Pair<Node extends { readonly name: string }> {
    constructor(private readonly site: PairSite<Node>) {}

    /** The commands for operators, on the load balancer's machine. */
    lb(...words: readonly string[]): Promise<Ran> {
        return this.site.lb(words);
    }

    /** As {@link lb}; it has to succeed. */
    async must(...words: readonly string[]): Promise<string> {
        const { code, output } = await this.lb(...words);
        assert.equal(code, 0, output);
        return output;
    }

    /** One of the two nodes itself, through the load balancer. */
    async at(node: Node): Promise<Required<Access>> {
        const access = await this.site.access();
        return { ...access, port: firstAdminPort + this.site.nodes.indexOf(node) };
    }

    async agent(): Promise<Agent> {
        const [first] = this.site.nodes;
        assert.ok(first);
        const { status, body } = await ask(anonymous(await this.at(first)), "GET", "/harborage/active");
        assert.equal(status, 200, body);
        return JSON.parse(body) as Agent;
    }

    async active(): Promise<Node> {
        const { active } = await this.agent();
        const node = this.site.nodes.find(({ name }) => name === active);
        assert.ok(node, `${active} is no node`);
        return node;
    }

    async standby(): Promise<Node> {
        const active = await this.active();
        const node = this.site.nodes.find((each) => each !== active);
        assert.ok(node);
        return node;
    }

    /** Waits until the agent may fail over. */
    async armed(limit = 120): Promise<Agent> {
        return until("the agent is armed", limit, async () => {
            const agent = await this.agent();
            return agent.armed ? agent : undefined;
        });
    }

    /**
     * Has the old active follow, as soon as it can; waits until the agent may fail over again.
     *
     * @param limit in seconds, for each of the two
     */
    async rejoin(limit = 240): Promise<void> {
        await until("the peer takes part again", limit, async () => {
            const { code, output } = await this.lb("rejoin");
            if (code !== 0) {
                console.log(`      ${output.trim()}`);
                await sleep(5000);
            }
            return code === 0;
        });
        await this.armed(limit);
    }

    /** A private project of the active node. */
    async makeProject(name: string): Promise<void> {
        const project = { project_name: name, metadata: { public: "false" } };
        const { status, body } = await api(await this.site.access(), "POST", "/projects", project);
        assert.equal(status, 201, body);
    }

    /** Through the load balancer. */
    async push(repository: string, tag: string): Promise<PushedImage> {
        const client = new LoadClient(await this.site.access(), this.site.requestSeconds);
        const layer = { content: newContent(100_000), way: "whole" } as const;
        const { image, failure } = await client.operation("push", (session) => session.push(repository, tag, [layer]));
        client.close();
        assert.equal(failure, undefined);
        assert.ok(image);
        return image;
    }

    /** Pulls through the load balancer until one is good. @returns milliseconds since 1970 */
    async firstGoodPull(image: PushedImage, limit = 60): Promise<number> {
        const access = await this.site.access();
        return until("a good pull", limit, async () => {
            const client = new LoadClient(access, this.site.requestSeconds ?? 2);
            const { failure } = await client.operation("pull", (session) => session.pull(image, image.digest));
            client.close();
            if (failure === undefined) {
                return Date.now();
            }
            await sleep(50);
            return undefined;
        });
    }

    /** The digest that a tag has on a node; undefined where the node has none. */
    async digestAt(node: Node, repository: string, tag: string): Promise<string | undefined> {
        const [project = "", ...rest] = repository.split("/");
        const path = `/projects/${project}/repositories/${encodeURIComponent(encodeURIComponent(rest.join("/")))}/artifacts/${tag}`;
        const { status, body } = await api(await this.at(node), "GET", path);
        return status === 200 ? (JSON.parse(body) as { digest: string }).digest : undefined;
    }

    /** Waits until a node has images as they were acknowledged. */
    async replicated(node: Node, images: readonly PushedImage[], limit = 120): Promise<void> {
        for (const { repository, tag, digest } of images) {
            await until(`${node.name} has ${repository}:${tag}`, limit, async () => {
                return (await this.digestAt(node, repository, tag)) === digest;
            });
        }
    }

    /** Runs a replication policy on a node, as its schedule would, and waits. @returns how it ended */
    async run(node: Node, policy: string): Promise<string> {
        const access = await this.at(node);
        const all = await read<{ id: number; name: string }[]>(access, "/replication/policies?page_size=100");
        const found = all.find(({ name }) => name === policy);
        assert.ok(found, `${node.name} has no policy ${policy}`);
        const begun = await api(access, "POST", "/replication/executions", { policy_id: found.id });
        if (begun.status !== 201) {
            return begun.body;
        }
        const path = `/replication/executions/${(begun.headers.location ?? "").split("/").at(-1)}`;
        return until(`${policy} on ${node.name} has ended`, 120, async () => {
            const { status } = await read<{ status: string }>(access, path);
            return status === "InProgress" ? undefined : status;
        });
    }
}

/**
 * A pair on machines of this machine, with a project `team`. Call {@link close} in `after`.
 */
export class ClusterPair extends Pair<SshMachine> {
    private constructor(
        readonly cluster: Cluster,
        private readonly forgetName: () => void,
    ) {
        super({
            nodes: cluster.used(2),
            access: () => cluster.access(),
            lb: (words) => cluster.balancer.attempt(lbProgram(cluster.stack.name), words),
        });
    }

    /** @param word for the stack's name */
    static async make(word: string, installer: Installer): Promise<ClusterPair> {
        const cluster = await Cluster.make({
            word,
            nodes: 2,
            topology: { kind: "replicated" },
            images: clusterImages,
            settings: (_, changed) => ({
                baseline,
                registry: harborRegistry(installer, {
                    adminPassword: "adminPassword",
                    trivy: { enabled: false },
                    ...(changed["registry"] as Settings),
                }),
                loadBalancer: { mode: "http", adminCidrs: ["198.18.0.0/15"], ...(changed["loadBalancer"] as Settings) },
            }),
        });
        const { balancer, stack } = cluster;
        const pair = new ClusterPair(cluster, addHost(`${stack.name}.example`, balancer.address));
        try {
            await stack.setSecret("adminPassword", "Admin-1-Password");
            const { seconds } = await cluster.up();
            console.log(`      two nodes after ${seconds.toFixed(0)} s`);
            await pair.makeProject("team");
            return pair;
        } catch (error) {
            await pair.close();
            throw error;
        }
    }

    async close(): Promise<void> {
        this.forgetName();
        await this.cluster.close();
    }
}
