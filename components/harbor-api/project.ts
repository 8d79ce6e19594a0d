import * as pulumi from "@pulumi/pulumi";
import type { InstanceArgs } from "./instance";

export interface ProjectArgs extends InstanceArgs {
    /** Lower-case letters and digits, with single `.`, `_` or `-` between them. Another name is another project. */
    readonly name: pulumi.Input<string>;
    /** Whether everybody may pull. Default: false. */
    readonly public?: pulumi.Input<boolean>;
    /** The quota in bytes, or -1 for none. Default: what Harbor gives (`storage_per_project`), and later what was set by hand. */
    readonly storageLimitBytes?: pulumi.Input<number>;
    /** Whether images are scanned when they are pushed. Default: false. */
    readonly autoScan?: pulumi.Input<boolean>;
    /** Whether a bill of materials is made when an image is pushed. Default: false. */
    readonly autoSbom?: pulumi.Input<boolean>;
    /** Whether only images signed by cosign can be pulled. Default: false. Harbor knows no such thing as `notary` any more. */
    readonly contentTrust?: pulumi.Input<boolean>;
    /** Whether images with vulnerabilities of `severity` and above cannot be pulled. Default: false. */
    readonly preventVulnerable?: pulumi.Input<boolean>;
    /** `none`, `low`, `medium`, `high` or `critical`. Default: what Harbor has. */
    readonly severity?: pulumi.Input<string>;
    /** Whether Harbor's own list of CVEs that don't count is used, rather than one of the project's own. Default: true. */
    readonly reuseSystemCveAllowlist?: pulumi.Input<boolean>;
    /** Makes a proxy cache of this registry endpoint. Another one is another project. Default: an ordinary project. */
    readonly registryId?: pulumi.Input<number>;
    /** Takes over a project of this name that exists, such as `library`, instead of failing. Default: false. */
    readonly adopt?: pulumi.Input<boolean>;
}

/**
 * A project. Its id is its name: `import: "library"` takes over an existing one, too. Harbor deletes no project that holds
 * repositories; `retainOnDelete` leaves it there.
 */
export class Project extends pulumi.CustomResource {
    declare readonly name: pulumi.Output<string>;
    declare readonly public: pulumi.Output<boolean>;
    declare readonly projectId: pulumi.Output<number>;

    constructor(name: string, args: ProjectArgs, options?: pulumi.CustomResourceOptions) {
        super("harborage:harbor:Project", name, { ...args, projectId: undefined }, options);
    }
}
