import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Access } from "./client";
import { closedSite } from "./closed-site";
import { accessTo, existing } from "./existing";
import { TestStack, type Settings } from "./launcher";
import { attempt } from "./processes";
import { S3Server } from "./s3-server";
import { BalancerWatch } from "./balancer-watch";
import { newSshKey } from "./ssh-key";
import { SshMachine } from "./ssh-machine";

export interface ClusterOptions {
    /** For the stack's name, see {@link TestStack.make}. */
    readonly word: string;
    /** How many machines there are for nodes: n1, n2, … */
    readonly nodes: number;
    /** Names of further machines that the stack file has. */
    readonly others?: readonly string[];
    /** What the stack file says beside machines and topology, given what was changed with {@link Cluster.write}. */
    readonly settings: (cluster: Cluster, changed: Settings) => Settings;
    /** `kind` and more of `topology`. Default: `shared`. */
    readonly topology?: Settings;
    /** Where images come from. Default: those of the registry and of nginx. */
    readonly images?: (folder: string) => Promise<Settings>;
}

/**
 * A stack with several nodes: a load balancer, machines for nodes, and an S3 server on this machine that they reach. Call
 * {@link close} in `after`.
 */
export class Cluster {
    private site: Settings = {};
    private changed: Settings = {};
    private found: Required<Access> | undefined;
    private usesObjects = false;
    readonly watch: BalancerWatch;

    private constructor(
        private readonly options: ClusterOptions,
        readonly stack: TestStack,
        readonly s3: S3Server,
        readonly balancer: SshMachine,
        readonly nodes: readonly SshMachine[],
        readonly others: ReadonlyMap<string, SshMachine>,
    ) {
        this.watch = new BalancerWatch(stack, balancer, nodes);
    }

    /** Machines that run, and a stack that has its secrets; `up` is the caller's. */
    static async make(options: ClusterOptions): Promise<Cluster> {
        const stack = await TestStack.make(options.word);
        const key = newSshKey();
        const machines = new Map<string, SshMachine>();
        const names = Array.from({ length: options.nodes }, (_, index) => `n${index + 1}`);
        let s3: S3Server | undefined;
        try {
            // One after the other: together they would take longer, and each has its limit.
            for (const name of ["lb", ...names, ...(options.others ?? [])]) {
                const made = await SshMachine.make(stack.folder, name, { authorizedKey: key.public, docker: true });
                machines.set(name, made);
                await made.boot();
            }
            const get = (name: string): SshMachine => {
                const machine = machines.get(name);
                if (machine === undefined) {
                    throw new Error(`there is no machine ${name}`);
                }
                return machine;
            };
            s3 = await S3Server.start({
                folder: join(stack.folder, "s3"),
                address: get("lb").hostAddress,
                // As Amazon's are: quotes are for tests of an engine that takes them.
                secretKey: "secret/+key",
            });
            const others = new Map((options.others ?? []).map((name) => [name, get(name)]));
            const cluster = new Cluster(options, stack, s3, get("lb"), names.map(get), others);
            cluster.site = await (options.images ?? closedSite)(stack.folder);
            cluster.write(2);
            await stack.setSecret("sshKey", key.private);
            if (cluster.usesObjects) {
                await stack.setSecret("s3AccessKey", s3.accessKey);
                await stack.setSecret("s3SecretKey", s3.secretKey);
            }
            return cluster;
        } catch (error) {
            await s3?.kill();
            await Promise.all([...machines.values()].map((machine) => machine.close()));
            await attempt("rm", ["-rf", stack.folder]);
            throw error;
        }
    }

    /** `storage.objects` of the stack file. */
    get objects(): Settings {
        this.usesObjects = true;
        const { region, endpoint } = this.s3;
        const keys = { accessKey: "s3AccessKey", secretKey: "s3SecretKey" };
        return { kind: "external", bucket: "registry", region, endpoint, ...keys };
    }

    /** Names of the objects in the bucket. */
    objectNames(): string[] {
        return readdirSync(this.s3.data(), { recursive: true, encoding: "utf8" }).sort();
    }

    get machines(): readonly SshMachine[] {
        return [this.balancer, ...this.nodes, ...this.others.values()];
    }

    /** The first `count` nodes. */
    used(count: number): readonly SshMachine[] {
        return this.nodes.slice(0, count);
    }

    /** @param number 1 for n1 */
    node(number: number): SshMachine {
        const node = this.nodes[number - 1];
        if (node === undefined) {
            throw new Error(`there is no node ${number}`);
        }
        return node;
    }

    /** Writes a stack file with so many nodes; what was changed before stays changed. */
    write(count: number, more: Settings = {}): void {
        this.changed = { ...this.changed, ...more };
        const used = this.used(count);
        const machines = [this.balancer, ...used, ...this.others.values()];
        this.stack.write({
            ...this.site,
            machines: Object.fromEntries(machines.map((machine) => [machine.name, existing(machine)])),
            topology: {
                ...(this.options.topology ?? { kind: "shared" }),
                nodes: used.map(({ name }) => name),
                loadBalancer: this.balancer.name,
                ...(this.changed["topology"] as Settings),
            },
            ...this.options.settings(this, this.changed),
        });
    }

    /** `npm run up`, which has to succeed. */
    async up(): Promise<ClusterUp> {
        const began = Date.now();
        const { changes } = await this.stack.up();
        return { names: changes.map(({ name }) => name), seconds: (Date.now() - began) / 1000 };
    }

    /** Through the load balancer, as the administrator; the same for the stack's whole life. */
    async access(): Promise<Required<Access>> {
        this.found ??= await accessTo(this.stack, this.balancer);
        return this.found;
    }

    async close(): Promise<void> {
        await this.stack.cleanUp();
        await this.s3.kill();
        await Promise.all(this.machines.map((machine) => machine.close()));
        await attempt("rm", ["-rf", this.stack.folder]);
    }
}

export interface ClusterUp {
    /** Of the resources that Pulumi changed. */
    readonly names: readonly string[];
    readonly seconds: number;
}

/** The changes of an `up` that are one machine's. */
export function changesOf({ names }: ClusterUp, machines: readonly SshMachine[]): string[] {
    return names.filter((name) =>
        machines.some((machine) => name === machine.name || name.startsWith(`${machine.name}-`)),
    );
}
