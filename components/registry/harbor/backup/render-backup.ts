import type { BackupPlan } from "../../../../config/backup";
import { composePath, serviceLog } from "../../../compose-stack/render-files";

/** The database that a Harbor node uses. */
export type BackupDatabase =
    | { readonly kind: "bundled" }
    | {
          readonly kind: "external";
          readonly host: string;
          readonly port: number;
          readonly name: string;
          readonly user: string;
          /** As libpq knows it: disable, require, verify-ca, verify-full. */
          readonly sslMode: string;
          /** PEM; absent where the world knows the CA. */
          readonly caCertificate?: string | undefined;
      };

export interface BackupArgs {
    /** Harbor's, such as 2.15.2: that of the images. */
    readonly version: string;
    readonly stack: string;
    readonly node: string;
    readonly backup: BackupPlan;
    /** Harbor's data_volume, absolute or below `~/`. */
    readonly dataDirectory: string;
    readonly database: BackupDatabase;
    /** Where Harbor keeps what must not be lost, in words: another place has none of it. */
    readonly state: string;
    /** Whether it is the only one, or the first or another one of several that share the database. */
    readonly nodes: "only" | "first" | "other";
    /** Whether Harbor's own Redis runs beside it. Another one is left alone by a restore. */
    readonly redis: "bundled" | "external";
}

/** Where the scripts and the secrets are inside the container. */
const scripts = "/etc/harborage-backup";
const secrets = "/run/harborage-backup";

/** The secret files that the service mounts, by name below `secrets/`, with what they hold. */
export const backupSecretFiles = {
    databasePassword: "root/backup-database-password",
    s3AccessKey: "root/backup-s3-access-key",
    s3SecretKey: "root/backup-s3-secret-key",
} as const;

/** What the scripts, in the container and on the machine, are told: a name and a value on each line. */
export function renderSettings(args: BackupArgs): string {
    const { backup, database } = args;
    const { times, s3 } = backup;
    const connection =
        database.kind === "external"
            ? database
            : { host: "postgresql", port: 5432, name: "registry", user: "postgres", sslMode: "disable" };
    const settings: Readonly<Record<string, string | number | boolean>> = {
        version: args.version,
        stack: args.stack,
        node: args.node,
        nodes: args.nodes,
        data: args.dataDirectory,
        folder: backup.folder,
        keep: backup.keep,
        minutes: times.minutes.join(" "),
        hours: times.hours.join(" "),
        days: times.days.join(" "),
        months: times.months.join(" "),
        weekdays: times.weekdays.join(" "),
        "either-day": times.eitherDay,
        database: database.kind,
        "database-host": connection.host,
        "database-port": connection.port,
        "database-name": connection.name,
        "database-user": connection.user,
        "database-sslmode": connection.sslMode,
        redis: args.redis,
        state: args.state,
        destination: s3 === undefined ? "path" : "s3",
        ...(s3 === undefined
            ? {}
            : { "s3-endpoint": s3.endpoint, "s3-region": s3.region, "s3-bucket": s3.bucket, "s3-prefix": s3.prefix }),
    };
    return Object.entries(settings)
        .map(([name, value]) => `${name} ${String(value)}\n`)
        .join("");
}

/** The certificates beside the settings. */
export function renderCertificates({ backup, database }: BackupArgs): Readonly<Record<string, string>> {
    const ofDatabase = database.kind === "external" ? database.caCertificate : undefined;
    const ofServer = backup.s3?.caCertificate;
    return {
        ...(ofDatabase === undefined ? {} : { "backup/database-ca.pem": ofDatabase }),
        ...(ofServer === undefined ? {} : { "backup/s3-ca.pem": ofServer }),
    };
}

/** The service `backup` of Harbor's compose project. Paths are those of a release's folder. */
export function renderService(args: BackupArgs) {
    const { backup, version, dataDirectory } = args;
    const secret = (file: string) => `./secrets/${file}:${secrets}/${file.replace("root/backup-", "")}:ro`;
    const data = composePath(dataDirectory);
    return {
        // The database's: nothing more is pulled, and it has PostgreSQL's programs of the right version.
        image: `goharbor/harbor-db:v${version}`,
        restart: "always",
        user: "0:0",
        entrypoint: ["/bin/bash", `${scripts}/backup.sh`],
        command: [backup.enabled ? "schedule" : "wait"],
        read_only: true,
        cap_drop: ["ALL"],
        // Harbor's keys belong to its own user and nobody else may read them.
        cap_add: ["DAC_OVERRIDE"],
        security_opt: ["no-new-privileges"],
        // The image makes a volume of the second one, once for each container.
        tmpfs: ["/tmp:mode=1777", "/var/lib/postgresql/data:mode=0700"],
        networks: ["harbor"],
        labels: { "harborage.stack": args.stack },
        volumes: [
            `./backup:${scripts}:ro`,
            ...[
                backupSecretFiles.databasePassword,
                ...(backup.s3 === undefined ? [] : [backupSecretFiles.s3AccessKey, backupSecretFiles.s3SecretKey]),
            ].map(secret),
            ...["keys", "core", "registry"].map((folder) => `${data}/secret/${folder}:/harbor/${folder}:ro`),
            `${composePath(backup.folder)}:/backups`,
        ],
        logging: serviceLog(),
        healthcheck: {
            test: ["CMD", "/bin/bash", `${scripts}/backup.sh`, "health"],
            interval: "10s",
            timeout: "10s",
            retries: 3,
        },
        stop_grace_period: "30s",
    };
}
