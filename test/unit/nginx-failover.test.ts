import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, it } from "mocha";
import { parse } from "yaml";
import { balancerFiles } from "../../components/load-balancer";
import { renderCompose, renderNginx } from "../../components/load-balancer/render";
import { renderApi, renderLogin, renderProbes } from "../../components/load-balancer/render-agent";
import { makePlan, type LoadBalancerPlan } from "../../config/plan";
import { parseStackFile } from "../../config/stack-file";
import { startHttpsServer, type HttpsServer } from "../support/https-server";
import { selfSigned } from "../support/self-signed";
import { assertReadable, hasNginx } from "./support/nginx";
import { blocks, parseNginx, values, type Directive } from "./support/nginx-conf";
import { fileWith } from "./support/stack-files";

const machine = (number: number) => ({
    kind: "existing",
    address: `192.0.2.${String(number)}`,
    hostKey: "accept-any",
});

function planWith(loadBalancer: Readonly<Record<string, unknown>> = {}): LoadBalancerPlan {
    const file = fileWith({
        publicName: "registry.example.com",
        machines: { lb: machine(1), first: machine(2), second: machine(3) },
        topology: { kind: "replicated", nodes: ["first", "second"], active: "second", loadBalancer: "lb" },
        registry: {
            engine: "harbor",
            version: "2.15.2",
            installer: { path: "/srv/harbor.tgz", sha256: "ab".repeat(32) },
        },
        loadBalancer: { mode: "http", adminCidrs: ["198.51.100.0/24", "203.0.113.9/32"], ...loadBalancer },
    });
    return makePlan("test", parseStackFile(file)).loadBalancer;
}

const upstreams = [
    { name: "first", address: "192.0.2.2", port: 8080 },
    { name: "second", address: "192.0.2.3", port: 8080 },
];

const nginx = (plan: LoadBalancerPlan) => parseNginx(renderNginx({ plan, upstreams }));

/** The server on a port, in the `http` block. */
function serverOn(conf: readonly Directive[], port: number): readonly Directive[] | undefined {
    return blocks(blocks(conf, "http")[0]?.block ?? [], "server").find(
        ({ block }) => values(block, "listen")[0]?.split(" ")[0] === String(port),
    )?.block;
}

const words = (block: readonly Directive[] | undefined) => (block ?? []).map((each) => each.words.join(" "));

