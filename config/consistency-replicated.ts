import { defaultFailover } from "./load-balancer";
import { countOf, entriesAt, isTogether, kindOf, nodesOf, sshPort, valueAt, type Contradiction } from "./raw-file";
import { machineNames } from "./topology";

/** The checks across keys that are about an active node and its standby. */

const isReplicated = (file: unknown) => valueAt(file, ["topology", "kind"]) === "replicated";

/** What only the load balancer of such a pair knows. */
const settings = ["failoverMisses", "adminPort", "adminCidrs"];

/** What two nodes need, each of which can go on alone; and what is for nothing without them. */
export function replicated(file: unknown): Contradiction[] {
    return isReplicated(file)
        ? [...pair(file), ...ownState(file), ...doors(file)]
        : settings
              .filter((key) => valueAt(file, ["loadBalancer", key]) !== undefined)
              .map((key) => ({
                  path: ["loadBalancer", key],
                  message: "has no effect without topology replicated; remove it",
              }))
              .concat(
                  valueAt(file, ["loadBalancer", "mode"]) === "stream"
                      ? [
                            {
                                path: ["loadBalancer", "mode"],
                                message:
                                    "is for topology replicated only, where nodes have certificates; expected http",
                            },
                        ]
                      : [],
              );
}

function pair(file: unknown): Contradiction[] {
    const at = (...path: string[]) => valueAt(file, path);
    const nodes = nodesOf(file);
    const names = nodes.flatMap(({ machine }) =>
        typeof machine === "string" ? machineNames(machine, countOf(file, machine)) : [],
    );
    const active = at("topology", "active");
    const balancer = at("topology", "loadBalancer");
    const checks: readonly (readonly [boolean, readonly string[], string])[] = [
        [
            nodes.length > 0 && names.length !== 2,
            ["topology", "nodes"],
            "expected two machines, for example [first, second], or one with count: 2",
        ],
        [
            names.length === 2 && typeof active === "string" && !names.includes(active),
            ["topology", "active"],
            `is none of the nodes; expected one of: ${names.join(", ")}`,
        ],
        [
            isTogether(file),
            ["topology", "loadBalancer"],
            "expected a machine that is none of the nodes: the end of a node must not end it",
        ],
        [
            !isTogether(file) &&
                kindOf(file, balancer) === "local" &&
                nodes.every(({ machine }) => kindOf(file, machine) === "existing"),
            ["topology", "loadBalancer"],
            "expected a machine of kind openstack or existing: the nodes ask the load balancer for tokens",
        ],
        [
            at("registry", "engine") === "distribution",
            ["registry", "engine"],
            "expected harbor: it is Harbor's own replication that fills the standby",
        ],
    ];
    return checks.flatMap(([wrong, path, message]) => (wrong ? [{ path, message }] : []));
}

/** File systems that two machines would mount at the same time. */
const isOfNetwork = (type: unknown) => typeof type === "string" && /^(?:nfs|cifs|smb)/.test(type);

/** State that both wrote to would be one failure for both, or be destroyed by the second. */
function ownState(file: unknown): Contradiction[] {
    const at = (...path: string[]) => valueAt(file, path);
    const kinds: readonly (readonly [part: string, kinds: readonly string[]])[] = [
        ["objects", ["node", "volume"]],
        ["database", ["node", "volume"]],
        ["cache", ["node"]],
    ];
    return [
        ...kinds
            .filter(([part, allowed]) => !allowed.includes(at("storage", part, "kind") as string))
            .map(([part, allowed]) => ({
                path: ["storage", part, "kind"],
                message: `expected ${allowed.join(" or ")}: each of the two nodes has its own`,
            })),
        ...["objects", "database", "jobLogs"]
            .filter((part) => isOfNetwork(at("storage", part, "options", "type")))
            .map((part) => ({
                path: ["storage", part, "options", "type"],
                message: "expected no network's file system: both nodes would mount the same one, and each has its own",
            })),
    ];
}

/** The load balancer's own settings. */
function doors(file: unknown): Contradiction[] {
    const at = (key: string) => valueAt(file, ["loadBalancer", key]);
    const given = at("adminPort");
    const first = typeof given === "number" ? given : defaultFailover.adminPort;
    const holders: readonly (readonly [unknown, string])[] = [
        [at("httpsPort"), "loadBalancer.httpsPort"],
        [at("httpPort"), "loadBalancer.httpPort"],
        [sshPort(file, valueAt(file, ["topology", "loadBalancer"])), "SSH"],
    ];
    const holder = holders.find(([port]) => port === first || port === first + 1);
    return [
        ...(entriesAt(file, ["loadBalancer", "adminCidrs"]).length === 0
            ? [
                  {
                      path: ["loadBalancer", "adminCidrs"],
                      message:
                          "expected at least one range: `up` reaches each of the two nodes from there, for example [192.0.2.0/24]",
                  },
              ]
            : []),
        ...(holder === undefined
            ? []
            : [
                  {
                      path: ["loadBalancer", "adminPort"],
                      message: `expected another port: this one and the next are for the nodes, and one of them is that of ${holder[1]}; for example 8441`,
                  },
              ]),
        ...(at("method") === undefined
            ? []
            : [
                  {
                      path: ["loadBalancer", "method"],
                      message: "has no effect with topology replicated, where one node answers; remove it",
                  },
              ]),
    ];
}
