import { Certificates } from "./components/certificates";
import { LoadBalancer } from "./components/load-balancer";
import { createMachines, machineNamed, nodeAddress } from "./components/machines";
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
    const address = nodeAddress(node, machine);
    return {
        upstream: address.apply((host) => ({ address: host, port: node.port })),
        component: new DistributionNode(node.name, { stack, registry, node, machine, address, credentials }),
    };
});

new LoadBalancer(
    "load-balancer",
    {
        stack,
        plan: plan.loadBalancer,
        machine: balancerMachine,
        certificates,
        upstreams: nodes.map(({ upstream }) => upstream),
    },
    { dependsOn: nodes.map(({ component }) => component.released) },
);

export = stackOutputs({ plan, machines, certificates, credentials });