describe("nginx.conf in front of an active node and a standby", () => {
    const conf = nginx(planWith());
    const http = blocks(conf, "http")[0]?.block;
    const door = serverOn(conf, 443);

    it("sends everything to the node that the agent has in its list", () => {
        assert.deepEqual(words(blocks(http ?? [], "upstream", "nodes")[0]?.block), [
            "zone nodes 256k",
            "include /balancer/nodes.conf",
            "keepalive 64",
        ]);
        const proxy = blocks(door ?? [], "location", "/")[0]?.block;
        assert.deepEqual(values(proxy, "proxy_pass"), ["https://nodes"]);
        // There is nobody else to ask.
        assert.deepEqual(values(proxy, "proxy_next_upstream"), ["error non_idempotent"]);
    });

    it("believes a node by its certificate alone", () => {
        const settings = (http ?? [])
            .map((each) => each.words.join(" "))
            .filter((text) => text.startsWith("proxy_ssl"));
        assert.deepEqual(settings, [
            "proxy_ssl_verify on",
            "proxy_ssl_trusted_certificate /etc/harborage/current/trust/nodes.crt",
            "proxy_ssl_name registry.example.com",
            "proxy_ssl_server_name on",
            "proxy_ssl_protocols TLSv1.2 TLSv1.3",
        ]);
        const other = nginx(planWith({ httpsPort: 8443 }));
        assert.deepEqual(values(blocks(other, "http")[0]?.block, "proxy_ssl_name"), ["registry.example.com"]);
        const passed = blocks(conf, "location").flatMap(({ block }) => values(block, "proxy_pass"));
        assert.deepEqual(passed, ["https://nodes", "https://192.0.2.2:8080", "https://192.0.2.3:8080"]);
    });

    it("tells clients to come again while no node answers, and passes on what a node says", () => {
        for (const port of [443, 8441, 8442]) {
            const server = serverOn(conf, port);
            assert.ok(values(server, "error_page").includes("502 504 = @away"), String(port));
            assert.deepEqual(values(server, "proxy_intercept_errors"), []);
            const answer = blocks(server ?? [], "location", "@away")[0]?.block;
            assert.deepEqual(values(answer, "add_header"), ["Retry-After 5 always"]);
            const [code, body = ""] = answer?.find((each) => each.words[0] === "return")?.words.slice(1) ?? [];
            assert.equal(code, "503");
            assert.equal((JSON.parse(body) as { errors: { code: string }[] }).errors[0]?.code, "UNAVAILABLE");
        }
    });

    it("has a port for each node, that only administrators may use", () => {
        for (const [port, node] of [
            [8441, "192.0.2.2:8080"],
            [8442, "192.0.2.3:8080"],
        ] as const) {
            const server = serverOn(conf, port);
            assert.deepEqual(
                words(server).filter((text) => /^(?:allow|deny) /.test(text)),
                ["allow 198.51.100.0/24", "allow 203.0.113.9/32", "deny all"],
            );
            const proxy = blocks(server ?? [], "location", "/")[0]?.block;
            assert.deepEqual(values(proxy, "proxy_pass"), [`https://${node}`]);
            assert.ok(values(proxy, "proxy_set_header").includes("Host registry.example.com"));
            const active = blocks(server ?? [], "location", "=", "/harborage/active")[0]?.block;
            assert.deepEqual(words(active), ["alias /balancer/active.json", "add_header Cache-Control no-store"]);
        }
        assert.deepEqual(blocks(door ?? [], "location", "=", "/harborage/active"), []);
    });

    it("lets TLS pass through to the node in mode stream", () => {
        const passing = nginx(planWith({ mode: "stream" }));
        // Debian's nginx has the module in a file of its own, and only at the beginning.
        assert.deepEqual(passing[0]?.words, ["include", "/etc/nginx/modules-enabled/*.conf"]);
        const stream = blocks(passing, "stream")[0]?.block ?? [];
        assert.deepEqual(words(blocks(stream, "upstream", "nodes")[0]?.block), [
            "zone nodes 256k",
            "include /balancer/nodes.conf",
        ]);
        assert.deepEqual(words(blocks(stream, "server")[0]?.block), [
            "listen 443",
            "tcp_nodelay on",
            "proxy_pass nodes",
            "proxy_connect_timeout 5s",
            "proxy_timeout 300s",
        ]);
        assert.equal(serverOn(passing, 443), undefined);
        assert.deepEqual(values(serverOn(passing, 80), "return"), ["301 https://$host$request_uri"]);
        for (const port of [8441, 8442]) {
            const health = blocks(serverOn(passing, port) ?? [], "location", "=", "/healthz")[0]?.block;
            assert.deepEqual(values(health, "return"), ["200 $release\\n"]);
        }
        assert.doesNotMatch(renderNginx({ plan: planWith(), upstreams }), /modules-enabled|^stream/m);
    });

    for (const mode of ["http", "stream"]) {
        it(`is read by nginx itself in mode ${mode}, where there is one`, function () {
            if (!hasNginx) {
                this.skip();
            }
            assertReadable(renderNginx({ plan: planWith({ mode }), upstreams }));
        });
    }
});

