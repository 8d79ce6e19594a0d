import { isIP } from "node:net";
import * as pulumi from "@pulumi/pulumi";
import * as tls from "@pulumi/tls";
import type { CertificatePlan } from "../config/plan";

export interface CertificatesArgs {
    readonly plan: CertificatePlan;
    /** The public name: the certificate's common name. */
    readonly publicName: string;
    /** Further names and addresses, such as those that the load balancer's machine has. */
    readonly machineNames: readonly pulumi.Input<string>[];
}

const hoursPerDay = 24;
const keyAlgorithm = { algorithm: "ECDSA", ecdsaCurve: "P256" } as const;

/**
 * A CA of the stack's own and the server certificate that it signs. The first `up` within the renewal time before expiry
 * makes a new certificate with the same key and CA; clients notice nothing.
 */
export class Certificates extends pulumi.ComponentResource {
    /** The CA that clients must trust, PEM. */
    readonly caCertificate: pulumi.Output<string>;
    /** The server certificate, PEM. */
    readonly certificate: pulumi.Output<string>;
    /** Its private key, PEM. Secret. */
    readonly privateKey: pulumi.Output<string>;

    constructor(name: string, args: CertificatesArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:Certificates", name, {}, options);
        const { plan, publicName } = args;
        const organization = "Harborage";

        const caKey = new tls.PrivateKey(`${name}-ca`, keyAlgorithm, { parent: this });
        const ca = new tls.SelfSignedCert(
            `${name}-ca`,
            {
                privateKeyPem: caKey.privateKeyPem,
                isCaCertificate: true,
                setSubjectKeyId: true,
                subject: { commonName: `Harborage CA for ${publicName}`, organization },
                allowedUses: ["cert_signing", "crl_signing"],
                validityPeriodHours: plan.caValidityDays * hoursPerDay,
            },
            { parent: this },
        );

        const names = pulumi
            .all([...plan.names, ...args.machineNames])
            .apply((all) => [...new Set(all.filter((each) => each !== ""))]);
        const key = new tls.PrivateKey(`${name}-server`, keyAlgorithm, { parent: this });
        const request = new tls.CertRequest(
            `${name}-server`,
            {
                privateKeyPem: key.privateKeyPem,
                subject: { commonName: publicName.slice(0, 64), organization },
                dnsNames: names.apply((all) => all.filter((each) => isIP(each) === 0)),
                ipAddresses: names.apply((all) => all.filter((each) => isIP(each) !== 0)),
            },
            { parent: this },
        );
        const certificate = new tls.LocallySignedCert(
            `${name}-server`,
            {
                certRequestPem: request.certRequestPem,
                caPrivateKeyPem: caKey.privateKeyPem,
                caCertPem: ca.certPem,
                allowedUses: ["digital_signature", "key_encipherment", "server_auth"],
                validityPeriodHours: plan.validityDays * hoursPerDay,
                earlyRenewalHours: plan.renewBeforeDays * hoursPerDay,
            },
            { parent: this },
        );

        this.caCertificate = ca.certPem;
        this.certificate = certificate.certPem;
        this.privateKey = pulumi.secret(key.privateKeyPem);
        this.registerOutputs({ caCertificate: this.caCertificate, certificate: this.certificate });
    }
}
