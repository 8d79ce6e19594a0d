import { createHash, createPublicKey, randomBytes, sign, type KeyObject } from "node:crypto";
import { Attributes, CertificationRequest, CertificationRequestInfo } from "@peculiar/asn1-csr";
import { AsnConvert, OctetString } from "@peculiar/asn1-schema";
import {
    AlgorithmIdentifier,
    Attribute,
    AuthorityKeyIdentifier,
    BasicConstraints,
    Certificate,
    ExtendedKeyUsage,
    Extension,
    Extensions,
    id_ce_authorityKeyIdentifier,
    id_ce_basicConstraints,
    id_ce_extKeyUsage,
    id_ce_keyUsage,
    id_ce_subjectAltName,
    id_ce_subjectKeyIdentifier,
    KeyIdentifier,
    KeyUsage,
    SubjectAlternativeName,
    SubjectKeyIdentifier,
    SubjectPublicKeyInfo,
    TBSCertificate,
    Time,
    Validity,
    Version,
    type Name,
} from "@peculiar/asn1-x509";
import { algorithmOf, pemOf, publicDer } from "./keys";

/** Bits of the key usage extension, by the names that the official plugin knows. */
export const KEY_USAGES: Readonly<Record<string, number>> = {
    digital_signature: 1,
    content_commitment: 2,
    key_encipherment: 4,
    data_encipherment: 8,
    key_agreement: 16,
    cert_signing: 32,
    crl_signing: 64,
    encipher_only: 128,
    decipher_only: 256,
};

/** Object identifiers of the extended key usages. */
export const EXTENDED_KEY_USAGES: Readonly<Record<string, string>> = {
    any_extended: "2.5.29.37.0",
    server_auth: "1.3.6.1.5.5.7.3.1",
    client_auth: "1.3.6.1.5.5.7.3.2",
    code_signing: "1.3.6.1.5.5.7.3.3",
    email_protection: "1.3.6.1.5.5.7.3.4",
    ipsec_end_system: "1.3.6.1.5.5.7.3.5",
    ipsec_tunnel: "1.3.6.1.5.5.7.3.6",
    ipsec_user: "1.3.6.1.5.5.7.3.7",
    timestamping: "1.3.6.1.5.5.7.3.8",
    ocsp_signing: "1.3.6.1.5.5.7.3.9",
    microsoft_server_gated_crypto: "1.3.6.1.4.1.311.10.3.3",
    netscape_server_gated_crypto: "2.16.840.1.113730.4.1",
    microsoft_commercial_code_signing: "1.3.6.1.4.1.311.2.1.22",
    microsoft_kernel_code_signing: "1.3.6.1.4.1.311.61.1.1",
};

const EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
const SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
const ECDSA_WITH_SHA: Readonly<Record<string, { oid: string; hash: string }>> = {
    secp384r1: { oid: "1.2.840.10045.4.3.3", hash: "sha384" },
    secp521r1: { oid: "1.2.840.10045.4.3.4", hash: "sha512" },
};
const ED25519 = "1.3.101.112";

export interface CertificateOptions {
    readonly subject: Name;
    readonly names: SubjectAlternativeName | undefined;
    /** SubjectPublicKeyInfo of the certificate's owner. */
    readonly publicKey: Buffer;
    /** The issuer's name and key identifier; absent for a certificate that signs itself. */
    readonly issuer?: Issuer;
    readonly signer: KeyObject;
    readonly start: Date;
    readonly end: Date;
    readonly allowedUses: readonly string[];
    readonly isCa: boolean;
    /** Intermediate certificates below this one; 0 and less mean no limit, as in the official plugin. */
    readonly maxPathLength: number;
    readonly setSubjectKeyId: boolean;
    readonly setAuthorityKeyId: boolean;
}

export interface Issuer {
    readonly name: Name;
    readonly keyId: ArrayBuffer | undefined;
}

export interface IssuedCertificate {
    readonly pem: string;
    /** A decimal number of up to 128 bits: the resource's id. */
    readonly serial: string;
}

