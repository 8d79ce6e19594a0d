import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { parse } from "yaml";
import { renderCompose, renderNginx } from "../../components/load-balancer/render";
import { renderGate } from "../../components/registry/distribution/render";
import { makePlan, type LoadBalancerPlan } from "../../config/plan";
import { parseStackFile } from "../../config/stack-file";
import { blocks, parseNginx, values, type Directive } from "./support/nginx-conf";
import { assertReadable, hasNginx } from "./support/nginx";
import { fileWith } from "./support/stack-files";

function planWith(loadBalancer: Readonly<Record<string, unknown>> = {}): LoadBalancerPlan {
    return makePlan("test", parseStackFile(fileWith({ loadBalancer: { mode: "http", ...loadBalancer } }))).loadBalancer;
}

const upstreams = [
    { name: "one", address: "127.0.0.1", port: 5000 },
    { name: "two", address: "10.0.0.2", port: 5001 },
];

function nginx(loadBalancer: Readonly<Record<string, unknown>> = {}): Directive[] {
    return parseNginx(renderNginx({ plan: planWith(loadBalancer), upstreams }));
}

/** The server that ends TLS. */
function tlsServer(directives: readonly Directive[]): readonly Directive[] {
    const found = blocks(directives, "server").filter(({ block }) => values(block, "listen")[0]?.includes("ssl"));
    assert.equal(found.length, 1);
    return found[0]?.block ?? [];
}

