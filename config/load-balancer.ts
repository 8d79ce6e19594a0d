import { z } from "zod";
import { choice, cidr, eachOnce, integer, object, port, variants } from "./fields";

/** The part of the stack file's schema that is about the load balancer. */

const ports = {
    httpsPort: port(443).default(443).describe("The port that clients use."),
    httpPort: port(80).default(80).describe("The port that redirects to https."),
};

const drainSeconds = integer(1, 900, "seconds", 60)
    .default(60)
    .describe(
        "How long requests may take to end on a node that is about to be changed or taken away; what lasts longer is cut off.",
    );

const probeSeconds = integer(1, 10, "seconds", 1)
    .default(1)
    .describe(
        "With several nodes: how often they are looked at, and how long an answer may take before it is none (0.8 s more). More than 1 is for nodes that are far away or very slow; it takes longer then to notice that one is dead.",
    );

/** What is for topology `replicated` only. */
const failover = {
    failoverMisses: integer(2, 60, "rounds", 3)
        .optional()
        .describe(
            "With topology replicated: how many looks in a row (see probeSeconds) the active node gives no answer before the standby takes over. Default: 3.",
        ),
    adminPort: integer(1, 65_534, "a TCP port", 8441)
        .optional()
        .describe(
            "With topology replicated: the port that leads to the first node, whichever is active; the next number leads to the second one. `up` and operators use them. Default: 8441.",
        ),
    adminCidrs: z
        .array(cidr, "expected a list of ranges, for example [192.0.2.0/24]")
        .superRefine(eachOnce((range) => range, [], "is there twice; expected each range once"))
        .meta({ examples: [["192.0.2.0/24"]] })
        .optional()
        .describe("With topology replicated: where these ports may be used from, such as the machine that runs `up`."),
};

/** What {@link failover} is without a word in the stack file. */
export const defaultFailover = { failoverMisses: 3, adminPort: 8441 } as const;

const differentPorts = {
    path: ["httpPort"],
    error: "expected a port other than httpsPort, for example 80",
};

const http = object(
    {
        mode: z.literal("http"),
        ...ports,
        hstsSeconds: integer(0, 63_072_000, "seconds", 31_536_000)
            .default(0)
            .describe("max-age of Strict-Transport-Security; 0 sends none."),
        method: choice(["random", "least_conn", "ip_hash"])
            .optional()
            .describe(
                "With topology shared, how it chooses a node: the less busy one of two picked at random, the least busy one of all, or always the same one for a client's address. Default: random.",
            ),
        drainSeconds,
        probeSeconds,
        ...failover,
    },
    "{mode: http}",
)
    .refine((value) => value.httpsPort !== value.httpPort, differentPorts)
    .describe("TLS ends at the load balancer.");

const stream = object(
    { mode: z.literal("stream"), ...ports, drainSeconds, probeSeconds, ...failover },
    "{mode: stream}",
)
    .refine((value) => value.httpsPort !== value.httpPort, differentPorts)
    .describe(
        "TLS passes through the load balancer and ends at the node; only with topology replicated. The registry's log has the load balancer's address for that of each client.",
    );

export const loadBalancer = variants("mode", [http, stream], ["http", "stream"], "{mode: http}");
