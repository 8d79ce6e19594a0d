import * as openstack from "@pulumi/openstack";
import * as pulumi from "@pulumi/pulumi";
import * as tls from "@pulumi/tls";
import type { CloudPlan, MachinePlan, Role, SecurityRule } from "../../../config/plan";
import { lookUp, type Found } from "./lookups";

export interface OpenstackCloudArgs {
    readonly stack: string;
    readonly plan: CloudPlan;
    readonly machines: readonly MachinePlan[];
    /** A secret of the stack file, by name. */
    readonly secret: (name: string) => pulumi.Output<string>;
}

const roles = ["load-balancer", "node", "storage"] as const satisfies readonly Role[];

export interface CloudOptions {
    readonly provider: openstack.Provider;
    readonly dependsOn: pulumi.Output<pulumi.Resource[]>;
}

/** The OpenStack that VMs are made in: how to log in, and what they have in common. */
export class OpenstackCloud extends pulumi.ComponentResource {
    readonly plan: CloudPlan;
    /** `harborage-STACK`: everything in the cloud has a name that begins with it. */
    readonly prefix: string;
    /** Options for every resource in the cloud: none is made before all lookups have succeeded. */
    readonly options: CloudOptions;
    readonly found: pulumi.Output<Found>;
    readonly networkId: pulumi.Output<string>;
    readonly subnetId: pulumi.Output<string>;
    /** As {@link options}, for what needs a network that is connected: VMs and floating IPs. */
    readonly connectedOptions: CloudOptions;
    /** Of the roles that machines have. */
    readonly securityGroups: Readonly<Partial<Record<Role, pulumi.Output<string>>>>;
    readonly keypair: pulumi.Output<string>;
    /** Absent where the SSH agent has it. Secret. */
    readonly privateKey?: pulumi.Output<string>;
    /** Absent where VMs run where they run. */
    readonly serverGroupId?: pulumi.Output<string>;

    constructor(name: string, args: OpenstackCloudArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:OpenstackCloud", name, {}, options);
        const { plan, machines, secret } = args;
        this.plan = plan;
        this.prefix = `harborage-${args.stack}`;
        const provider = this.createProvider(plan, secret);
        this.found = pulumi.output(lookUp(plan, machines, { provider, parent: this }));
        this.options = { provider, dependsOn: this.found.apply((): pulumi.Resource[] => []) };

        const network = this.createNetwork(plan);
        this.networkId = network.id;
        this.subnetId = network.subnetId;
        this.connectedOptions = { provider, dependsOn: this.found.apply((): pulumi.Resource[] => network.routed) };
        this.securityGroups = this.createSecurityGroups(
            plan.rules,
            roles.filter((role) =>
                machines.some(({ place, roles: those }) => place.kind === "openstack" && those.includes(role)),
            ),
        );
        const { keypair, privateKey } = this.createKeypair(plan, secret);
        this.keypair = keypair;
        if (privateKey !== undefined) {
            this.privateKey = privateKey;
        }
        if (plan.antiAffinity !== "none") {
            const policies = [plan.antiAffinity === "hard" ? "anti-affinity" : "soft-anti-affinity"];
            this.serverGroupId = new openstack.compute.ServerGroup(
                "openstack",
                { name: this.prefix, policies },
                { ...this.options, parent: this },
            ).id;
        }
        this.registerOutputs({});
    }

    private createProvider({ auth }: CloudPlan, secret: OpenstackCloudArgs["secret"]): openstack.Provider {
        const secretOf = (name: string | undefined) => (name === undefined ? undefined : secret(name));
        const settings = {
            cloud: auth.cloud,
            authUrl: auth.authUrl,
            region: auth.region,
            tenantName: auth.projectName,
            projectDomainName: auth.projectDomainName,
            userName: auth.userName,
            userDomainName: auth.userDomainName,
            applicationCredentialId: auth.applicationCredentialId,
            cacertFile: auth.caFile,
            // Secret Outputs stay secret in the state; 3.15.2 by itself protects the password only.
            password: secretOf(auth.password),
            applicationCredentialSecret: secretOf(auth.applicationCredentialSecret),
            token: secretOf(auth.token),
        };
        const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
        return new openstack.Provider("openstack", given, { parent: this });
    }

    private createNetwork({ network }: CloudPlan) {
        const { found } = this;
        if (network.kind === "existing") {
            const field = (key: "id" | "subnetId") => found.apply((all) => all.network?.[key] ?? "");
            return { id: field("id"), subnetId: field("subnetId"), routed: [] };
        }
        const options = { ...this.options, parent: this };
        const name = this.prefix;
        const own = new openstack.networking.Network("openstack", { name }, options);
        const subnet = new openstack.networking.Subnet(
            "openstack",
            {
                name,
                networkId: own.id,
                cidr: network.cidr,
                ipVersion: 4,
                dnsNameservers: network.nameServers,
            },
            options,
        );
        const router = new openstack.networking.Router(
            "openstack",
            { name, externalNetworkId: found.apply((all) => all.externalNetworkId ?? "") },
            options,
        );
        const routed = new openstack.networking.RouterInterface(
            "openstack",
            { routerId: router.id, subnetId: subnet.id },
            options,
        );
        return { id: own.id, subnetId: subnet.id, routed: [routed] };
    }

    private createSecurityGroups(
        rules: readonly SecurityRule[],
        those: readonly Role[],
    ): Partial<Record<Role, pulumi.Output<string>>> {
        const options = { ...this.options, parent: this };
        const ids: Partial<Record<Role, pulumi.Output<string>>> = Object.fromEntries(
            those.map((role) => [
                role,
                new openstack.networking.SecGroup(
                    role,
                    { name: `${this.prefix}-${role}`, description: `Harborage stack: ${role}` },
                    options,
                ).id,
            ]),
        );
        const groupOf = (role: Role) => {
            const group = ids[role];
            if (group === undefined) {
                throw new Error(`a rule of the plan is for ${role}, but no VM is one`);
            }
            return group;
        };
        for (const { role, port, from, why } of rules) {
            const group = groupOf(role);
            const source = "cidr" in from ? { remoteIpPrefix: from.cidr } : { remoteGroupId: groupOf(from.role) };
            const sourceName = "cidr" in from ? from.cidr : from.role;
            new openstack.networking.SecGroupRule(
                `${role}-${String(port)}-from-${sourceName}`,
                {
                    securityGroupId: group,
                    direction: "ingress",
                    ethertype: "IPv4",
                    protocol: "tcp",
                    portRangeMin: port,
                    portRangeMax: port,
                    description: why,
                    ...source,
                },
                options,
            );
        }
        return ids;
    }

    private createKeypair({ sshKey }: CloudPlan, secret: OpenstackCloudArgs["secret"]) {
        if (sshKey.kind === "keypair") {
            return {
                keypair: pulumi.output(sshKey.name),
                privateKey: sshKey.privateKey === undefined ? undefined : secret(sshKey.privateKey),
            };
        }
        const options = { ...this.options, parent: this };
        const create = (publicKey: pulumi.Input<string>) =>
            new openstack.compute.Keypair("openstack", { name: this.prefix, publicKey }, options).name;
        if (sshKey.kind === "public-key") {
            return {
                keypair: create(sshKey.publicKey),
                privateKey: sshKey.privateKey === undefined ? undefined : secret(sshKey.privateKey),
            };
        }
        const key = new tls.PrivateKey("openstack-ssh", { algorithm: "ED25519" }, { parent: this });
        return {
            keypair: create(key.publicKeyOpenssh.apply((text) => text.trim())),
            privateKey: key.privateKeyOpenssh,
        };
    }
}
