import { stringify } from "yaml";
import type { MachineDatabasePlan } from "../../../config/plan-storage";
import { ownDatabase } from "../places";
import { composePath, contentLabel, serviceLog } from "../../compose-stack/render-files";

/** Where a release's files are inside the container. */
const release = "/etc/harborage/current";

/** The port inside the container. */
const port = 5432;

/**
 * postgresql.conf (postgresql.org/docs/17/runtime-config.html). What is not here is PostgreSQL's default.
 */
export function renderSettings({ maxConnections }: MachineDatabasePlan): string {
    return `listen_addresses = '*'
port = ${String(port)}
unix_socket_directories = '/run/postgresql'
hba_file = '${release}/pg_hba.conf'
max_connections = ${String(maxConnections)}
shared_buffers = '256MB'

ssl = on
ssl_cert_file = '/run/postgresql/server.crt'
ssl_key_file = '/run/postgresql/server.key'
ssl_min_protocol_version = 'TLSv1.2'
password_encryption = 'scram-sha-256'

timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d %h '
# A statement that fails may hold a password.
log_min_error_statement = 'panic'
`;
}

/** Who may connect: one user to one database, by TLS and password. All others are refused. */
export function renderAccess(): string {
    const { name, user } = ownDatabase;
    return `local   all         postgres                  peer
hostssl ${name}    ${user}     0.0.0.0/0       scram-sha-256
hostssl ${name}    ${user}     ::/0            scram-sha-256
`;
}

export interface ComposeArgs {
    readonly stack: string;
    readonly plan: MachineDatabasePlan;
    /** The address of the machine that nodes reach it at. */
    readonly address: string;
    /** What the server reads at its start only. */
    readonly startFiles: readonly string[];
}

/** The compose file of the database. */
export function renderCompose({ stack, plan, address, startFiles }: ComposeArgs): string {
    return stringify({
        name: plan.project,
        services: {
            postgresql: {
                image: plan.image,
                labels: { "harborage.stack": stack, "harborage.config": contentLabel(...startFiles) },
                restart: "always",
                // Root gives the data and the key to the image's user postgres, which then runs the server.
                user: "0:0",
                entrypoint: ["/bin/bash", `${release}/start.sh`],
                command: [],
                // The server's fast shutdown: clients are cut off, and what they have committed is on disk.
                stop_signal: "SIGINT",
                stop_grace_period: "120s",
                shm_size: "256mb",
                read_only: true,
                tmpfs: ["/tmp:mode=1777", "/run:mode=0755"],
                cap_drop: ["ALL"],
                cap_add: ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"],
                security_opt: ["no-new-privileges"],
                ports: [`${address}:${String(plan.port)}:${String(port)}`],
                volumes: ["${HARBORAGE_STACK}:/etc/harborage:ro", `${composePath(plan.dataDirectory)}:/data`],
                logging: serviceLog(),
                healthcheck: {
                    test: ["CMD", "/bin/bash", `${release}/health.sh`],
                    interval: "3s",
                    timeout: "10s",
                    retries: 5,
                    // A server that was cut off reads its log first.
                    start_period: "120s",
                },
            },
        },
    });
}
