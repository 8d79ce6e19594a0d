import * as pulumi from "@pulumi/pulumi";
import type { Connection, Host } from "./machine";
import { reach, type Patience } from "./reach";

export interface SshArgs {
    /** Where the machine stands in the stack file, for messages: `harborage:machines.NAME`. */
    readonly path: string;
    readonly address: pulumi.Input<string>;
    readonly port: number;
    readonly user: string;
    /** As OpenSSH writes it; absent where any key is accepted. */
    readonly hostKey?: pulumi.Input<string>;
    /** Absent where the SSH agent has it. */
    readonly privateKey?: pulumi.Input<string>;
    /** The machine that SSH goes through. */
    readonly proxy?: pulumi.Input<Connection>;
    readonly patience: Patience;
}

/** How often and how long the plugin tries to connect by itself: `reach` has connected just before. Seconds. */
const dialing = { dialErrorLimit: 12, perDialTimeout: 10 } as const;

/** A machine's connection, as the command plugin takes it. */
export function connectionOf(args: Omit<SshArgs, "path" | "patience">): pulumi.Output<Connection> {
    const { address, port, user, hostKey, privateKey, proxy } = args;
    const connection = pulumi
        .all([address, hostKey, privateKey, proxy] as const)
        .apply(([host, pinned, key, through]) => ({
            host,
            port,
            user,
            ...dialing,
            ...(pinned === undefined ? {} : { hostKey: pinned.trim() }),
            ...(key === undefined ? {} : { privateKey: key }),
            ...(through === undefined ? {} : { proxy: through }),
        }));
    return pulumi.secret(connection);
}

/** Scripts on a machine that is reached by SSH. */
export function sshHost(args: SshArgs): Required<Pick<Host, "ssh">> {
    const connection = connectionOf(args);
    // One look at the machine serves all scripts of a run; a run that changes nothing there does not look at all.
    let reached: Promise<void> | undefined;
    const look = () =>
        new Promise<Connection>((resolve) => void connection.apply(resolve)).then((plain) =>
            reach(args.path, plain, args.patience),
        );
    return { ssh: { connection, sudo: args.user !== "root", reach: () => (reached ??= look()) } };
}
