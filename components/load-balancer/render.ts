import { stringify } from "yaml";
import type { LoadBalancerPlan } from "../../config/plan";
import { serviceLog } from "../compose-stack/render-files";
import { hostAndPort, type Upstream } from "./upstream";
import { gateChecks, gateDenials, gateMaps, gateVolume, retrySeconds } from "./gate";
import {
    renderAdmin,
    renderAway,
    renderNodeTls,
    renderReconnects,
    renderStream,
    streamModule,
} from "./render-failover";
import { balancerFolder, nodesFile, release, renderProxy, tlsSettings } from "./render-shared";

/** Whether requests are spread over several nodes. */
export function isBalanced(plan: LoadBalancerPlan): boolean {
    return hasAgent(plan) && plan.failover === undefined;
}

/** Whether there are nodes to choose from: the agent keeps their list, in a folder that is no release's. */
export function hasAgent({ nodes }: LoadBalancerPlan): boolean {
    return nodes.length > 1;
}

const balancerVolume = `\${HARBORAGE_DIRECTORY}/balancer:${balancerFolder}`;

export interface NginxArgs {
    readonly plan: LoadBalancerPlan;
    readonly upstreams: readonly Upstream[];
}

/**
 * nginx.conf. Where a number is not explained: DESIGN and nginx.org/en/docs.
 *
 * `release.conf` is written beside it when a release is made; `/healthz` answers with it, so that a reload that did not
 * take effect is noticed.
 */
export function renderNginx(args: NginxArgs): string {
    const { plan, upstreams } = args;
    const isStream = plan.failover?.mode === "stream";
    return `${isStream ? streamModule : ""}user www-data;
worker_processes auto;
worker_rlimit_nofile 65535;
pid /run/nginx.pid;
error_log /dev/stderr warn;

events {
    worker_connections 8192;
}

${isStream ? `${renderStream(plan)}\n` : ""}http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    server_tokens off;
    # Which node answered, how often one had to be asked, and how long each took.
    log_format main escape=json '{"time":"$time_iso8601","client":"$remote_addr","user":"$remote_user",'
        '"request":"$request","status":$status,"bytes":$body_bytes_sent,"seconds":$request_time,'
        '${hasAgent(plan) ? '"name":"$node_name",' : ""}"node":"$upstream_addr","nodeStatus":"$upstream_status","nodeSeconds":"$upstream_response_time",'
        '"agent":"$http_user_agent"}';
    access_log /dev/stdout main;

    # Nothing is buffered on disk; the folders must exist all the same.
    client_body_temp_path /tmp/client-body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;

    sendfile on;
    tcp_nodelay on;
    keepalive_timeout 75s;

    # Layers have any size and are passed on as they come.
    client_max_body_size 0;
    chunked_transfer_encoding on;
    client_body_timeout 900s;
    send_timeout 900s;

${isStream ? "" : renderUpstream(args)}${hasAgent(plan) ? renderNames(upstreams) : ""}
    include ${release}/release.conf;

${plan.failover === undefined ? "" : renderNodeTls(plan)}${renderRedirect(plan)}
${isStream ? "" : renderDoor(plan)}${plan.failover === undefined ? "" : renderAdmin(plan, plan.failover, upstreams)}}
`;
}

/** The nodes, and what the door to them asks before it lets a request in. */
function renderUpstream({ plan, upstreams }: NginxArgs): string {
    return `    upstream nodes {
        zone nodes 256k;
${renderServers(plan, upstreams)}
        keepalive 64;
    }

${gateMaps}`;
}

function renderRedirect({ httpsPort, httpPort }: LoadBalancerPlan): string {
    const redirect = httpsPort === 443 ? "https://$host$request_uri" : `https://$host:${String(httpsPort)}$request_uri`;
    return `    server {
        listen ${String(httpPort)} default_server;
        server_name _;
        return 301 ${redirect};
    }
`;
}

/** The server that clients use, where TLS ends here. */
function renderDoor(plan: LoadBalancerPlan): string {
    const { httpsPort, hstsSeconds, failover } = plan;
    return `    server {
        listen ${String(httpsPort)} ssl default_server;
        http2 on;
        server_name _;

${tlsSettings}
${hstsSeconds > 0 ? `        add_header Strict-Transport-Security "max-age=${String(hstsSeconds)}" always;\n` : ""}
${gateChecks}
${gateDenials}
        location = /healthz {
            access_log off;
            default_type text/plain;
            return 200 "$release\\n";
        }

${failover === undefined ? "" : renderAway()}        location / {
            proxy_pass ${failover === undefined ? "http" : "https"}://nodes;
${renderProxy("$http_host")}
${failover === undefined ? renderRetries(plan) : renderReconnects()}
        }
    }
`;
}

function renderRetries(plan: LoadBalancerPlan): string {
    return `            proxy_next_upstream ${mayRetry500(plan) ? `http_500 ${retried}` : retried};
            proxy_next_upstream_tries ${isBalanced(plan) ? mostTries : "2"};
            proxy_next_upstream_timeout ${String(retrySeconds)}s;${mayRetry500(plan) ? renderUploads() : ""}`;
}