/** Makes and signs a certificate with the extensions, and in the order, of Go's x509.CreateCertificate. */
export function createCertificate(options: CertificateOptions): IssuedCertificate {
    const serial = randomBytes(16);
    const subjectKeyId = options.isCa || options.setSubjectKeyId ? keyId(options.publicKey) : undefined;
    const certificate = new TBSCertificate({
        version: Version.v3,
        serialNumber: positive(serial),
        signature: signatureAlgorithm(options.signer),
        issuer: options.issuer?.name ?? options.subject,
        validity: new Validity({ notBefore: options.start, notAfter: options.end }),
        subject: options.subject,
        subjectPublicKeyInfo: AsnConvert.parse(options.publicKey, SubjectPublicKeyInfo),
        extensions: new Extensions(extensions(options, subjectKeyId)),
    });
    certificate.validity.notBefore = new Time(options.start);
    certificate.validity.notAfter = new Time(options.end);
    const tbs = AsnConvert.serialize(certificate);
    const signed = new Certificate({
        tbsCertificate: certificate,
        tbsCertificateRaw: tbs,
        signatureAlgorithm: certificate.signature,
        signatureValue: signature(options.signer, tbs),
    });
    return {
        pem: pemOf("CERTIFICATE", new Uint8Array(AsnConvert.serialize(signed))),
        serial: BigInt(`0x${serial.toString("hex")}`).toString(),
    };
}

function extensions(options: CertificateOptions, subjectKeyId: ArrayBuffer | undefined): Extension[] {
    const result: Extension[] = [];
    const add = (extnID: string, critical: boolean, value: unknown): void => {
        const extnValue = new OctetString(AsnConvert.serialize(value));
        result.push(new Extension({ extnID, critical, extnValue }));
    };
    const usages = options.allowedUses.reduce((bits, use) => bits | (KEY_USAGES[use] ?? 0), 0);
    if (usages !== 0) {
        add(id_ce_keyUsage, true, new KeyUsage(usages));
    }
    const extended = options.allowedUses.flatMap((use) => EXTENDED_KEY_USAGES[use] ?? []);
    if (extended.length > 0) {
        add(id_ce_extKeyUsage, false, new ExtendedKeyUsage(extended));
    }
    if (!options.isCa && options.maxPathLength > 0) {
        throw new Error("Failed to create certificate: x509: only CAs are allowed to specify MaxPathLen");
    }
    const limit = options.maxPathLength > 0 ? { pathLenConstraint: options.maxPathLength } : {};
    add(id_ce_basicConstraints, true, new BasicConstraints({ cA: options.isCa, ...limit }));
    if (subjectKeyId !== undefined) {
        add(id_ce_subjectKeyIdentifier, false, new SubjectKeyIdentifier(subjectKeyId));
    }
    const authorityKeyId = authority(options, subjectKeyId);
    if (authorityKeyId !== undefined) {
        const identifier = new AuthorityKeyIdentifier({ keyIdentifier: new KeyIdentifier(authorityKeyId) });
        add(id_ce_authorityKeyIdentifier, false, identifier);
    }
    if (options.names !== undefined) {
        // RFC 5280, section 4.2.1.6: critical when nothing else names the owner.
        add(id_ce_subjectAltName, options.subject.length === 0, options.names);
    }
    return result;
}

/** Asked for, or (in Go) whenever the issuer has a key identifier and another name. */
function authority(options: CertificateOptions, own: ArrayBuffer | undefined): ArrayBuffer | undefined {
    if (options.issuer !== undefined) {
        return sameName(options.issuer.name, options.subject) ? undefined : options.issuer.keyId;
    }
    if (options.setAuthorityKeyId && own === undefined) {
        throw new Error("Invalid Certificate Authority: Could not determine Authority Key Identifier");
    }
    return options.setAuthorityKeyId ? own : undefined;
}

function sameName(a: Name, b: Name): boolean {
    return Buffer.from(AsnConvert.serialize(a)).equals(Buffer.from(AsnConvert.serialize(b)));
}

/** A request in PKCS#10, with the alternative names as its one extension. */
export function createRequest(subject: Name, names: SubjectAlternativeName | undefined, key: KeyObject): Buffer {
    const attributes = new Attributes();
    if (names !== undefined) {
        const extension = new Extension({
            extnID: id_ce_subjectAltName,
            critical: subject.length === 0,
            extnValue: new OctetString(AsnConvert.serialize(names)),
        });
        const values = [AsnConvert.serialize(new Extensions([extension]))];
        attributes.push(new Attribute({ type: EXTENSION_REQUEST, values }));
    }
    const info = new CertificationRequestInfo({
        subject,
        subjectPKInfo: AsnConvert.parse(publicDer(key), SubjectPublicKeyInfo),
        attributes,
    });
    const raw = AsnConvert.serialize(info);
    const request = new CertificationRequest({
        certificationRequestInfo: info,
        certificationRequestInfoRaw: raw,
        signatureAlgorithm: signatureAlgorithm(key),
        signature: signature(key, raw),
    });
    return Buffer.from(AsnConvert.serialize(request));
}

export interface ParsedRequest {
    readonly subject: Name;
    readonly names: SubjectAlternativeName | undefined;
    readonly publicKey: Buffer;
}

