import type { ResourceType } from "../lib/resource";
import { COMMAND_FIELDS, commandResource } from "./command-resource";
import type { Struct } from "./go-struct";
import { runThere, type RemoteInputs } from "./remote-run";
import { CONNECTION } from "./ssh/connection";

const INPUTS: Struct = {
    name: "remote.CommandInputs",
    fields: { ...COMMAND_FIELDS, connection: { type: CONNECTION, required: true, secret: true } },
};

/** A delete runs with the connection that the state holds: a machine that is gone by then fails it. */
export const remoteCommand: ResourceType = commandResource(INPUTS, (context, command, inputs, previous) =>
    runThere(context, command, inputs as unknown as RemoteInputs, previous),
);
