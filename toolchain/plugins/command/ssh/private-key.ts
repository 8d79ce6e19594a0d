import { createPrivateKey, type KeyObject } from "node:crypto";
import { utils, type ParsedKey } from "ssh2";

/**
 * Reads a private key: OpenSSH's own format, or PEM in PKCS#1, SEC1 or PKCS#8.
 *
 * @throws Error with the text of Go's x/crypto/ssh where it has one.
 */
export function parsePrivateKey(text: string, passphrase: string | undefined): ParsedKey {
    const kind = /^-----BEGIN ([A-Z ]*)-----\r?$/m.exec(text)?.[1];
    if (kind === undefined) {
        throw new Error("ssh: no key found");
    }
    const readable = kind === "PRIVATE KEY" ? fromPkcs8(text) : text.trim();
    const parsed: unknown = utils.parseKey(readable, passphrase);
    const key: unknown = Array.isArray(parsed) ? parsed[0] : parsed;
    if (key instanceof Error) {
        throw new Error(problem(key.message, passphrase), { cause: key });
    }
    if (!(key as ParsedKey).isPrivateKey()) {
        throw new Error("ssh: no key found");
    }
    return key as ParsedKey;
}

function problem(message: string, passphrase: string | undefined): string {
    if (passphrase === undefined && /encrypted/i.test(message)) {
        return "ssh: this private key is passphrase protected";
    }
    if (passphrase !== undefined && /passphrase|integrity|decrypt|malformed/i.test(message)) {
        return "x509: decryption password incorrect";
    }
    return `ssh: ${message}`;
}

/** ssh2 does not read PKCS#8, which tls.PrivateKey gives for ed25519. */
function fromPkcs8(text: string): string {
    const key = createPrivateKey(text.trim());
    switch (key.asymmetricKeyType) {
        case "rsa":
            return key.export({ type: "pkcs1", format: "pem" }).toString().trim();
        case "ec":
            return key.export({ type: "sec1", format: "pem" }).toString().trim();
        case "ed25519":
            return openSshEd25519(key);
        default:
            throw new Error(`ssh: unsupported key type "${key.asymmetricKeyType}"`);
    }
}

/** OpenSSH's format for an ed25519 key (PROTOCOL.key in its sources), unencrypted. */
function openSshEd25519(key: KeyObject): string {
    const jwk = key.export({ format: "jwk" });
    const publicKey = Buffer.from(jwk.x ?? "", "base64url");
    const privateKey = Buffer.from(jwk.d ?? "", "base64url");
    const type = field("ssh-ed25519");
    const check = Buffer.alloc(8);
    const inner = Buffer.concat([
        check,
        type,
        field(publicKey),
        field(Buffer.concat([privateKey, publicKey])),
        field(""),
    ]);
    const padding = Buffer.from(Array.from({ length: (8 - (inner.length % 8)) % 8 }, (_, index) => index + 1));
    const all = Buffer.concat([
        Buffer.from("openssh-key-v1\0"),
        field("none"),
        field("none"),
        field(""),
        Buffer.from([0, 0, 0, 1]),
        field(Buffer.concat([type, field(publicKey)])),
        field(Buffer.concat([inner, padding])),
    ]);
    const lines = all.toString("base64").replace(/.{70}(?=.)/g, "$&\n");
    return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----`;
}

function field(content: string | Buffer): Buffer {
    const bytes = Buffer.from(content);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
}
