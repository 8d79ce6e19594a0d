import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { BackupPlan } from "../../../config/backup";
import type { HarborPlan, NodePlan } from "../../../config/plan";
import { ComposeStack, hook } from "../../compose-stack";
import { quote, type Machine } from "../../machines";
import { backupParts, backupSecretFiles } from "./backup";
import {
    namedVolumes,
    placeholder,
    renderHarborYml,
    renderOverride,
    statePlaces,
    trustFile,
    type HarborYmlSecret,
} from "./render";
import type { HarborSecrets } from "./secrets";

export { HarborSecrets } from "./secrets";
export { HarborSettings } from "./settings";

export interface HarborNodeArgs {
    readonly stack: string;
    readonly plan: HarborPlan;
    readonly node: NodePlan;
    readonly machine: Machine;
    /** Where the load balancer reaches it. */
    readonly address: pulumi.Output<string>;
    readonly secrets: HarborSecrets;
    readonly backup: BackupPlan;
    /** A secret of the stack file, by name. */
    readonly secret: (name: string) => pulumi.Output<string>;
}

const script = (path: string) => join(__dirname, path);

const lines = (values: Readonly<Record<string, pulumi.Input<string>>>): pulumi.Output<string> =>
    pulumi.output(values).apply((all) =>
        Object.entries(all)
            .map(([key, value]) => `${key}=${value}\n`)
            .join(""),
    );

function backupSecrets(
    secrets: HarborSecrets,
    { s3 }: BackupPlan,
    secret: (name: string) => pulumi.Output<string>,
): Record<`root/${string}`, pulumi.Output<string>> {
    const { databasePassword, s3AccessKey, s3SecretKey } = backupSecretFiles;
    return {
        [databasePassword]: secrets.databasePassword,
        ...(s3 === undefined ? {} : { [s3AccessKey]: secret(s3.accessKey), [s3SecretKey]: secret(s3.secretKey) }),
    };
}

/** A node that runs Harbor. */
export class HarborNode extends pulumi.ComponentResource {
    /** Done when the node is healthy. */
    readonly released: pulumi.CustomResource;

