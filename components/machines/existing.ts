import * as pulumi from "@pulumi/pulumi";
import type { BaselineConfig } from "../../config/baseline";
import type { ExistingPlan, MachinePlan, SshPlan } from "../../config/plan";
import type { Host, Machine, Prepared } from "./machine";
import { prepareMachine, type BeforeChange } from "./prepare";
import { connectionOf, sshHost } from "./ssh";

export interface ExistingMachineArgs {
    readonly stack: string;
    readonly plan: MachinePlan;
    readonly place: ExistingPlan;
    readonly baseline: BaselineConfig;
    /** A secret of the stack file, by name. */
    readonly secret: (name: string) => pulumi.Output<string>;
    readonly beforeChange?: BeforeChange;
}

/** Seconds until a machine that should be there is given up. */
const patience = { seconds: 30, isNew: false } as const;

/** A machine that exists and is reached by SSH. */
export class ExistingMachine extends pulumi.ComponentResource implements Machine {
    readonly name: string;
    readonly host: Host;
    readonly address: pulumi.Output<string>;
    readonly privateAddress: pulumi.Output<string>;
    readonly hostname: pulumi.Output<string>;
    readonly directory: string;
    readonly prepared: Prepared;

    constructor(name: string, args: ExistingMachineArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:ExistingMachine", name, {}, options);
        const { stack, plan, place, baseline, secret } = args;
        const ssh = ({ privateKey, ...rest }: SshPlan) => ({
            ...rest,
            ...(privateKey === undefined ? {} : { privateKey: secret(privateKey) }),
        });
        const { bastion, ...direct } = place.ssh;
        const path = `harborage:machines.${plan.entry}`;
        this.host = sshHost({
            paths: { machine: path, proxy: `${path}.bastion` },
            ...ssh(direct),
            ...(bastion === undefined ? {} : { proxy: connectionOf(ssh(bastion)) }),
            patience,
        });
        this.prepared = prepareMachine(this, {
            stack,
            plan,
            host: this.host,
            instance: String(plan.generation),
            ...(args.beforeChange && { beforeChange: args.beforeChange }),
            system: { baseline, ...(place.dataDevice === undefined ? {} : { dataDisk: place.dataDevice }) },
        });
        this.name = name;
        this.directory = plan.directory;
        this.address = pulumi.output(place.ssh.address);
        this.privateAddress = pulumi.output(place.privateAddress);
        this.hostname = pulumi.output("");
        this.registerOutputs({ address: this.address, id: this.prepared.id });
    }
}
