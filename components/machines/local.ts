import { hostname, networkInterfaces } from "node:os";
import * as pulumi from "@pulumi/pulumi";
import type { MachinePlan } from "../../config/plan";
import type { Machine, Prepared } from "./machine";
import { prepareMachine } from "./prepare";

export interface LocalMachineArgs {
    readonly stack: string;
    readonly plan: MachinePlan;
}

/** The first IPv4 address that other machines can reach, or loopback on a machine without a network. */
function firstAddress(): string {
    const addresses = Object.entries(networkInterfaces())
        // Docker's own bridges come and go; nobody outside reaches them.
        .filter(([name]) => !/^(?:docker|br-|veth)/.test(name))
        .flatMap(([, infos]) => infos ?? [])
        .filter((info) => info.family === "IPv4" && !info.internal)
        .map((info) => info.address);
    return addresses[0] ?? "127.0.0.1";
}

/** This machine, with its own Docker. */
export class LocalMachine extends pulumi.ComponentResource implements Machine {
    readonly name: string;
    readonly host = {};
    readonly address: pulumi.Output<string>;
    readonly privateAddress: pulumi.Output<string>;
    readonly hostname: pulumi.Output<string>;
    readonly directory: string;
    readonly prepared: Prepared;

    constructor(name: string, { stack, plan }: LocalMachineArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:LocalMachine", name, {}, options);
        const instance = String(plan.generation);
        this.prepared = prepareMachine(this, { stack, plan, host: this.host, instance });
        this.name = name;
        this.directory = plan.directory;
        this.address = pulumi.output(firstAddress());
        this.privateAddress = pulumi.output("127.0.0.1");
        this.hostname = pulumi.output(hostname());
        this.registerOutputs({ address: this.address, id: this.prepared.id });
    }
}
