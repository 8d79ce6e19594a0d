import type * as pulumi from "@pulumi/pulumi";

/** A machine that services can be put on, of whichever kind. */
export interface Machine {
    /** Its name in the stack file. */
    readonly name: string;
    /** Where clients and other machines reach it. */
    readonly address: pulumi.Output<string>;
    /** Where the other machines of the stack reach it. */
    readonly privateAddress: pulumi.Output<string>;
    /** What the machine calls itself: it belongs into certificates. */
    readonly hostname: pulumi.Output<string>;
    /** This stack's mark on what it keeps on the machine; it outlives the machine's incarnations. */
    readonly claim: pulumi.Output<string>;
    /** Changes when the machine is another one: everything on it is then done again. */
    readonly id: pulumi.Output<string>;
    /** Where everything of the stack is kept on it; may start with `~/`. */
    readonly directory: string;
    /** What must be known before anything on the machine is changed. */
    readonly checked: pulumi.Resource;
    /** What must be done before services are put on the machine. */
    readonly ready: pulumi.Resource;
    /** What must be done before services start: their images are there. */
    readonly imagesReady: pulumi.Resource;
}
