import * as pulumi from "@pulumi/pulumi";
import { renderClientTrust, renderPullSecret } from "../config/clients";
import type { StackOutputs } from "../config/outputs";
import type { Plan } from "../config/plan";
import type { Certificates } from "./certificates";
import { machineNamed, type Machine } from "./machines";
import type { Credentials } from "./registry/distribution";

export interface OutputsArgs {
    readonly plan: Plan;
    readonly machines: ReadonlyMap<string, Machine>;
    readonly certificates: Certificates;
    readonly credentials: Credentials;
}

/** What people and other stacks need of a registry that is up. */
export function stackOutputs({ plan, machines, certificates, credentials }: OutputsArgs): StackOutputs {
    const { registryHost } = plan;
    const admin = credentials.administrator;
    return {
        registryUrl: pulumi.output(plan.registryUrl),
        registryHost: pulumi.output(registryHost),
        loadBalancerAddress: machineNamed(machines, plan.loadBalancer.machine).address,
        caCertificate: certificates.caCertificate,
        adminUsername: pulumi.output(admin.name),
        adminPassword: admin.password,
        nodes: pulumi.all(
            plan.nodes.map(({ name, machine, role }) =>
                machineNamed(machines, machine).privateAddress.apply((address) => ({ name, address, role })),
            ),
        ),
        storage: pulumi.output({
            objects: { kind: "node" as const, location: plan.nodes.map((node) => node.dataDirectory).join(", ") },
        }),
        clientTrust: certificates.caCertificate.apply((ca) => renderClientTrust(registryHost, ca)),
        pullSecret: admin.password.apply((password) => renderPullSecret(registryHost, admin.name, password)),
    };
}
