import { stringify } from "yaml";
import type { MachineStoragePlan } from "../../../config/plan-storage";
import { composePath, contentLabel, serviceLog } from "../../compose-stack/render-files";

/** Where a release's files are inside the container. */
const release = "/etc/harborage/current";

/** The port inside the container. */
const port = 6379;

/** valkey.conf (valkey.io/topics/valkey.conf). The password is beside it, in users.acl. */
export function renderSettings(): string {
    return `bind * -::*
port 0
tls-port ${String(port)}
tls-cert-file ${release}/secrets/service/server.crt
tls-key-file ${release}/secrets/service/server.key
tls-auth-clients no
tls-protocols "TLSv1.2 TLSv1.3"
aclfile ${release}/secrets/service/users.acl

dir /data
appendonly yes
appendfsync everysec
# What jobs and sessions are in must not be thrown away for want of memory.
maxmemory-policy noeviction
databases 16
`;
}

/** Who may do what: everything, with the password. */
export function renderUsers(password: string): string {
    return `user default on sanitize-payload >${password} ~* &* +@all\n`;
}

export interface ComposeArgs {
    readonly stack: string;
    readonly plan: MachineStoragePlan;
    /** The address of the machine that nodes reach it at. */
    readonly address: string;
}

/** The compose file of the cache. */
export function renderCompose({ stack, plan, address }: ComposeArgs): string {
    return stringify({
        name: plan.project,
        services: {
            valkey: {
                image: plan.image,
                labels: { "harborage.stack": stack, "harborage.config": contentLabel(renderSettings()) },
                restart: "always",
                user: "${HARBORAGE_USER}",
                entrypoint: ["valkey-server", `${release}/valkey.conf`],
                command: [],
                stop_grace_period: "60s",
                read_only: true,
                tmpfs: ["/tmp:mode=1777"],
                cap_drop: ["ALL"],
                security_opt: ["no-new-privileges"],
                ports: [`${address}:${String(plan.port)}:${String(port)}`],
                volumes: ["${HARBORAGE_STACK}:/etc/harborage:ro", `${composePath(plan.dataDirectory)}:/data`],
                logging: serviceLog(),
                healthcheck: {
                    // It wants a password, which is not said here: that it asks for one is enough.
                    test: ["CMD-SHELL", `valkey-cli --tls --insecure -p ${String(port)} ping | grep -qE 'NOAUTH|PONG'`],
                    interval: "3s",
                    timeout: "5s",
                    retries: 5,
                    start_period: "60s",
                },
            },
        },
    });
}