    constructor(name: string, args: HarborNodeArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:HarborNode", name, {}, options);
        const { stack, plan, node, machine, secrets, secret } = args;
        const { config, storage } = plan;
        const variables = {
            VERSION: config.version,
            INSTALLER_SHA256: config.installer.sha256,
            DATA_DIRECTORY: node.dataDirectory,
            TRIVY: String(config.trivy.enabled),
            PORT: String(node.port),
            SECONDS_TO_HEALTH: String(config.healthMinutes * 60),
            DATABASE: storage.database.kind === "external" ? "external" : "bundled",
            STACK: stack,
        };
        const volumes = namedVolumes(plan).map(({ name: volume, owner, driver, options }) =>
            [
                ...["volume", volume, owner, "--driver", driver],
                ...Object.entries(options).flatMap(([key, value]) => ["--opt", `${key}=${value}`]),
            ]
                .map(quote)
                .join(" "),
        );
        const { cache, database } = storage;
        const backup = backupParts({
            version: config.version,
            stack,
            node: node.name,
            nodes: node.rank,
            backup: args.backup,
            dataDirectory: node.dataDirectory,
            database: database.kind === "external" ? database : { kind: "bundled" },
            redis: cache.kind === "external" ? "external" : "bundled",
            state: statePlaces(plan),
        });
        const parts = Object.keys(trustFile) as (keyof typeof trustFile)[];
        const certificates = parts.flatMap((part) => {
            const place = storage[part];
            return place.kind === "external" && place.caCertificate !== undefined
                ? [[trustFile[part], { content: place.caCertificate }] as const]
                : [];
        });
        const compose = new ComposeStack(
            name,
            {
                machine,
                project: node.project,
                plainFiles: args.address.apply((address) => ({
                    "harbor.yml.in": { content: renderHarborYml(plan, node) },
                    "docker-compose.override.yml": {
                        content: renderOverride({ stack, plan, node, address, backup: backup.service }),
                    },
                    "registry/start.sh": { content: readFileSync(script("start.sh"), "utf8"), mode: "0755" },
                    ...Object.fromEntries(certificates),
                    ...backup.plainFiles,
                    "hooks/generate.sh": hook(script("hooks/generate.sh"), variables, volumes),
                    "hooks/health.sh": hook(script("hooks/health.sh"), { ...variables, ADDRESS: address }),
                })),
                secretFiles: {
                    "root/harbor-yml": this.harborYmlSecrets(plan, secrets, secret),
                    "root/secretkey": secrets.secretKey,
                    "root/private_key.pem": secrets.tokenKey,
                    "root/root.crt": secrets.tokenCertificate,
                    ...backupSecrets(secrets, args.backup, secret),
                    "root/core.env": lines({
                        CORE_SECRET: secrets.coreSecret,
                        JOBSERVICE_SECRET: secrets.jobserviceSecret,
                        CSRF_KEY: secrets.csrfKey,
                        ROBOT_SCANNER_NAME_PREFIX: secrets.scannerPrefix,
                        REGISTRY_CREDENTIAL_PASSWORD: secrets.registryPassword,
                    }),
                    "root/jobservice.env": lines({
                        CORE_SECRET: secrets.coreSecret,
                        JOBSERVICE_SECRET: secrets.jobserviceSecret,
                        REGISTRY_CREDENTIAL_PASSWORD: secrets.registryPassword,
                    }),
                    "root/registryctl.env": lines({
                        CORE_SECRET: secrets.coreSecret,
                        JOBSERVICE_SECRET: secrets.jobserviceSecret,
                    }),
                    "service/passwd": secrets.registryHtpasswd,
                    "service/http-secret": secrets.registryHttpSecret,
                    ...Object.fromEntries(
                        Object.entries(secrets.internalTls).map(([each, content]) => [`root/tls/${each}`, content]),
                    ),
                },
                data: { directory: node.dataDirectory, deleteData: node.deleteData },
                // Docker calls jobservice unhealthy when it starts faster than core, and comes back by itself.
                health: "hook",
            },
            { parent: this },
        );
        this.released = compose.released;
        this.registerOutputs({});
    }

    /** A line for each placeholder of harbor.yml: its name and the value as YAML. */
    private harborYmlSecrets(
        { config, storage }: HarborPlan,
        secrets: HarborSecrets,
        secret: (name: string) => pulumi.Output<string>,
    ): pulumi.Output<string> {
        const { objects, cache } = storage;
        const exporter = config.trace?.exporter;
        const given = (secretName: string | undefined) => (secretName === undefined ? undefined : secret(secretName));
        // Written into the registry's configuration without quotes; these are kept.
        const quoted = (secretName: string | undefined) => given(secretName)?.apply((text) => JSON.stringify(text));
        const values: Readonly<Record<HarborYmlSecret, pulumi.Output<string> | undefined>> = {
            admin: secrets.initialPassword,
            database: secrets.databasePassword,
            redis: cache.kind === "external" ? given(cache.password) : undefined,
            github_token: given(config.trivy.githubToken),
            jaeger: exporter?.kind === "jaeger" ? given(exporter.password) : undefined,
            s3_access_key: objects.kind === "external" ? quoted(objects.accessKey) : undefined,
            s3_secret_key: objects.kind === "external" ? quoted(objects.secretKey) : undefined,
        };
        return pulumi.secret(
            pulumi.output(values).apply((all) =>
                Object.entries(all)
                    .flatMap(([name, value]) =>
                        value === undefined
                            ? []
                            : [`${placeholder.secret(name as HarborYmlSecret)} ${JSON.stringify(value)}\n`],
                    )
                    .join(""),
            ),
        );
    }
}
