import assert from "node:assert/strict";
import { after, before, describe, it } from "mocha";
import { activeNode } from "../../provider/active-node";
import { connect, Harbor } from "../../provider/client";
import type { Values } from "../../provider/values";
import { startHttpsServer, type HttpsServer } from "../support/https-server";
import { selfSigned } from "../support/self-signed";

const NAME = "registry.provider.test";

/** What the agent says. */
const said = (more: Values = {}): Values => ({
    active: "first",
    epoch: 4,
    since: "2026-05-02T03:04:05Z",
    by: "new",
    reason: "",
    ...more,
});

const failedOver = said({ active: "second", epoch: 5, by: "agent", reason: "first did not answer 3 times" });

const question = [
    "second is active, and the stack file wants first: the failover agent made it active at 2026-05-02T03:04:05Z (first did not answer 3 times).",
    "Say in the stack file which of them is to be active; no node is touched before:",
    "    topology.active: second    second stays active",
    "    topology.epoch: 5          first becomes active again, by a planned switchover",
].join("\n");

describe("provider active node", function () {
    this.timeout(60_000);
    const identity = selfSigned([`DNS:${NAME}`]);
    let server: HttpsServer;
    let answer: { readonly status: number; readonly body: string };
    const requests: { readonly path: string; readonly authorization: string | undefined }[] = [];

    before(async () => {
        server = await startHttpsServer(identity, ({ url = "", headers }, response) => {
            requests.push({ path: url, authorization: headers.authorization });
            response.writeHead(answer.status).end(answer.body);
        });
    });
    after(() => server.close());

    /** With the load balancer that answers so; undefined for one that does not. */
    function balancer(given: Values | number | undefined): Harbor {
        answer =
            typeof given === "number"
                ? { status: given, body: "<html></html>" }
                : { status: 200, body: JSON.stringify(given ?? {}) };
        const connection = {
            url: `https://${NAME}`,
            address: `127.0.0.1:${String(given === undefined ? 1 : server.port)}`,
            caCertificate: identity.cert,
            username: "admin",
            password: "Secret12345",
        };
        return new Harbor(connection, connect(connection), new AbortController().signal);
    }

    async function examine(given: Values | number | undefined, state: Values, inputs: Values): Promise<string[]> {
        const warnings: string[] = [];
        await activeNode.examine?.(balancer(given), state, inputs, (text) => warnings.push(text));
        return warnings;
    }

    const first = { node: "first" };
    const second = { node: "second" };

    const accepted: Readonly<Record<string, readonly [said: Values, state: Values, inputs: Values]>> = {
        "they agree": [said(), { ...first, seenEpoch: 4 }, first],
        "they agree again, at another epoch": [said({ epoch: 9 }), { ...first, seenEpoch: 4 }, first],
        "the stack file adopts it": [failedOver, { ...first, seenEpoch: 4 }, second],
        "another one is wanted now": [said(), { ...first, seenEpoch: 4 }, second],
        "the stack file has its epoch": [failedOver, { ...first, seenEpoch: 4 }, { ...first, epoch: 5 }],
        "an `up` did not come to change it": [said(), { ...second, seenEpoch: 4 }, second],
        "it is changed back before an `up` came to it": [said(), { ...second, seenEpoch: 4 }, first],
    };
    for (const [what, [given, state, inputs]] of Object.entries(accepted)) {
        it(`lets pass that ${what}`, async () => {
            assert.deepEqual(await examine(given, state, inputs), []);
        });
    }

    const refused: Readonly<Record<string, readonly [said: Values, state: Values, inputs: Values]>> = {
        "it knows nothing of": [failedOver, { ...first, seenEpoch: 4 }, first],
        "where nothing was seen before": [failedOver, first, first],
        "although an epoch answered one before": [
            failedOver,
            { ...first, epoch: 3, seenEpoch: 3 },
            { ...first, epoch: 3 },
        ],
    };
    for (const [what, [given, state, inputs]] of Object.entries(refused)) {
        it(`asks about a failover ${what}`, async () => {
            await assert.rejects(examine(given, state, inputs), { message: question });
        });
    }

    it("asks the same when it is made, or another one is wanted", async () => {
        await assert.rejects(activeNode.create(balancer(failedOver), first), { message: question });
        const state = { node: "third", seenEpoch: 4 };
        await assert.rejects(activeNode.update(balancer(failedOver), "active", state, first), { message: question });
    });

    it("says who made it active, and when", async () => {
        const asked = (more: Values) =>
            examine(said({ active: "second", epoch: 5, ...more }), { ...first, seenEpoch: 4 }, first);
        await assert.rejects(asked({ by: "operator" }), /: an operator made it active at 2026-05-02T03:04:05Z\.\n/);
        await assert.rejects(
            asked({ by: "up", since: 1777777777 }),
            /: an `up` made it active at 2026-05-03T03:09:37Z\.\n/,
        );
        await assert.rejects(asked({}), /: it has been active since 2026-05-02T03:04:05Z\.\n/);
    });

    it("asks the load balancer by the public name, and gives it no password", async () => {
        requests.splice(0);
        await examine(said(), first, first);
        assert.deepEqual(requests, [{ path: "/harborage/active", authorization: undefined }]);
    });

    it("warns where nobody can say it", async () => {
        const state = { ...first, seenEpoch: 4 };
        const nobody = await examine(undefined, state, first);
        assert.equal(nobody.length, 1);
        assert.match(
            nobody[0] ?? "",
            /^nobody knows which node is active now: gave up on https:\/\/registry\.provider/,
        );
        assert.match(
            (await examine(403, state, first))[0] ?? "",
            /answered 403; is this machine in loadBalancer.adminCidrs\?$/,
        );
        assert.match((await examine({}, state, first))[0] ?? "", /the load balancer does not say it/);
    });

    it("takes the agent's epoch down when another node is wanted", async () => {
        assert.deepEqual(await activeNode.create(balancer(said()), first), {
            id: "active",
            outputs: { seenEpoch: 4 },
        });
        // Before the first `up` there is no load balancer.
        assert.deepEqual(await activeNode.create(balancer(undefined), first), { id: "active", outputs: {} });
        const state = { ...first, seenEpoch: 4 };
        assert.deepEqual(await activeNode.update(balancer(failedOver), "active", state, second), { seenEpoch: 5 });
        assert.deepEqual(await activeNode.update(balancer(undefined), "active", state, second), { seenEpoch: 4 });
    });

    it("has no drift", async () => {
        const state = { ...first, seenEpoch: 4 };
        assert.deepEqual(await activeNode.read(balancer(failedOver), "active", state), state);
    });
});
