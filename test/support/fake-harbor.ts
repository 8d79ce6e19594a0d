import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { startHttpsServer, type HttpsServer } from "./https-server";

interface Policy {
    readonly id: number;
    readonly name: string;
    enabled: boolean;
    readonly filters: readonly object[];
}

interface Execution {
    readonly id: number;
    readonly policy_id: number;
    status: string;
    readonly start_time: string;
}

/** A Harbor as far as the agent of two nodes uses it, with what it holds in memory; pulls are told who answered, by its port. */
export class FakeHarbor {
    /** `repository:tag` to digest; without a tag `repository@digest`, and `repository+digest` is attached to what else is there. */
    readonly tags = new Map<string, string>();
    readOnly = false;
    /** As Harbor has it: with a prefix, permissions, and a secret that no answer tells. */
    robot: Record<string, unknown> = {
        id: 7,
        name: "robot$harborage-replication",
        level: "system",
        duration: -1,
        disable: false,
        editable: true,
        description: 'says "hello" {here}, \\ there',
        permissions: [{ kind: "project", namespace: "*", access: [{ resource: "repository", action: "push" }] }],
    };
    readonly policies: Policy[] = ["push", "full", "pull"].map((kind, index) => ({
        id: index + 1,
        name: `harborage-${kind}`,
        enabled: kind === "pull",
        filters: [{ type: "name", value: "**" }],
    }));
    readonly executions: Execution[] = [];
    /** What its job service is at, whatever is known of its end. */
    private readonly working = new Set<Execution>();
    /** What was asked for, of what changes something. */
    readonly calls: string[] = [];
    /** A replication ends so. */
    outcome: "Succeed" | "Failed" = "Succeed";
    /** Replication leaves these out. */
    readonly lost = new Set<string>();
    peer: FakeHarbor | undefined;
    port = 0;
    private server: HttpsServer | undefined;

    /** @param identity what it serves HTTPS with; another one from its next start on */
    constructor(public identity: { readonly cert: string; readonly key: string }) {}

    /** At the port that it had before, if it had one. */
    async start(): Promise<number> {
        const answer = (request: IncomingMessage, response: ServerResponse) => void this.answer(request, response);
        this.server = await startHttpsServer(this.identity, answer, this.port);
        this.port = this.server.port;
        return this.port;
    }

    async stop(): Promise<void> {
        await this.server?.close();
    }

    policy(kind: string): Policy {
        const found = this.policies.find(({ name }) => name === `harborage-${kind}`);
        if (found === undefined) {
            throw new Error(kind);
        }
        return found;
    }

    /** From one to the other, if that one takes it. */
    private copy(from: FakeHarbor, to: FakeHarbor): boolean {
        // Who writes uses its account at the other one; who reads, too.
        const account = this === from ? to.robot : from.robot;
        if (to.readOnly || account.disable === true) {
            return false;
        }
        for (const [tag, digest] of from.tags) {
            if (!this.lost.has(tag)) {
                to.tags.set(tag, digest);
            }
        }
        return true;
    }

    /** As the schedule or a push does it. */
    replicate(policy: Policy): Execution | undefined {
        const peer = this.peer;
        if (!policy.enabled || peer === undefined) {
            return undefined;
        }
        const pulls = policy.name === "harborage-pull";
        const good = this.outcome === "Succeed" && (pulls ? this.copy(peer, this) : this.copy(this, peer));
        const execution: Execution = {
            id: this.executions.length + 1,
            policy_id: policy.id,
            status: "InProgress",
            start_time: new Date().toISOString(),
        };
        this.executions.push(execution);
        this.working.add(execution);
        // A Harbor that is read-only refuses what its own job service tells, which tries again.
        const tell = (): void => {
            if (this.readOnly) {
                setTimeout(tell, 50);
            } else if (execution.status === "InProgress") {
                execution.status = good ? "Succeed" : "Failed";
            }
        };
        setTimeout(() => {
            this.working.delete(execution);
            tell();
        }, 300);
        return execution;
    }

