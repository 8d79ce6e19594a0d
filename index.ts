import * as pulumi from "@pulumi/pulumi";
import { Certificates } from "./components/certificates";
import { LoadBalancer } from "./components/load-balancer";
import { createMachines, machineNamed } from "./components/machines";
import { Credentials, DistributionNode } from "./components/registry/distribution";
import { renderClientTrust, renderPullSecret } from "./config/clients";
import { loadStack } from "./config/load";
import type { StackOutputs } from "./config/outputs";

const { plan, secret } = loadStack();
const { stack, registry, registryHost } = plan;

const machines = createMachines(plan);
const balancerMachine = machineNamed(machines, plan.loadBalancer.machine);

const certificates = new Certificates("certificates", {
    plan: plan.certificate,
    publicName: plan.publicName,
    machineNames: [balancerMachine.hostname, balancerMachine.address],
});

const credentials = new Credentials("registry", { registry, secret });
const nodes = plan.nodes.map((node) => {
    const machine = machineNamed(machines, node.machine);
    return {
        node,
        machine,
        component: new DistributionNode(node.name, { stack, registry, node, machine, credentials }),
    };
});

new LoadBalancer(
    "load-balancer",
    {
        stack,
        plan: plan.loadBalancer,
        machine: balancerMachine,
        certificates,
        upstreams: nodes.map(({ node, machine }) =>
            machine.privateAddress.apply((address) => ({ address, port: node.port })),
        ),
    },
    { dependsOn: nodes.map(({ component }) => component.released) },
);

const admin = credentials.administrator;
const outputs: StackOutputs = {
    registryUrl: pulumi.output(plan.registryUrl),
    registryHost: pulumi.output(registryHost),
    caCertificate: certificates.caCertificate,
    adminUsername: pulumi.output(admin.name),
    adminPassword: admin.password,
    nodes: pulumi.all(
        nodes.map(({ node, machine }) =>
            machine.privateAddress.apply((address) => ({ name: node.name, address, role: node.role })),
        ),
    ),
    storage: pulumi.output({
        objects: { kind: "node" as const, location: plan.nodes.map((node) => node.dataDirectory).join(", ") },
    }),
    clientTrust: certificates.caCertificate.apply((ca) => renderClientTrust(registryHost, ca)),
    pullSecret: admin.password.apply((password) => renderPullSecret(registryHost, admin.name, password)),
};
export = outputs;
