import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { LoadBalancerPlan } from "../../config/plan";
import type { Certificates } from "../certificates";
import { ComposeStack, hook, type PlainFile } from "../compose-stack";
import type { Machine } from "../machines";
import { isBalanced, renderCompose, renderNginx } from "./render";
import { renderNodes, renderProbes } from "./render-agent";
import type { Upstream } from "./upstream";

export { drainNode, restoreNode, type RotationArgs } from "./drain";
export type { Upstream } from "./upstream";

export interface LoadBalancerArgs {
    readonly stack: string;
    readonly plan: LoadBalancerPlan;
    readonly machine: Machine;
    readonly certificates: Certificates;
    /** The nodes behind it. */
    readonly upstreams: readonly pulumi.Input<Upstream>[];
}

const script = (name: string) => join(__dirname, "hooks", `${name}.sh`);

/** The agent, what it is told, and the command for operators. */
function agentFiles(plan: LoadBalancerPlan, upstreams: readonly Upstream[]): Record<string, PlainFile> {
    const file = (name: string) => ({ content: readFileSync(join(__dirname, "agent", name), "utf8") });
    const programs = ["agent.sh", "balancer.sh", "decide.awk", "nginx.sh", "observe.awk"];
    return {
        ...Object.fromEntries(programs.map((name) => [`agent/${name}`, file(name)])),
        "agent/drain-seconds": { content: String(plan.drainSeconds) },
        "agent/nodes": { content: renderNodes(upstreams) },
        "agent/probes.curl": { content: renderProbes(plan, upstreams) },
        "harborage-lb": { ...file("harborage-lb.sh"), mode: "0755" },
    };
}

/** The files of a release. */
export function balancerFiles(
    stack: string,
    plan: LoadBalancerPlan,
    upstreams: readonly Upstream[],
): Record<string, PlainFile> {
    const several = isBalanced(plan);
    return {
        "compose.yaml": { content: renderCompose(stack, plan) },
        "nginx.conf": { content: renderNginx({ plan, upstreams }) },
        "hooks/validate.sh": hook(script("validate"), {
            IMAGE: plan.image,
            CHECK: several
                ? "sh /etc/harborage/current/agent/balancer.sh apply"
                : "nginx -t -q -c /etc/harborage/current/nginx.conf",
        }),
        "hooks/reload.sh": several
            ? hook(script("reload-nodes"), { DRAIN: String(plan.drainSeconds) })
            : hook(script("reload")),
        "hooks/health.sh": hook(script("health"), {
            PORT: String(plan.httpsPort),
            NODES: String(plan.nodes.length),
        }),
        ...(several ? agentFiles(plan, upstreams) : {}),
    };
}

/** nginx in front of the nodes: the only door to the registry. */
export class LoadBalancer extends pulumi.ComponentResource {
    /** Done when it answers for the nodes. */
    readonly released: pulumi.CustomResource;

    constructor(name: string, args: LoadBalancerArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:LoadBalancer", name, {}, options);
        const { plan, certificates } = args;
        const stack = new ComposeStack(
            name,
            {
                machine: args.machine,
                project: plan.project,
                plainFiles: pulumi
                    .all([...args.upstreams])
                    .apply((upstreams) => balancerFiles(args.stack, plan, upstreams)),
                secretFiles: {
                    "root/server.crt": certificates.server.certificate,
                    "root/server.key": certificates.server.privateKey,
                },
            },
            { parent: this },
        );
        this.released = stack.released;
        this.registerOutputs({});
    }
}
