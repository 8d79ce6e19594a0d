import { harborLogPort, sharedOpenConnections } from "./harbor";
import { countOf, entriesAt, isTogether, nodesOf, valueAt, type Contradiction } from "./raw-file";

/** The checks across keys that are about the registry engine, and what several nodes of it need. */

/** What several nodes need: each can answer for the others only when no state is on any of them. */
export function several(file: unknown): Contradiction[] {
    if (valueAt(file, ["topology", "kind"]) !== "shared") {
        return [];
    }
    const nodes = nodesOf(file);
    const number = nodes.reduce((sum, { machine }) => sum + (countOf(file, machine) ?? 1), 0);
    const isHarbor = valueAt(file, ["registry", "engine"]) === "harbor";
    const kinds: readonly (readonly [part: string, kinds: readonly string[]])[] = [
        ["objects", ["external", "aws"]],
        ...(isHarbor ? [["database", ["external", "machine", "aws"]] as const] : []),
        ...(isHarbor ? [["cache", ["external", "machine", "aws"]] as const] : []),
        ...(isHarbor ? [["jobLogs", ["node"]] as const] : []),
    ];
    const loggers = valueAt(file, ["registry", "jobs", "loggers"]);
    return [
        ...(nodes.length > 0 && number < 2
            ? [
                  {
                      path: ["topology", "nodes"],
                      message: "expected at least two machines, for example one with count: 3, or kind: single for one",
                  },
              ]
            : []),
        ...(isTogether(file)
            ? [
                  {
                      path: ["topology", "loadBalancer"],
                      message: "expected a machine that is none of the nodes: the end of a node must not end it",
                  },
              ]
            : []),
        ...kinds
            .filter(([part, allowed]) => !allowed.includes(valueAt(file, ["storage", part, "kind"]) as string))
            .map(([part, allowed]) => ({
                path: ["storage", part, "kind"],
                message:
                    part === "jobLogs"
                        ? "has no effect with several nodes: the logs of jobs are in the database"
                        : `expected ${allowed.join(" or ")}: several nodes share it`,
            })),
        ...connections(file, number),
        ...(isHarbor && Array.isArray(loggers) && !loggers.includes("DB")
            ? [
                  {
                      path: ["registry", "jobs", "loggers"],
                      message: "expected DB among them: with several nodes a log in a file is on one of them only",
                  },
              ]
            : []),
    ];
}

/** Whether a database that the stack runs takes as many connections as its nodes may open. */
function connections(file: unknown, nodes: number): Contradiction[] {
    const taken = valueAt(file, ["storage", "database", "maxConnections"]);
    const path = ["registry", "database", "maxOpenConnections"];
    const each = valueAt(file, path) ?? sharedOpenConnections;
    const components = valueAt(file, ["registry", "metrics", "enabled"]) === true ? 3 : 2;
    if (valueAt(file, ["registry", "engine"]) !== "harbor" || typeof taken !== "number" || typeof each !== "number") {
        return [];
    }
    const wanted = nodes * components * each;
    return wanted <= taken
        ? []
        : [
              {
                  path: ["storage", "database", "maxConnections"],
                  message: `expected at least ${String(wanted)}: ${String(nodes)} nodes with ${String(components)} components that open ${String(each)} each (registry.database.maxOpenConnections)`,
              },
          ];
}

/** What the engine CNCF Distribution has no use for. */
export function engine(file: unknown): Contradiction[] {
    if (valueAt(file, ["registry", "engine"]) !== "distribution") {
        return [];
    }
    const kinds: readonly (readonly [part: string, kinds: readonly string[]])[] = [
        ["objects", ["volume"]],
        ...["database", "cache", "jobLogs"].map((part) => [part, ["volume", "external", "machine", "aws"]] as const),
    ];
    return kinds
        .filter(([part, refused]) => refused.includes(valueAt(file, ["storage", part, "kind"]) as string))
        .map(([part]) => ({
            path: ["storage", part, "kind"],
            message: `is for engine harbor; expected node${part === "objects" ? ", external or aws" : ""} with engine distribution`,
        }));
}

/** The load balancer's ports have their own check against that of the registry. */
function harborPorts(file: unknown, metrics: boolean): Contradiction[] {
    const at = (...path: string[]) => valueAt(file, path);
    type Holder = readonly [port: unknown, name: string];
    const clash = (path: string[], others: readonly Holder[], example: number): Contradiction[] => {
        const holder = others.find(([other]) => other !== undefined && other === at(...path));
        return holder === undefined
            ? []
            : [{ path, message: `expected another port than that of ${holder[1]}, for example ${String(example)}` }];
    };
    const logService: Holder = [harborLogPort, "Harbor's log service"];
    const balancer: Holder[] = isTogether(file)
        ? ["httpsPort", "httpPort"].map((key) => [at("loadBalancer", key), "the load balancer"])
        : [];
    return [
        ...clash(["registry", "port"], [logService], 8080),
        ...(metrics
            ? clash(
                  ["registry", "metrics", "port"],
                  [logService, ...balancer, [at("registry", "port"), "Harbor itself"]],
                  9090,
              )
            : []),
    ];
}

export function harbor(file: unknown): Contradiction[] {
    if (valueAt(file, ["registry", "engine"]) !== "harbor") {
        return [];
    }
    const metrics = valueAt(file, ["registry", "metrics", "enabled"]) === true;
    const mistakes = harborPorts(file, metrics);
    const version = valueAt(file, ["registry", "version"]);
    for (const key of ["dbRepository", "javaDbRepository"]) {
        const path = ["registry", "trivy", key];
        if (typeof version === "string" && version.startsWith("2.14.") && valueAt(file, path) !== undefined) {
            mistakes.push({ path, message: "has no effect before Harbor 2.15" });
        }
    }
    const proxy = valueAt(file, ["registry", "proxy"]);
    if (proxy !== undefined && valueAt(proxy, ["http"]) === undefined && valueAt(proxy, ["https"]) === undefined) {
        mistakes.push({
            path: ["registry", "proxy"],
            message: "is for nothing without http or https, for example {https: http://proxy.example.com:3128}",
        });
    }
    if (!metrics && entriesAt(file, ["registry", "metrics", "cidrs"]).length > 0) {
        mistakes.push({ path: ["registry", "metrics", "cidrs"], message: "has no effect without enabled: true" });
    }
    return mistakes;
}
