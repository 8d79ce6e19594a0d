import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { BackupPlan } from "../../../config/backup";
import type { HarborPlan, NodePlan } from "../../../config/plan";
import type { Issued } from "../../certificates";
import { ComposeStack, hook, type ComposeStackArgs, type PlainFile } from "../../compose-stack";
import { quote, type Machine } from "../../machines";
import type { Storage } from "../../storage";
import { storageChecks } from "../../storage/checks";
import { backupParts, backupSecretFiles, type BackupArgs } from "./backup";
import {
    namedVolumes,
    placeholder,
    renderHarborYml,
    renderOverride,
    serverFiles,
    settle,
    stackTrustFile,
    statePlaces,
    trustFile,
    type HarborYmlSecret,
    type Replication,
    type SettledPlan,
} from "./render";
import type { HarborSecrets } from "./secrets";

export { HarborSecrets } from "./secrets";
export { adminOf, HarborSettings } from "./settings";
export { quiesceOthers } from "./quiesce";

export interface HarborNodeArgs {
    readonly stack: string;
    readonly plan: HarborPlan;
    readonly node: NodePlan;
    readonly machine: Machine;
    /** Where the load balancer reaches it. */
    readonly address: pulumi.Output<string>;
    readonly secrets: HarborSecrets;
    readonly storage: Storage;
    readonly backup: BackupPlan;
    /** What a node that replicates serves HTTPS with, and where it finds the others; absent for another one. */
    readonly https?: HttpsArgs;
    /** What must be done right before a release of it is switched to. */
    readonly beforeRelease?: ComposeStackArgs["beforeRelease"];
    /** A secret of the stack file, by name. */
    readonly secret: (name: string) => pulumi.Output<string>;
}

export interface HttpsArgs {
    readonly server: Issued;
    /** The CA of the stack, PEM. */
    readonly caCertificate: pulumi.Output<string>;
    readonly replication: pulumi.Output<Replication>;
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

function backupOf({ config, storage }: SettledPlan, { stack, node, backup }: HarborNodeArgs): BackupArgs {
    const { database, cache } = storage;
    return {
        version: config.version,
        stack,
        node: node.name,
        nodes: node.rank,
        backup,
        dataDirectory: node.dataDirectory,
        database: database.kind === "external" ? database : { kind: "bundled" },
        redis: cache.kind === "external" ? "external" : "bundled",
        state: statePlaces(storage),
    };
}

/** The CAs of what Harbor keeps its state in. */
function renderTrust({ storage }: SettledPlan): Record<string, PlainFile> {
    const parts = Object.keys(trustFile) as (keyof typeof trustFile)[];
    return Object.fromEntries(
        parts.flatMap((part) => {
            const place = storage[part];
            return place.kind === "external" && place.caCertificate !== undefined
                ? [[trustFile[part], { content: place.caCertificate }] as const]
                : [];
        }),
    );
}

/** Secret files that are there for the checks of the storage alone. */
const checkSecrets = {
    accessKey: "root/objects-access-key",
    secretKey: "root/objects-secret-key",
    cachePassword: "root/cache-password",
} as const;

/** What is looked at before anything on the node is touched: with Harbor's own images, which are there. */
function renderChecks({ config, storage }: SettledPlan, machine: string): Record<string, PlainFile> {
    const { objects, database, cache } = storage;
    // It has curl and psql.
    const image = `goharbor/harbor-db:v${config.version}`;
    return storageChecks({
        machine,
        objects:
            objects.kind === "external"
                ? {
                      place: objects,
                      image,
                      caFile: trustFile.objects,
                      accessKeyFile: checkSecrets.accessKey,
                      secretKeyFile: checkSecrets.secretKey,
                  }
                : undefined,
        database:
            database.kind === "external"
                ? {
                      place: database,
                      image,
                      caFile: trustFile.database,
                      passwordFile: backupSecretFiles.databasePassword,
                  }
                : undefined,
        cache:
            cache.kind === "external"
                ? {
                      place: cache,
                      image: `goharbor/prepare:v${config.version}`,
                      caFile: trustFile.cache,
                      passwordFile: checkSecrets.cachePassword,
                  }
                : undefined,
    });
}

/** A node that runs Harbor. */
export class HarborNode extends pulumi.ComponentResource {
    /** Done when the node is healthy. */
    readonly released: pulumi.CustomResource;
    /** A text that is another one with each release. */
    readonly change: pulumi.Output<string>;

