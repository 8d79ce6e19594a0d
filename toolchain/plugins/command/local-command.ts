import type { ResourceType } from "../lib/resource";
import { COMMAND_FIELDS, commandResource } from "./command-resource";
import type { Struct } from "./go-struct";
import { runHere } from "./local-run";

const INPUTS: Struct = {
    name: "local.CommandInputs",
    fields: {
        ...COMMAND_FIELDS,
        interpreter: { type: "[]string" },
        dir: { type: "string" },
        assetPaths: { type: "[]string" },
        archivePaths: { type: "[]string" },
    },
};

const command = commandResource(INPUTS, (context, text, inputs, previous) =>
    runHere(text, inputs, previous, context.signal, (line) => context.log(line, "info", true)),
);

export const localCommand: ResourceType = {
    ...command,

    async check(context, request) {
        const { inputs, failures } = await command.check(context, request);
        const assets = ["assetPaths", "archivePaths"]
            .filter((property) => request.news[property] !== undefined)
            .map((property) => ({
                property,
                reason: "the stand-in for the official plugin command collects no files after a command",
            }));
        return { inputs, failures: [...failures, ...assets] };
    },
};
