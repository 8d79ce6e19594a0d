import type { types } from "@pulumi/command";
import type * as pulumi from "@pulumi/pulumi";

/** How a machine is reached by SSH, as the command plugin takes it. */
export type Connection = pulumi.Unwrap<types.input.remote.ConnectionArgs>;

/** Where scripts run. */
export interface Host {
    /** Absent: on this machine. */
    readonly ssh?: {
        /** Secret. */
        readonly connection: pulumi.Output<Connection>;
        /** Waits until the machine can be worked on, or says why it cannot: called before each script is run. */
        readonly reach: pulumi.ResourceHookFunction;
        /** Whether the user has to become root. */
        readonly sudo: boolean;
    };
    /** What takes everything on the machine along when it goes, so that no script has to. */
    readonly deletedWith?: pulumi.Resource;
}

/** A machine that services can be put on, of whichever kind. */
export interface Machine {
    /** Its name in the stack file. */
    readonly name: string;
    readonly host: Host;
    /** Where clients and other machines reach it. */
    readonly address: pulumi.Output<string>;
    /** Where the other machines of the stack reach it. */
    readonly privateAddress: pulumi.Output<string>;
    /** What the machine calls itself: it belongs into certificates. Empty where that is not known. */
    readonly hostname: pulumi.Output<string>;
    /** Where everything of the stack is kept on it; may start with `~/`. */
    readonly directory: string;
    readonly prepared: Prepared;
}

/** A machine that is ready for services. */
export interface Prepared {
    /** Whose the machine is, and which one of its name it is: with another one everything on it is done again. */
    readonly id: pulumi.Output<string>;
    /** What must be done before data is put on the machine: the place for it is there. */
    readonly mounted: pulumi.Resource;
    /** What must be done before services are put on the machine. */
    readonly ready: pulumi.Resource;
    /** What must be done before services start: their images are there. */
    readonly imagesReady: pulumi.Resource;
}
