import * as pulumi from "@pulumi/pulumi";
import { renderClientTrust, renderPullSecret } from "../config/clients";
import type { OutputValues, StackOutputs } from "../config/outputs";
import type { Plan } from "../config/plan";
import type { Certificates } from "./certificates";
import { machineNamed, type Machine } from "./machines";
import type { Registry } from "./registry";

export interface OutputsArgs {
    readonly plan: Plan;
    readonly machines: ReadonlyMap<string, Machine>;
    readonly certificates: Certificates;
    readonly registry: Registry;
}

/** What people and other stacks need of a registry that is up. */
export function stackOutputs({ plan, machines, certificates, registry }: OutputsArgs): StackOutputs {
    const { registryHost } = plan;
    const admin = registry.administrator;
    return {
        registryUrl: pulumi.output(plan.registryUrl),
        registryHost: pulumi.output(registryHost),
        engine: pulumi.output(plan.registry.engine),
        loadBalancerAddress: machineNamed(machines, plan.loadBalancer.machine).address,
        caCertificate: certificates.caCertificate,
        adminUsername: pulumi.output(admin.name),
        adminPassword: admin.password,
        nodes: pulumi.all(
            plan.nodes.map(({ name, machine, role }) =>
                machineNamed(machines, machine).privateAddress.apply((address) => ({ name, address, role })),
            ),
        ),
        storage: pulumi.output({ objects: objectsOf(plan) }),
        clientTrust: certificates.caCertificate.apply((ca) => renderClientTrust(registryHost, ca)),
        pullSecret: admin.password.apply((password) => renderPullSecret(registryHost, admin.name, password)),
    };
}

/** Where the pushed images are kept, in words. */
function objectsOf({ registry, nodes, storage }: Plan): OutputValues["storage"]["objects"] {
    const objects =
        registry.engine === "harbor"
            ? registry.storage.objects
            : // It takes no volume.
              storage.objects.kind === "external"
              ? storage.objects
              : { kind: "node" as const };
    switch (objects.kind) {
        case "node":
            return { kind: "node", location: nodes.map((node) => node.dataDirectory).join(", ") };
        case "volume":
            return { kind: "volume", location: objects.name };
        case "external":
            return {
                kind: "external",
                location: `${objects.endpoint ?? "s3"}: ${objects.bucket}${objects.rootDirectory}`,
            };
    }
}