/**
 * An upload that has begun. One that a dying node has left half-way is answered 500 by every node: asked of the others it
 * would count against each of them, and a few of those at once took all nodes out (2,683 requests failed so).
 */
function renderUploads(): string {
    return `

            location ~ ^/v2/.+/blobs/uploads/. {
                proxy_pass http://nodes;
                proxy_next_upstream ${retried};
            }`;
}

/** Of three nodes two may die together: with two tries that failed 2 of 6226 requests here, with three none of 6307. */
const mostTries = "3";

/** What another node is asked after. */
const retried = "error timeout http_502 http_503 http_504 non_idempotent";

/** CNCF Distribution says 500 when its storage is away, to everything until its own check has noticed. */
function mayRetry500(plan: LoadBalancerPlan): boolean {
    return isBalanced(plan) && plan.engine === "distribution";
}

/** How a node is chosen, as nginx says it. */
const methods = { random: "random two least_conn", least_conn: "least_conn", ip_hash: "ip_hash" } as const;

/** Of an `upstream` block. The agent has the list where there is one to choose from. */
function renderServers(plan: LoadBalancerPlan, upstreams: readonly Upstream[]): string {
    if (hasAgent(plan)) {
        const method = isBalanced(plan) ? `        ${methods[plan.method]};\n` : "";
        return `${method}        include ${nodesFile};`;
    }
    return upstreams
        .map((upstream) => `        server ${hostAndPort(upstream)} max_fails=3 fail_timeout=5s;`)
        .join("\n");
}

/** The port that `/healthz` is on: where TLS passes through, an admin port. */
export function healthPort({ httpsPort, failover }: LoadBalancerPlan): number {
    const [adminPort = httpsPort] = Object.values(failover?.adminPorts ?? {});
    return failover?.mode === "stream" ? adminPort : httpsPort;
}

/** The name of the node that answered, for the log: of several that were asked, the last. */
function renderNames(upstreams: readonly Upstream[]): string {
    const names = upstreams.map((upstream) => {
        const place = hostAndPort(upstream).replace(/[.[\]]/g, "\\$&");
        return `        "~(^| )${place}$" ${upstream.name};\n`;
    });
    return `    map $upstream_addr $node_name {\n        default "";\n${names.join("")}    }\n`;
}

/** Each check starts a program in a container, which takes a starved machine seconds: more often, they alone take its processor. */
const healthTiming = { interval: "10s", timeout: "15s", retries: 5 } as const;

/** The compose file: nginx on the machine's own network, so that it sees clients' addresses and no port is proxied. */
export function renderCompose(stack: string, plan: LoadBalancerPlan): string {
    const logging = serviceLog();
    const common = {
        image: plan.image,
        labels: { "harborage.stack": stack },
        network_mode: "host",
        restart: "always",
    };
    const nginx = {
        ...common,
        entrypoint: hasAgent(plan)
            ? ["sh", `${release}/agent/nginx.sh`]
            : ["nginx", "-c", `${release}/nginx.conf`, "-g", "daemon off;"],
        command: [],
        // Requests in flight end before it does.
        stop_signal: "SIGQUIT",
        stop_grace_period: "60s",
        read_only: true,
        tmpfs: ["/run", "/tmp:mode=1777"],
        cap_drop: ["ALL"],
        cap_add: [
            ...["CHOWN", "DAC_OVERRIDE", "NET_BIND_SERVICE", "SETGID", "SETUID"],
            // To end old workers, which are another user's, after a change of the active node.
            ...(plan.failover === undefined ? [] : ["KILL"]),
        ],
        security_opt: ["no-new-privileges"],
        volumes: ["${HARBORAGE_STACK}:/etc/harborage:ro", gateVolume, ...(hasAgent(plan) ? [balancerVolume] : [])],
        logging,
        healthcheck: {
            test: [
                "CMD",
                "curl",
                "--silent",
                "--show-error",
                "--fail",
                "--insecure",
                "--max-time",
                "10",
                `https://127.0.0.1:${String(healthPort(plan))}/healthz`,
            ],
            ...healthTiming,
        },
    };
    // A container of its own, so that it can be stopped and changed while nginx goes on. It does not share nginx's
    // processes: Docker starts it again for good only where nginx happens to be up first, after a crash or a reboot.
    const agent = {
        ...common,
        entrypoint: ["sh", `${release}/agent/agent.sh`],
        command: [],
        read_only: true,
        tmpfs: ["/tmp:mode=1777"],
        cap_drop: ["ALL"],
        // The folder is not root's where Docker is used without root.
        cap_add: ["DAC_OVERRIDE"],
        security_opt: ["no-new-privileges"],
        volumes: ["${HARBORAGE_STACK}:/etc/harborage:ro", balancerVolume],
        logging,
        healthcheck: {
            test: ["CMD", "sh", `${release}/agent/balancer.sh`, "alive"],
            ...healthTiming,
        },
    };
    return stringify({
        name: plan.project,
        services: hasAgent(plan) ? { nginx, agent } : { nginx },
    });
}