describe("nginx.conf", () => {
    const conf = nginx();
    const http = blocks(conf, "http")[0]?.block;
    const server = tlsServer(conf);
    const proxy = blocks(server, "location", "/")[0]?.block;

    it("passes on layers of any size, as they come, both ways", () => {
        assert.deepEqual(values(http, "client_max_body_size"), ["0"]);
        assert.equal(blocks(conf, "server").flatMap(({ block }) => values(block, "client_max_body_size")).length, 0);
        assert.deepEqual(values(proxy, "proxy_request_buffering"), ["off"]);
        assert.deepEqual(values(proxy, "proxy_buffering"), ["off"]);
    });

    it("waits as long as a big layer takes, and not for a dead node", () => {
        assert.deepEqual(values(proxy, "proxy_read_timeout"), ["900s"]);
        assert.deepEqual(values(proxy, "proxy_send_timeout"), ["900s"]);
        assert.deepEqual(values(proxy, "proxy_connect_timeout"), ["3s"]);
        assert.deepEqual(values(http, "client_body_timeout"), ["900s"]);
        assert.deepEqual(values(http, "send_timeout"), ["900s"]);
    });

    it("tells the node what the client asked for", () => {
        assert.deepEqual(values(proxy, "proxy_set_header"), [
            "Connection ",
            "Host $http_host",
            "X-Real-IP $remote_addr",
            "X-Forwarded-For $proxy_add_x_forwarded_for",
            "X-Forwarded-Proto $scheme",
        ]);
        assert.deepEqual(values(proxy, "proxy_http_version"), ["1.1"]);
    });

    it("knows every node, and tries another one", () => {
        const upstream = blocks(conf, "upstream", "nodes")[0]?.block;
        assert.deepEqual(values(upstream, "server"), [
            "127.0.0.1:5000 max_fails=3 fail_timeout=5s",
            "10.0.0.2:5001 max_fails=3 fail_timeout=5s",
        ]);
        assert.equal(values(upstream, "zone").length, 1);
        assert.deepEqual(values(upstream, "keepalive"), ["64"]);
        assert.deepEqual(values(proxy, "proxy_pass"), ["http://nodes"]);
        assert.deepEqual(values(proxy, "proxy_next_upstream"), [
            "error timeout http_502 http_503 http_504 non_idempotent",
        ]);
        assert.deepEqual(values(proxy, "proxy_next_upstream_tries"), ["2"]);
    });

    it("asks another node after a 500 of CNCF Distribution, but not about an upload that has begun", () => {
        const doorOf = (engine: "harbor" | "distribution") => {
            const plan = { ...planWith(), engine, nodes: ["one", "two"] };
            const several = parseNginx(renderNginx({ plan, upstreams }));
            return blocks(tlsServer(several), "location", "/")[0]?.block ?? [];
        };
        const usual = "error timeout http_502 http_503 http_504 non_idempotent";
        const distribution = doorOf("distribution");
        assert.deepEqual(values(distribution, "proxy_next_upstream"), [`http_500 ${usual}`]);
        const [uploads] = blocks(distribution, "location");
        const pattern = new RegExp(uploads?.words[2] ?? "");
        assert.ok(pattern.test("/v2/team/app/blobs/uploads/01a222c6-931d"));
        assert.ok(!pattern.test("/v2/team/app/blobs/uploads/"));
        assert.ok(!pattern.test("/v2/team/app/blobs/sha256:0"));
        assert.deepEqual(values(uploads?.block, "proxy_next_upstream"), [usual]);
        const harbor = doorOf("harbor");
        assert.deepEqual(values(harbor, "proxy_next_upstream"), [usual]);
        assert.deepEqual(blocks(harbor, "location"), []);
    });

    it("leaves it to the agent which of several nodes get requests, and chooses among them as the stack file says", () => {
        for (const [method, expected] of [
            ["random", "random two least_conn"],
            ["least_conn", "least_conn"],
            ["ip_hash", "ip_hash"],
        ] as const) {
            const several = parseNginx(
                renderNginx({ plan: { ...planWith({ method }), nodes: ["one", "two"] }, upstreams }),
            );
            const upstream = blocks(several, "upstream", "nodes")[0]?.block ?? [];
            assert.deepEqual(
                upstream.map(({ words }) => words.join(" ")),
                ["zone nodes 256k", expected, "include /balancer/nodes.conf", "keepalive 64"],
            );
        }
    });

    it("logs the name of the node that answered, where there are several", () => {
        const several = parseNginx(renderNginx({ plan: { ...planWith(), nodes: ["one", "two"] }, upstreams }));
        const names = (blocks(several, "map", "$upstream_addr", "$node_name")[0]?.block ?? []).map(
            ({ words }) => words,
        );
        assert.deepEqual(names[0], ["default", ""]);
        const nameOf = (address: string) =>
            names.find(([pattern = ""]) => pattern.startsWith("~") && new RegExp(pattern.slice(1)).test(address))?.[1];
        assert.equal(nameOf("127.0.0.1:5000"), "one");
        assert.equal(nameOf("127.0.0.1:5000, 10.0.0.2:5001"), "two");
        assert.equal(nameOf("110.0.0.2:5001"), undefined);
        assert.match(values(blocks(several, "http")[0]?.block, "log_format").join(), /"name":"\$node_name"/);
    });

    it("speaks modern TLS and HTTP/2, with the certificate of the release", () => {
        assert.deepEqual(values(server, "ssl_protocols"), ["TLSv1.2 TLSv1.3"]);
        assert.deepEqual(values(server, "http2"), ["on"]);
        assert.deepEqual(values(server, "ssl_certificate"), ["/etc/harborage/current/secrets/root/server.crt"]);
        assert.deepEqual(values(server, "ssl_certificate_key"), ["/etc/harborage/current/secrets/root/server.key"]);
        assert.doesNotMatch(values(server, "ssl_ciphers").join(), /CBC|RC4|3DES|MD5|NULL|(^|:)AES/);
    });

    it("redirects http to https, with the port unless it is 443", () => {
        const redirect = (directives: Directive[], port: string) => {
            const [plain] = blocks(directives, "server").filter(({ block }) =>
                values(block, "listen")[0]?.startsWith(`${port} `),
            );
            return values(plain?.block, "return");
        };
        assert.deepEqual(redirect(conf, "80"), ["301 https://$host$request_uri"]);
        const other = nginx({ httpsPort: 8443, httpPort: 8080 });
        assert.deepEqual(redirect(other, "8080"), ["301 https://$host:8443$request_uri"]);
        assert.deepEqual(values(tlsServer(other), "listen"), ["8443 ssl default_server"]);
    });

    it("sends Strict-Transport-Security only when asked", () => {
        assert.deepEqual(values(server, "add_header"), []);
        assert.deepEqual(values(tlsServer(nginx({ hstsSeconds: 3600 })), "add_header"), [
            "Strict-Transport-Security max-age=3600 always",
        ]);
    });

    it("refuses new uploads, then all writes, and never reads, while the gate is closed", () => {
        const gates = server.filter(({ words }) => words[0] === "if");
        assert.deepEqual(
            gates.map(({ words, block }) => [words.slice(1).join(" "), block?.map((each) => each.words.join(" "))]),
            [
                ["(-f /gate/uploads-closed)", ["set $gate $new_upload"]],
                ["(-f /gate/writes-closed)", ["set $gate $write"]],
                ["($gate = 1)", ["return 599"]],
            ],
        );
        assert.deepEqual(values(server, "error_page"), ["599 = @collecting"]);
        const answer = blocks(server, "location", "@collecting")[0]?.block;
        assert.deepEqual(values(answer, "add_header"), ["Retry-After 60 always"]);
        const [code, body] = answer?.find(({ words }) => words[0] === "return")?.words.slice(1) ?? [];
        assert.equal(code, "503");
        assert.equal((JSON.parse(body ?? "") as { errors: { code: string }[] }).errors[0]?.code, "UNAVAILABLE");
    });

    it("tells writes and new uploads from the rest", () => {
        const writes = blocks(conf, "map", "$request_method")[0]?.block?.map(({ words }) => words.join(" "));
        assert.deepEqual(writes, ["default 1", "GET 0", "HEAD 0", "OPTIONS 0"]);
        const uploads = blocks(conf, "map", "$request_method:$uri")[0]?.block ?? [];
        const pattern = new RegExp(uploads.find(({ words }) => words[1] === "1")?.words[0]?.replace(/^~/, "") ?? "^$");
        assert.match("POST:/v2/team/app/blobs/uploads/", pattern);
        for (const other of [
            "GET:/v2/team/app/blobs/uploads/",
            "PATCH:/v2/team/app/blobs/uploads/3d5e",
            "PUT:/v2/team/app/manifests/1.0",
        ]) {
            assert.doesNotMatch(other, pattern);
        }
    });

    it("answers /healthz with the release that it runs", () => {
        assert.deepEqual(values(blocks(server, "location", "=", "/healthz")[0]?.block, "return"), ["200 $release\\n"]);
        assert.deepEqual(values(http, "include"), ["/etc/nginx/mime.types", "/etc/harborage/current/release.conf"]);
    });

    it("logs which node answered", () => {
        assert.match(values(http, "log_format").join(), /\$upstream_addr.*\$upstream_status/);
        assert.deepEqual(values(http, "access_log"), ["/dev/stdout main"]);
    });

    it("writes nothing but to folders that the container may write to", () => {
        for (const name of ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]) {
            assert.match(values(http, `${name}_temp_path`).join(), /^\/tmp\//);
        }
        assert.deepEqual(values(conf, "pid"), ["/run/nginx.pid"]);
    });

    it("is read by nginx itself, where there is one", function () {
        if (!hasNginx) {
            // test/e2e has nginx in its container.
            this.skip();
        }
        assertReadable(renderNginx({ plan: planWith({ hstsSeconds: 1 }), upstreams }));
    });
});

