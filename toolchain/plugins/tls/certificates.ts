import { atLeast, bridged, oneOf, type Attribute, type Attributes, type Plan } from "../lib/bridged";
import { isObject, textOf, UNKNOWN, type Value, type Values } from "../lib/values";
import { algorithmOf, CURVES, ALGORITHMS, generateKey, hashForState, openSsh, parsePrivateKey } from "./keys";
import { pemOf, pkcs8Pem, publicDer, publicPem, traditionalPem, type Algorithm, type Curve } from "./keys";
import { alternativeNames, requestedNames, SUBJECT_PROPERTIES, subjectName } from "./names";
import { createCertificate, createRequest, EXTENDED_KEY_USAGES, KEY_USAGES, parseIssuer, parseRequest } from "./x509";

const HOUR = 3_600_000;

const OUTPUT: Attribute = { type: "string" };
const SECRET_OUTPUT: Attribute = { type: "string", secret: true };
const KEPT: Attribute = { type: "string", stays: true };
const NAMES: Attribute = { type: "strings", input: "optional", replaces: "always" };
const FLAG: Attribute = { type: "boolean", input: "optional", default: false, replaces: "always" };
const PEM_INPUT: Attribute = { type: "string", input: "required", replaces: "pem" };
const SECRET_PEM_INPUT: Attribute = { ...PEM_INPUT, secret: true };

/** tls.PrivateKey */
export const privateKey = bridged({
    schemaVersion: 1,
    attributes: {
        algorithm: { type: "string", input: "required", replaces: "always", check: oneOf(ALGORITHMS) },
        rsaBits: { type: "integer", input: "optional", default: 2048, replaces: "always" },
        ecdsaCurve: { type: "string", input: "optional", default: "P224", replaces: "always", check: oneOf(CURVES) },
        privateKeyPem: SECRET_OUTPUT,
        privateKeyOpenssh: SECRET_OUTPUT,
        privateKeyPemPkcs8: SECRET_OUTPUT,
        publicKeyPem: OUTPUT,
        publicKeyOpenssh: OUTPUT,
        publicKeyFingerprintMd5: OUTPUT,
        publicKeyFingerprintSha256: OUTPUT,
        id: OUTPUT,
    },
    async create(planned) {
        const key = await generateKey(
            planned["algorithm"] as Algorithm,
            Number(planned["rsaBits"]),
            planned["ecdsaCurve"] as Curve,
        );
        const ssh = openSsh(key);
        const id = hashForState(publicDer(key));
        return {
            id,
            computed: {
                id,
                privateKeyPem: traditionalPem(key),
                privateKeyPemPkcs8: pkcs8Pem(key),
                privateKeyOpenssh: ssh.privateKey,
                publicKeyPem: publicPem(key),
                publicKeyOpenssh: ssh.publicKey,
                publicKeyFingerprintMd5: ssh.md5,
                publicKeyFingerprintSha256: ssh.sha256,
            },
        };
    },
});

const SUBJECT: Attribute = {
    type: "object",
    input: "optional",
    replaces: "always",
    check: (value) => {
        const wrong = Object.keys(isObject(value) ? value : {}).find((name) => !SUBJECT_PROPERTIES.includes(name));
        return wrong === undefined ? undefined : `has no property '${wrong}'; it has ${SUBJECT_PROPERTIES.join(", ")}`;
    },
};

const OWNER: Attributes = {
    subject: SUBJECT,
    dnsNames: NAMES,
    ipAddresses: { ...NAMES, check: noEmpty },
    uris: { ...NAMES, check: noEmpty },
};

function noEmpty(value: Value): string | undefined {
    return Array.isArray(value) && value.includes("") ? "must have no empty elements" : undefined;
}

/** tls.CertRequest */
export const certRequest = bridged({
    attributes: {
        privateKeyPem: SECRET_PEM_INPUT,
        ...OWNER,
        certRequestPem: KEPT,
        keyAlgorithm: KEPT,
        id: KEPT,
    },
    create(planned) {
        const key = parsePrivateKey(textOf(planned["privateKeyPem"]), "private key");
        const request = createRequest(subjectOf(planned), alternativeNames(planned), key);
        const id = hashForState(request);
        const certRequestPem = pemOf("CERTIFICATE REQUEST", request);
        return Promise.resolve({ id, computed: { id, certRequestPem, keyAlgorithm: algorithmOf(key) } });
    },
});

