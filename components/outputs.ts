import * as pulumi from "@pulumi/pulumi";
import { renderClientTrust, renderPullSecret } from "../config/clients";
import type { OutputValues, StackOutputs } from "../config/outputs";
import type { Plan } from "../config/plan";
import type { Certificates } from "./certificates";
import { machineNamed, type Machine } from "./machines";
import type { Registry } from "./registry";
import type { Storage } from "./storage";

export interface OutputsArgs {
    readonly plan: Plan;
    readonly machines: ReadonlyMap<string, Machine>;
    readonly certificates: Certificates;
    readonly storage: Storage;
    readonly registry: Registry;
}

type Objects = OutputValues["storage"]["objects"];

/** What people and other stacks need of a registry that is up. */
export function stackOutputs({ plan, machines, certificates, storage, registry }: OutputsArgs): StackOutputs {
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
        storage: pulumi.output({ objects: objectsOf(plan, storage) }),
        clientTrust: certificates.caCertificate.apply((ca) => renderClientTrust(registryHost, ca)),
        pullSecret: admin.password.apply((password) => renderPullSecret(registryHost, admin.name, password)),
    };
}

/** Where the pushed images are kept, in words. */
function objectsOf({ registry, nodes, storage: { objects: said } }: Plan, storage: Storage): pulumi.Output<Objects> {
    const objects =
        registry.engine === "harbor"
            ? registry.storage.objects
            : // It takes no volume.
              said.kind === "volume"
              ? { kind: "node" as const }
              : said;
    const inWords = (kind: Objects["kind"], location: pulumi.Input<string>) =>
        pulumi.output(location).apply((text): Objects => ({ kind, location: text }));
    switch (objects.kind) {
        case "node":
            return inWords("node", nodes.map((node) => node.dataDirectory).join(", "));
        case "volume":
            return inWords("volume", objects.name);
        case "external":
        case "aws":
            if (storage.objects === undefined) {
                throw new Error(`no bucket of kind ${objects.kind}, which the plan has`);
            }
            return inWords(
                objects.kind,
                storage.objects.place.apply(
                    ({ endpoint, bucket, rootDirectory }) => `${endpoint ?? "s3"}: ${bucket}${rootDirectory}`,
                ),
            );
    }
}