    constructor(name: string, args: HarborNodeArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:HarborNode", name, {}, options);
        const { stack, plan, node, machine, secrets, secret, https } = args;
        const { config } = plan;
        const variables = {
            VERSION: config.version,
            INSTALLER_SHA256: config.installer.sha256,
            DATA_DIRECTORY: node.dataDirectory,
            TRIVY: String(config.trivy.enabled),
            PORT: String(node.port),
            SECONDS_TO_HEALTH: String(config.healthMinutes * 60),
            DATABASE: args.storage.database === undefined ? "bundled" : "external",
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
        const { objects, database, cache } = args.storage;
        const settled = pulumi
            .all([objects?.place, database?.place, cache?.place])
            .apply(([objectPlace, databasePlace, cachePlace]) =>
                settle(plan, { objects: objectPlace, database: databasePlace, cache: cachePlace }),
            );
        const compose = new ComposeStack(
            name,
            {
                machine,
                project: node.project,
                plainFiles: pulumi
                    .all([args.address, settled, https?.replication, https?.caCertificate])
                    .apply(([address, settledPlan, replication, caCertificate]) => {
                        const backup = backupParts(backupOf(settledPlan, args));
                        return {
                            "harbor.yml.in": { content: renderHarborYml(settledPlan, node) },
                            "docker-compose.override.yml": {
                                content: renderOverride({
                                    stack,
                                    plan: settledPlan,
                                    node,
                                    address,
                                    ...(replication && { replication }),
                                    backup: backup.service,
                                }),
                            },
                            "registry/start.sh": { content: readFileSync(script("start.sh"), "utf8"), mode: "0755" },
                            ...renderTrust(settledPlan),
                            ...(caCertificate && { [stackTrustFile]: { content: caCertificate } }),
                            ...renderChecks(settledPlan, machine.name),
                            ...backup.plainFiles,
                            "hooks/generate.sh": hook(script("hooks/generate.sh"), variables, volumes),
                            "hooks/health.sh": hook(script("hooks/health.sh"), {
                                ...variables,
                                ADDRESS: address,
                                ...(https && { CA: stackTrustFile }),
                            }),
                        };
                    }),
                secretFiles: {
                    "root/harbor-yml": this.harborYmlSecrets(args),
                    "root/secretkey": secrets.secretKey,
                    "root/private_key.pem": secrets.tokenKey,
                    "root/root.crt": secrets.tokenCertificate,
                    ...backupSecrets(secrets, args.backup, secret),
                    ...(objects?.accessKey && { [checkSecrets.accessKey]: objects.accessKey }),
                    ...(objects?.secretKey && { [checkSecrets.secretKey]: objects.secretKey }),
                    ...(cache?.password && { [checkSecrets.cachePassword]: cache.password }),
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
                    ...(https && {
                        [serverFiles.certificate]: https.server.certificate,
                        [serverFiles.privateKey]: https.server.privateKey,
                    }),
                    ...Object.fromEntries(
                        Object.entries(secrets.internalTls).map(([each, content]) => [`root/tls/${each}`, content]),
                    ),
                },
                data: { directory: node.dataDirectory, deleteData: node.deleteData },
                // Docker calls jobservice unhealthy when it starts faster than core, and comes back by itself.
                health: "hook",
                ...(args.beforeRelease && { beforeRelease: args.beforeRelease }),
            },
            { parent: this },
        );
        this.released = compose.released;
        this.change = compose.change;
        this.registerOutputs({});
    }

    /** A line for each placeholder of harbor.yml: its name and the value as YAML. */
    private harborYmlSecrets({ plan: { config }, secrets, storage, secret }: HarborNodeArgs): pulumi.Output<string> {
        const { objects, cache } = storage;
        const exporter = config.trace?.exporter;
        const given = (secretName: string | undefined) => (secretName === undefined ? undefined : secret(secretName));
        // Written into the registry's configuration without quotes; these are kept.
        const quoted = (value: pulumi.Output<string> | undefined) => value?.apply((text) => JSON.stringify(text));
        const values: Readonly<Record<HarborYmlSecret, pulumi.Output<string> | undefined>> = {
            admin: secrets.initialPassword,
            database: secrets.databasePassword,
            redis: cache?.password,
            github_token: given(config.trivy.githubToken),
            jaeger: exporter?.kind === "jaeger" ? given(exporter.password) : undefined,
            s3_access_key: quoted(objects?.accessKey),
            s3_secret_key: quoted(objects?.secretKey),
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
