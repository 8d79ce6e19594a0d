import { join } from "node:path";
import type * as pulumi from "@pulumi/pulumi";
import type { Plan } from "../../../config/plan";
import { machineNamed, runScript, type Machine } from "../../machines";

export interface QuiesceArgs {
    readonly plan: Plan;
    readonly machines: ReadonlyMap<string, Machine>;
}

/**
 * Stops Harbor on all nodes but the first when its version changes: one that goes on would write into the database while
 * the first node migrates it. What is heavy is done before.
 */
export function quiesceOthers({ plan, machines }: QuiesceArgs, version: string): pulumi.Resource[] {
    const images = plan.nodes.map(({ machine }) => machineNamed(machines, machine).prepared.imagesReady);
    return plan.nodes
        .filter(({ rank }) => rank === "other")
        .map(({ name, machine: machineName, project }) => {
            const { host, directory, prepared } = machineNamed(machines, machineName);
            return runScript(
                `${name}-quiesce`,
                host,
                {
                    script: join(__dirname, "quiesce.sh"),
                    args: [directory, prepared.id, project, version],
                    triggers: [prepared.id],
                },
                { dependsOn: images },
            );
        });
}
