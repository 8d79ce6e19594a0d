import * as pulumi from "@pulumi/pulumi";
import type { NodePlan, Plan } from "../../config/plan";
import { ExistingMachine } from "./existing";
import { LocalMachine } from "./local";
import type { Machine } from "./machine";
import type { BeforeChange } from "./prepare";
import { OpenstackCloud } from "./openstack/cloud";
import { OpenstackMachine } from "./openstack/vm";

export type { Host, Machine } from "./machine";
export { runScript } from "./run";
export { quote } from "./script-text";

/**
 * What must be done before the machine of an active node or its standby is changed.
 *
 * @param balancer the load balancer's machine
 */
export type BeforeNodeChange = (
    node: NodePlan,
    balancer: Machine,
    ...args: Parameters<BeforeChange>
) => ReturnType<BeforeChange>;

/**
 * The machines of a plan, by name.
 *
 * @param secret a secret of the stack file, by name
 */
export function createMachines(
    plan: Plan,
    secret: (name: string) => pulumi.Output<string>,
    beforeNodeChange: BeforeNodeChange,
): ReadonlyMap<string, Machine> {
    const { stack, baseline } = plan;
    const cloud =
        plan.cloud && new OpenstackCloud("openstack", { stack, plan: plan.cloud, machines: plan.machines, secret });
    const machines = new Map<string, Machine>();
    const create = (machine: Plan["machines"][number]): Machine => {
        const { name, place } = machine;
        const node = plan.nodes.find((each) => each.machine === name && each.peer !== undefined);
        const beforeChange = node && {
            beforeChange: (...args: Parameters<BeforeChange>) =>
                beforeNodeChange(node, machineNamed(machines, plan.loadBalancer.machine), ...args),
        };
        if (place.kind === "existing") {
            return new ExistingMachine(name, { stack, plan: machine, place, baseline, secret, ...beforeChange });
        }
        if (place.kind === "openstack" && cloud !== undefined) {
            const jump = place.jump === undefined ? undefined : machineNamed(machines, place.jump);
            return new OpenstackMachine(name, {
                stack,
                plan: machine,
                place,
                baseline,
                cloud,
                ...(jump && { jump }),
                ...beforeChange,
            });
        }
        return new LocalMachine(name, { stack, plan: machine });
    };
    // Others are reached through the load balancer's, or wait for it: it comes first.
    const isBalancer = ({ name }: Plan["machines"][number]) => name === plan.loadBalancer.machine;
    for (const machine of [...plan.machines].sort((a, b) => Number(isBalancer(b)) - Number(isBalancer(a)))) {
        machines.set(machine.name, create(machine));
    }
    return machines;
}

/** Where the load balancer reaches a node: by way of the network only where it has to. */
export function nodeAddress(node: NodePlan, machine: Machine): pulumi.Output<string> {
    return node.isInternal ? pulumi.output("127.0.0.1") : machine.privateAddress;
}

/**
 * A machine by name.
 *
 * @throws Error when the plan names a machine that it does not have (the schema refuses such stack files)
 */
export function machineNamed(machines: ReadonlyMap<string, Machine>, name: string): Machine {
    const machine = machines.get(name);
    if (machine === undefined) {
        throw new Error(`no machine ${name} in the plan`);
    }
    return machine;
}