const ISSUED: Attributes = {
    validityPeriodHours: { type: "integer", input: "required", replaces: "always", check: atLeast(0) },
    allowedUses: {
        type: "strings",
        input: "required",
        replaces: "always",
        check: oneOf([...Object.keys(KEY_USAGES), ...Object.keys(EXTENDED_KEY_USAGES)].sort()),
    },
    earlyRenewalHours: { type: "integer", input: "optional", default: 0, check: atLeast(0) },
    isCaCertificate: FLAG,
    maxPathLength: { type: "integer", input: "optional", stays: true, replaces: "always", check: atLeast(-1) },
    setSubjectKeyId: FLAG,
    certPem: KEPT,
    readyForRenewal: { type: "boolean", default: false },
    validityStartTime: KEPT,
    validityEndTime: KEPT,
    id: KEPT,
};

/** tls.SelfSignedCert */
export const selfSignedCert = bridged({
    attributes: {
        privateKeyPem: SECRET_PEM_INPUT,
        ...OWNER,
        ...ISSUED,
        setAuthorityKeyId: FLAG,
        keyAlgorithm: KEPT,
    },
    plan: planRenewal,
    refresh: refreshRenewal,
    create(planned) {
        const key = parsePrivateKey(textOf(planned["privateKeyPem"]), "private key");
        const subject = subjectOf(planned);
        if (planned["isCaCertificate"] === true && subject.length === 0) {
            throw new Error(
                "Invalid Certificate Subject: Must contain at least one Distinguished Name when creating Certificate Authority (CA)",
            );
        }
        const owner = { subject, names: alternativeNames(planned), publicKey: publicDer(key), signer: key };
        const { id, computed } = issue(planned, owner);
        return Promise.resolve({ id, computed: { ...computed, keyAlgorithm: algorithmOf(key) } });
    },
});

/** tls.LocallySignedCert */
export const locallySignedCert = bridged({
    attributes: {
        caCertPem: PEM_INPUT,
        caPrivateKeyPem: SECRET_PEM_INPUT,
        certRequestPem: PEM_INPUT,
        ...ISSUED,
        caKeyAlgorithm: KEPT,
    },
    plan: planRenewal,
    refresh: refreshRenewal,
    create(planned) {
        const request = parseRequest(textOf(planned["certRequestPem"]));
        const signer = parsePrivateKey(textOf(planned["caPrivateKeyPem"]), "CA private key");
        const issuer = parseIssuer(textOf(planned["caCertPem"]), signer);
        const { id, computed } = issue(planned, { ...request, names: requestedNames(request.names), issuer, signer });
        return Promise.resolve({ id, computed: { ...computed, caKeyAlgorithm: algorithmOf(signer) } });
    },
});

type Owner = Pick<Parameters<typeof createCertificate>[0], "subject" | "names" | "publicKey" | "issuer" | "signer">;

function issue(planned: Values, owner: Owner): { id: string; computed: Values } {
    const start = new Date();
    const end = new Date(start.getTime() + Number(planned["validityPeriodHours"]) * HOUR);
    const { pem, serial } = createCertificate({
        ...owner,
        start,
        end,
        allowedUses: planned["allowedUses"] as string[],
        isCa: planned["isCaCertificate"] === true,
        maxPathLength: Number(planned["maxPathLength"] ?? 0),
        setSubjectKeyId: planned["setSubjectKeyId"] === true,
        setAuthorityKeyId: planned["setAuthorityKeyId"] === true,
    });
    return {
        id: serial,
        computed: {
            id: serial,
            certPem: pem,
            validityStartTime: start.toISOString(),
            validityEndTime: end.toISOString(),
        },
    };
}

function subjectOf(planned: Values): ReturnType<typeof subjectName> {
    const subject = planned["subject"];
    return subjectName(isObject(subject) ? subject : {});
}

/** Whether now is within the early renewal period before the end that the state names. */
function isDue(state: Values, earlyRenewalHours: Value | undefined): boolean {
    const end = Date.parse(textOf(state["validityEndTime"]));
    return end - Number(earlyRenewalHours ?? 0) * HOUR <= Date.now();
}

/**
 * Each plan, with or without a refresh before it, looks at the clock: a certificate that is due is replaced.
 * One whose early renewal is as long as its validity is made ready for renewal, and replaced at every update.
 */
function planRenewal(planned: Values, prior: Values | undefined): Plan {
    const [validity, early] = [planned["validityPeriodHours"], planned["earlyRenewalHours"]];
    const always = validity === 0 || (typeof validity === "number" && typeof early === "number" && early >= validity);
    const readyForRenewal = always ? true : (planned["readyForRenewal"] ?? false);
    if (prior !== undefined && isDue(prior, early)) {
        return { planned: { ...planned, readyForRenewal: UNKNOWN }, replaces: ["readyForRenewal"] };
    }
    return { planned: { ...planned, readyForRenewal }, replaces: [] };
}

function refreshRenewal(state: Values): Values {
    return isDue(state, state["earlyRenewalHours"]) ? { ...state, readyForRenewal: true } : state;
}