describe("the release of the load balancer of an active node and a standby", () => {
    const files = (mode = "http") => balancerFiles("test", planWith({ mode }), upstreams, "a certificate\n");
    const content = (name: string, mode?: string) => files(mode)[name]?.content;

    it("says to the agent who is active at first, when there is a failover, and how nodes are called", () => {
        assert.equal(content("agent/first"), "second");
        assert.equal(content("agent/misses"), "3");
        assert.equal(content("agent/drain-seconds"), "60");
        assert.equal(content("agent/probe-seconds"), "1");
        assert.equal(content("agent/host"), "registry.example.com");
        assert.equal(content("agent/nodes"), "node first 192.0.2.2 8080\nnode second 192.0.2.3 8080\n");
        assert.equal(content("trust/nodes.crt"), "a certificate\n");
        assert.match(content("agent/api.curl") ?? "", /^cacert = "\/etc\/harborage\/current\/trust\/nodes\.crt"$/m);
    });

    it("asks nginx for its release where nginx itself answers", () => {
        const port = (mode: string) =>
            /^readonly HEALTH_PORT='(.*)'$/m.exec(content("hooks/health.sh", mode) ?? "")?.[1];
        assert.equal(port("http"), undefined);
        assert.equal(port("stream"), "8441");
        const asked = (mode: string) => {
            const compose = parse(renderCompose("test", planWith({ mode }))) as {
                services: { nginx: { healthcheck: { test: string[] } } };
            };
            return compose.services.nginx.healthcheck.test.at(-1);
        };
        assert.equal(asked("http"), "https://127.0.0.1:443/healthz");
        assert.equal(asked("stream"), "https://127.0.0.1:8441/healthz");
    });

    it("has an agent, and an nginx that may end its own old workers", () => {
        const { services } = parse(renderCompose("test", planWith())) as {
            services: Record<string, { cap_add: string[] }>;
        };
        assert.deepEqual(Object.keys(services), ["nginx", "agent"]);
        assert.ok(services["nginx"]?.cap_add.includes("KILL"));
    });
});

describe("the agent's calls of nodes that have certificates", () => {
    const started = async (name: string): Promise<HttpsServer & { readonly cert: string }> => {
        const identity = selfSigned([`DNS:${name}`]);
        const server = await startHttpsServer(identity, (request, response) => {
            response.writeHead(request.url === "/v2/" ? 401 : 200, { "content-type": "application/json" });
            response.end(JSON.stringify({ host: request.headers.host, login: request.headers.authorization }));
        });
        return { ...server, cert: identity.cert };
    };
    const curl = promisify(execFile);

    it("go to the node by its address, and believe only a certificate for the public name", async () => {
        const folder = mkdtempSync(join(tmpdir(), "harborage-calls-"));
        const [good, other] = await Promise.all([started("registry.example.com"), started("elsewhere.example.com")]);
        const own = (text: string) =>
            text
                .replaceAll("/tmp/seen", join(folder, "seen"))
                .replaceAll("/etc/harborage/current/trust/nodes.crt", join(folder, "ca"))
                // A machine that is busy answers late; whom curl believes is the same then.
                .replaceAll(/^(connect-timeout|max-time) = .*$/gm, "$1 = 30");
        try {
            mkdirSync(join(folder, "seen"));
            writeFileSync(join(folder, "ca"), good.cert + other.cert);
            const nodes = [
                { name: "good", address: "127.0.0.1", port: good.port },
                { name: "other", address: "127.0.0.1", port: other.port },
            ];
            writeFileSync(join(folder, "probes"), own(renderProbes(planWith({ httpsPort: 8443 }), nodes)));
            const asked = curl("curl", ["--disable", "--config", join(folder, "probes")]);
            // curl ends with the code of what failed.
            const { stdout } = await asked.catch((error: unknown) => error as { stdout: string });
            assert.deepEqual(stdout.trimEnd().split("\n").sort(), [
                "answer good health 200 0",
                "answer good token 200 0",
                "answer good v2 401 0",
                "answer other health 000 60",
                "answer other token 000 60",
                "answer other v2 000 60",
            ]);

            writeFileSync(join(folder, "api"), own(renderApi()));
            writeFileSync(join(folder, "login"), renderLogin("admin", 'a"b\\c $d:e'));
            const { stdout: said } = await curl("curl", [
                ...["--disable", "--silent", "--config", join(folder, "api"), "--config", join(folder, "login")],
                ...["--connect-to", `::127.0.0.1:${String(good.port)}`],
                "https://registry.example.com:8443/api/v2.0/projects",
            ]);
            const { host, login = "" } = JSON.parse(said) as { host: string; login?: string };
            assert.equal(host, "registry.example.com:8443");
            assert.equal(Buffer.from(login.replace("Basic ", ""), "base64").toString(), 'admin:a"b\\c $d:e');
        } finally {
            await Promise.all([good.close(), other.close()]);
            rmSync(folder, { recursive: true });
        }
    });
});
