import { strict as assert } from "node:assert";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { before, describe, it } from "mocha";
import { isSecret, plainValues, secret, UNKNOWN, type Values } from "../../toolchain/plugins/lib/values";
import type { Created } from "./plugins-harness";
import { KEY, P256, REQUEST, run, SELF_SIGNED, SIGNED, text, TlsPlugin } from "./plugins-tls-setup";

const HOUR = 3_600_000;

describe("plugin tls: certificates", function () {
    this.timeout(60_000);
    const tls = new TlsPlugin();

    let keyPem: string;
    let leafKeyPem: string;
    let caInputs: Values;
    let ca: Created;
    let requestInputs: Values;
    let request: Created;
    let leafInputs: Values;
    let leaf: Created;

    before(async () => {
        keyPem = text(await tls.create(KEY, P256), "privateKeyPem");
        leafKeyPem = text(await tls.create(KEY, P256), "privateKeyPem");
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
        ca = await tls.create(SELF_SIGNED, caInputs);
        requestInputs = {
            privateKeyPem: leafKeyPem,
            subject: { commonName: "registry.test" },
            dnsNames: ["registry.test", "localhost"],
            ipAddresses: ["10.1.2.3", "fd00::1"],
            uris: ["spiffe://harborage/registry"],
        };
        request = await tls.create(REQUEST, requestInputs);
        leafInputs = {
            caPrivateKeyPem: keyPem,
            caCertPem: text(ca, "certPem"),
            certRequestPem: text(request, "certRequestPem"),
            allowedUses: ["digital_signature", "key_encipherment", "server_auth"],
            validityPeriodHours: 8_760,
            earlyRenewalHours: 720,
            setSubjectKeyId: true,
        };
        leaf = await tls.create(SIGNED, leafInputs);
    });

    /** OpenSSL's own words for a certificate, one line each, without what is random. */
    const described = (certificate: string): string[] =>
        run("openssl", "x509", "-in", tls.file("described.pem", certificate), "-noout", "-text")
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
        const extensions = lines.filter((line) => line.startsWith("X509v3 ") && !line.startsWith("X509v3 extensions"));
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
        const { checked, failuresList } = await tls.plugin.check(tls.plugin.urn(SELF_SIGNED), caInputs);
        assert.deepEqual(failuresList, []);
        assert.deepEqual(checked, { ...caInputs, privateKeyPem: secret(keyPem) });
    });

    it("CertRequest asks for the names", () => {
        const pem = tls.file("request.pem", text(request, "certRequestPem"));
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
            ...["-CAfile", tls.file("ca.pem", text(ca, "certPem")), tls.file("leaf.pem", text(leaf, "certPem"))],
        );
        assert.match(verified, /: OK$/m);
        const certificate = new X509Certificate(text(leaf, "certPem"));
        assert.ok(certificate.checkIP("10.1.2.3"));
        assert.ok(certificate.checkPrivateKey(createPrivateKey(leafKeyPem)));
        assert.equal(certificate.issuer, new X509Certificate(text(ca, "certPem")).subject);
        const lines = described(text(leaf, "certPem"));
        const extensions = lines.filter((line) => line.startsWith("X509v3 ") && !line.startsWith("X509v3 extensions"));
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
        const rsa = text(await tls.create(KEY, { algorithm: "RSA" }), "privateKeyPem");
        const authority = await tls.create(SELF_SIGNED, { ...caInputs, privateKeyPem: rsa });
        const asked = await tls.create(REQUEST, { ...requestInputs, privateKeyPem: rsa });
        const signed = await tls.create(SIGNED, {
            ...leafInputs,
            caPrivateKeyPem: rsa,
            caCertPem: text(authority, "certPem"),
            certRequestPem: text(asked, "certRequestPem"),
        });
        const args = [
            "-CAfile",
            tls.file("ca.pem", text(authority, "certPem")),
            tls.file("l.pem", text(signed, "certPem")),
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
            await assert.rejects(tls.create(type, { ...inputs, ...(change as unknown as Values) }), message);
        });
    }

    it("fails with a CA key of another CA", async () => {
        const inputs = { ...leafInputs, caPrivateKeyPem: leafKeyPem };
        await assert.rejects(tls.create(SIGNED, inputs), /provided PrivateKey doesn't match parent's PublicKey/);
    });

    for (const [what, change] of [
        ["an unknown use", { allowedUses: ["eat"] }],
        ["a negative validity", { validityPeriodHours: -1 }],
        ["an empty address", { ipAddresses: [""] }],
    ] as const) {
        it(`refuses ${what}`, async () => {
            const inputs = { ...caInputs, ...(change as unknown as Values) };
            assert.equal((await tls.plugin.check(tls.plugin.urn(SELF_SIGNED), inputs)).failuresList.length, 1);
        });
    }

    it("refuses missing inputs, all at once", async () => {
        assert.equal((await tls.plugin.check(tls.plugin.urn(SIGNED), {})).failuresList.length, 5);
    });

    it("knows in a preview what is given, and nothing else", async () => {
        const inputs = { ...leafInputs, certRequestPem: UNKNOWN };
        const { properties } = await tls.plugin.create(tls.plugin.urn(SIGNED), inputs, { preview: true });
        assert.deepEqual(properties["caPrivateKeyPem"], secret(keyPem));
        assert.equal(properties["readyForRenewal"], false);
        for (const name of ["certRequestPem", "certPem", "validityEndTime", "validityStartTime", "caKeyAlgorithm"]) {
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
            const result = await tls.diff(type, created, inputs, change as unknown as Values);
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
                assert.equal((await tls.diff(type, created, inputs, {}, inHours(721))).changes, "none");
                const due = await tls.diff(type, created, inputs, {}, inHours(719));
                assert.equal(due.changes, "some");
                assert.deepEqual(due.replaces, ["readyForRenewal"]);
                assert.deepEqual(due.diffs, ["readyForRenewal"]);
                assert.deepEqual((await tls.diff(type, created, inputs, {}, inHours(-1))).replaces, [
                    "readyForRenewal",
                ]);
            }
        });

        it("counts with the early renewal of the new inputs", async () => {
            const later = await tls.diff(SIGNED, leaf, leafInputs, { earlyRenewalHours: 10 }, inHours(700));
            assert.deepEqual(later.replaces, []);
            const sooner = await tls.diff(SIGNED, leaf, leafInputs, { earlyRenewalHours: 800 }, inHours(750));
            assert.deepEqual(sooner.replaces, ["readyForRenewal"]);
        });

        it("shows in a refresh that a certificate is due, and then replaces it", async () => {
            const urn = tls.plugin.urn(SIGNED);
            const state = { ...plainValues(leaf.properties), ...inHours(719) };
            const read = await tls.plugin.read(urn, leaf.id, state, leafInputs);
            assert.equal(read.properties["readyForRenewal"], true);
            const again = await tls.plugin.diff(urn, leaf.id, plainValues(read.properties), leafInputs, leafInputs);
            assert.deepEqual(again.replaces, ["readyForRenewal"]);
        });

        it("a refresh before that changes nothing", async () => {
            const state = plainValues(leaf.properties);
            const read = await tls.plugin.read(tls.plugin.urn(SIGNED), leaf.id, state, leafInputs);
            assert.deepEqual(read.properties, leaf.properties);
            assert.deepEqual(read.inputs, { ...leafInputs, caPrivateKeyPem: secret(keyPem) });
        });

        it("an update of the early renewal keeps the certificate", async () => {
            const news = { ...leafInputs, earlyRenewalHours: 10 };
            const state = plainValues(leaf.properties);
            const updated = await tls.plugin.update(tls.plugin.urn(SIGNED), leaf.id, state, leafInputs, news);
            assert.deepEqual(updated, { ...leaf.properties, earlyRenewalHours: 10 });
        });

        it("a certificate whose early renewal is as long as its validity is always due", async () => {
            const inputs = { ...leafInputs, validityPeriodHours: 10, earlyRenewalHours: 10 };
            const created = await tls.create(SIGNED, inputs);
            assert.equal(created.properties["readyForRenewal"], true);
            assert.deepEqual((await tls.diff(SIGNED, created, inputs, {})).replaces, ["readyForRenewal"]);
        });
    });
});
