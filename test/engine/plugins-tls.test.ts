import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { createHash, createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "mocha";
import { isSecret, plain, plainValues, secret, UNKNOWN, type Values } from "../../toolchain/plugins/lib/values";
import { PluginProcess, type Created, type Diffed } from "./plugins-harness";

const KEY = "tls:index/privateKey:PrivateKey";
const SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert";
const REQUEST = "tls:index/certRequest:CertRequest";
const SIGNED = "tls:index/locallySignedCert:LocallySignedCert";

const HOUR = 3_600_000;
const P256: Values = { algorithm: "ECDSA", ecdsaCurve: "P256" };

describe("plugin tls", function () {
    this.timeout(30_000);
    let plugin: PluginProcess;
    let directory: string;

    before(async () => {
        directory = mkdtempSync(path.join(tmpdir(), "plugin-tls-"));
        plugin = await PluginProcess.start("tls");
    });
    after(async () => {
        await plugin.stop();
        rmSync(directory, { recursive: true });
    });

    const create = (type: string, inputs: Values): Promise<Created> => plugin.create(plugin.urn(type), inputs);
    const text = (created: Created, name: string): string => String(plain(created.properties[name] ?? null));
    const file = (name: string, content: string): string => {
        const target = path.join(directory, name);
        writeFileSync(target, content, { mode: 0o600 });
        return target;
    };
    const run = (command: string, ...args: string[]): string =>
        execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

    /** The difference that new inputs make to a created resource, whose state may be another than it was. */
    const diff = (type: string, was: Created, olds: Values, news: Values, state: Values = {}): Promise<Diffed> =>
        plugin.diff(plugin.urn(type), was.id, { ...plainValues(was.properties), ...state }, olds, { ...olds, ...news });

    describe("PrivateKey", () => {
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
                const created = await create(KEY, inputs);
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
                    const key = file("id", text(created, "privateKeyOpenssh"));
                    assert.equal(run("ssh-keygen", "-y", "-f", key).trim(), text(created, "publicKeyOpenssh").trim());
                    const line = file("id.pub", text(created, "publicKeyOpenssh"));
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
            const created = await create(KEY, { algorithm: "RSA", rsaBits: 3072 });
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
            const { properties } = await create(KEY, P256);
            const secrets = Object.keys(properties).filter(
                (name) => !name.startsWith("__") && isSecret(properties[name]),
            );
            assert.deepEqual(secrets.sort(), ["privateKeyOpenssh", "privateKeyPem", "privateKeyPemPkcs8"]);
        });

        it("has its defaults in the state: 2048 bits, P224", async () => {
            const { properties } = await create(KEY, { algorithm: "ED25519" });
            assert.deepEqual([properties["rsaBits"], properties["ecdsaCurve"]], [2048, "P224"]);
        });

        for (const inputs of [{}, { algorithm: "DSA" }, { algorithm: "ECDSA", ecdsaCurve: "P1" }]) {
            it(`refuses ${JSON.stringify(inputs)}`, async () => {
                assert.equal((await plugin.check(plugin.urn(KEY), inputs as Values)).failuresList.length, 1);
            });
        }

        it("knows in a preview what is given, and nothing else", async () => {
            const { properties } = await plugin.create(plugin.urn(KEY), P256, { preview: true });
            assert.equal(properties["ecdsaCurve"], "P256");
            assert.equal(properties["rsaBits"], 2048);
            for (const name of ["id", "privateKeyPem", "privateKeyPemPkcs8", "publicKeyPem", "publicKeyOpenssh"]) {
                assert.equal(properties[name], UNKNOWN, name);
            }
        });

        it("is replaced by another algorithm, curve or length, and stays otherwise", async () => {
            const key = await create(KEY, P256);
            assert.equal((await diff(KEY, key, P256, {})).changes, "none");
            assert.equal((await diff(KEY, key, P256, { rsaBits: 2048 })).changes, "none");
            assert.deepEqual((await diff(KEY, key, P256, { ecdsaCurve: "P384" })).replaces, ["ecdsaCurve"]);
            assert.deepEqual((await diff(KEY, key, P256, { rsaBits: 4096 })).replaces, ["rsaBits"]);
            assert.deepEqual((await diff(KEY, key, P256, { algorithm: UNKNOWN })).replaces, ["algorithm"]);
            const other = await diff(KEY, key, P256, { algorithm: "ED25519" });
            assert.deepEqual(other.replaces, ["algorithm"]);
            assert.ok(other.diffs.includes("privateKeyPem"));
        });
    });

    describe("certificates", () => {
        let keyPem: string;
        let leafKeyPem: string;
        let caInputs: Values;
        let ca: Created;
        let requestInputs: Values;
        let request: Created;
        let leafInputs: Values;
        let leaf: Created;

        before(async () => {
            keyPem = text(await create(KEY, P256), "privateKeyPem");
            leafKeyPem = text(await create(KEY, P256), "privateKeyPem");
            caInputs = {
                privateKeyPem: keyPem,
                isCaCertificate: true,
                setSubjectKeyId: true,
                setAuthorityKeyId: true,
                allowedUses: ["cert_signing", "crl_signing", "digital_signature"],
                subject: { commonName: "Harborage CA", organization: "Harborage & Söhne" },
                validityPeriodHours: 87_600,
                earlyRenewalHours: 720,
            };
            ca = await create(SELF_SIGNED, caInputs);
            requestInputs = {
                privateKeyPem: leafKeyPem,
                subject: { commonName: "registry.test" },
                dnsNames: ["registry.test", "localhost"],
                ipAddresses: ["10.1.2.3", "fd00::1"],
                uris: ["spiffe://harborage/registry"],
            };
            request = await create(REQUEST, requestInputs);
            leafInputs = {
                caPrivateKeyPem: keyPem,
                caCertPem: text(ca, "certPem"),
                certRequestPem: text(request, "certRequestPem"),
                allowedUses: ["digital_signature", "key_encipherment", "server_auth"],
                validityPeriodHours: 8_760,
                earlyRenewalHours: 720,
                setSubjectKeyId: true,
            };
            leaf = await create(SIGNED, leafInputs);
        });

        /** OpenSSL's own words for a certificate, one line each, without what is random. */
        const described = (certificate: string): string[] =>
            run("openssl", "x509", "-in", file("described.pem", certificate), "-noout", "-text")
                .split("\n")
                .map((line) => line.trim());
        const valueOf = (lines: readonly string[], name: string): string | undefined =>
            lines[lines.findIndex((line) => line.startsWith(name)) + 1];

        it("SelfSignedCert makes a CA", () => {
            const certificate = new X509Certificate(text(ca, "certPem"));
            assert.ok(certificate.ca);
            assert.equal(certificate.subject, "O=Harborage & Söhne\nCN=Harborage CA");
            assert.equal(certificate.issuer, certificate.subject);
            assert.ok(certificate.verify(certificate.publicKey));
            assert.ok(certificate.checkPrivateKey(createPrivateKey(keyPem)));
            assert.equal(BigInt(`0x${certificate.serialNumber}`).toString(), ca.id);
            assert.equal(text(ca, "keyAlgorithm"), "ECDSA");
            const lines = described(text(ca, "certPem"));
            const extensions = lines.filter(
                (line) => line.startsWith("X509v3 ") && !line.startsWith("X509v3 extensions"),
            );
            assert.deepEqual(extensions, [
                "X509v3 Key Usage: critical",
                "X509v3 Basic Constraints: critical",
                "X509v3 Subject Key Identifier:",
                "X509v3 Authority Key Identifier:",
            ]);
            assert.equal(valueOf(lines, "X509v3 Key Usage"), "Digital Signature, Certificate Sign, CRL Sign");
            assert.equal(valueOf(lines, "X509v3 Basic Constraints"), "CA:TRUE");
            const keyId = valueOf(lines, "X509v3 Subject Key Identifier");
            assert.equal(valueOf(lines, "X509v3 Authority Key Identifier"), keyId);
        });

        it("says when it is valid, and for how long", () => {
            const [start, end] = [Date.parse(text(ca, "validityStartTime")), Date.parse(text(ca, "validityEndTime"))];
            assert.ok(Math.abs(Date.now() - start) < 60_000);
            assert.equal(end - start, 87_600 * HOUR);
            const certificate = new X509Certificate(text(ca, "certPem"));
            assert.equal(Date.parse(certificate.validFrom), Math.floor(start / 1000) * 1000);
            assert.equal(Date.parse(certificate.validTo), Math.floor(end / 1000) * 1000);
            assert.equal(ca.properties["readyForRenewal"], false);
        });

        it("keeps nothing secret but the private key", () => {
            for (const [created, name] of [
                [ca, "privateKeyPem"],
                [request, "privateKeyPem"],
                [leaf, "caPrivateKeyPem"],
            ] as const) {
                const secrets = Object.keys(created.properties).filter(
                    (property) => !property.startsWith("__") && isSecret(created.properties[property]),
                );
                assert.deepEqual(secrets, [name]);
            }
        });

        it("marks the private key secret from the check on", async () => {
            const { checked, failuresList } = await plugin.check(plugin.urn(SELF_SIGNED), caInputs);
            assert.deepEqual(failuresList, []);
            assert.deepEqual(checked, { ...caInputs, privateKeyPem: secret(keyPem) });
        });

        it("CertRequest asks for the names", () => {
            const pem = file("request.pem", text(request, "certRequestPem"));
            const lines = run("openssl", "req", "-in", pem, "-noout", "-verify", "-text").split("\n");
            assert.ok(lines.some((line) => line.includes("Subject: CN = registry.test")));
            const names = lines[lines.findIndex((line) => line.includes("Subject Alternative Name")) + 1]?.trim();
            assert.equal(
                names,
                "DNS:registry.test, DNS:localhost, IP Address:10.1.2.3, IP Address:FD00:0:0:0:0:0:0:1, URI:spiffe://harborage/registry",
            );
            assert.match(request.id, /^[0-9a-f]{40}$/);
            assert.equal(text(request, "keyAlgorithm"), "ECDSA");
        });

        it("LocallySignedCert makes a server certificate that verifies against the CA, strictly", () => {
            const verified = run(
                "openssl",
                ...["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "registry.test"],
                ...["-CAfile", file("ca.pem", text(ca, "certPem")), file("leaf.pem", text(leaf, "certPem"))],
            );
            assert.match(verified, /: OK$/m);
            const certificate = new X509Certificate(text(leaf, "certPem"));
            assert.ok(certificate.checkIP("10.1.2.3"));
            assert.ok(certificate.checkPrivateKey(createPrivateKey(leafKeyPem)));
            assert.equal(certificate.issuer, new X509Certificate(text(ca, "certPem")).subject);
            const lines = described(text(leaf, "certPem"));
            const extensions = lines.filter(
                (line) => line.startsWith("X509v3 ") && !line.startsWith("X509v3 extensions"),
            );
            assert.deepEqual(extensions, [
                "X509v3 Key Usage: critical",
                "X509v3 Extended Key Usage:",
                "X509v3 Basic Constraints: critical",
                "X509v3 Subject Key Identifier:",
                "X509v3 Authority Key Identifier:",
                "X509v3 Subject Alternative Name:",
            ]);
            assert.equal(valueOf(lines, "X509v3 Extended Key Usage"), "TLS Web Server Authentication");
            assert.equal(valueOf(lines, "X509v3 Basic Constraints"), "CA:FALSE");
            assert.equal(text(leaf, "caKeyAlgorithm"), "ECDSA");
        });

        it("does the same with RSA", async () => {
            const rsa = text(await create(KEY, { algorithm: "RSA" }), "privateKeyPem");
            const authority = await create(SELF_SIGNED, { ...caInputs, privateKeyPem: rsa });
            const asked = await create(REQUEST, { ...requestInputs, privateKeyPem: rsa });
            const signed = await create(SIGNED, {
                ...leafInputs,
                caPrivateKeyPem: rsa,
                caCertPem: text(authority, "certPem"),
                certRequestPem: text(asked, "certRequestPem"),
            });
            const args = [
                "-CAfile",
                file("ca.pem", text(authority, "certPem")),
                file("l.pem", text(signed, "certPem")),
            ];
            assert.match(run("openssl", "verify", "-x509_strict", ...args), /: OK$/m);
            assert.ok(described(text(signed, "certPem")).includes("Signature Algorithm: sha256WithRSAEncryption"));
        });

        for (const [what, type, change, message] of [
            ["a key that is none", SELF_SIGNED, { privateKeyPem: "x" }, /Failed to parse private key PEM/],
            ["a CA without a subject", SELF_SIGNED, { subject: null }, /Must contain at least one Distinguished Name/],
            ["an address that is none", SELF_SIGNED, { ipAddresses: ["300.1.1.1"] }, /Failed to parse "300.1.1.1"/],
            ["a request that is none", SIGNED, { certRequestPem: "x" }, /Failed to parse certificate request PEM/],
            ["a CA that is none", SIGNED, { caCertPem: "x" }, /Failed to parse CA certificate PEM/],
            ["a CA key that is none", SIGNED, { caPrivateKeyPem: "x" }, /Failed to parse CA private key PEM/],
        ] as const) {
            it(`fails with ${what}`, async () => {
                const inputs = type === SIGNED ? leafInputs : caInputs;
                await assert.rejects(create(type, { ...inputs, ...(change as unknown as Values) }), message);
            });
        }

        it("fails with a CA key of another CA", async () => {
            const inputs = { ...leafInputs, caPrivateKeyPem: leafKeyPem };
            await assert.rejects(create(SIGNED, inputs), /provided PrivateKey doesn't match parent's PublicKey/);
        });

        for (const [what, change] of [
            ["an unknown use", { allowedUses: ["eat"] }],
            ["a negative validity", { validityPeriodHours: -1 }],
            ["an empty address", { ipAddresses: [""] }],
        ] as const) {
            it(`refuses ${what}`, async () => {
                const inputs = { ...caInputs, ...(change as unknown as Values) };
                assert.equal((await plugin.check(plugin.urn(SELF_SIGNED), inputs)).failuresList.length, 1);
            });
        }

        it("refuses missing inputs, all at once", async () => {
            assert.equal((await plugin.check(plugin.urn(SIGNED), {})).failuresList.length, 5);
        });

        it("knows in a preview what is given, and nothing else", async () => {
            const inputs = { ...leafInputs, certRequestPem: UNKNOWN };
            const { properties } = await plugin.create(plugin.urn(SIGNED), inputs, { preview: true });
            assert.deepEqual(properties["caPrivateKeyPem"], secret(keyPem));
            assert.equal(properties["readyForRenewal"], false);
            for (const name of [
                "certRequestPem",
                "certPem",
                "validityEndTime",
                "validityStartTime",
                "caKeyAlgorithm",
            ]) {
                assert.equal(properties[name], UNKNOWN, name);
            }
        });

        for (const [what, type, change, replaces] of [
            ["nothing", SELF_SIGNED, {}, undefined],
            ["an earlier renewal", SELF_SIGNED, { earlyRenewalHours: 10 }, []],
            ["another validity", SELF_SIGNED, { validityPeriodHours: 8_000 }, ["validityPeriodHours"]],
            ["another key", SELF_SIGNED, { privateKeyPem: "other" }, ["privateKeyPem"]],
            ["an unknown key", SELF_SIGNED, { privateKeyPem: UNKNOWN }, ["privateKeyPem"]],
            ["another subject", SELF_SIGNED, { subject: { commonName: "Other" } }, ["subject"]],
            ["names", SELF_SIGNED, { dnsNames: ["a"] }, ["dnsNames"]],
            ["one use fewer", SELF_SIGNED, { allowedUses: ["cert_signing", "crl_signing"] }, ["allowedUses"]],
            ["no CA", SELF_SIGNED, { isCaCertificate: false }, ["isCaCertificate"]],
            ["no key identifier", SELF_SIGNED, { setSubjectKeyId: false }, ["setSubjectKeyId"]],
            ["nothing", REQUEST, {}, undefined],
            ["another name", REQUEST, { dnsNames: ["registry.test"] }, ["dnsNames"]],
            ["an unknown name", REQUEST, { dnsNames: ["registry.test", UNKNOWN] }, ["dnsNames"]],
            ["another address", REQUEST, { ipAddresses: ["10.1.2.4"] }, ["ipAddresses"]],
            ["another key", REQUEST, { privateKeyPem: UNKNOWN }, ["privateKeyPem"]],
            ["nothing", SIGNED, {}, undefined],
            ["an earlier renewal", SIGNED, { earlyRenewalHours: 10 }, []],
            ["another validity", SIGNED, { validityPeriodHours: 9_000 }, ["validityPeriodHours"]],
            ["another request", SIGNED, { certRequestPem: UNKNOWN }, ["certRequestPem"]],
            ["another CA", SIGNED, { caCertPem: UNKNOWN, caPrivateKeyPem: UNKNOWN }, ["caCertPem", "caPrivateKeyPem"]],
        ] as const) {
            const kind = type.split(":")[2];
            const effect = replaces === undefined ? "unchanged" : replaces.length === 0 ? "updated" : "replaced";
            it(`with ${what} ${kind} is ${effect}`, async () => {
                const [created, inputs] =
                    type === SELF_SIGNED
                        ? [ca, caInputs]
                        : type === REQUEST
                          ? [request, requestInputs]
                          : [leaf, leafInputs];
                const result = await diff(type, created, inputs, change as unknown as Values);
                assert.equal(result.changes, replaces === undefined ? "none" : "some");
                assert.deepEqual(result.replaces, replaces ?? []);
                assert.deepEqual(result.diffs, replaces?.length === 0 ? ["earlyRenewalHours"] : (replaces ?? []));
            });
        }

        describe("renewal", () => {
            const inHours = (hours: number): Values => ({
                validityEndTime: new Date(Date.now() + hours * HOUR).toISOString(),
            });

            it("replaces a certificate that is within its early renewal, without a refresh", async () => {
                for (const [type, created, inputs] of [
                    [SELF_SIGNED, ca, caInputs],
                    [SIGNED, leaf, leafInputs],
                ] as const) {
                    assert.equal((await diff(type, created, inputs, {}, inHours(721))).changes, "none");
                    const due = await diff(type, created, inputs, {}, inHours(719));
                    assert.equal(due.changes, "some");
                    assert.deepEqual(due.replaces, ["readyForRenewal"]);
                    assert.deepEqual(due.diffs, ["readyForRenewal"]);
                    assert.deepEqual((await diff(type, created, inputs, {}, inHours(-1))).replaces, [
                        "readyForRenewal",
                    ]);
                }
            });

            it("counts with the early renewal of the new inputs", async () => {
                const later = await diff(SIGNED, leaf, leafInputs, { earlyRenewalHours: 10 }, inHours(700));
                assert.deepEqual(later.replaces, []);
                const sooner = await diff(SIGNED, leaf, leafInputs, { earlyRenewalHours: 800 }, inHours(750));
                assert.deepEqual(sooner.replaces, ["readyForRenewal"]);
            });

            it("shows in a refresh that a certificate is due, and then replaces it", async () => {
                const urn = plugin.urn(SIGNED);
                const state = { ...plainValues(leaf.properties), ...inHours(719) };
                const read = await plugin.read(urn, leaf.id, state, leafInputs);
                assert.equal(read.properties["readyForRenewal"], true);
                const again = await plugin.diff(urn, leaf.id, plainValues(read.properties), leafInputs, leafInputs);
                assert.deepEqual(again.replaces, ["readyForRenewal"]);
            });

            it("a refresh before that changes nothing", async () => {
                const state = plainValues(leaf.properties);
                const read = await plugin.read(plugin.urn(SIGNED), leaf.id, state, leafInputs);
                assert.deepEqual(read.properties, leaf.properties);
                assert.deepEqual(read.inputs, { ...leafInputs, caPrivateKeyPem: secret(keyPem) });
            });

            it("an update of the early renewal keeps the certificate", async () => {
                const news = { ...leafInputs, earlyRenewalHours: 10 };
                const state = plainValues(leaf.properties);
                const updated = await plugin.update(plugin.urn(SIGNED), leaf.id, state, leafInputs, news);
                assert.deepEqual(updated, { ...leaf.properties, earlyRenewalHours: 10 });
            });

            it("a certificate whose early renewal is as long as its validity is always due", async () => {
                const inputs = { ...leafInputs, validityPeriodHours: 10, earlyRenewalHours: 10 };
                const created = await create(SIGNED, inputs);
                assert.equal(created.properties["readyForRenewal"], true);
                assert.deepEqual((await diff(SIGNED, created, inputs, {})).replaces, ["readyForRenewal"]);
            });
        });
    });

    it("a delete does nothing", async () => {
        const key = await create(KEY, P256);
        await plugin.delete(plugin.urn(KEY), key.id, plainValues(key.properties), P256);
    });
});
