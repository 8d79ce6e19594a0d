import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { LoadBalancerPlan } from "../../config/plan";
import type { Certificates } from "../certificates";
import { ComposeStack, hook } from "../compose-stack";
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

const script = (name: string) => join(__dirname, "hooks", `${name}.sh`);

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
                    "hooks/validate.sh": hook(script("validate"), { IMAGE: plan.image }),
                    "hooks/reload.sh": hook(script("reload")),
                    "hooks/health.sh": hook(script("health"), { PORT: String(plan.httpsPort) }),
                })),
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
