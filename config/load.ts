import * as pulumi from "@pulumi/pulumi";
import { makePlan, type Plan } from "./plan";
import { parseStackFile, StackFileError } from "./stack-file";

/** The plan for the stack that runs, and its secrets by name. */
export interface LoadedStack {
    readonly plan: Plan;
    /** A secret of the stack file. The file was checked: each one that the plan names is there. */
    readonly secret: (name: string) => pulumi.Output<string>;
}

const prefix = "harborage:";

function ownKeys(entries: [string, string][]): [string, string][] {
    return entries.filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]);
}

/**
 * Reads the stack file: the only place in the program that reads Pulumi's configuration.
 *
 * @throws pulumi.RunError with every mistake in the file (a RunError is printed without a stack trace)
 */
export function loadStack(): LoadedStack {
    const config = new pulumi.Config("harborage");
    const stack = pulumi.getStack();
    const values = ownKeys(Object.entries(pulumi.runtime.allConfig()));
    // The SDK keeps its list of secret keys to itself; the engine hands it over in this variable.
    const secretKeys = JSON.parse(process.env.PULUMI_CONFIG_SECRET_KEYS ?? "[]") as string[];
    const file = {
        stack,
        values: Object.fromEntries(values),
        secretKeys: new Set(ownKeys(secretKeys.map((key) => [key, key])).map(([key]) => key)),
    };
    try {
        return { plan: makePlan(stack, parseStackFile(file)), secret: (name) => config.requireSecret(name) };
    } catch (error) {
        throw error instanceof StackFileError ? new pulumi.RunError(error.message) : error;
    }
}
