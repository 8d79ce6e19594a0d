import type { Provider } from "@pulumi/aws/provider";
import { SecurityGroup } from "@pulumi/aws/ec2/securityGroup";
import { SecurityGroupIngressRule } from "@pulumi/aws/vpc/securityGroupIngressRule";
import type * as pulumi from "@pulumi/pulumi";
import type { AwsConfig } from "../../../config/aws";

/** The network that a database or a cache is in. */
export type AwsNetwork = NonNullable<AwsConfig["network"]>;

/**
 * The network of an account.
 *
 * @throws Error where the stack file names none (the schema refuses such stack files)
 */
export function networkOf({ network }: AwsConfig): AwsNetwork {
    if (network === undefined) {
        throw new Error("a database or a cache in AWS without a network");
    }
    return network;
}

export interface DoorArgs {
    readonly groupName: pulumi.Input<string>;
    readonly vpc: string;
    /** A TCP port. */
    readonly port: number;
    /** Who may come in. Nothing goes out: the provider takes away the rule that AWS makes for that. */
    readonly cidrs: readonly string[];
}

/**
 * A security group that lets nodes in at one port.
 *
 * @returns its id, once it lets them in
 */
export function createDoor(
    name: string,
    { groupName, vpc, port, cidrs }: DoorArgs,
    own: { readonly parent: pulumi.Resource; readonly provider: Provider },
): { readonly id: pulumi.Output<string>; readonly rules: readonly pulumi.Resource[] } {
    const { id } = new SecurityGroup(
        name,
        { name: groupName, description: "The nodes of a registry", vpcId: vpc },
        own,
    );
    const rules = cidrs.map(
        (cidr) =>
            new SecurityGroupIngressRule(
                `${name}-${cidr}`,
                {
                    securityGroupId: id,
                    description: "nodes",
                    cidrIpv4: cidr,
                    ipProtocol: "tcp",
                    fromPort: port,
                    toPort: port,
                },
                own,
            ),
    );
    return { id, rules };
}
