import * as openstack from "@pulumi/openstack";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import * as tls from "@pulumi/tls";
import type { BaselineConfig } from "../../../config/baseline";
import type { MachinePlan, OpenstackMachinePlan } from "../../../config/plan";
import type { Host, Machine, Prepared } from "../machine";
import { prepareMachine, type BeforeChange } from "../prepare";
import { sshHost } from "../ssh";
import type { OpenstackCloud } from "./cloud";
import { failureHint } from "./hints";
import { renderUserData } from "./user-data";

export interface OpenstackMachineArgs {
    readonly stack: string;
    readonly plan: MachinePlan;
    readonly place: OpenstackMachinePlan;
    readonly baseline: BaselineConfig;
    readonly cloud: OpenstackCloud;
    /** The machine that SSH goes through. */
    readonly jump?: Machine;
    readonly beforeChange?: BeforeChange;
}

/** What counts when a VM is made, and is nothing that a living one would be replaced for: that is asked for by `generation`. */
const atBirth = ["imageId", "blockDevices", "userData", "keyPair", "schedulerHints", "availabilityZone"];

/** A VM in OpenStack, with what outlives it: its address, its data volume and its host key. */
export class OpenstackMachine extends pulumi.ComponentResource implements Machine {
    readonly name: string;
    readonly host: Host;
    readonly address: pulumi.Output<string>;
    readonly privateAddress: pulumi.Output<string>;
    readonly hostname: pulumi.Output<string>;
    readonly directory: string;
    readonly prepared: Prepared;

    constructor(name: string, args: OpenstackMachineArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:OpenstackMachine", name, {}, options);
        const { plan, place, cloud } = args;
        const inCloud = { ...cloud.options, parent: this };
        const fullName = `${cloud.prefix}-${name}`;
        const metadata = { ...place.metadata, harborage_stack: args.stack, harborage_machine: name };

        const hostKey = new tls.PrivateKey(`${name}-host`, { algorithm: "ED25519" }, { parent: this });
        const port = new openstack.networking.Port(
            name,
            {
                name: fullName,
                networkId: cloud.networkId,
                fixedIps: [
                    { subnetId: cloud.subnetId, ...(place.address === undefined ? {} : { ipAddress: place.address }) },
                ],
                securityGroupIds: plan.roles.flatMap((role) => cloud.securityGroups[role] ?? []),
                adminStateUp: true,
            },
            inCloud,
        );
        const volume = this.createDataVolume(name, fullName, metadata, args);
        const vm = new openstack.compute.Instance(
            name,
            {
                name: fullName,
                flavorId: cloud.found.apply(({ flavors }) => flavors[place.flavor] ?? ""),
                ...this.bootFrom(args),
                keyPair: cloud.keypair,
                networks: [{ port: port.id }],
                userData: pulumi.secret(
                    pulumi
                        .all([hostKey.privateKeyOpenssh, hostKey.publicKeyOpenssh])
                        .apply(([hostPrivateKey, hostPublicKey]) => renderUserData({ hostPrivateKey, hostPublicKey })),
                ),
                metadata: { ...metadata, harborage_generation: String(plan.generation) },
                // Services end and disks are flushed first.
                stopBeforeDestroy: true,
                ...(place.availabilityZone === undefined ? {} : { availabilityZone: place.availabilityZone }),
                ...(cloud.serverGroupId === undefined ? {} : { schedulerHints: [{ group: cloud.serverGroupId }] }),
            },
            {
                ...cloud.connectedOptions,
                parent: this,
                ignoreChanges: atBirth,
                replaceOnChanges: ["metadata.harborage_generation"],
                deleteBeforeReplace: true,
                hooks: { onError: [failureHint(`harborage:machines.${plan.entry}`)] },
            },
        );
        const attachment =
            volume &&
            new openstack.compute.VolumeAttach(
                name,
                { instanceId: vm.id, volumeId: volume.id },
                // The VM's end detaches it; a mounted disk must not go before.
                { ...inCloud, deletedWith: vm },
            );
        // What scripts on the VM are deleted with: unlike the VM it stays in the state when a refresh finds the VM gone.
        const incarnation = new random.RandomId(
            `${name}-incarnation`,
            { byteLength: 4, keepers: { vm: vm.id } },
            { parent: this },
        );

        this.name = name;
        this.directory = plan.directory;
        this.hostname = pulumi.output(fullName);
        this.privateAddress = port.allFixedIps.apply((addresses) => addresses[0] ?? "");
        this.address = place.floatingIp ? this.createFloatingIp(name, plan.entry, cloud, port) : this.privateAddress;
        this.host = {
            ...sshHost({
                paths: {
                    machine: `harborage:machines.${plan.entry}`,
                    ...(args.jump === undefined ? {} : { proxy: `harborage:machines.${args.jump.name}` }),
                },
                address: this.address,
                port: 22,
                user: place.user,
                hostKey: hostKey.publicKeyOpenssh,
                ...(cloud.privateKey === undefined ? {} : { privateKey: cloud.privateKey }),
                ...(args.jump?.host.ssh === undefined ? {} : { proxy: args.jump.host.ssh.connection }),
                patience: { seconds: cloud.plan.bootMinutes * 60, isNew: true },
            }),
            deletedWith: incarnation,
        };
        this.prepared = prepareMachine(this, {
            stack: args.stack,
            plan,
            host: this.host,
            instance: incarnation.hex,
            ...(args.beforeChange && { beforeChange: args.beforeChange }),
            system: {
                baseline: args.baseline,
                // A larger disk is another text: its file system is made larger.
                ...(attachment && {
                    dataDisk: pulumi.interpolate`serial=${attachment.volumeId},${String(place.dataVolume?.sizeGiB)}GiB`,
                }),
            },
        });
        this.registerOutputs({ address: this.address, id: this.prepared.id });
    }

