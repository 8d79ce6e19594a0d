import { z } from "zod";
import {
    cidr,
    choice,
    eachOnce,
    integer,
    ipv4Address,
    object,
    secretName,
    sshPublicKey,
    text,
    variants,
} from "./fields";

/** The part of the stack file's schema that says which OpenStack the VMs are in, and what surrounds them. */

const named = (what: string, example: string) => text(/^[^\s].{0,254}$/, `the name of ${what}`, example);

const auth = object(
    {
        cloud: named("a cloud in clouds.yaml", "prod")
            .optional()
            .describe("A cloud of clouds.yaml. Default: $OS_CLOUD."),
        authUrl: text(/^https?:\/\/\S+$/, "Keystone's URL", "https://keystone.example.com:5000/v3")
            .optional()
            .describe("Keystone. Default: $OS_AUTH_URL."),
        region: named("a region", "RegionOne").optional().describe("Default: $OS_REGION_NAME."),
        projectName: named("a project", "registry").optional().describe("Default: $OS_PROJECT_NAME."),
        projectDomainName: named("a domain", "Default").optional().describe("Default: $OS_PROJECT_DOMAIN_NAME."),
        userName: named("a user", "harborage").optional().describe("Default: $OS_USERNAME."),
        userDomainName: named("a domain", "Default").optional().describe("Default: $OS_USER_DOMAIN_NAME."),
        password: secretName.optional().describe("The name of the secret with the password. Default: $OS_PASSWORD."),
        applicationCredentialId: text(/^[0-9a-f]{32}$/, "32 hexadecimal digits", "0f2e5d5c0f2e5d5c0f2e5d5c0f2e5d5c")
            .optional()
            .describe("Default: $OS_APPLICATION_CREDENTIAL_ID."),
        applicationCredentialSecret: secretName
            .optional()
            .describe("The name of the secret with its secret. Default: $OS_APPLICATION_CREDENTIAL_SECRET."),
        token: secretName.optional().describe("The name of the secret with a token. Default: $OS_TOKEN."),
        caFile: text(/^\/.+$/, "an absolute path", "/etc/ssl/certs/cloud-ca.pem")
            .optional()
            .describe("The CA of the cloud's own certificates, on the machine that runs `up`. Default: $OS_CACERT."),
    },
    "{cloud: prod}",
);

const ownNetwork = object(
    {
        kind: z.literal("own"),
        cidr: cidr.default("10.42.0.0/24").describe("The subnet."),
        externalNetwork: named("an external network", "public").describe(
            "The network that the router and the floating IPs are connected to.",
        ),
        nameServers: z
            .array(ipv4Address, "expected a list of addresses, for example [192.0.2.53]")
            .default([])
            .describe("DNS servers for the VMs. Default: the cloud's."),
    },
    "{kind: own, externalNetwork: public}",
).describe("A network, a subnet and a router of the stack's own.");

const existingNetwork = object(
    {
        kind: z.literal("existing"),
        name: named("a network", "platform").describe("The network."),
        subnet: named("a subnet", "platform-v4")
            .optional()
            .describe("Its subnet. Needed where the network has several. Default: its only one."),
        externalNetwork: named("an external network", "public")
            .optional()
            .describe("Where floating IPs come from; its router must be there already."),
    },
    "{kind: existing, name: platform}",
).describe("A network that exists.");

const generatedKey = object({ kind: z.literal("generated") }, "{kind: generated}").describe(
    "A key of the stack's own, kept as a secret in its state.",
);

const privateKey = secretName
    .optional()
    .describe(
        "The name of the secret with the private key, without a passphrase. Default: the SSH agent of whoever runs `up`.",
    );

const givenKey = object(
    {
        kind: z.literal("public-key"),
        publicKey: sshPublicKey.describe("The public key."),
        privateKey,
    },
    "{kind: public-key, publicKey: ssh-ed25519 AAAA…}",
).describe("A key of yours; the stack makes a keypair of it.");

const existingKeypair = object(
    { kind: z.literal("keypair"), name: named("a keypair", "platform").describe("The keypair."), privateKey },
    "{kind: keypair, name: platform}",
).describe("A keypair that is in OpenStack already, for the user that makes the VMs.");

const cidrs = (what: string) =>
    z
        .array(cidr, `expected ${what}, for example [192.0.2.0/24]`)
        .superRefine(eachOnce((range) => range, [], "is there twice; expected each range once"));

/** `harborage:openstack`. */
export const openstack = object(
    {
        auth: auth.prefault({}).describe("How to log in. What is not given comes from clouds.yaml or OS_* variables."),
        network: variants(
            "kind",
            [ownNetwork, existingNetwork],
            ["own", "existing"],
            "{kind: own, externalNetwork: public}",
        ).describe("The network of the VMs."),
        sshCidrs: cidrs("a list of address ranges")
            .min(1, "expected at least one range that `up` is run from, for example [192.0.2.0/24]")
            .describe("Who may use SSH: where `up` is run from."),
        clientCidrs: cidrs("a list of address ranges")
            .min(1, "expected at least one range, for example [0.0.0.0/0]")
            .default(["0.0.0.0/0"])
            .describe("Who may use the registry."),
        sshKey: variants(
            "kind",
            [generatedKey, givenKey, existingKeypair],
            ["generated", "public-key", "keypair"],
            "{kind: generated}",
        )
            .prefault({ kind: "generated" })
            .describe("The key that `up` logs in with."),
        antiAffinity: choice(["soft", "hard", "none"])
            .default("soft")
            .describe(
                "Whether the VMs run on different hosts: where possible, always, or as it comes. Counts when a VM is made.",
            ),
        bootMinutes: integer(1, 120, "minutes", 10)
            .default(10)
            .describe("How long a VM may take until it answers to SSH."),
    },
    "{network: {kind: own, externalNetwork: public}, sshCidrs: [192.0.2.0/24]}",
);

export type OpenstackConfig = z.output<typeof openstack>;
