import type { FailoverPlan, LoadBalancerPlan } from "../../config/plan";
import { retrySeconds } from "./gate";
import { balancerFolder, nodesFile, release, renderProxy, tlsSettings } from "./render-shared";
import { hostAndPort, type Upstream } from "./upstream";

/** What nginx.conf has where one node is active and the other its standby. */

/** The CA of the nodes' own certificates, in a release. */
export const nodesCa = "trust/nodes.crt";

/** Where the agent says who is active. The program that declares the stack asks for it. */
const activePath = "/harborage/active";

/** The official image has the module `stream` built in; Debian's package is loaded by the files here. */
export const streamModule = "include /etc/nginx/modules-enabled/*.conf;\n";

/** What clients are told while no node answers, in the registry's own form of errors. */
const away = JSON.stringify({
    errors: [{ code: "UNAVAILABLE", message: "the registry is changing to another node; try again in a few seconds" }],
});

/** The `stream` block: TLS passes through to the active node. */
export function renderStream({ httpsPort }: LoadBalancerPlan): string {
    return `stream {
    log_format main escape=json '{"time":"$time_iso8601","client":"$remote_addr","status":$status,'
        '"received":$bytes_received,"sent":$bytes_sent,"seconds":$session_time,'
        '"node":"$upstream_addr","nodeConnectSeconds":"$upstream_connect_time"}';
    access_log /dev/stdout main;

    upstream nodes {
        zone nodes 256k;
        include ${nodesFile};
    }

    server {
        listen ${String(httpsPort)};
        tcp_nodelay on;
        proxy_pass nodes;
        proxy_connect_timeout 5s;
        proxy_timeout 300s;
    }
}
`;
}

/**
 * For a `server` block: what nginx says itself when the node does not answer (502, 504) is said as something that clients
 * try again after. What the node says is passed on.
 */
export function renderAway(): string {
    return `        error_page 502 504 = @away;
        location @away {
            internal;
            default_type application/json;
            add_header Retry-After 5 always;
            return 503 '${away}';
        }

`;
}

/** For a `location` block: there is no other node to ask, but a connection may be one that the node has closed meanwhile. */
export function renderReconnects(): string {
    return `            proxy_next_upstream error non_idempotent;
            proxy_next_upstream_tries 2;
            proxy_next_upstream_timeout ${String(retrySeconds)}s;`;
}

/** The settings of the `http` block by which nodes are believed to be what they are: certificates for the public name. */
export function renderNodeTls({ host }: LoadBalancerPlan): string {
    return `    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate ${release}/${nodesCa};
    proxy_ssl_name ${host.replace(/:\d+$/, "")};
    proxy_ssl_server_name on;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
    # Harbor with HTTPS binds browsers to it for a year, subdomains too: loadBalancer.hstsSeconds alone says that.
    proxy_hide_header Strict-Transport-Security;

`;
}

/** A server for each node, that leads to it whether it is active or not. */
export function renderAdmin(
    plan: LoadBalancerPlan,
    { adminPorts, adminCidrs, mode }: FailoverPlan,
    upstreams: readonly Upstream[],
): string {
    const allowed = adminCidrs.map((cidr) => `        allow ${cidr};\n`).join("");
    // As at the door of a load balancer that ends TLS, it is for everyone: a `return` is before `allow`.
    const health =
        mode === "http"
            ? ""
            : `        location = /healthz {
            access_log off;
            default_type text/plain;
            return 200 "$release\\n";
        }

`;
    return upstreams
        .map(
            (upstream) => `
    # ${upstream.name}, for \`up\` and operators.
    server {
        listen ${portOf(adminPorts, upstream.name)} ssl default_server;
        http2 on;
        server_name _;
${allowed}        deny all;

${tlsSettings}

${health}        location = ${activePath} {
            alias ${balancerFolder}/active.json;
            add_header Cache-Control no-store;
        }

${renderAway()}        location / {
            proxy_pass https://${hostAndPort(upstream)};
${renderProxy(plan.host)}
        }
    }
`,
        )
        .join("");
}

function portOf(adminPorts: FailoverPlan["adminPorts"], node: string): string {
    const port = adminPorts[node];
    if (port === undefined) {
        throw new Error(`no admin port for ${node} in the plan`);
    }
    return String(port);
}
