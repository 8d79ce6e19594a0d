import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { after, afterEach, before, describe, it } from "mocha";
import { connect, Harbor, HarborError, pauseBefore, type Connection } from "../../provider/client";
import { startHttpsServer, type HttpsServer } from "../support/https-server";
import { freePorts } from "../support/launcher";
import { selfSigned } from "../support/self-signed";

const NAME = "registry.provider.test";

describe("provider client", function () {
    this.timeout(60_000);
    let identity: ReturnType<typeof selfSigned>;
    let stranger: ReturnType<typeof selfSigned>;
    let server: HttpsServer;
    let answer: (request: IncomingMessage, response: ServerResponse) => void;
    const requests: IncomingMessage[] = [];

    before(async () => {
        identity = selfSigned([`DNS:${NAME}`, "IP:192.0.2.7"]);
        stranger = selfSigned([`DNS:${NAME}`]);
        server = await startHttpsServer(identity, (request, response) => {
            requests.push(request);
            answer(request, response);
        });
    });
    after(() => server.close());
    afterEach(() => requests.splice(0));

    function harbor(
        changed: Partial<Connection> = {},
        signal = new AbortController().signal,
        deadline?: number,
    ): Harbor {
        const connection = {
            url: `https://${NAME}`,
            address: `127.0.0.1:${server.port}`,
            caCertificate: identity.cert,
            username: "admin",
            password: "Secret12345",
            ...changed,
        };
        return new Harbor(connection, connect(connection), signal, deadline);
    }

    /** Answers with these, one after another, and then with the last. */
    function answers(...all: readonly { status: number; body?: string; headers?: Record<string, string> }[]): void {
        let next = 0;
        answer = (_, response) => {
            const { status, body = "{}", headers = {} } = all[Math.min(next++, all.length - 1)] ?? { status: 200 };
            response.writeHead(status, headers).end(body);
        };
    }

    it("goes to the address and asks for the URL's name", async () => {
        answers({ status: 200, body: '{"user_id": 1}' });
        assert.deepEqual(await harbor().get("/users/current"), { user_id: 1 });
        const [request] = requests;
        assert.equal(request?.url, "/api/v2.0/users/current");
        assert.equal(request.headers.host, NAME);
        assert.equal((request.socket as unknown as { servername: string }).servername, NAME);
        assert.equal(request.headers.authorization, `Basic ${Buffer.from("admin:Secret12345").toString("base64")}`);
        assert.equal(request.headers.cookie, undefined);
    });

    it("verifies an IP address in the URL, too", async () => {
        answers({ status: 200 });
        await harbor({ url: "https://192.0.2.7:8443" }).get("/health");
        assert.equal(requests[0]?.headers.host, "192.0.2.7:8443");
        await assert.rejects(harbor({ url: "https://192.0.2.8" }).get("/health"), /192\.0\.2\.8 .*caCertificate/s);
    });

    it("verifies the name and the CA, whatever the environment says", async () => {
        answers({ status: 200 });
        process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
        try {
            await assert.rejects(
                harbor({ url: "https://elsewhere.test" }).get("/health"),
                /^Error: cannot reach https:\/\/elsewhere\.test at 127\.0\.0\.1:\d+: .*elsewhere\.test/,
            );
            await assert.rejects(
                harbor({ caCertificate: stranger.cert }).get("/health"),
                /certificate; caCertificate has to hold/,
            );
            await assert.rejects(
                harbor({ caCertificate: undefined }).get("/health"),
                /certificate; caCertificate has to hold/,
            );
        } finally {
            delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
        }
        assert.equal(requests.length, 0);
    });

    it("gives Harbor's words, on one line", async () => {
        answers({ status: 409, body: '{"errors":[{"code":"CONFLICT","message":"it exists"},{"message":"really"}]}' });
        await assert.rejects(harbor().post("/projects", {}), new HarborError(409, "it exists; really"));
        answers({ status: 422, body: '{"code":602,"message":"failure list:\\nname is required"}' });
        await assert.rejects(harbor().post("/projects", {}), {
            message: "Harbor answered 422: failure list: name is required",
        });
        answers({ status: 413, body: "<html>too large</html>" });
        await assert.rejects(harbor().post("/projects", {}), { message: "Harbor answered 413" });
    });

    it("reads an empty answer, null, ids and pages", async () => {
        answers({ status: 200, body: "" }, { status: 200, body: "null\n" });
        assert.equal(await harbor().get("/system/gc/schedule"), undefined);
        assert.equal(await harbor().get("/system/gc/schedule"), undefined);
        answers({ status: 201, body: "", headers: { location: "/api/v2.0/registries/42" } });
        assert.deepEqual(await harbor().post("/registries", {}), { id: 42, body: undefined });
        const page = JSON.stringify(Array.from({ length: 100 }, () => ({})));
        answers({ status: 200, body: page }, { status: 200, body: "[{}]" });
        assert.equal((await harbor().list("/robots")).length, 101);
        assert.match(requests.at(-1)?.url ?? "", /\?page=2&page_size=100$/);
    });

    it("says when something else answers", async () => {
        answers({ status: 200, body: "<html>Welcome</html>" });
        await assert.rejects(
            harbor().get("/projects"),
            /what answers at https:\/\/registry\.provider\.test is no Harbor/,
        );
    });

    it("takes a port of the address before one of the URL", async () => {
        answers({ status: 200 });
        await harbor({ url: `https://${NAME}:1` }).get("/health");
        assert.equal(requests[0]?.headers.host, `${NAME}:1`);
        await harbor({ url: `https://${NAME}:${server.port}`, address: "127.0.0.1" }).get("/health");
        assert.equal(requests.length, 2);
    });

    it("takes what is gone for deleted", async () => {
        answers({ status: 404, body: '{"errors":[{"message":"not found"}]}' });
        await harbor().delete("/robots/1");
        assert.equal(await harbor().find("/robots/1"), undefined);
        await assert.rejects(harbor().get("/robots/1"), /404: not found/);
    });

    it("repeats what may be repeated", async () => {
        answers({ status: 502 }, { status: 200 });
        await harbor().get("/projects");
        assert.equal(requests.length, 2);
        answers({ status: 503, headers: { "retry-after": "1" } }, { status: 201 });
        await harbor().post("/projects", { name: "a" });
        assert.equal(requests.length, 4);
    });

    it("does not repeat what Harbor may have done", async () => {
        answers({ status: 502 });
        await assert.rejects(harbor().post("/projects", {}), /Harbor answered 502/);
        assert.equal(requests.length, 1);
        answer = (request) => request.socket.destroy();
        await assert.rejects(harbor().post("/projects", {}), /^Error: cannot reach/);
        assert.equal(requests.length, 2);
    });

    it("gives up a server error that stays, with its message", async () => {
        answers({ status: 500, body: '{"errors":[{"message":"internal server error"}]}' });
        await assert.rejects(harbor().get("/projects"), { message: "Harbor answered 500: internal server error" });
        assert.equal(requests.length, 3);
    });

    it("waits for a server that is not there yet, also with a POST", async () => {
        answers({ status: 201, headers: { location: "/x/7" } });
        const [free = 0] = await freePorts(1);
        const posted = harbor({ address: `127.0.0.1:${free}` }).post("/projects", {});
        await sleep(300);
        const late = await startHttpsServer(
            identity,
            (_, response) => response.writeHead(201, { location: "/x/7" }).end(),
            free,
        );
        assert.equal((await posted).id, 7);
        await late.close();
    });

    it("ends when it is cancelled, while it waits for an answer and while it waits to ask again", async () => {
        for (const action of [() => undefined, (response: ServerResponse) => void response.writeHead(502).end()]) {
            const controller = new AbortController();
            answer = (_, response) => {
                action(response);
                setTimeout(() => controller.abort(), 50);
            };
            await assert.rejects(harbor({}, controller.signal).get("/projects"), { message: "cancelled" });
        }
        await sleep(700);
        assert.equal(requests.length, 2, "asked again although it was cancelled");
        const nobody = harbor({ address: "127.0.0.1:1" }, AbortSignal.timeout(50));
        await assert.rejects(nobody.get("/projects"), { message: "cancelled" });
    });

    it("gives up when time is up, and tells the last failure", async () => {
        const signal = new AbortController().signal;
        const nobody = harbor({ address: "127.0.0.1:1" }, signal, 3_000);
        await assert.rejects(nobody.post("/projects", {}), /^Error: gave up on .* after 3 s: .*ECONNREFUSED/);
        answers({ status: 502 });
        // It would ask for the last time after 1.5 s.
        await assert.rejects(harbor({}, signal, 1_400).get("/projects"), /after 1\.4 s: the last answer was 502/);
        answer = () => undefined;
        await assert.rejects(harbor({}, signal, 300).get("/projects"), /after 0\.3 s: nothing came back/);
    });

    it("asks again for a login that Harbor may not have looked at", async () => {
        answers({ status: 401 }, { status: 200 });
        await harbor().get("/users/current");
        assert.equal(requests.length, 2);
    });

    it("decides by method, failure, number of tries and time", () => {
        const http = (statusCode: number) => ({ statusCode });
        const lost = { code: "ECONNRESET" };
        const refused = { code: "ECONNREFUSED" };
        for (const method of ["GET", "PUT", "DELETE"] as const) {
            assert.equal(pauseBefore(lost, method, 1, 10), 500, method);
            assert.equal(pauseBefore(http(502), method, 2, 10), 1000, method);
            assert.equal(pauseBefore(http(500), method, 3, 10), undefined, method);
        }
        for (const method of ["POST", "PATCH"] as const) {
            assert.equal(pauseBefore(lost, method, 1, 10), undefined, method);
            assert.equal(pauseBefore(refused, method, 9, 10), 5000, method);
            assert.equal(pauseBefore(http(500), method, 1, 10), undefined, method);
            assert.equal(pauseBefore(http(504), method, 1, 10), undefined, method);
            assert.equal(pauseBefore(http(429), method, 1, 10), 500, method);
        }
        assert.equal(pauseBefore({ statusCode: 503, headers: { "retry-after": "7" } }, "POST", 1, 10), 7000);
        assert.equal(pauseBefore(http(401), "GET", 1, 20), 2000, "at once: the user may be locked");
        assert.equal(pauseBefore(http(401), "GET", 1, 1600), undefined, "held back: the password is wrong");
        assert.equal(pauseBefore(http(401), "GET", 3, 20), undefined);
        for (const status of [400, 403, 404, 409, 412, 422]) {
            assert.equal(pauseBefore(http(status), "GET", 1, 10), undefined, String(status));
        }
        assert.equal(pauseBefore({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" }, "GET", 1, 10), undefined);
    });
});
