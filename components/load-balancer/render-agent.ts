import type { LoadBalancerPlan } from "../../config/plan";
import { nodesCa } from "./render-failover";
import { release } from "./render-shared";
import { hostAndPort, type Upstream } from "./upstream";

/** What the agent of a load balancer with several nodes is told: pure functions to text. */

/** The nodes, as records of decide.awk. */
export function renderNodes(upstreams: readonly Upstream[]): string {
    return upstreams.map(({ name, address, port }) => `node ${name} ${address} ${String(port)}\n`).join("");
}

/** Which machines they are on, as records of failover.awk. */
export function renderMachines(upstreams: readonly Upstream[]): string {
    return upstreams.map(({ name, machine }) => (machine === undefined ? "" : `machine ${name} ${machine}\n`)).join("");
}

/**
 * What tells whether a node is well, by name. Harbor's health answers 200 whatever it says, and does not notice a wrong
 * token key; CNCF Distribution answers /v2/ with 503 when its storage is away.
 */
const probes = {
    distribution: { v2: "/v2/" },
    harbor: {
        v2: "/v2/",
        token: "/service/token?service=harbor-registry&scope=",
        health: "/api/v2.0/health",
    },
} as const;

/**
 * One round of probes, as a file for curl's `--config` (curl.se/docs/manpage.html): all nodes at once, and of each what
 * it answered, as observe.awk reads it. With a round each second it ends within 2 s, so that a node that has died in any way
 * is out after 5 s.
 */
export function renderProbes(plan: LoadBalancerPlan, upstreams: readonly Upstream[]): string {
    const { failover, probeSeconds } = plan;
    const each = upstreams.flatMap((upstream) =>
        Object.entries(probes[plan.engine]).map(([probe, path]) => ({ ...upstream, probe, path })),
    );
    const transfers = each.map(({ probe, path, ...upstream }) =>
        [
            `url = "${failover === undefined ? `http://${hostAndPort(upstream)}` : `https://${plan.host}`}${path}"`,
            `output = "/tmp/seen/${upstream.name}.${probe}"`,
            `write-out = "answer ${upstream.name} ${probe} %{http_code} %{exitcode}\\n"`,
            // As nginx asks.
            ...(failover === undefined
                ? [`header = "Host: ${plan.host}"`, 'header = "X-Forwarded-Proto: https"']
                : [`connect-to = "::${hostAndPort(upstream)}"`, `cacert = "${release}/${nodesCa}"`]),
            'user-agent = "harborage-lb"',
            'noproxy = "*"',
            `connect-timeout = ${String(probeSeconds)}`,
            `max-time = ${String(probeSeconds + 0.8)}`,
            "max-filesize = 1000000",
        ].join("\n"),
    );
    const together = ["silent", "parallel", "parallel-immediate", `parallel-max = ${String(each.length)}`].join("\n");
    return `${[`${together}\n${transfers[0] ?? ""}`, ...transfers.slice(1)].join("\nnext\n")}\n`;
}

/** What every call of a node's API has, as a file for curl's `--config`: the caller says which node, and what. */
export function renderApi(): string {
    return [
        `cacert = "${release}/${nodesCa}"`,
        "connect-timeout = 5",
        'user-agent = "harborage-lb"',
        'header = "Accept: application/json"',
        "",
    ].join("\n");
}

/** Who calls it, as another such file. It is secret. */
export function renderLogin(name: string, password: string): string {
    // curl knows escapes between quotes.
    const text = `${name}:${password}`.replace(/["\\]/g, "\\$&");
    return `user = "${text}"\n`;
}
