import type * as pulumi from "@pulumi/pulumi";

/** What all resources of Harbor's API take. */
export interface InstanceArgs {
    /**
     * Which Harbor it is, in words of the program: another value sets everything again, in a Harbor that may know nothing
     * of it, such as one that was set up anew. Default: always the same.
     */
    readonly instance?: pulumi.Input<string>;
}
