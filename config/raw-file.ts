/** A stack file as it was written, whatever shape it has. */

/** What is wrong with a stack file although each key by itself is right. */
export interface Contradiction {
    readonly path: readonly PropertyKey[];
    /** What was expected; where it does not begin with `expected`, a value that is there is put before it. */
    readonly message: string;
}

/** The part of a stack file at a path, whatever shape it has. */
export function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
    return path.reduce<unknown>(
        (value, key) =>
            typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined,
        root,
    );
}

/** The entries of a mapping; none where it is something else. */
export function entriesAt(root: unknown, path: readonly PropertyKey[]): [string, unknown][] {
    const value = valueAt(root, path);
    return typeof value === "object" && value !== null ? Object.entries(value) : [];
}

/** Where a stack file names a machine. */
export interface Naming {
    readonly path: readonly PropertyKey[];
    readonly machine: unknown;
}

/** Whether the topology has a list of nodes. */
export const hasSeveralNodes = (file: unknown) =>
    ["shared", "replicated"].includes(valueAt(file, ["topology", "kind"]) as string);

/** Where the nodes' machines are named. */
export function nodesOf(file: unknown): Naming[] {
    const several = entriesAt(file, ["topology", "nodes"]).map(([index, machine]): Naming => ({
        path: ["topology", "nodes", Number(index)],
        machine,
    }));
    return hasSeveralNodes(file)
        ? several
        : [{ path: ["topology", "node"], machine: valueAt(file, ["topology", "node"]) }];
}

/** Where the machines are named that state is kept on. */
export function storageOf(file: unknown): Naming[] {
    return ["database", "cache"].flatMap((part) =>
        valueAt(file, ["storage", part, "kind"]) === "machine"
            ? [{ path: ["storage", part, "machine"], machine: valueAt(file, ["storage", part, "machine"]) }]
            : [],
    );
}

/** Where machines are named that there is one of. */
export function singleMachinesOf(file: unknown): Naming[] {
    const path = ["topology", "loadBalancer"];
    return [{ path, machine: valueAt(file, path) }, ...storageOf(file)];
}

export function countOf(file: unknown, machine: unknown): number | undefined {
    const count = valueAt(file, ["machines", machine as PropertyKey, "count"]);
    return typeof count === "number" ? count : undefined;
}

export const isTogether = (file: unknown) => {
    const balancer = valueAt(file, ["topology", "loadBalancer"]);
    return nodesOf(file).some(({ machine }) => machine === balancer);
};

export const kindOf = (file: unknown, machine: unknown) => valueAt(file, ["machines", machine as PropertyKey, "kind"]);

/** Where SSH answers on a machine; undefined on this one. */
export function sshPort(file: unknown, machine: unknown): unknown {
    const kind = kindOf(file, machine);
    return kind === "openstack"
        ? 22
        : kind === "existing"
          ? valueAt(file, ["machines", machine as PropertyKey, "port"])
          : undefined;
}
