import { setTimeout as sleep } from "node:timers/promises";
import type { TestStack } from "./launcher";
import { until } from "./processes";
import type { SshMachine } from "./ssh-machine";

/** A request in the load balancer's access log. */
export interface LoggedRequest {
    /** Milliseconds since 1970: when it had been answered. */
    readonly at: number;
    /** For example `GET /v2/ HTTP/1.1`. */
    readonly request: string;
    /** What the client got. */
    readonly status: number;
    /** The nodes that were asked, one after the other, by name. */
    readonly nodes: readonly string[];
    /** The last of them: it gave the answer. */
    readonly answeredBy: string;
    /** Of all nodes together, seconds. */
    readonly seconds: number;
}

interface LogLine {
    readonly request: string;
    readonly status: number;
    readonly node: string;
    readonly seconds: number;
}

/** The load balancer of a stack whose nodes are several machines, as its log and its clients see it. */
export class BalancerWatch {
    private readonly container: string;

    constructor(
        stack: TestStack,
        private readonly machine: SshMachine,
        private readonly nodes: readonly SshMachine[],
    ) {
        this.container = `harborage-${stack.name}-lb-nginx-1`;
    }

    /** What it has answered since then, in the order in which it did. */
    async log(since: number): Promise<LoggedRequest[]> {
        const from = new Date(since).toISOString();
        const text = await this.machine.docker("logs", "--timestamps", "--since", from, this.container);
        return text.flatMap((line): LoggedRequest[] => {
            const [, time = "", json = ""] = /^(\S+) (\{.*\})$/.exec(line) ?? [];
            if (json === "") {
                return [];
            }
            const { request, status, node, seconds } = JSON.parse(json) as LogLine;
            const nodes = node.split(/[,:] /).map((address) => this.nameOf(address));
            return [{ at: Date.parse(time), request, status, nodes, answeredBy: nodes.at(-1) ?? "", seconds }];
        });
    }

    /** `ADDRESS:PORT` as the name of a machine. */
    private nameOf(place: string): string {
        const address = place.replace(/:\d+$/, "");
        return this.nodes.find((node) => node.address === address)?.name ?? place;
    }

    /** How many requests each node has answered. */
    async answers(since: number): Promise<Record<string, number>> {
        const counts: Record<string, number> = {};
        for (const { answeredBy } of (await this.log(since)).filter(({ nodes }) => nodes.join("") !== "")) {
            counts[answeredBy] = (counts[answeredBy] ?? 0) + 1;
        }
        return counts;
    }

    /**
     * How long a node went on being asked, until it was not asked for `quiet` seconds while others were.
     *
     * @param since when it began to be ill
     * @returns seconds from then to the last request that it was sent
     */
    async secondsUntilOut(node: SshMachine, since: number, quiet = 8): Promise<number> {
        const last = async () =>
            (await this.log(since))
                .filter(({ nodes }) => nodes.includes(node.name))
                .reduce((latest, { at }) => Math.max(latest, at), since);
        return until(`${node.name} is out of rotation`, 90, async () => {
            const latest = await last();
            if (Date.now() - latest > quiet * 1000) {
                return (latest - since) / 1000;
            }
            await sleep(500);
            return undefined;
        });
    }

    /** Waits until a node answers requests again. @returns seconds since then */
    async secondsUntilBack(node: SshMachine, since: number, limit = 90): Promise<number> {
        return until(`${node.name} is back in rotation`, limit, async () => {
            const first = (await this.log(since)).find(
                ({ answeredBy, status }) => answeredBy === node.name && status < 500,
            );
            if (first === undefined) {
                await sleep(250);
                return undefined;
            }
            return (first.at - since) / 1000;
        });
    }
}
