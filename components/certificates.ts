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
const organization = "Harborage";
const keyAlgorithm = { algorithm: "ECDSA", ecdsaCurve: "P256" } as const;

/** A server certificate with its key. */
export interface Issued {
    /** PEM. */
    readonly certificate: pulumi.Output<string>;
    /** PEM. Secret. */
    readonly privateKey: pulumi.Output<string>;
}

/**
 * A CA of the stack's own and the server certificates that it signs. The first `up` within the renewal time before expiry
 * makes a new certificate with the same key and CA; clients notice nothing.
 */
export class Certificates extends pulumi.ComponentResource {
    /** The CA that clients must trust, PEM. */
    readonly caCertificate: pulumi.Output<string>;
    /** The server certificate of the public name. */
    readonly server: Issued;

    private readonly plan: CertificatePlan;
    private readonly caKey: tls.PrivateKey;

    constructor(name: string, args: CertificatesArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:Certificates", name, {}, options);
        const { plan, publicName } = args;
        this.plan = plan;
        this.caKey = new tls.PrivateKey(`${name}-ca`, keyAlgorithm, { parent: this });
        const ca = new tls.SelfSignedCert(
            `${name}-ca`,
            {
                privateKeyPem: this.caKey.privateKeyPem,
                isCaCertificate: true,
                setSubjectKeyId: true,
                subject: { commonName: `Harborage CA for ${publicName}`, organization },
                allowedUses: ["cert_signing", "crl_signing"],
                validityPeriodHours: plan.caValidityDays * hoursPerDay,
            },
            { parent: this },
        );
        this.caCertificate = ca.certPem;
        this.server = this.issue(`${name}-server`, publicName, [...plan.names, ...args.machineNames]);
        this.registerOutputs({ caCertificate: this.caCertificate, certificate: this.server.certificate });
    }

    /**
     * A server certificate.
     *
     * @param hosts names and addresses; empty ones are left out
     */
    issue(name: string, commonName: string, hosts: readonly pulumi.Input<string>[]): Issued {
        const names = pulumi.all([...hosts]).apply((all) => [...new Set(all.filter((each) => each !== ""))]);
        const key = new tls.PrivateKey(name, keyAlgorithm, { parent: this });
        const request = new tls.CertRequest(
            name,
            {
                privateKeyPem: key.privateKeyPem,
                subject: { commonName: commonName.slice(0, 64), organization },
                dnsNames: names.apply((all) => all.filter((each) => isIP(each) === 0)),
                ipAddresses: names.apply((all) => all.filter((each) => isIP(each) !== 0)),
            },
            { parent: this },
        );
        const certificate = new tls.LocallySignedCert(
            name,
            {
                certRequestPem: request.certRequestPem,
                caPrivateKeyPem: this.caKey.privateKeyPem,
                caCertPem: this.caCertificate,
                allowedUses: ["digital_signature", "key_encipherment", "server_auth"],
                validityPeriodHours: this.plan.validityDays * hoursPerDay,
                earlyRenewalHours: this.plan.renewBeforeDays * hoursPerDay,
            },
            { parent: this },
        );
        return { certificate: certificate.certPem, privateKey: pulumi.secret(key.privateKeyPem) };
    }
}
