import {
    createHash,
    createPrivateKey,
    createPublicKey,
    generateKeyPair,
    randomBytes,
    type KeyObject,
} from "node:crypto";
import { promisify } from "node:util";

export const ALGORITHMS = ["RSA", "ECDSA", "ED25519"] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export const CURVES = ["P224", "P256", "P384", "P521"] as const;
export type Curve = (typeof CURVES)[number];

const OPENSSL_CURVES: Readonly<Record<Curve, string>> = {
    P224: "secp224r1",
    P256: "prime256v1",
    P384: "secp384r1",
    P521: "secp521r1",
};

/** @param rsaBits counts for RSA, @param curve for ECDSA. */
export async function generateKey(algorithm: Algorithm, rsaBits: number, curve: Curve): Promise<KeyObject> {
    switch (algorithm) {
        case "RSA":
            return (await promisify(generateKeyPair)("rsa", { modulusLength: rsaBits })).privateKey;
        case "ECDSA":
            return (await promisify(generateKeyPair)("ec", { namedCurve: OPENSSL_CURVES[curve] })).privateKey;
        case "ED25519":
            return (await promisify(generateKeyPair)("ed25519")).privateKey;
    }
}

/**
 * Reads a private key in PKCS#1, SEC1 or PKCS#8.
 *
 * @param what whose key it is, for the error: "private key", "CA private key".
 */
export function parsePrivateKey(pem: string, what: string): KeyObject {
    if (!/-----BEGIN [^-]+-----/.test(pem)) {
        throw new Error(
            `Failed to parse ${what} PEM: failed to decode PEM block: decoded bytes 0, undecoded ${Buffer.byteLength(pem)}`,
        );
    }
    try {
        return createPrivateKey(pem);
    } catch (error) {
        throw new Error(`Failed to parse ${what} PEM: ${(error as Error).message}`, { cause: error });
    }
}

export function algorithmOf(key: KeyObject): Algorithm {
    switch (key.asymmetricKeyType) {
        case "rsa":
            return "RSA";
        case "ec":
            return "ECDSA";
        case "ed25519":
            return "ED25519";
        default:
            throw new Error(`unsupported private key type: ${String(key.asymmetricKeyType)}`);
    }
}

/** PKCS#1 for RSA, SEC1 for ECDSA, PKCS#8 for Ed25519. */
export function traditionalPem(key: KeyObject): string {
    const types = { RSA: "pkcs1", ECDSA: "sec1", ED25519: "pkcs8" } as const;
    return key.export({ type: types[algorithmOf(key)], format: "pem" } as { type: "pkcs8"; format: "pem" }).toString();
}

export function pkcs8Pem(key: KeyObject): string {
    return key.export({ type: "pkcs8", format: "pem" }).toString();
}

export function publicPem(key: KeyObject): string {
    return createPublicKey(key).export({ type: "spki", format: "pem" }).toString();
}

/** SubjectPublicKeyInfo in DER. */
export function publicDer(key: KeyObject): Buffer {
    return createPublicKey(key).export({ type: "spki", format: "der" });
}

/** The id of keys and certificate requests: SHA-1 of the DER, from which Go's strings.TrimSpace has taken its share. */
export function hashForState(der: Buffer): string {
    let end = der.length;
    while (end > 0 && /\s/.test(String.fromCharCode(der[end - 1] ?? 0))) {
        end--;
    }
    return createHash("sha1").update(der.subarray(0, end)).digest("hex");
}

export function pemOf(label: string, der: Uint8Array): string {
    const lines = Buffer.from(der)
        .toString("base64")
        .match(/.{1,64}/g);
    return `-----BEGIN ${label}-----\n${(lines ?? []).join("\n")}\n-----END ${label}-----\n`;
}

/** A key in OpenSSH's formats; all empty for P-224, which OpenSSH does not know. */
export interface OpenSshKey {
    readonly privateKey: string;
    /** A line of authorized_keys, with the newline. */
    readonly publicKey: string;
    readonly md5: string;
    readonly sha256: string;
}

/** Source of the formats: OpenSSH's PROTOCOL.key and RFC 4253, section 6.6; RFC 5656; RFC 8709. */
export function openSsh(key: KeyObject): OpenSshKey {
    const parts = sshParts(key);
    if (parts === undefined) {
        return { privateKey: "", publicKey: "", md5: "", sha256: "" };
    }
    const blob = Buffer.concat([text(parts.type), ...parts.publicFields]);
    const check = randomBytes(4);
    const secret = Buffer.concat([check, check, text(parts.type), ...parts.privateFields, text("")]);
    const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, index) => index + 1));
    const file = Buffer.concat([
        Buffer.from("openssh-key-v1\0"),
        text("none"),
        text("none"),
        text(""),
        Buffer.from([0, 0, 0, 1]),
        field(blob),
        field(Buffer.concat([secret, padding])),
    ]);
    const md5 = createHash("md5").update(blob).digest("hex");
    return {
        privateKey: pemOf("OPENSSH PRIVATE KEY", file),
        publicKey: `${parts.type} ${blob.toString("base64")}\n`,
        md5: (md5.match(/../g) ?? []).join(":"),
        sha256: `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`,
    };
}

interface SshParts {
    readonly type: string;
    readonly publicFields: readonly Buffer[];
    readonly privateFields: readonly Buffer[];
}

function sshParts(key: KeyObject): SshParts | undefined {
    const curve = key.asymmetricKeyDetails?.namedCurve;
    if (curve === OPENSSL_CURVES.P224) {
        return undefined;
    }
    const jwk = key.export({ format: "jwk" });
    const bytes = (member: string | undefined): Buffer => Buffer.from(member ?? "", "base64url");
    const mpint = (member: string | undefined): Buffer => field(unsigned(bytes(member)));
    switch (algorithmOf(key)) {
        case "RSA": {
            const [n, e] = [mpint(jwk.n), mpint(jwk.e)];
            return {
                type: "ssh-rsa",
                publicFields: [e, n],
                privateFields: [n, e, mpint(jwk.d), mpint(jwk.qi), mpint(jwk.p), mpint(jwk.q)],
            };
        }
        case "ECDSA": {
            const name = (jwk.crv ?? "").replace("P-", "nistp");
            const point = Buffer.concat([Buffer.from([4]), bytes(jwk.x), bytes(jwk.y)]);
            const fields = [text(name), field(point)];
            return {
                type: `ecdsa-sha2-${name}`,
                publicFields: fields,
                privateFields: [...fields, mpint(jwk.d)],
            };
        }
        case "ED25519": {
            const publicKey = field(bytes(jwk.x));
            return {
                type: "ssh-ed25519",
                publicFields: [publicKey],
                privateFields: [publicKey, field(Buffer.concat([bytes(jwk.d), bytes(jwk.x)]))],
            };
        }
    }
}

function field(content: Buffer): Buffer {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(content.length);
    return Buffer.concat([length, content]);
}

function text(content: string): Buffer {
    return field(Buffer.from(content));
}

/** An mpint's bytes: no leading zeros but the one that keeps it positive. */
function unsigned(bytes: Buffer): Buffer {
    let start = 0;
    while (start < bytes.length - 1 && bytes[start] === 0) {
        start++;
    }
    const short = bytes.subarray(start);
    return (short[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), short]) : short;
}
