import { existsSync, readFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import type { TestStack } from "./launcher";

/** A resource in a state file, as far as the tests look at it. */
export interface StateResource {
    readonly urn: string;
    readonly type: string;
    readonly inputs?: Readonly<Record<string, unknown>>;
    readonly outputs?: Readonly<Record<string, unknown>>;
}

/** A stack's folder below HARBORAGE_HOME. */
export function stateFolder(stack: TestStack): string {
    return join(stack.home, stack.name);
}

/** A stack's state file. */
export function stateFile(stack: TestStack): string {
    return join(stateFolder(stack), ".pulumi", "stacks", "harborage", `${stack.name}.json`);
}

/** The folder with a stack's locks. */
export function locksFolder(stack: TestStack): string {
    return join(stateFolder(stack), ".pulumi", "locks", "organization", "harborage", stack.name);
}

interface Checkpoint {
    readonly resources?: readonly StateResource[];
    readonly pending_operations?: readonly unknown[];
}

function checkpoint(stack: TestStack): Checkpoint {
    if (!existsSync(stateFile(stack))) {
        return {};
    }
    const state = JSON.parse(readFileSync(stateFile(stack), "utf8")) as { checkpoint: { latest?: Checkpoint } };
    return state.checkpoint.latest ?? {};
}

/** What a stack's state file holds; nothing when there is none. */
export function stateResources(stack: TestStack): readonly StateResource[] {
    return checkpoint(stack).resources ?? [];
}

/** The operations that a stack's state knows to have begun and not to have ended. */
export function pendingOperations(stack: TestStack): readonly unknown[] {
    return checkpoint(stack).pending_operations ?? [];
}

/** The resources by which something is done on a machine. */
export function machineResources(stack: TestStack): string[] {
    return stateResources(stack)
        .filter(({ type }) => type === "command:local:Command")
        .map(({ urn }) => urn.split("::").at(-1) ?? urn);
}

/** What a registry answers to `GET /v2/` without a password; its certificate is checked with the stack's CA. */
export function registryStatus(stack: TestStack): Promise<number> {
    const outputs = stateResources(stack).find(({ type }) => type === "pulumi:pulumi:Stack")?.outputs;
    const ca = outputs?.["caCertificate"];
    return new Promise((resolve, reject) => {
        request({
            host: "127.0.0.1",
            port: stack.httpsPort,
            path: "/v2/",
            servername: `${stack.name}.example`,
            // Without a CA of the stack's no authority of this system must do.
            ca: typeof ca === "string" ? ca : [],
            agent: false,
            timeout: 10_000,
        })
            .once("response", (response) => {
                response.resume();
                resolve(response.statusCode ?? 0);
            })
            .once("error", reject)
            .end();
    });
}
