import { strict as assert } from "node:assert";
import { createHash, createPrivateKey, createPublicKey } from "node:crypto";
import { describe, it } from "mocha";
import { isSecret, plainValues, UNKNOWN, type Values } from "../../toolchain/plugins/lib/values";
import { KEY, P256, run, text, TlsPlugin } from "./plugins-tls-setup";

describe("plugin tls: PrivateKey", function () {
    this.timeout(60_000);
    const tls = new TlsPlugin();

    for (const [inputs, header, ssh] of [
        [{ algorithm: "RSA" }, "RSA PRIVATE KEY", "ssh-rsa"],
        [{ algorithm: "RSA", rsaBits: 3072 }, "RSA PRIVATE KEY", "ssh-rsa"],
        [{ algorithm: "ECDSA", ecdsaCurve: "P256" }, "EC PRIVATE KEY", "ecdsa-sha2-nistp256"],
        [{ algorithm: "ECDSA", ecdsaCurve: "P384" }, "EC PRIVATE KEY", "ecdsa-sha2-nistp384"],
        [{ algorithm: "ECDSA", ecdsaCurve: "P521" }, "EC PRIVATE KEY", "ecdsa-sha2-nistp521"],
        [{ algorithm: "ECDSA" }, "EC PRIVATE KEY", ""],
        [{ algorithm: "ED25519" }, "PRIVATE KEY", "ssh-ed25519"],
    ] as const) {
        it(`makes ${JSON.stringify(inputs)} in all formats`, async () => {
            const created = await tls.create(KEY, inputs);
            assert.ok(text(created, "privateKeyPem").startsWith(`-----BEGIN ${header}-----\n`));
            assert.ok(text(created, "privateKeyPemPkcs8").startsWith("-----BEGIN PRIVATE KEY-----\n"));
            const der = { type: "spki", format: "der" } as const;
            const publicKey = createPublicKey(text(created, "publicKeyPem")).export(der);
            for (const name of ["privateKeyPem", "privateKeyPemPkcs8"]) {
                const key = createPublicKey(createPrivateKey(text(created, name)));
                assert.deepEqual(key.export(der), publicKey, name);
            }
            assert.match(created.id, /^[0-9a-f]{40}$/);
            assert.equal(text(created, "id"), created.id);
            assert.equal(text(created, "publicKeyOpenssh").split(" ")[0], ssh);
            if (ssh !== "") {
                const key = tls.file("id", text(created, "privateKeyOpenssh"));
                assert.equal(run("ssh-keygen", "-y", "-f", key).trim(), text(created, "publicKeyOpenssh").trim());
                const line = tls.file("id.pub", text(created, "publicKeyOpenssh"));
                const fingerprint = (hash: string): string | undefined =>
                    run("ssh-keygen", "-l", "-E", hash, "-f", line).split(" ")[1];
                assert.equal(fingerprint("sha256"), text(created, "publicKeyFingerprintSha256"));
                assert.equal(fingerprint("md5"), `MD5:${text(created, "publicKeyFingerprintMd5")}`);
            } else {
                for (const name of ["privateKeyOpenssh", "publicKeyOpenssh", "publicKeyFingerprintSha256"]) {
                    assert.equal(text(created, name), "", name);
                }
            }
        });
    }

    it("has the SHA-1 of the public key as its id, and the length asked for", async () => {
        const created = await tls.create(KEY, { algorithm: "RSA", rsaBits: 3072 });
        const key = createPublicKey(text(created, "publicKeyPem"));
        assert.equal(key.asymmetricKeyDetails?.modulusLength, 3072);
        assert.equal(
            created.id,
            createHash("sha1")
                .update(key.export({ type: "spki", format: "der" }))
                .digest("hex"),
        );
    });

    it("keeps the private formats secret, and nothing else", async () => {
        const { properties } = await tls.create(KEY, P256);
        const secrets = Object.keys(properties).filter((name) => !name.startsWith("__") && isSecret(properties[name]));
        assert.deepEqual(secrets.sort(), ["privateKeyOpenssh", "privateKeyPem", "privateKeyPemPkcs8"]);
    });

    it("has its defaults in the state: 2048 bits, P224", async () => {
        const { properties } = await tls.create(KEY, { algorithm: "ED25519" });
        assert.deepEqual([properties["rsaBits"], properties["ecdsaCurve"]], [2048, "P224"]);
    });

    for (const inputs of [{}, { algorithm: "DSA" }, { algorithm: "ECDSA", ecdsaCurve: "P1" }]) {
        it(`refuses ${JSON.stringify(inputs)}`, async () => {
            assert.equal((await tls.plugin.check(tls.plugin.urn(KEY), inputs as Values)).failuresList.length, 1);
        });
    }

    it("knows in a preview what is given, and nothing else", async () => {
        const { properties } = await tls.plugin.create(tls.plugin.urn(KEY), P256, { preview: true });
        assert.equal(properties["ecdsaCurve"], "P256");
        assert.equal(properties["rsaBits"], 2048);
        for (const name of ["id", "privateKeyPem", "privateKeyPemPkcs8", "publicKeyPem", "publicKeyOpenssh"]) {
            assert.equal(properties[name], UNKNOWN, name);
        }
    });

    it("is replaced by another algorithm, curve or length, and stays otherwise", async () => {
        const key = await tls.create(KEY, P256);
        assert.equal((await tls.diff(KEY, key, P256, {})).changes, "none");
        assert.equal((await tls.diff(KEY, key, P256, { rsaBits: 2048 })).changes, "none");
        assert.deepEqual((await tls.diff(KEY, key, P256, { ecdsaCurve: "P384" })).replaces, ["ecdsaCurve"]);
        assert.deepEqual((await tls.diff(KEY, key, P256, { rsaBits: 4096 })).replaces, ["rsaBits"]);
        assert.deepEqual((await tls.diff(KEY, key, P256, { algorithm: UNKNOWN })).replaces, ["algorithm"]);
        const other = await tls.diff(KEY, key, P256, { algorithm: "ED25519" });
        assert.deepEqual(other.replaces, ["algorithm"]);
        assert.ok(other.diffs.includes("privateKeyPem"));
    });

    it("a delete does nothing", async () => {
        const key = await tls.create(KEY, P256);
        await tls.plugin.delete(tls.plugin.urn(KEY), key.id, plainValues(key.properties), P256);
    });
});
