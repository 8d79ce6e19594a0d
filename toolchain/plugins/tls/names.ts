import { isIP } from "node:net";
import {
    AttributeTypeAndValue,
    AttributeValue,
    GeneralName,
    Name,
    RelativeDistinguishedName,
    SubjectAlternativeName,
} from "@peculiar/asn1-x509";
import { textOf, type Value, type Values } from "../lib/values";

/** The attributes of a subject in the order in which Go's pkix.Name writes them. */
const SUBJECT: readonly { property: string; oid: string }[] = [
    { property: "country", oid: "2.5.4.6" },
    { property: "organization", oid: "2.5.4.10" },
    { property: "organizationalUnit", oid: "2.5.4.11" },
    { property: "locality", oid: "2.5.4.7" },
    { property: "province", oid: "2.5.4.8" },
    { property: "streetAddresses", oid: "2.5.4.9" },
    { property: "postalCode", oid: "2.5.4.17" },
    { property: "commonName", oid: "2.5.4.3" },
    { property: "serialNumber", oid: "2.5.4.5" },
    { property: "emailAddress", oid: "1.2.840.113549.1.9.1" },
];

export const SUBJECT_PROPERTIES: readonly string[] = SUBJECT.map(({ property }) => property);

export function subjectName(subject: Values): Name {
    const parts = SUBJECT.flatMap(({ property, oid }) => {
        const value = subject[property] ?? null;
        const texts = (Array.isArray(value) ? value : [value]).filter((text) => text !== null && text !== "");
        const attributes = texts.map(
            (text) => new AttributeTypeAndValue({ type: oid, value: attributeValue(property, textOf(text)) }),
        );
        return attributes.length > 0 ? [new RelativeDistinguishedName(attributes)] : [];
    });
    return new Name(parts);
}

/** Go writes a PrintableString where it can (RFC 5280 asks for UTF-8 elsewhere). */
function attributeValue(property: string, text: string): AttributeValue {
    if (property === "emailAddress") {
        return new AttributeValue({ ia5String: text });
    }
    return /^[A-Za-z0-9 '()+,\-./:=?]*$/.test(text)
        ? new AttributeValue({ printableString: text })
        : new AttributeValue({ utf8String: text });
}

/** The alternative names in Go's order; undefined when there are none. */
export function alternativeNames(inputs: Values): SubjectAlternativeName | undefined {
    const texts = (value: Value | undefined): string[] => (Array.isArray(value) ? value.map(textOf) : []);
    const names = [
        ...texts(inputs["dnsNames"]).map((dNSName) => new GeneralName({ dNSName: ascii(dNSName) })),
        ...texts(inputs["ipAddresses"]).map((iPAddress) => new GeneralName({ iPAddress: ipAddress(iPAddress) })),
        ...texts(inputs["uris"]).map((uri) => new GeneralName({ uniformResourceIdentifier: ascii(uri) })),
    ];
    return names.length > 0 ? new SubjectAlternativeName(names) : undefined;
}

/** Of a certificate request's names the ones that a signed certificate takes over, in Go's order. */
export function requestedNames(names: SubjectAlternativeName | undefined): SubjectAlternativeName | undefined {
    const all = Array.from(names ?? []);
    const taken = [
        ...all.filter((name) => name.dNSName !== undefined),
        ...all.filter((name) => name.iPAddress !== undefined),
        ...all.filter((name) => name.uniformResourceIdentifier !== undefined),
    ];
    return taken.length > 0 ? new SubjectAlternativeName(taken) : undefined;
}

function ascii(text: string): string {
    // eslint-disable-next-line no-control-regex -- the whole range of an IA5String is meant
    if (!/^[\x00-\x7f]*$/.test(text)) {
        throw new Error(
            `Failed to create certificate: x509: ${JSON.stringify(text)} cannot be encoded as an IA5String`,
        );
    }
    return text;
}

function ipAddress(text: string): string {
    if (isIP(text) === 0) {
        throw new Error(`Invalid IP address: Failed to parse ${JSON.stringify(text)}`);
    }
    return text;
}
