import assert from "node:assert/strict";
import { json } from "node:stream/consumers";
import { after, before, describe, it } from "mocha";
import { adminPassword } from "../../provider/admin-password";
import { connect, Harbor } from "../../provider/client";
import { startHttpsServer, type HttpsServer } from "../support/https-server";
import { selfSigned } from "../support/self-signed";

const NAME = "registry.provider.test";
const [OLD, NEW] = ["Old-Password-1", "New-Password-1"] as const;

describe("provider admin password", function () {
    this.timeout(60_000);
    const identity = selfSigned([`DNS:${NAME}`]);
    let server: HttpsServer;
    let password: string;
    /** Whether what is between has had enough before Harbor answers, and whether Harbor goes on all the same. */
    let impatient: { readonly goesOn: boolean } | undefined;

    before(async () => {
        server = await startHttpsServer(identity, (request, response) => {
            const given = `Basic ${Buffer.from(`admin:${password}`).toString("base64")}`;
            if (request.headers.authorization !== given) {
                response.writeHead(401).end();
                return;
            }
            if (request.method === "GET") {
                response.end(JSON.stringify({ user_id: 1 }));
                return;
            }
            void json(request).then((body) => {
                const { new_password: wanted } = body as { new_password: string };
                if (impatient?.goesOn !== false) {
                    password = wanted;
                }
                response.writeHead(impatient === undefined ? 200 : 504).end();
            });
        });
    });
    after(() => server.close());

    const create = (how?: { readonly goesOn: boolean }) => {
        password = OLD;
        impatient = how;
        const connection = {
            url: `https://${NAME}`,
            address: `127.0.0.1:${String(server.port)}`,
            caCertificate: identity.cert,
            username: "admin",
            password: NEW,
        };
        const harbor = new Harbor(connection, connect(connection), new AbortController().signal, 5_000);
        return adminPassword.create(harbor, { password: NEW, initialPassword: OLD });
    };

    it("is set", async () => {
        await create();
        assert.equal(password, NEW);
    });

    it("is set where the answer to that was lost", async () => {
        await create({ goesOn: true });
        assert.equal(password, NEW);
    });

    it("is not set where Harbor does not do it", async () => {
        await assert.rejects(create({ goesOn: false }), /the last answer was 504/);
        assert.equal(password, OLD);
    });
});
