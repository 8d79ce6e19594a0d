import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import { Load, LoadClient, newContent } from "../support/load";
import { RegistryServer } from "../support/registry-server";
import { run } from "../support/processes";

const mebibyte = 1024 * 1024;

/** What tests of clusters rely on: nothing that fails may go unseen. */
for (const tokens of [false, true]) {
    describe(`the load of a registry with ${tokens ? "tokens" : "a password"}`, function () {
        this.timeout("2m");

        let server: RegistryServer;
        const folder = mkdtempSync(join(tmpdir(), "harborage-load-"));

        before(async () => {
            server = await RegistryServer.start(folder, tokens);
        });
        afterEach(() => {
            server.fault = () => undefined;
        });
        after(async () => {
            await server.close();
            rmSync(folder, { recursive: true });
        });

        it("is as many pushes and pulls as it should be, in every way, and nothing fails at a registry that is well", async () => {
            const paths: string[] = [];
            // With tokens it takes the password nowhere else.
            const calls = tokens ? [] : ["/v2/"];
            server.fault = ({ method = "", url = "" }) => {
                paths.push(`${method} ${url}`);
                return undefined;
            };
            const load = Load.start({ access: server.access, pushes: 16, pulls: 16, calls });
            await load.done;
            assert.deepEqual(load.complaints(), []);
            assert.equal(load.count("push").acknowledged, 16);
            assert.equal(load.count("pull").acknowledged, 16);
            assert.equal(load.count("call").acknowledged > 0, calls.length > 0);
            assert.deepEqual([...new Set(load.operations.flatMap(({ way }) => way ?? []))].sort(), [
                "chunks",
                "mount",
                "stream",
                "whole",
            ]);
            const count = (pattern: RegExp) => paths.filter((path) => pattern.test(path)).length;
            assert.ok(count(/^POST .*\?mount=sha256:\w+&from=/) > 0);
            assert.ok(count(/^PATCH /) > count(/^PUT .*\/uploads\//) / 2);
            assert.equal(count(/^GET \/service\/token\?.*push/), tokens ? 16 : 0);
            const sent = load.operations.reduce((sum, { requests }) => sum + requests, 0);
            // One that has no login, for the challenge.
            assert.equal(sent, paths.length - 1);
            assert.deepEqual(await load.verify(), []);
        });

        it("sends a layer in chunks", async () => {
            const client = new LoadClient(server.access);
            const layer = { content: newContent(10 * mebibyte), way: "chunks", chunk: 3 * mebibyte } as const;
            const { failure, image, requests } = await client.operation("push", (session) =>
                session.push("load/big", "one", [layer]),
            );
            client.close();
            assert.equal(failure, undefined);
            assert.equal(image?.blobs[1]?.size, 10 * mebibyte);
            // HEAD, POST, 4 × PATCH, PUT; HEAD, POST, PUT for the config; the manifest; maybe a token.
            assert.equal(requests, 11 + Number(tokens));
        });

        it("counts what is refused or cut off once, without asking again", async () => {
            for (const [fault, reason] of [
                [503, /^status 503: as told$/],
                ["cut", /^ECONNRESET$|^socket hang up$/],
            ] as const) {
                let met = 0;
                server.fault = ({ method = "", url = "" }) => {
                    const isFirst = method === "PUT" && url.includes("/manifests/") && met === 0;
                    met += isFirst ? 1 : 0;
                    return isFirst ? fault : undefined;
                };
                const load = Load.start({ access: server.access, pushes: 8, pulls: 0 });
                await load.done;
                assert.equal(load.count("push").failed, 1);
                assert.equal(load.acknowledged().length, 7);
                const failure = load.failures()[0]?.failure;
                assert.match(failure?.reason ?? "", reason);
                assert.match(failure?.request ?? "", /^PUT \/v2\/load\/app-\d\/manifests\//);
                assert.equal(failure?.status, fault === "cut" ? undefined : fault);
                assert.equal(load.complaints().length, 1);
                assert.deepEqual(await load.verify(), []);
            }
        });

        it("goes on while the registry is away, and says what is lost", async () => {
            const load = Load.start({ access: server.access });
            await load.more(10, "push");
            await server.kill();
            await load.more(20);
            await server.boot();
            await load.more(10, "push");
            await load.stop();
            assert.ok(load.failures().length >= 16, load.summary());
            assert.ok(load.acknowledged().length >= 15, load.summary());
            assert.deepEqual(await load.verify(), []);

            const [image] = load.acknowledged();
            const hex = image?.blobs[1]?.digest.slice(7) ?? "";
            const blob = join(server.data, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data");
            writeFileSync(blob, newContent(image?.blobs[1]?.size ?? 0));
            const wrong = await load.verify();
            assert.ok(wrong.length > 0);
            assert.match(wrong[0] ?? "", new RegExp(`${hex}: .*; expected`));
            await run("rm", [blob]);
            assert.match((await load.verify())[0] ?? "", new RegExp(`${hex}: status 404`));
        });
    });
}
