import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import type { OutputValues } from "../../config/outputs";
import { ask, layoutDigest, loginStatus, machineAddress, Skopeo, type Access, type Login } from "../support/client";
import { containerName, docker, lifeOf } from "../support/docker";
import { makeImage, type Image } from "../support/image";
import { TestStack } from "../support/launcher";
import { attempt, run, start, until } from "../support/processes";
import { addHost, addSystemFile } from "../support/system";

const mebibyte = 1024 * 1024;

/** Bytes below a folder, as the disk counts them. */
async function diskUsage(folder: string): Promise<number> {
    return Number((await run("du", ["--summarize", "--block-size=1", folder])).split("\t")[0]);
}

describe("a registry on this machine, from one up", function () {
    this.timeout("5m");

    let stack: TestStack;
    let outputs: OutputValues;
    let image: Image;
    let access: Access;
    let admin: Login;
    let skopeo: Skopeo;
    let collector: string;
    let data: string;
    const undo: (() => unknown)[] = [];

    const reference = (repository: string) => `${outputs.registryHost}/${repository}`;
    const folder = (name: string) => join(stack.folder, name);
    const certificates = (name: string, ca: string) => {
        mkdirSync(folder(name), { recursive: true });
        writeFileSync(join(folder(name), "ca.crt"), ca);
        return folder(name);
    };
    const collect = () => start("docker", ["exec", collector, "/etc/harborage/current/registry/collect.sh", "now"]);
    const gate = () => readdirSync(join(stack.machineDirectory, "gate"));
    const openUpload = (repository: string) =>
        ask({ ...access, login: admin }, "POST", `/v2/${repository}/blobs/uploads/`);

    before(async function () {
        stack = await TestStack.make("registry");
        undo.push(() => stack.cleanUp());
        stack.write({
            registry: {
                engine: "distribution",
                port: stack.registryPort,
                // The tests collect when they say so, at whatever hour they run.
                garbageCollection: { enabled: false },
            },
        });
        [image] = await Promise.all([makeImage(folder("image"), [60, 40, 20]), stack.up()]);
        outputs = await stack.outputs();
        assert.equal(typeof outputs.caCertificate, "string", "the outputs hold no CA");
        const name = `${stack.name}.example`;
        undo.push(addHost(name, machineAddress()));
        access = { name, port: stack.httpsPort, ca: outputs.caCertificate };
        admin = { name: outputs.adminUsername, password: outputs.adminPassword };
        skopeo = new Skopeo(folder("skopeo"), certificates("ca", outputs.caCertificate));
        collector = containerName(stack.name, "registry", "collector");
        data = join(stack.machineDirectory, "data/registry");
        // Whether that works is for the tests to say.
        await skopeo.login(outputs.registryHost, admin);
    });

    after(async () => {
        for (const step of undo.reverse()) {
            await step();
        }
    });

    it("says where it is", () => {
        assert.equal(outputs.registryHost, `${stack.name}.example:${stack.httpsPort}`);
        assert.equal(outputs.registryUrl, `https://${outputs.registryHost}`);
        assert.equal(admin.name, "admin");
        assert.match(admin.password, /^[A-Za-z0-9]{32}$/);
        const auth = Buffer.from(`${admin.name}:${admin.password}`).toString("base64");
        assert.deepEqual(JSON.parse(outputs.pullSecret), {
            auths: { [outputs.registryHost]: { username: admin.name, password: admin.password, auth } },
        });
    });

    describe("trust and login", () => {
        it("is trusted through the CA in the outputs, by its name and by the machine's address", async () => {
            for (const [index, host] of [access.name, machineAddress()].entries()) {
                const client = new Skopeo(folder(`trust-${index}`), folder("ca"));
                const ran = await client.login(`${host}:${stack.httpsPort}`, admin);
                assert.equal(ran.code, 0, ran.output);
            }
        });

        it("is not trusted without the CA", async () => {
            const ran = await new Skopeo(folder("trust-none")).login(outputs.registryHost, admin);
            assert.notEqual(ran.code, 0);
            assert.match(ran.output, /certificate signed by unknown authority/);
        });

        it("is not trusted with another CA", async () => {
            const key = [
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                folder("other.key"),
            ];
            const name = ["-subj", "/CN=another CA", "-days", "2"];
            const other = await run("openssl", ["req", "-x509", ...key, ...name]);
            const client = new Skopeo(folder("trust-other"), certificates("other-ca", other));
            const ran = await client.login(outputs.registryHost, admin);
            assert.notEqual(ran.code, 0);
            assert.match(ran.output, /certificate signed by unknown authority/);
        });

        it("lets Docker in with the file that clientTrust names, by name and by address", async () => {
            const trust = outputs.clientTrust.find(({ client }) => client === "docker");
            assert.ok(trust);
            assert.equal(trust.path, `/etc/docker/certs.d/${outputs.registryHost}/ca.crt`);
            const config = ["--config", folder("docker-config")];
            for (const host of [outputs.registryHost, `${machineAddress()}:${stack.httpsPort}`]) {
                const login = (password: string) =>
                    attempt("docker", [...config, "login", "--username", admin.name, "--password-stdin", host], {
                        input: password,
                    });
                const early = await login(admin.password);
                assert.notEqual(early.code, 0, "Docker does not check certificates here");
                assert.match(early.output, /unknown authority/);
                undo.push(addSystemFile(trust.path.replace(outputs.registryHost, host), trust.content));
                const wrong = await login("wrong");
                assert.notEqual(wrong.code, 0);
                assert.match(wrong.output, /401|unauthorized/i);
                const right = await login(admin.password);
                assert.equal(right.code, 0, right.output);
            }
        });

        it("refuses a wrong password, a wrong user and no user", async () => {
            assert.equal(await loginStatus(access, admin), 200);
            assert.equal(await loginStatus(access, { ...admin, password: "wrong" }), 401);
            assert.equal(await loginStatus(access, { ...admin, password: "" }), 401);
            assert.equal(await loginStatus(access, { ...admin, name: "nobody" }), 401);
            const anonymous = await ask(access, "GET", "/v2/");
            assert.equal(anonymous.status, 401);
            assert.match(anonymous.headers["www-authenticate"] ?? "", /^Basic realm=/);
            const ran = await new Skopeo(folder("wrong"), folder("ca")).login(outputs.registryHost, {
                ...admin,
                password: "wrong",
            });
            assert.notEqual(ran.code, 0);
        });

        it("leads from http to https", async () => {
            const url = `http://${access.name}:${stack.httpPort}/v2/`;
            const response = await fetch(url, { redirect: "manual" });
            assert.equal(response.status, 301);
            assert.equal(response.headers.get("location"), `${outputs.registryUrl}/v2/`);
        });
    });

    describe("images", () => {
        it("takes an image of more than 100 MB and gives it back with the same digest", async () => {
            assert.ok(image.bytes > 100_000_000);
            assert.equal(image.layers.length, 3);
            const pushed = await skopeo.push(image.folder, reference("big:one"));
            assert.equal(pushed.code, 0, pushed.output);
            assert.equal(await skopeo.digest(reference("big:one")), image.digest);
            const pulled = await skopeo.pull(reference("big:one"), folder("pulled"));
            assert.equal(pulled.code, 0, pulled.output);
            assert.equal(layoutDigest(folder("pulled")), image.digest);
            assert.deepEqual(
                readdirSync(folder("pulled/blobs/sha256")),
                readdirSync(join(image.folder, "blobs/sha256")),
            );
        });

        it("gives Docker the same digest", async () => {
            const name = `${reference("big")}@${image.digest}`;
            undo.push(() => attempt("docker", ["image", "rm", name]));
            await docker("--config", folder("docker-config"), "pull", "--quiet", name);
            const digests = await docker("image", "inspect", "--format", "{{json .RepoDigests}}", name);
            assert.deepEqual(JSON.parse(digests), [name]);
        });

        it("refuses pushes and pulls without a login", async () => {
            const stranger = new Skopeo(folder("stranger"), folder("ca"));
            for (const ran of [
                await stranger.push(image.folder, reference("stranger:one")),
                await stranger.push(image.folder, reference("big:one")),
                await stranger.pull(reference("big:one"), folder("stolen")),
                await stranger.delete(reference("big:one")),
            ]) {
                assert.notEqual(ran.code, 0);
                assert.match(ran.output, /unauthorized|authentication required/);
            }
            const blob = `/v2/big/blobs/${image.layers[0]?.digest ?? ""}`;
            assert.equal((await ask(access, "GET", blob)).status, 401);
            assert.equal(await skopeo.digest(reference("big:one")), image.digest);
        });
    });

    describe("garbage collection", () => {
        let small: Image;

        before(async () => {
            small = await makeImage(folder("small"), [2]);
            const ran = await skopeo.push(small.folder, reference("small:one"));
            assert.equal(ran.code, 0, ran.output);
        });

        it("deletes a tag, frees its bytes, and lets pulls go on while it refuses pushes", async () => {
            const full = await diskUsage(data);
            const deleted = await skopeo.delete(reference("big:one"));
            assert.equal(deleted.code, 0, deleted.output);
            const tags = await ask({ ...access, login: admin }, "GET", "/v2/big/tags/list");
            assert.doesNotMatch(tags.body, /one/);
            assert.ok((await diskUsage(data)) > full - mebibyte, "bytes went before the collection");

            const running = collect();
            await until("new uploads are refused", 60, () => gate().includes("uploads-closed"));
            const refused = await openUpload("late");
            assert.equal(refused.status, 503);
            assert.equal(refused.headers["retry-after"], "60");
            assert.match(refused.body, /"code":"UNAVAILABLE"/);
            await until("every write is refused", 60, () => gate().includes("writes-closed"));
            const manifest = await ask({ ...access, login: admin }, "PUT", "/v2/small/manifests/two", {
                headers: { "Content-Type": small.manifestType },
                body: small.manifest,
            });
            assert.equal(manifest.status, 503);
            assert.equal(manifest.headers["retry-after"], "60");
            const gone = await ask({ ...access, login: admin }, "DELETE", `/v2/small/manifests/${small.digest}`);
            assert.equal(gone.status, 503);
            // Not by skopeo, which may take longer than the collection.
            for (const part of [`manifests/${small.digest}`, `blobs/${small.layers[0]?.digest ?? ""}`]) {
                assert.equal((await ask({ ...access, login: admin }, "GET", `/v2/small/${part}`)).status, 200, part);
            }
            assert.ok(gate().includes("writes-closed"), "the pull did not run while the gate was closed");

            const collected = await running.done;
            assert.equal(collected.code, 0, collected.output);
            assert.match(collected.output, /eligible for deletion/);
            assert.deepEqual(gate(), []);
            const left = await diskUsage(data);
            assert.ok(left < full - 120 * mebibyte, `${full} bytes before, ${left} after`);
            assert.equal((await openUpload("late")).status, 202);
            const pulled = await skopeo.pull(reference("small:one"), folder("small-after-collection"));
            assert.equal(pulled.code, 0, pulled.output);
            assert.equal(layoutDigest(folder("small-after-collection")), small.digest);
        });

        it("takes the same image again, whole", async () => {
            const pushed = await skopeo.push(image.folder, reference("big:one"));
            assert.equal(pushed.code, 0, pushed.output);
            assert.ok((await diskUsage(data)) > image.bytes, "the registry did not store it again");
            const pulled = await skopeo.pull(reference("big:one"), folder("pulled-again"));
            assert.equal(pulled.code, 0, pulled.output);
            assert.equal(layoutDigest(folder("pulled-again")), image.digest);
            assert.deepEqual(
                readdirSync(folder("pulled-again/blobs/sha256")),
                readdirSync(join(image.folder, "blobs/sha256")),
            );
        });

        it("waits for an upload that is running", async () => {
            const login = { ...access, login: admin };
            const opened = await ask(login, "POST", "/v2/slow/blobs/uploads/");
            const place = new URL(opened.headers.location ?? "", outputs.registryUrl);
            const size = 8 * mebibyte;
            const upload = start(
                "curl",
                [
                    ...["--silent", "--show-error", "--fail", "--cacert", join(folder("ca"), "ca.crt")],
                    ...["--user", `${admin.name}:${admin.password}`, "--limit-rate", "1M", "--request", "PATCH"],
                    ...["--header", "Content-Type: application/octet-stream", "--header", "Expect:"],
                    ...[
                        "--data-binary",
                        "@-",
                        "--write-out",
                        "%{http_code}",
                        `${place.origin}${place.pathname}${place.search}`,
                    ],
                ],
                { input: "x".repeat(size) },
            );
            const running = collect();
            await until("new uploads are refused", 60, () => gate().includes("uploads-closed"));
            let closedEarly = false;
            const watch = setInterval(() => (closedEarly ||= gate().includes("writes-closed")), 100);
            const sent = await upload.done;
            clearInterval(watch);
            assert.equal(sent.stdout, "202", sent.output);
            assert.equal(closedEarly, false, "writes were refused while an upload was running");
            const collected = await running.done;
            assert.equal(collected.code, 0, collected.output);
        });

        it("leaves the gate open when the collector is killed in the middle", async () => {
            const running = collect();
            await until("every write is refused", 60, () => gate().includes("writes-closed"));
            const before = await lifeOf(collector);
            // Docker does not restart what `docker kill` ends.
            process.kill(before.pid, "SIGKILL");
            await running.done;
            await until("the gate is open again", 60, () => gate().length === 0);
            const again = await until("the collector runs again", 60, async () => {
                const life = await lifeOf(collector);
                return life.pid > 0 && life.pid !== before.pid && life;
            });
            assert.equal(again.id, before.id);
            assert.equal((await openUpload("after-kill")).status, 202);
            // What runs in the container that was started again can do its work.
            const collected = await collect().done;
            assert.equal(collected.code, 0, collected.output);
        });
    });
});
