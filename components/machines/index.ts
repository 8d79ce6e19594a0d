import type { Plan } from "../../config/plan";
import { LocalMachine } from "./local";
import type { Machine } from "./machine";

export type { Machine } from "./machine";
export { runScript } from "./run";

/** The machines of a plan, by name. */
export function createMachines(plan: Plan): ReadonlyMap<string, Machine> {
    return new Map(
        plan.machines.map((machine) => [
            machine.name,
            new LocalMachine(machine.name, { stack: plan.stack, plan: machine }),
        ]),
    );
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
