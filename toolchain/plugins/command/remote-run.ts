import type { Client } from "ssh2";
import type { Context } from "../lib/resource";
import { goQuote } from "./go-text";
import { Capture, previousOutputVariables, type Outputs, type RunInputs } from "./outputs";
import type { Connection } from "./ssh/connection";
import { connected } from "./ssh/dial";
import { Session } from "./ssh/session";

/** The inputs of remote.Command that say how a command runs, without marks of secrets. */
export interface RemoteInputs extends RunInputs {
    readonly connection: Connection;
}

/**
 * Runs a command on the machine of the connection, by the login shell of its user. Once it runs it is waited for:
 * neither cancel nor a timeout ends it, as in the official plugin. These only stop the dialing.
 *
 * @param previous the outputs of the last run; they are offered as environment of this one.
 */
export function runThere(context: Context, command: string, inputs: RemoteInputs, previous: Outputs): Promise<Outputs> {
    return connected(context, inputs.connection, async (client) => {
        const session = await openSession(context, client, inputs, previous);
        const capture = new Capture(inputs.logging, (line) => context.log(line, "info", true));
        return capture.end(command, await session.run(command, inputs.stdin ?? "", capture));
    });
}

/** Variables of the program must arrive; that the outputs of the last run do not is only told. */
async function openSession(
    context: Context,
    client: Client,
    inputs: RemoteInputs,
    previous: Outputs,
): Promise<Session> {
    const session = await Session.open(client);
    for (const [name, value] of Object.entries(inputs.environment ?? {})) {
        if (!(await session.setVariable(name, value))) {
            await context.log(refused(name), "error");
            throw new Error(`could not set environment variable ${goQuote(name)}: ssh: setenv failed`);
        }
    }
    for (const [name, value] of Object.entries(previousOutputVariables(inputs, previous))) {
        if (!(await session.setVariable(name, value))) {
            await context.log(refused(name), "warning");
        }
    }
    return session;
}

function refused(name: string): string {
    return (
        `Unable to set '${name}'. This only works if your SSH server is configured to accept\n` +
        "\tthese variables via AcceptEnv. Alternatively, if a Bash-like shell runs the command on the remote host, " +
        "you could\n\tprefix the command itself with the variables in the form 'VAR=value command'"
    );
}
