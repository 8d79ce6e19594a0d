import { randomBytes } from "node:crypto";
import { assetOf, completeAsset, type Asset } from "../lib/assets";
import { ignoring, type CheckFailure, type Context, type ResourceType } from "../lib/resource";
import { isSecret, plain, secret, textOf, UNKNOWN, type Value, type Values } from "../lib/values";
import { inputDifference } from "./command-resource";
import { checkStruct, type Struct } from "./go-struct";
import { copyPath, copyText } from "./sftp/copy";
import { RemoteFiles } from "./sftp/remote-files";
import { CONNECTION, type Connection } from "./ssh/connection";
import { connected } from "./ssh/dial";

const INPUTS: Struct = {
    name: "remote.CopyToRemoteInputs",
    fields: {
        connection: { type: CONNECTION, required: true, secret: true },
        source: { type: "any", required: true },
        remotePath: { type: "string", required: true },
        triggers: { type: "[]interface {}" },
    },
};

/**
 * remote.CopyToRemote of @pulumi/command, as version 1.2.1 behaves: it copies again when the content or the remote path
 * has changed, and not when only the connection has. A delete leaves the copy where it is. A source that is not
 * known yet in a preview fails the preview.
 */
export const copyToRemote: ResourceType = {
    check(_context, { news }) {
        const { inputs, failures } = checkStruct(INPUTS, news);
        return {
            inputs: inputs["source"] === undefined ? inputs : { ...inputs, source: complete(inputs["source"]) },
            failures: [...failures, ...wrongSource(sourceOf(news))],
        };
    },

    diff: (_context, request) => inputDifference(request),

    async create(context, { inputs, preview }) {
        if (preview) {
            return { id: "", state: { ...inputs, source: UNKNOWN } };
        }
        await copy(context, inputs);
        return { id: randomBytes(4).toString("hex"), state: inputs };
    },

    read(_context, { id, state, inputs }) {
        return Promise.resolve({ id, state, inputs });
    },

    async update(context, { state, inputs: asked, ignore, preview }) {
        const inputs = ignoring(asked, state, ignore);
        if (preview) {
            return { ...inputs, source: UNKNOWN };
        }
        const moved = plain(inputs["remotePath"] ?? null) !== plain(state["remotePath"] ?? null);
        if (moved || sourceOf(inputs)?.hash !== sourceOf(state)?.hash) {
            await copy(context, inputs);
        }
        return inputs;
    },

    delete: () => Promise.resolve(),
};

function sourceOf(inputs: Values): Asset | undefined {
    return assetOf(plain(inputs["source"] ?? null));
}

function complete(source: Value): Value {
    return isSecret(source) ? secret(completeAsset(source["value"] ?? null)) : completeAsset(source);
}

function wrongSource(source: Asset | undefined): CheckFailure[] {
    if (source === undefined) {
        return [{ property: "asset", reason: "either asset or archive must be set" }];
    }
    if (source.kind === "asset" && source.path === "" && source.text === undefined) {
        return [{ property: "asset", reason: "asset must be a path-based file asset or a text asset" }];
    }
    if (source.kind === "archive" && source.path === "") {
        return [{ property: "archive", reason: "archive must be a path to a file or directory" }];
    }
    return [];
}

async function copy(context: Context, inputs: Values): Promise<void> {
    const source = sourceOf(inputs);
    const remotePath = textOf(plain(inputs["remotePath"] ?? null));
    const connection = plain(inputs["connection"] ?? null) as unknown as Connection;
    if (source === undefined) {
        throw new Error("either asset or archive must be set");
    }
    const from = source.text === undefined ? `local file ${source.path}` : "text asset";
    await context.log(`Creating file: ${connection.host}:${remotePath} from ${from}`, "debug");
    await connected(context, connection, async (client) => {
        const files = await RemoteFiles.open(client);
        await (source.text === undefined
            ? copyPath(files, source.path, remotePath)
            : copyText(files, source.text, remotePath));
    });
}
