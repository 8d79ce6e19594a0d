import { isIPv4 } from "node:net";
import { z } from "zod";
import {
    dnsNameOrAddress,
    flag,
    integer,
    ipv4Address,
    machineDirectory,
    object,
    port,
    resourceName,
    secretName,
    sshKeyMessage,
    sshPublicKey,
    text,
    variants,
} from "./fields";

/** The part of the stack file's schema that says what machines there are. */

const generation = integer(1, 1_000_000, "a number", 2)
    .default(1)
    .describe("Raise it to set the machine up again from nothing; data is kept.");

const minimumFreeDiskGiB = integer(1, 100_000, "GiB", 5)
    .optional()
    .describe(
        "`up` refuses to start on a machine with less free disk, where the data and where Docker's images are kept; where the stack runs already, 5 are enough. Default: 5; 40 for a node with Harbor.",
    );

const localMachine = object(
    {
        kind: z.literal("local"),
        directory: machineDirectory
            .optional()
            .describe(
                "Where everything of this stack is kept on the machine. Data is not moved when it changes: destroy, move the kept data, then `up`. Default: ~/.local/share/harborage/STACK.",
            ),
        generation,
        minimumFreeDiskGiB,
    },
    "{kind: local}",
).describe("This machine, with its own Docker.");

const remoteDirectory = text(
    /^(?:\/(?!\.\.?(?:\/|$))[A-Za-z0-9_.-]+){1,}$/,
    "an absolute folder of letters, digits and _ . - /",
    "/var/lib/harborage",
)
    .default("/var/lib/harborage")
    .describe(
        "Where everything of this stack is kept on the machine; data is below `data/`. Data is not moved when it changes.",
    );

const userName = text(/^[a-z_][a-z0-9_-]{0,31}$/, "the name of a user", "debian");

const hostKey = z
    .union([z.literal("accept-any"), sshPublicKey], {
        error: ({ input }) =>
            sshKeyMessage(
                "the machine's SSH host key of type ed25519 or ecdsa (cat /etc/ssh/ssh_host_ed25519_key.pub), or accept-any to trust whoever answers",
                input,
            ),
    })
    .describe(
        "The machine's SSH host key, as /etc/ssh/ssh_host_ed25519_key.pub has it. `accept-any` trusts whoever answers at the address.",
    );

const sshPrivateKey = secretName
    .optional()
    .describe(
        "The name of the secret that holds the private key, without a passphrase. Default: the SSH agent of whoever runs `up`.",
    );

const bastion = object(
    {
        address: dnsNameOrAddress.describe("Where the bastion is reached."),
        port: port(22).default(22).describe("Its SSH port."),
        user: userName.default("root").describe("Who to log in as; needs no rights there."),
        hostKey,
        privateKey: sshPrivateKey,
    },
    "{address: bastion.example.com, user: jump, hostKey: ssh-ed25519 AAAA…}",
);

const isAddress = (address: string) => dnsNameOrAddress.safeParse(address).success;

const existingMachine = object(
    {
        kind: z.literal("existing"),
        address: dnsNameOrAddress.describe("Where it is reached by SSH."),
        privateAddress: ipv4Address
            .optional()
            .describe(
                "Where the stack's other machines reach it. Needed where `address` is a name. Default: `address`.",
            ),
        port: port(22).default(22).describe("Its SSH port."),
        user: userName.default("root").describe("root, or a user with sudo that asks for no password."),
        hostKey,
        privateKey: sshPrivateKey,
        bastion: bastion.optional().describe("A machine that SSH goes through."),
        dataDevice: text(/^\/dev\/[A-Za-z0-9_./:-]+$/, "a block device", "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4")
            .optional()
            .describe(
                "A disk for the data, by a name that stays. It is formatted only when it is blank. Default: the disk that `directory` is on.",
            ),
        directory: remoteDirectory,
        generation,
        minimumFreeDiskGiB,
    },
    "{kind: existing, address: 192.0.2.10, hostKey: ssh-ed25519 AAAA…}",
)
    .refine(({ address, privateAddress }) => privateAddress !== undefined || isIPv4(address) || !isAddress(address), {
        path: ["privateAddress"],
        error: "expected the machine's IPv4 address, since `address` is a name, for example 192.0.2.10",
    })
    .describe(
        "A machine that exists: bare metal, VMware, Nutanix, anything with SSH. Debian 12, 13, Ubuntu 22.04, 24.04.",
    );

