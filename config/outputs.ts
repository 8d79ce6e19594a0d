import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";

/** A node of the registry, as other stacks see it. */
const node = z.object({
    name: z.string(),
    /** Where the node is reached on the machines' own network. */
    address: z.string(),
    /** What the stack file wants it to be: after a failover, the load balancer's agent knows who is active. */
    role: z.enum(["active", "standby"]),
});

/** A file that makes a client trust the registry. */
const trustFile = z.object({
    /** What reads it: `docker`, `containerd`, `podman`. */
    client: z.string(),
    /** Where it goes on the client's machine. */
    path: z.string(),
    content: z.string(),
});

const storage = z.object({
    /** Where the pushed images are kept. */
    objects: z.object({ kind: z.enum(["node", "volume", "external", "aws"]), location: z.string() }),
});

/**
 * What a stack exports. Other stacks read these names: renaming one breaks them.
 */
export const outputsSchema = z.object({
    /** `https://registry.example.com` */
    registryUrl: z.string(),
    /** What stands before an image's name: `registry.example.com` or `registry.example.com:8443`. */
    registryHost: z.string(),
    /** What runs: with Harbor, an image's name begins with a project. */
    engine: z.enum(["distribution", "harbor"]),
    /** Where the public name has to lead: the address of the load balancer, for DNS. */
    loadBalancerAddress: z.string(),
    /** The CA that signed the server certificate, PEM. */
    caCertificate: z.string(),
    adminUsername: z.string(),
    /** Secret. */
    adminPassword: z.string(),
    nodes: z.array(node),
    storage,
    /** The files that make clients trust the registry, and where they go. */
    clientTrust: z.array(trustFile),
    /** A Kubernetes `dockerconfigjson` for the administrator. Secret. */
    pullSecret: z.string(),
});

export type OutputValues = z.output<typeof outputsSchema>;
export type NodeOutput = z.output<typeof node>;
export type TrustFile = z.output<typeof trustFile>;

/** A stack's outputs, in the types that the program exports. */
export type StackOutputs = { [Name in keyof OutputValues]: pulumi.Output<OutputValues[Name]> };

/** The outputs that are secret wherever they are read. */
export const secretOutputs = ["adminPassword", "pullSecret"] as const satisfies readonly (keyof OutputValues)[];

/**
 * The outputs of another Harborage stack, typed.
 *
 * ```ts
 * const registry = new RegistryReference("acme/harborage/prod");
 * const host = registry.outputs.registryHost;
 * ```
 *
 * Reading an output fails with the stack's name and what is wrong when that stack is not a Harborage stack, or one of
 * another version whose outputs differ.
 */
export class RegistryReference {
    readonly outputs: StackOutputs;

    /**
     * @param stackName as `pulumi.StackReference` takes it: `organization/project/stack`
     */
    constructor(stackName: string, options?: pulumi.CustomResourceOptions) {
        const reference = new pulumi.StackReference(stackName, {}, options);
        const read = <Name extends keyof OutputValues>(name: Name): StackOutputs[Name] => {
            const value = reference.getOutput(name).apply((output: unknown) => {
                const result = outputsSchema.shape[name].safeParse(output);
                if (!result.success) {
                    throw new pulumi.RunError(
                        `stack ${stackName}: output ${name} is ${output === undefined ? "missing" : "of another shape"}; expected the outputs of a Harborage stack that is up`,
                    );
                }
                return result.data;
            });
            const secret = (secretOutputs as readonly string[]).includes(name);
            // `Unwrap` of a type that is still open is opaque to the compiler; the schema has checked the value.
            return (secret ? pulumi.secret(value) : value) as unknown as StackOutputs[Name];
        };
        this.outputs = {
            registryUrl: read("registryUrl"),
            registryHost: read("registryHost"),
            engine: read("engine"),
            loadBalancerAddress: read("loadBalancerAddress"),
            caCertificate: read("caCertificate"),
            adminUsername: read("adminUsername"),
            adminPassword: read("adminPassword"),
            nodes: read("nodes"),
            storage: read("storage"),
            clientTrust: read("clientTrust"),
            pullSecret: read("pullSecret"),
        };
    }
}