export function parseRequest(pem: string): ParsedRequest {
    return parsing("certificate request", () => {
        const info = AsnConvert.parse(derOf(pem, "CERTIFICATE REQUEST"), CertificationRequest).certificationRequestInfo;
        const requested = Array.from((info.attributes as Attributes | undefined) ?? []).find(
            ({ type }) => type === EXTENSION_REQUEST,
        )?.values[0];
        const extension = requested
            ? Array.from(AsnConvert.parse(requested, Extensions)).find(({ extnID }) => extnID === id_ce_subjectAltName)
            : undefined;
        return {
            subject: info.subject,
            names: extension ? AsnConvert.parse(extension.extnValue, SubjectAlternativeName) : undefined,
            publicKey: Buffer.from(AsnConvert.serialize(info.subjectPKInfo)),
        };
    });
}

/** The issuer in a CA's certificate; the key must be the certificate's own. */
export function parseIssuer(pem: string, key: KeyObject): Issuer {
    const certificate = parsing("CA certificate", () => AsnConvert.parse(derOf(pem, "CERTIFICATE"), Certificate));
    const { subject, subjectPublicKeyInfo, extensions: found } = certificate.tbsCertificate;
    const publicKey = Buffer.from(AsnConvert.serialize(subjectPublicKeyInfo));
    if (!publicKey.equals(publicDer(key))) {
        throw new Error("Failed to create certificate: x509: provided PrivateKey doesn't match parent's PublicKey");
    }
    const extension = Array.from(found ?? []).find(({ extnID }) => extnID === id_ce_subjectKeyIdentifier);
    const identifier = extension ? AsnConvert.parse(extension.extnValue, SubjectKeyIdentifier) : undefined;
    return { name: subject, keyId: identifier?.buffer };
}

function parsing<Result>(what: string, parse: () => Result): Result {
    try {
        return parse();
    } catch (error) {
        throw new Error(`Failed to parse ${what} PEM: ${(error as Error).message}`, { cause: error });
    }
}

function derOf(pem: string, label: string): Buffer {
    const match = /-----BEGIN ([^-]+)-----([\s\S]*?)-----END \1-----/.exec(pem);
    if (match === null) {
        throw new Error(`failed to decode PEM of expected type "${label}" from bytes`);
    }
    if (match[1] !== label) {
        throw new Error(`invalid PEM type - expected "${label}", got "${match[1] ?? ""}"`);
    }
    return Buffer.from(match[2] ?? "", "base64");
}

/** SHA-1 of the public key without its algorithm (RFC 5280, section 4.2.1.2, method 1). */
function keyId(publicKey: Buffer): ArrayBuffer {
    const bits = Buffer.from(AsnConvert.parse(publicKey, SubjectPublicKeyInfo).subjectPublicKey);
    const isEd25519 = createPublicKey({ key: publicKey, format: "der", type: "spki" }).asymmetricKeyType === "ed25519";
    // The official plugin hashes an Ed25519 key as an octet string.
    const hashed = isEd25519 ? Buffer.concat([Buffer.from([4, bits.length]), bits]) : bits;
    return bufferOf(createHash("sha1").update(hashed).digest());
}

function signatureAlgorithm(key: KeyObject): AlgorithmIdentifier {
    switch (algorithmOf(key)) {
        case "RSA":
            return new AlgorithmIdentifier({ algorithm: SHA256_WITH_RSA, parameters: null });
        case "ECDSA":
            return new AlgorithmIdentifier({ algorithm: ecdsa(key).oid });
        case "ED25519":
            return new AlgorithmIdentifier({ algorithm: ED25519 });
    }
}

function ecdsa(key: KeyObject): { oid: string; hash: string } {
    return ECDSA_WITH_SHA[key.asymmetricKeyDetails?.namedCurve ?? ""] ?? { oid: "1.2.840.10045.4.3.2", hash: "sha256" };
}

function signature(key: KeyObject, data: ArrayBuffer): ArrayBuffer {
    const hashes = { RSA: () => "sha256", ECDSA: () => ecdsa(key).hash, ED25519: () => null };
    return bufferOf(sign(hashes[algorithmOf(key)](), Buffer.from(data), key));
}

/** An INTEGER's bytes that cannot be taken for a negative number's, without needless zeros. */
function positive(bytes: Buffer): ArrayBuffer {
    let start = 0;
    while (start < bytes.length - 1 && bytes[start] === 0) {
        start++;
    }
    const short = bytes.subarray(start);
    return bufferOf((short[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), short]) : short);
}

function bufferOf(bytes: Buffer): ArrayBuffer {
    return new Uint8Array(bytes).buffer;
}
