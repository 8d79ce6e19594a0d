import { strict as assert } from "node:assert";
import { generateKeyPairSync } from "node:crypto";
import { describe, it } from "mocha";
import { exitFailure } from "../../toolchain/plugins/command/ssh/exit-failure";
import { parseHostKey } from "../../toolchain/plugins/command/ssh/host-key";
import { parsePrivateKey } from "../../toolchain/plugins/command/ssh/private-key";
import { address } from "../../toolchain/plugins/command/ssh/tcp";
import { assetOf, completeAsset } from "../../toolchain/plugins/lib/assets";
import { objectDifferences } from "../../toolchain/plugins/lib/object-diff";
import { isUnknown, secret, unknownSecret, type Value } from "../../toolchain/plugins/lib/values";
import { newSshKey } from "../support/ssh-key";

const ED25519 = "AAAAC3NzaC1lZDI1NTE5AAAAILx3eCsJzIcNNnw/mWNY0AmyR4WVzoUCvVxY/rFfVDLL";

describe("plugins: host keys", () => {
    for (const text of [
        `ssh-ed25519 ${ED25519}`,
        `ssh-ed25519\t${ED25519} root@machine`,
        `\n# machine\r\n  no-pty,from="a" ssh-ed25519 ${ED25519}\r\n`,
        // The type that counts is in the key.
        `ssh-rsa ${ED25519}`,
    ]) {
        it(`are read from ${JSON.stringify(text)}`, () => {
            const { type, blob } = parseHostKey(text);
            assert.deepEqual([type, blob.toString("base64")], ["ssh-ed25519", ED25519]);
        });
    }

    for (const text of ["", "ssh-ed25519", ED25519, `# ssh-ed25519 ${ED25519}`, "ssh-ed25519 AAAA", "a b c"]) {
        it(`are not in ${JSON.stringify(text)}`, () => {
            assert.throws(() => parseHostKey(text), { message: "failed to parse host key: ssh: no key found" });
        });
    }
});

describe("plugins: private keys", () => {
    it("in PKCS#8 are read as ssh2 reads its own formats", () => {
        const pairs = [
            generateKeyPairSync("ed25519"),
            generateKeyPairSync("rsa", { modulusLength: 2048 }),
            generateKeyPairSync("ec", { namedCurve: "prime256v1" }),
        ];
        const types = pairs.map(({ privateKey }) => {
            const key = parsePrivateKey(privateKey.export({ type: "pkcs8", format: "pem" }).toString(), undefined);
            const signature = key.sign("message");
            assert.ok(key.verify("message", signature));
            assert.ok(!key.verify("another", signature));
            return key.type;
        });
        assert.deepEqual(types, ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"]);
    });

    it("of ed25519 keep their public half", () => {
        const { privateKey, publicKey } = generateKeyPairSync("ed25519");
        const key = parsePrivateKey(privateKey.export({ type: "pkcs8", format: "pem" }).toString(), undefined);
        const expected = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url");
        assert.deepEqual(key.getPublicSSH().subarray(-32), expected);
    });

    it("are no public keys, and of known kinds", () => {
        const { public: publicKey } = newSshKey();
        assert.throws(() => parsePrivateKey(publicKey, undefined), { message: "ssh: no key found" });
        const { privateKey } = generateKeyPairSync("x25519");
        const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
        assert.throws(() => parsePrivateKey(pem, undefined), { message: 'ssh: unsupported key type "x25519"' });
    });
});

describe("plugins: ends of remote commands", () => {
    it("are told as Go tells them", () => {
        assert.equal(exitFailure(0, undefined), undefined);
        assert.equal(exitFailure(3, undefined), "Process exited with status 3");
        assert.equal(exitFailure(null, "SIGKILL"), "Process exited with status 137 from signal KILL");
        assert.equal(
            exitFailure(undefined, undefined),
            "wait: remote command exited without exit status or exit signal",
        );
    });

    it("addresses have brackets around IPv6", () => {
        assert.deepEqual([address("h", 22), address("::1", 22)], ["h:22", "[::1]:22"]);
    });
});

describe("plugins: assets", () => {
    const asset = (values: Record<string, Value>): Value => ({
        "4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17",
        ...values,
    });

    it("are told from other objects, and empty texts from none", () => {
        assert.equal(assetOf({ path: "/f" }), undefined);
        assert.equal(assetOf(secret("a")), undefined);
        assert.deepEqual(assetOf(asset({ hash: "1", path: "/f" })), {
            kind: "asset",
            hash: "1",
            path: "/f",
            text: undefined,
        });
        const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert.equal(assetOf(asset({ hash: empty }))?.text, "");
        assert.equal(assetOf(asset({ hash: "1" }))?.text, undefined);
        assert.equal(assetOf(asset({ hash: empty, uri: "file:///f" }))?.text, undefined);
    });

    it("are completed, and nothing else is", () => {
        assert.deepEqual(
            completeAsset(asset({ hash: "1", text: "t" })),
            asset({ hash: "1", path: "", text: "t", uri: "" }),
        );
        assert.deepEqual(completeAsset({ a: 1 }), { a: 1 });
    });

    it("differ by content only, whatever their paths, and from what is no asset", () => {
        const differs = (a: Value, b: Value): unknown => objectDifferences({ a }, { a: b }).get("a");
        assert.equal(differs(asset({ hash: "1", path: "/f" }), asset({ hash: "1", path: "/g", text: "" })), undefined);
        assert.equal(differs(asset({ hash: "1" }), asset({ hash: "2" })), "update");
        assert.equal(differs(asset({ hash: "1" }), { hash: "1" }), "update");
        assert.equal(differs(secret(asset({ hash: "1" })), secret(asset({ hash: "2" }))), "update");
    });
});

describe("plugins: secrets that are not known yet", () => {
    it("count as unknown", () => {
        assert.ok(isUnknown(unknownSecret()));
    });

    it("and known ones differ as a whole", () => {
        const differences = objectDifferences(
            { list: secret([1, 2]), map: secret({ a: 1 }), same: secret({ a: [1] }) },
            { list: secret([1]), map: secret({ a: 1, b: 2 }), same: secret({ a: [1] }) },
        );
        assert.deepEqual(Object.fromEntries(differences), { list: "update", map: "update" });
    });
});
