import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import * as tls from "@pulumi/tls";
import type { HarborPlan } from "../../../config/plan";
import type { Storage } from "../../storage";
import { bcrypt, renderHtpasswd } from "../htpasswd";

export interface HarborSecretsArgs {
    readonly plan: HarborPlan;
    readonly storage: Storage;
    /** A secret of the stack file, by name. */
    readonly secret: (name: string) => pulumi.Output<string>;
}

/** The components that talk TLS to each other, by the names of their files, with the names that they are called by. */
const internalNames = {
    proxy: "proxy",
    portal: "portal",
    core: "core",
    job_service: "jobservice",
    registry: "registry",
    registryctl: "registryctl",
    trivy_adapter: "trivy-adapter",
    harbor_db: "harbor_db",
} as const;

const hoursPerYear = 365 * 24;

/**
 * What Harbor's components trust each other by, made once and the same on every node. Harbor's `prepare` would make most
 * of it anew on every run. All of it is secret.
 */
export class HarborSecrets extends pulumi.ComponentResource {
    /** The password of the user admin at the first start. It is of no use afterwards. */
    readonly initialPassword: pulumi.Output<string>;
    /** The password of the user admin. */
    readonly adminPassword: pulumi.Output<string>;
    /** Encrypts what Harbor stores: 16 characters. */
    readonly secretKey: pulumi.Output<string>;
    /** Signs tokens: PKCS#1, the only form that the token service reads. */
    readonly tokenKey: pulumi.Output<string>;
    /** The certificate of that key. */
    readonly tokenCertificate: pulumi.Output<string>;
    readonly databasePassword: pulumi.Output<string>;
    readonly coreSecret: pulumi.Output<string>;
    readonly jobserviceSecret: pulumi.Output<string>;
    readonly csrfKey: pulumi.Output<string>;
    readonly registryPassword: pulumi.Output<string>;
    /** A line of an htpasswd file for that password, bcrypt. */
    readonly registryHtpasswd: pulumi.Output<string>;
    /** Signs the state of uploads. */
    readonly registryHttpSecret: pulumi.Output<string>;
    readonly scannerPrefix: pulumi.Output<string>;
    /** The files for TLS between components, by name; empty without it. */
    readonly internalTls: Readonly<Record<string, pulumi.Output<string>>>;

    constructor(name: string, { plan, storage, secret }: HarborSecretsArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:HarborSecrets", name, {}, options);
        const { config } = plan;
        const generated = (what: string, length: number, args: Partial<random.RandomPasswordArgs> = {}) =>
            new random.RandomPassword(`${name}-${what}`, { length, special: false, ...args }, { parent: this }).result;
        const given = (secretName: string | undefined, otherwise: () => pulumi.Output<string>) =>
            secretName === undefined ? otherwise() : secret(secretName);
        // Harbor refuses passwords without one of each.
        const mixed = { minUpper: 1, minLower: 1, minNumeric: 1 };

        this.initialPassword = generated("initial-password", 32, mixed);
        this.adminPassword = given(config.adminPassword, () => generated("admin-password", 32, mixed));
        this.secretKey = given(config.secrets.secretKey, () => generated("secret-key", 16));
        this.databasePassword = storage.database?.password ?? generated("database-password", 32);
        this.coreSecret = generated("core-secret", 16);
        this.jobserviceSecret = generated("jobservice-secret", 16);
        this.csrfKey = generated("csrf-key", 32);
        this.registryHttpSecret = generated("http-secret", 32);
        this.scannerPrefix = generated("scanner-prefix", 8, { upper: false });
        this.registryPassword = generated("registry-password", 32);
        const salt = new random.RandomBytes(`${name}-registry-salt`, { length: 16 }, { parent: this });
        this.registryHtpasswd = pulumi.secret(
            pulumi
                .all([this.registryPassword, salt.base64])
                .apply(([password, bytes]) =>
                    renderHtpasswd([{ name: "harbor_registry_user", hash: bcrypt(password, bytes, "generated") }]),
                ),
        );

        const key = new tls.PrivateKey(`${name}-token`, { algorithm: "RSA", rsaBits: 4096 }, { parent: this });
        const certificate = new tls.SelfSignedCert(
            `${name}-token`,
            {
                privateKeyPem: key.privateKeyPem,
                subject: { commonName: "harbor-token-service" },
                allowedUses: ["digital_signature"],
                validityPeriodHours: 10 * hoursPerYear,
                earlyRenewalHours: hoursPerYear,
            },
            { parent: this },
        );
        this.tokenKey = pulumi.secret(key.privateKeyPem);
        this.tokenCertificate = certificate.certPem;
        this.internalTls = config.internalTls ? this.makeInternalTls(name) : {};
        this.registerOutputs({});
    }

    /** A CA that nobody else trusts, and a certificate of it for each component. */
    private makeInternalTls(name: string): Record<string, pulumi.Output<string>> {
        const algorithm = { algorithm: "ECDSA", ecdsaCurve: "P256" } as const;
        const caKey = new tls.PrivateKey(`${name}-internal-ca`, algorithm, { parent: this });
        const ca = new tls.SelfSignedCert(
            `${name}-internal-ca`,
            {
                privateKeyPem: caKey.privateKeyPem,
                isCaCertificate: true,
                subject: { commonName: "Harbor's components" },
                allowedUses: ["cert_signing", "crl_signing"],
                validityPeriodHours: 10 * hoursPerYear,
                earlyRenewalHours: hoursPerYear,
            },
            { parent: this },
        );
        const files: Record<string, pulumi.Output<string>> = { "harbor_internal_ca.crt": ca.certPem };
        for (const [file, dnsName] of Object.entries(internalNames)) {
            const key = new tls.PrivateKey(`${name}-internal-${dnsName}`, algorithm, { parent: this });
            const request = new tls.CertRequest(
                `${name}-internal-${dnsName}`,
                { privateKeyPem: key.privateKeyPem, subject: { commonName: dnsName }, dnsNames: [dnsName] },
                { parent: this },
            );
            const certificate = new tls.LocallySignedCert(
                `${name}-internal-${dnsName}`,
                {
                    certRequestPem: request.certRequestPem,
                    caPrivateKeyPem: caKey.privateKeyPem,
                    caCertPem: ca.certPem,
                    allowedUses: ["digital_signature", "key_encipherment", "server_auth", "client_auth"],
                    // As long as their CA: nobody outside trusts them, and a site without `up` for a year must go on.
                    validityPeriodHours: 10 * hoursPerYear,
                    earlyRenewalHours: hoursPerYear,
                },
                { parent: this },
            );
            files[`${file}.crt`] = certificate.certPem;
            files[`${file}.key`] = pulumi.secret(key.privateKeyPem);
        }
        return files;
    }
}
