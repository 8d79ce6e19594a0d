import * as pulumi from "@pulumi/pulumi";

export interface ProviderArgs {
    /** The URL that Harbor is called by, `https://name[:port]`, for example `https://registry.example.com`. */
    readonly url: pulumi.Input<string>;
    /**
     * Connect to this `host[:port]` instead of what the URL's name resolves to, for example `192.0.2.10:8443`: a node
     * behind the load balancer, or a name that DNS does not have yet. The certificate is verified for the URL's name all
     * the same. Default: the URL's name and port.
     */
    readonly address?: pulumi.Input<string>;
    /** The CA of Harbor's certificate, PEM. Default: the public CAs that Node brings. It is never not verified. */
    readonly caCertificate?: pulumi.Input<string>;
    /** Default: `admin`. */
    readonly username?: pulumi.Input<string>;
    /** The user's password. Always a secret. */
    readonly password: pulumi.Input<string>;
}

/**
 * How one Harbor is entered. A change of any of this makes no resource anew.
 *
 * ```ts
 * const provider = new Provider("harbor", { url: "https://registry.example.com", caCertificate, password });
 * new Project("team-a", { name: "team-a" }, { provider });
 * ```
 */
export class Provider extends pulumi.ProviderResource {
    constructor(name: string, args: ProviderArgs, options?: pulumi.ResourceOptions) {
        super(
            "harborage",
            name,
            { ...args, password: pulumi.secret(args.password) },
            pulumi.mergeOptions(options, { additionalSecretOutputs: ["password"] }),
        );
    }
}