describe("nginx.conf of a node that is on another machine than its load balancer", () => {
    const conf = parseNginx(renderGate({ isShared: false }));
    const http = blocks(conf, "http")[0]?.block;
    const server = blocks(conf, "server")[0]?.block ?? [];
    const proxy = blocks(server, "location", "/")[0]?.block;

    it("has the load balancer's gate, to the letter", () => {
        const gate = (directives: readonly Directive[], inServer: readonly Directive[]) => ({
            maps: [
                ...blocks(directives, "map", "$request_method"),
                ...blocks(directives, "map", "$request_method:$uri"),
            ],
            checks: inServer.filter(
                ({ words: [name = "", what] }) =>
                    name === "if" || name === "error_page" || (name === "set" && what === "$gate"),
            ),
            answer: blocks(inServer, "location", "@collecting"),
        });
        const balancer = nginx();
        const expected = gate(balancer, tlsServer(balancer));
        assert.deepEqual(gate(conf, server), expected);
        assert.deepEqual(
            Object.values(expected).map(({ length }) => length),
            [2, 5, 1],
        );
    });

    it("passes on layers of any size, as they come, both ways", () => {
        assert.deepEqual(values(http, "client_max_body_size"), ["0"]);
        assert.deepEqual(values(proxy, "proxy_request_buffering"), ["off"]);
        assert.deepEqual(values(proxy, "proxy_buffering"), ["off"]);
        for (const [block, name] of [
            [proxy, "proxy_read_timeout"],
            [proxy, "proxy_send_timeout"],
            [http, "client_body_timeout"],
            [http, "send_timeout"],
        ] as const) {
            assert.deepEqual(values(block, name), ["900s"], name);
        }
    });

    it("shows its counters where another machine collects, and nothing else of that port", () => {
        const shared = parseNginx(renderGate({ isShared: true }));
        const locations = blocks(shared, "location").map(({ words }) => words.slice(1).join(" "));
        assert.deepEqual(locations, ["@collecting", "= /healthz", "= /harborage/metrics", "/"]);
        const metrics = blocks(shared, "location", "=", "/harborage/metrics")[0]?.block;
        assert.deepEqual(values(metrics, "proxy_pass"), ["http://$metrics/metrics"]);
        assert.deepEqual(blocks(conf, "location", "=", "/harborage/metrics"), []);
        assert.doesNotMatch(renderGate({ isShared: false }), /5001/);
    });

    it("is not asked for its counters by clients", () => {
        const denied = blocks(tlsServer(nginx()), "location", "=", "/harborage/metrics");
        assert.deepEqual(
            denied.map(({ block }) => values(block, "return")),
            [["404"]],
        );
    });

    it("leaves to the load balancer what clients are told from, and says where they asked", () => {
        assert.deepEqual(values(proxy, "proxy_set_header"), ["Connection ", "Host $http_host"]);
    });

    it("finds the registry again when its container has another address", () => {
        assert.deepEqual(values(server, "resolver"), ["127.0.0.11 valid=2s"]);
        assert.deepEqual(values(proxy, "proxy_pass"), ["http://$registry"]);
        assert.ok(values(server, "set").includes("$registry registry:5000"));
    });

    it("writes nothing but to folders that the container may write to, as a user without rights", () => {
        for (const name of ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]) {
            assert.match(values(http, `${name}_temp_path`).join(), /^\/tmp\//);
        }
        assert.deepEqual(values(conf, "pid"), ["/tmp/nginx.pid"]);
        assert.deepEqual(values(conf, "user"), []);
        assert.ok(Number(values(server, "listen")[0]) >= 1024);
    });

    it("is read by nginx itself, where there is one", function () {
        if (!hasNginx) {
            this.skip();
        }
        assertReadable(renderGate({ isShared: true }));
    });
});

