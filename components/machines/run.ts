import { local, remote } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { Host } from "./machine";
import { quote, scriptText } from "./script-text";

export interface ScriptArgs {
    /** The script's file. It defines `main`, which is called with `apply` or `delete` and the arguments. */
    readonly script: string;
    /** Plain words; they are seen in process lists, in errors and in the state. */
    readonly args: readonly pulumi.Input<string>[];
    /**
     * `main`'s standard input. A secret one is a secret in the state as well, together with the script; a plain one is
     * shown in previews, line by line.
     */
    readonly data?: pulumi.Input<string>;
    /** Another value does everything again on a new machine: delete first, then create. */
    readonly triggers?: readonly pulumi.Input<string>[];
}

/**
 * Runs a script of this project on a machine, as root where it is reached by SSH: `apply` on create and on each change of
 * its text, arguments or data, `delete` on delete. The script goes in by standard input and nothing else does: not by the
 * command line, which error messages and process lists show, and not by the environment.
 */
export function runScript(
    name: string,
    host: Host,
    args: ScriptArgs,
    options: pulumi.CustomResourceOptions,
): pulumi.CustomResource {
    const stdin =
        args.data === undefined
            ? scriptText(args.script)
            : pulumi.output(args.data).apply((data) => scriptText(args.script, data));
    const words = pulumi.all([...args.args]).apply((all) => all.map(quote).join(" "));
    // -H: what is below ~ is root's.
    const bash = host.ssh?.sudo === true ? "sudo -n -H bash" : "bash";
    const inputs = {
        create: pulumi.interpolate`${bash} -s -- apply ${words}`,
        delete: pulumi.interpolate`${bash} -s -- delete ${words}`,
        stdin,
        triggers: [...(args.triggers ?? [])],
        addPreviousOutputInEnv: false,
    };
    const { ssh, deletedWith } = host;
    const all = {
        ...options,
        deleteBeforeReplace: true,
        ...(deletedWith === undefined ? {} : { deletedWith }),
    };
    return ssh === undefined
        ? new local.Command(name, inputs, all)
        : new remote.Command(
              name,
              { ...inputs, connection: ssh.connection },
              {
                  ...all,
                  hooks: {
                      beforeCreate: [...(options.hooks?.beforeCreate ?? []), ssh.reach],
                      beforeUpdate: [...(options.hooks?.beforeUpdate ?? []), ssh.reach],
                  },
              },
          );
}