    private bootFrom({ cloud, place }: OpenstackMachineArgs) {
        const imageId = cloud.found.apply(({ images }) => images[place.image] ?? "");
        const { bootVolume } = place;
        return bootVolume === undefined
            ? { imageId }
            : {
                  blockDevices: [
                      {
                          uuid: imageId,
                          sourceType: "image",
                          destinationType: "volume",
                          bootIndex: 0,
                          volumeSize: bootVolume.sizeGiB,
                          deleteOnTermination: true,
                          ...(bootVolume.type === undefined ? {} : { volumeType: bootVolume.type }),
                      },
                  ],
              };
    }

    /** On nothing that is ever replaced: data goes only when the stack file says so. */
    private createDataVolume(
        name: string,
        fullName: string,
        metadata: Readonly<Record<string, string>>,
        { cloud, place, plan }: OpenstackMachineArgs,
    ): openstack.blockstorage.Volume | undefined {
        const { dataVolume, availabilityZone } = place;
        return (
            dataVolume &&
            new openstack.blockstorage.Volume(
                name,
                {
                    name: `${fullName}-data`,
                    description: "The data of a Harborage stack",
                    size: dataVolume.sizeGiB,
                    enableOnlineResize: true,
                    metadata,
                    ...(dataVolume.type === undefined ? {} : { volumeType: dataVolume.type }),
                    ...(availabilityZone === undefined ? {} : { availabilityZone }),
                },
                {
                    ...cloud.options,
                    parent: this,
                    protect: !dataVolume.deleteData,
                    ignoreChanges: ["availabilityZone", "volumeType"],
                    hooks: { onError: [failureHint(`harborage:machines.${plan.entry}.dataVolume`)] },
                },
            )
        );
    }

    private createFloatingIp(
        name: string,
        entry: string,
        cloud: OpenstackCloud,
        port: openstack.networking.Port,
    ): pulumi.Output<string> {
        const inCloud = { ...cloud.connectedOptions, parent: this };
        const pool = cloud.plan.network.externalNetwork ?? "";
        const floatingIp = new openstack.networking.FloatingIp(
            name,
            { pool },
            { ...inCloud, hooks: { onError: [failureHint(`harborage:machines.${entry}.floatingIp`)] } },
        );
        const associated = new openstack.networking.FloatingIpAssociate(
            name,
            { floatingIp: floatingIp.address, portId: port.id },
            inCloud,
        );
        return associated.floatingIp;
    }
}