    private async answer(request: IncomingMessage, response: ServerResponse): Promise<ServerResponse> {
        const url = new URL(request.url ?? "", "http://harbor");
        const path = url.pathname.replace("/api/v2.0", "");
        const method = request.method ?? "";
        const sent = await text(request);
        const send = (status: number, body: unknown, headers: Record<string, string> = {}): ServerResponse => {
            response.writeHead(status, { "content-type": "application/json", ...headers });
            return response.end(body === undefined ? "" : `${JSON.stringify(body)}\n`);
        };
        if (url.pathname === "/service/token") {
            return send(200, { token: "a.b.c" });
        }
        if (path === "/health") {
            return send(200, { status: "healthy", components: [{ name: "core", status: "healthy" }] });
        }
        if (url.pathname.startsWith("/v2/")) {
            return send(path === "/v2/" ? 401 : 200, {}, { "x-node": String(this.port) });
        }
        const refuse = (status: number, message: string): ServerResponse =>
            send(status, { errors: [{ code: "X", message }] });
        const page = (items: readonly object[]): ServerResponse => {
            const size = Number(url.searchParams.get("page_size") ?? 10);
            const at = (Number(url.searchParams.get("page") ?? 1) - 1) * size;
            return send(200, items.slice(at, at + size));
        };
        if (request.headers.authorization !== `Basic ${Buffer.from("admin:Secret1").toString("base64")}`) {
            return refuse(401, "unauthorized");
        }
        if (method !== "GET") {
            this.calls.push(`${method} ${path} ${sent}`);
        }
        if (path === "/configurations") {
            if (method === "PUT") {
                this.readOnly = (JSON.parse(sent) as { read_only: boolean }).read_only;
                return send(200, undefined);
            }
            return send(200, { robot_name_prefix: { editable: true, value: "robot$" } });
        }
        if (this.readOnly && method !== "GET") {
            return refuse(403, "The system is in read only mode. Any modification is prohibited.");
        }
        const [, kind, id, , repository] = path.split("/");
        switch (`${method} ${kind}`) {
            case "GET robots":
                return id === undefined
                    ? page([{ ...this.robot, id: 6, name: "robot$harborage-replication-2" }, this.robot])
                    : send(200, this.robot);
            case "PUT robots":
                this.robot = JSON.parse(sent) as Record<string, unknown>;
                return send(200, undefined);
            case "GET repositories":
                return page(
                    [...new Set([...this.tags.keys()].map((tag) => tag.split(/[:@+]/)[0]))].map((name, i) => ({
                        id: i,
                        name,
                    })),
                );
            case "GET projects": {
                // The slashes of its name are escaped twice.
                const name = `${id}/${decodeURIComponent(decodeURIComponent(repository ?? ""))}`;
                const named = (sign: string) => [...this.tags].filter(([tag]) => tag.startsWith(`${name}${sign}`));
                const accessories = named("+").map(([, digest]) => ({ id: 3, digest }));
                const artifacts = [...named(":"), ...named("@")].map(([tag, digest]) => ({
                    digest,
                    extra_attrs: { config: { Cmd: ["sh", "-c", '{"digest":"no"}'] } },
                    references: [{ child_digest: "sha256:child" }],
                    accessories,
                    tags: tag.startsWith(`${name}:`) ? [{ id: 1, name: tag.slice(name.length + 1) }] : null,
                }));
                return page(artifacts);
            }
        }
        switch (`${method} ${path}`) {
            case "GET /jobservice/pools/all/workers":
                return send(200, [{ id: "idle" }, ...[...this.working].map(() => ({ job_name: "REPLICATION" }))]);
            case "GET /jobservice/queues":
                return send(200, [{ job_type: "RETENTION", count: 3 }, { job_type: "REPLICATION" }]);
            case "GET /replication/policies":
                // Harbor leaves out what is false.
                return page(this.policies.map((each) => ({ ...each, enabled: each.enabled || undefined })));
            case "GET /replication/executions": {
                const { searchParams: query } = url;
                return page(
                    this.executions
                        .filter(({ policy_id }) => policy_id === Number(query.get("policy_id")))
                        .filter(({ status }) => (query.get("status") ?? status) === status)
                        .reverse(),
                );
            }
            case "POST /replication/executions": {
                const policy = this.policies.find((each) => each.id === (JSON.parse(sent) as Execution).policy_id);
                if (policy === undefined) {
                    return refuse(404, "no such policy");
                }
                const execution = this.replicate(policy);
                return execution === undefined
                    ? refuse(412, `the policy ${policy.id} is disabled`)
                    : send(201, undefined, { location: `/api/v2.0/replication/executions/${execution.id}` });
            }
        }
        const number = Number(path.split("/")[3]);
        const policy = this.policies.find((each) => each.id === number);
        if (path.startsWith("/replication/policies/") && policy) {
            if (method === "PUT") {
                policy.enabled = (JSON.parse(sent) as Policy).enabled;
            }
            return send(200, { ...policy, enabled: policy.enabled || undefined });
        }
        const execution = this.executions.find((each) => each.id === number);
        if (path.startsWith("/replication/executions/") && execution) {
            if (method === "PUT") {
                execution.status = "Stopped";
                this.working.delete(execution);
            }
            return send(200, execution);
        }
        return refuse(404, `no ${path}`);
    }
}
