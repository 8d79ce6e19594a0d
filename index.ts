import { Certificates } from "./components/certificates";
import { drainNode, LoadBalancer } from "./components/load-balancer";
import { createMachines, machineNamed } from "./components/machines";
import { stackOutputs } from "./components/outputs";
import { createRegistry, createSettings } from "./components/registry";
import { createStorage } from "./components/storage";
import { loadStack } from "./config/load";

const { plan, secret } = loadStack();

const machines = createMachines(plan, secret, (node, machine, change, options) =>
    drainNode(`${node.machine}-hold`, { machine, plan: plan.loadBalancer, node: node.name, change }, options),
);
const balancerMachine = machineNamed(machines, plan.loadBalancer.machine);

const certificates = new Certificates("certificates", {
    plan: plan.certificate,
    publicName: plan.publicName,
    machineNames: [balancerMachine.hostname, balancerMachine.address],
});

const storage = createStorage({ plan, machines, certificates, secret });

const registry = createRegistry({ plan, machines, storage, certificates, secret });

const balancer = new LoadBalancer(
    "load-balancer",
    {
        stack: plan.stack,
        plan: plan.loadBalancer,
        machine: balancerMachine,
        certificates,
        upstreams: registry.nodes.map(({ upstream }) => upstream),
        administrator: registry.administrator,
    },
    { dependsOn: [...registry.ready] },
);

createSettings({ plan, machines, registry, balancer, certificates });

export = stackOutputs({ plan, machines, certificates, storage, registry });