const volumeType = text(/^[^\s].{0,254}$/, "the name of a volume type", "ssd")
    .optional()
    .describe("The volume type. Default: the cloud's.");

const cloudName = (what: string, example: string) => text(/^[^\s].{0,254}$/, `the name of ${what}`, example);

const openstackMachine = object(
    {
        kind: z.literal("openstack"),
        image: cloudName("an image", "debian-12").describe(
            "The image, by name; the newest where several have it. It counts when the VM is made: another one is used from the next `generation` on.",
        ),
        flavor: cloudName("a flavor", "m1.medium").describe(
            "The flavor, by name. Another one resizes the VM in place, with a reboot.",
        ),
        user: userName.default("debian").describe("The image's user, who has sudo without a password."),
        floatingIp: flag()
            .default(false)
            .describe("Whether it gets a floating IP. A machine without one is reached through the load balancer's."),
        address: ipv4Address
            .optional()
            .describe(
                "Its address in the network. It is kept when the VM is replaced. Default: the first one, then kept.",
            ),
        availabilityZone: cloudName("an availability zone", "nova")
            .optional()
            .describe("Where the VM and its volumes are made. Default: the cloud's choice."),
        bootVolume: object(
            { sizeGiB: integer(1, 100_000, "GiB", 20).describe("Its size."), type: volumeType },
            "{sizeGiB: 20}",
        )
            .optional()
            .describe("Boots from a volume of this size, which goes with the VM. Default: the flavor's disk."),
        dataVolume: object(
            {
                sizeGiB: integer(1, 100_000, "GiB", 200).describe("Its size. It grows in place; it cannot shrink."),
                type: volumeType,
                deleteData: flag()
                    .default(false)
                    .describe("Whether `destroy` deletes it. Apply it with `up` before `destroy`."),
            },
            "{sizeGiB: 200}",
        )
            .optional()
            .describe(
                "A volume for the data. It outlives its VM. Default: the data is on the boot disk and goes with the VM.",
            ),
        metadata: z
            .record(
                text(/^[A-Za-z0-9_.:-]{1,255}$/, "a key of letters, digits and _ . : -", "owner"),
                text(/^.{1,255}$/, "text of at most 255 characters", "platform"),
                "expected texts by key, for example {owner: platform}",
            )
            .default({})
            .describe("Metadata of the VM and its volumes."),
        count: integer(1, 100, "machines", 3)
            .optional()
            .describe(
                "How many of them there are, named NAME-1, NAME-2 and so on. A lower number removes the last ones. Default: one, named NAME.",
            ),
        directory: remoteDirectory,
        generation,
        generations: z
            .record(
                resourceName,
                integer(1, 1_000_000, "a number", 2),
                "expected numbers by machine, for example {node-2: 2}",
            )
            .optional()
            .describe("With `count`: the `generation` of single machines, which sets up one at a time."),
        minimumFreeDiskGiB: minimumFreeDiskGiB.clone(),
    },
    "{kind: openstack, image: debian-12, flavor: m1.medium}",
).describe("A VM that this stack makes. Debian 12, 13, Ubuntu 22.04, 24.04.");

/** The kinds of machines. */
export const machine = variants(
    "kind",
    [localMachine, existingMachine, openstackMachine],
    ["local", "existing", "openstack"],
    "{kind: local}",
);

export type MachineConfig = z.output<typeof machine>;
export type ExistingConfig = Extract<MachineConfig, { kind: "existing" }>;
export type OpenstackMachineConfig = Extract<MachineConfig, { kind: "openstack" }>;
export type BastionConfig = NonNullable<ExistingConfig["bastion"]>;
