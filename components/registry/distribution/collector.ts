import * as pulumi from "@pulumi/pulumi";
import type { DistributionPlan } from "../../../config/plan";
import { ComposeStack } from "../../compose-stack";
import type { Upstream } from "../../load-balancer";
import type { Machine } from "../../machines";
import type { ObjectStorage } from "../../storage";
import { bucketFiles, bucketSecrets, text } from "./files";
import { renderCollectorCompose, renderCollectorConfig, renderSchedule } from "./render";

export interface CollectorArgs {
    readonly stack: string;
    readonly registry: DistributionPlan;
    /** The compose project's name. */
    readonly project: string;
    /** The load balancer's: all that clients write goes by it. */
    readonly machine: Machine;
    readonly objects: ObjectStorage;
    /** Every node, as the load balancer reaches it. */
    readonly nodes: readonly pulumi.Input<Upstream>[];
}

/** Collects garbage for nodes that share a bucket: one for all of them, while the load balancer refuses what they write. */
export class Collector extends pulumi.ComponentResource {
    /** Done when it runs. */
    readonly released: pulumi.CustomResource;

    constructor(name: string, args: CollectorArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:Collector", name, {}, options);
        const { stack, registry, project, objects } = args;
        const schedule = renderSchedule(registry.garbageCollection.times);
        const collect = text("collect.sh");
        const compose = new ComposeStack(
            name,
            {
                machine: args.machine,
                project,
                plainFiles: pulumi.all([objects.place, pulumi.all([...args.nodes])]).apply(([place, nodes]) => ({
                    "compose.yaml": {
                        content: renderCollectorCompose({
                            stack,
                            registry,
                            project,
                            objects: place,
                            nodes,
                            files: [collect, schedule],
                        }),
                    },
                    "registry/config.yml": { content: renderCollectorConfig(registry, place) },
                    "registry/config.sh": { content: text("config.sh") },
                    "registry/schedule": { content: schedule },
                    "registry/collect.sh": { content: collect, mode: "0755" },
                    ...bucketFiles(place),
                })),
                secretFiles: bucketSecrets(objects),
            },
            { parent: this },
        );
        this.released = compose.released;
        this.registerOutputs({});
    }
}
