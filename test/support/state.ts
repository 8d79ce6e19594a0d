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

/** What a stack's state file holds; nothing when there is none. */
export function stateResources(stack: TestStack): readonly StateResource[] {
    if (!existsSync(stateFile(stack))) {
        return [];
    }
    const { checkpoint } = JSON.parse(readFileSync(stateFile(stack), "utf8")) as {
        checkpoint: { latest?: { resources?: StateResource[] } };
    };
    return checkpoint.latest?.resources ?? [];
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
