import { z } from "zod";
import { choice, integer, object, port, variants } from "./fields";

/** The part of the stack file's schema that is about the load balancer. */

const http = object(
    {
        mode: z.literal("http"),
        httpsPort: port(443).default(443).describe("The port that clients use."),
        httpPort: port(80).default(80).describe("The port that redirects to https."),
        hstsSeconds: integer(0, 63_072_000, "seconds", 31_536_000)
            .default(0)
            .describe("max-age of Strict-Transport-Security; 0 sends none."),
        method: choice(["random", "least_conn", "ip_hash"])
            .default("random")
            .describe(
                "How it chooses a node, where there are several: the less busy one of two picked at random, the least busy one of all, or always the same one for a client's address.",
            ),
        drainSeconds: integer(1, 900, "seconds", 60)
            .default(60)
            .describe(
                "How long requests may take to end on a node that is about to be changed or taken away; what lasts longer is cut off.",
            ),
    },
    "{mode: http}",
)
    .refine((value) => value.httpsPort !== value.httpPort, {
        path: ["httpPort"],
        error: "expected a port other than httpsPort, for example 80",
    })
    .describe("TLS ends at the load balancer.");

export const loadBalancer = variants("mode", [http], ["http"], "{mode: http}");
