import assert from "node:assert/strict";
import { keptLines } from "../../toolchain/kept";
import { isNewEnough } from "../../toolchain/official";
import { summary, summaryOutputs } from "../../toolchain/summary";

const outputs = {
    registryUrl: "https://localhost:8443",
    registryHost: "localhost:8443",
    engine: "distribution" as const,
    adminUsername: "admin",
    caCertificate: "-----BEGIN CERTIFICATE-----",
    clientTrust: [{ client: "docker", path: "/etc/docker/certs.d/localhost:8443/ca.crt", content: "" }],
};

describe("toolchain: summary", () => {
    it("says where the registry is, how to get in and what comes next, without a secret", () => {
        const text = summary(outputs, { stack: "dev", isDefault: true, caFile: "/h/dev/ca.crt" });
        for (const part of [
            "https://localhost:8443",
            "admin",
            "/h/dev/ca.crt",
            "stack output adminPassword --show-secrets | docker login --username admin --password-stdin localhost:8443",
            "skopeo login --cert-dir /h/dev --username admin --password-stdin localhost:8443",
            "install -D -m 644 /h/dev/ca.crt /etc/docker/certs.d/localhost:8443/ca.crt",
            "docker push localhost:8443/",
            "Next:",
            "README.md",
        ]) {
            assert.ok(text.includes(part), part);
        }
        assert.ok(!text.includes("--stack"));
    });

    it("names the stack in its commands when it is not the default one", () => {
        const text = summary(outputs, { stack: "prod", isDefault: false });
        assert.match(text, /stack output adminPassword --show-secrets --stack prod \| docker login/);
        assert.match(text, /stack output caCertificate --stack prod > ca\.crt/);
    });

    it("puts the first image into the project that every Harbor has", () => {
        const text = summary({ ...outputs, engine: "harbor" }, { stack: "prod", isDefault: false });
        assert.match(text, /docker push localhost:8443\/library\/IMAGE/);
        assert.match(text, /docker:\/\/localhost:8443\/library\/IMAGE:TAG/);
    });

    it("is left out for a stack that has other outputs", () => {
        assert.equal(summaryOutputs('{"greeting":"hello"}'), undefined);
        assert.equal(summaryOutputs("error"), undefined);
        assert.deepEqual(summaryOutputs(JSON.stringify({ ...outputs, adminPassword: "[secret]" })), outputs);
    });
});

describe("toolchain: what was kept", () => {
    it("is read from the event log, each thing once, without colours", () => {
        const event = (message: string): string => JSON.stringify({ diagnosticEvent: { message } });
        const log = [
            event("<{%reset%}>kept: /data (1 GiB); delete it with: rm -rf /data\n<{%reset%}>"),
            event("removing containers\nkept: /other"),
            event("kept: /other"),
            JSON.stringify({ preludeEvent: {} }),
            '{"diagnosticEvent":{"mess',
        ].join("\n");
        assert.deepEqual(keptLines(log), ["/data (1 GiB); delete it with: rm -rf /data", "/other"]);
    });
});

describe("toolchain: version of an installed CLI", () => {
    it("must be major 3 and not older than the SDK", () => {
        assert.deepEqual(["v3.259.0", "3.248.0", "v3.247.9", "v4.0.0", "v2.25.0", ""].map(isNewEnough), [
            true,
            true,
            false,
            false,
            false,
            false,
        ]);
    });
});
