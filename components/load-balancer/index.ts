import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { LoadBalancerPlan } from "../../config/plan";
import type { Certificates } from "../certificates";
import { ComposeStack } from "../compose-stack";
import type { Machine } from "../machines";
import { renderCompose, renderNginx, type Upstream } from "./render";

export type { Upstream } from "./render";

export interface LoadBalancerArgs {
    readonly stack: string;
    readonly plan: LoadBalancerPlan;
    readonly machine: Machine;
    readonly certificates: Certificates;
    /** The nodes behind it. */
    readonly upstreams: readonly pulumi.Input<Upstream>[];
}

/** A hook's text, with the values that it needs in front. */
function hook(name: string, variables: Readonly<Record<string, string>>): string {
    const lines = Object.entries(variables).map(([key, value]) => `readonly ${key}='${value}'`);
    return [...lines, readFileSync(join(__dirname, "hooks", `${name}.sh`), "utf8")].join("\n");
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
                plainFiles: pulumi.all([...args.upstreams]).apply((upstreams) => ({
                    "compose.yaml": { content: renderCompose(args.stack, plan) },
                    "nginx.conf": { content: renderNginx({ plan, upstreams }) },
                    "hooks/validate.sh": { content: hook("validate", { IMAGE: plan.image }) },
                    "hooks/reload.sh": { content: hook("reload", {}) },
                    "hooks/health.sh": { content: hook("health", { PORT: String(plan.httpsPort) }) },
                })),
                secretFiles: {
                    "root/server.crt": certificates.certificate,
                    "root/server.key": certificates.privateKey,
                },
            },
            { parent: this },
        );
        this.released = stack.released;
        this.registerOutputs({});
    }
}
