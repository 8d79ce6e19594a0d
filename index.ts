import { Certificates } from "./components/certificates";
import { LoadBalancer } from "./components/load-balancer";
import { createMachines, machineNamed } from "./components/machines";
import { stackOutputs } from "./components/outputs";
import { Credentials, DistributionNode } from "./components/registry/distribution";
import { loadStack } from "./config/load";

const { plan, secret } = loadStack();
const { stack, registry } = plan;

const machines = createMachines(plan, secret);
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

export = stackOutputs({ plan, machines, certificates, credentials });
