import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { MachinePlan } from "../../config/plan";
import type { Machine } from "./machine";
import { runScript } from "./run";

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
    readonly address: pulumi.Output<string>;
    readonly privateAddress: pulumi.Output<string>;
    readonly hostname: pulumi.Output<string>;
    readonly id: pulumi.Output<string>;
    readonly directory: string;
    readonly claim: pulumi.Output<string>;
    readonly checked: pulumi.Resource;
    readonly ready: pulumi.Resource;
    readonly imagesReady: pulumi.Resource;

    constructor(name: string, { stack, plan }: LocalMachineArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:LocalMachine", name, {}, options);
        const script = (file: string) => join(__dirname, "scripts", file);

        const claim = new random.RandomId(`${name}-claim`, { byteLength: 8 }, { parent: this }).hex;
        const incarnation = pulumi.interpolate`${claim}-${String(plan.generation)}`;
        const triggers = [incarnation];
        const preflight = runScript(
            `${name}-preflight`,
            {
                script: script("preflight.sh"),
                args: [
                    plan.directory,
                    claim,
                    String(plan.minimumFreeDiskGiB),
                    stack,
                    ...plan.ports.map(({ port, purpose }) => `${String(port)}=${purpose}`),
                ],
            },
            { parent: this },
        );
        const baseline = runScript(
            `${name}-baseline`,
            { script: script("baseline.sh"), args: [plan.directory, incarnation], triggers },
            { parent: this, dependsOn: preflight },
        );
        const { references, bundle } = plan.images;
        const images = runScript(
            `${name}-images`,
            {
                script: script("images.sh"),
                args: [plan.directory, incarnation, bundle?.path ?? "-", bundle?.sha256 ?? "-", ...references],
                triggers,
            },
            { parent: this, dependsOn: baseline },
        );

        this.name = name;
        this.address = pulumi.output(firstAddress());
        this.privateAddress = pulumi.output("127.0.0.1");
        this.hostname = pulumi.output(hostname());
        this.claim = claim;
        this.id = incarnation;
        this.directory = plan.directory;
        this.checked = preflight;
        this.ready = baseline;
        this.imagesReady = images;
        this.registerOutputs({ address: this.address, id: this.id });
    }
}
