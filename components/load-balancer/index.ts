import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { LoadBalancerPlan } from "../../config/plan";
import type { Certificates } from "../certificates";
import { ComposeStack, hook, type PlainFile } from "../compose-stack";
import type { Machine } from "../machines";
import { hasAgent, healthPort, renderCompose, renderNginx } from "./render";
import { renderApi, renderLogin, renderMachines, renderNodes, renderProbes } from "./render-agent";
import { nodesCa } from "./render-failover";
import type { Upstream } from "./upstream";

export { activateNode, type ActivateArgs } from "./activate";
export { drainNode, restoreNode, type RotationArgs } from "./drain";
export { trustNodes, type TrustArgs } from "./trust";
export type { Upstream } from "./upstream";

export interface LoadBalancerArgs {
    readonly stack: string;
    readonly plan: LoadBalancerPlan;
    readonly machine: Machine;
    readonly certificates: Certificates;
    /** The nodes behind it. */
    readonly upstreams: readonly pulumi.Input<Upstream>[];
    /** Who has the nodes replicate to each other; needed where the plan has a failover, and used nowhere else. */
    readonly administrator?: { readonly name: string; readonly password: pulumi.Input<string> };
}

const script = (name: string) => join(__dirname, "hooks", `${name}.sh`);

/** The agent, what it is told, and the command for operators. */
function agentFiles(plan: LoadBalancerPlan, upstreams: readonly Upstream[]): Record<string, PlainFile> {
    const { failover } = plan;
    const file = (name: string) => ({ content: readFileSync(join(__dirname, "agent", name), "utf8") });
    const text = (content: string) => ({ content });
    const programs = [
        ...["agent.sh", "common.awk", "common.sh", "nginx.sh", "observe.awk"],
        ...(failover === undefined ? ["balancer.sh", "decide.awk"] : ["failover.awk", "json.awk", "switchover.sh"]),
    ];
    return {
        ...Object.fromEntries(programs.map((name) => [`agent/${name}`, file(name)])),
        "agent/drain-seconds": text(String(plan.drainSeconds)),
        "agent/probe-seconds": text(String(plan.probeSeconds)),
        "agent/nodes": text(renderNodes(upstreams)),
        "agent/probes.curl": text(renderProbes(plan, upstreams)),
        "harborage-lb": { ...file("harborage-lb.sh"), mode: "0755" },
        ...(failover && {
            "agent/balancer.sh": file("failover.sh"),
            "agent/machines": text(renderMachines(upstreams)),
            "agent/misses": text(String(failover.misses)),
            "agent/first": text(failover.active),
            "agent/host": text(plan.host),
            "agent/api.curl": text(renderApi()),
        }),
    };
}

/**
 * The files of a release.
 *
 * @param caCertificate the CA of the nodes' certificates; only where the plan has a failover
 */
export function balancerFiles(
    stack: string,
    plan: LoadBalancerPlan,
    upstreams: readonly Upstream[],
    caCertificate?: string,
): Record<string, PlainFile> {
    const several = hasAgent(plan);
    const isStream = plan.failover?.mode === "stream";
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
            ...(isStream ? { HEALTH_PORT: String(healthPort(plan)) } : {}),
        }),
        ...(several ? agentFiles(plan, upstreams) : {}),
        ...(caCertificate === undefined ? {} : { [nodesCa]: { content: caCertificate } }),
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
                    .all([pulumi.all([...args.upstreams]), plan.failover && certificates.caCertificate])
                    .apply(([upstreams, ca]) => balancerFiles(args.stack, plan, upstreams, ca)),
                secretFiles: {
                    "root/server.crt": certificates.server.certificate,
                    "root/server.key": certificates.server.privateKey,
                    ...(plan.failover && { "root/harbor.curl": login(args) }),
                },
            },
            { parent: this },
        );
        this.released = stack.released;
        this.registerOutputs({});
    }
}

function login({ administrator }: LoadBalancerArgs): pulumi.Output<string> {
    if (administrator === undefined) {
        throw new Error("no administrator for the load balancer, whose agent has the nodes replicate to each other");
    }
    const { name, password } = administrator;
    return pulumi.secret(pulumi.output(password).apply((text) => renderLogin(name, text)));
}