describe("compose file of the load balancer", () => {
    interface Compose {
        name: string;
        services: { nginx: Record<string, unknown> };
    }
    const { name, services } = parse(renderCompose("test", planWith())) as Compose;

    it("keeps nginx running, on the machine's own network", () => {
        assert.equal(name, "harborage-test-lb");
        assert.equal(services.nginx["restart"], "always");
        assert.equal(services.nginx["network_mode"], "host");
        assert.equal(services.nginx["image"], planWith().image);
    });

    it("has no label that a reload could do without", () => {
        assert.deepEqual(services.nginx["labels"], { "harborage.stack": "test" });
    });

    it("mounts the folder of releases, not a file of one, and writes to none", () => {
        assert.deepEqual(services.nginx["volumes"], [
            "${HARBORAGE_STACK}:/etc/harborage:ro",
            "${HARBORAGE_DIRECTORY}/gate:/gate:ro",
        ]);
        assert.equal(services.nginx["read_only"], true);
        assert.deepEqual(services.nginx["cap_drop"], ["ALL"]);
    });

    it("ends requests in flight before it stops", () => {
        assert.equal(services.nginx["stop_signal"], "SIGQUIT");
        assert.equal(services.nginx["stop_grace_period"], "60s");
    });

    it("has the agent in a container of its own where there are several nodes, with the list of them", () => {
        const several = { ...planWith(), nodes: ["one", "two"] };
        const { services: both } = parse(renderCompose("test", several)) as {
            services: Record<"nginx" | "agent", Record<string, unknown>>;
        };
        assert.deepEqual(Object.keys(both), ["nginx", "agent"]);
        assert.equal(both.agent["image"], both.nginx["image"]);
        for (const { volumes, network_mode: network, restart, read_only: isReadOnly } of Object.values(both)) {
            assert.ok((volumes as string[]).includes("${HARBORAGE_DIRECTORY}/balancer:/balancer"));
            assert.deepEqual([network, restart, isReadOnly], ["host", "always", true]);
        }
        // What shares processes with another container is not started again when Docker is.
        assert.equal(both.agent["pid"], undefined);
        assert.match(JSON.stringify(both.agent["healthcheck"]), /balancer\.sh","alive"/);
    });

    it("asks at the port that clients use whether it is well", () => {
        const other = parse(renderCompose("test", planWith({ httpsPort: 8443 }))) as Compose;
        assert.match(JSON.stringify(other.services.nginx["healthcheck"]), /https:\/\/127\.0\.0\.1:8443\/healthz/);
    });
});
