import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Skopeo, type Access } from "./client";
import type { Settings, TestStack } from "./launcher";
import type { SshMachine } from "./ssh-machine";

/** A machine of kind existing, as a stack file has it; its key is the secret `sshKey`. */
export function existing(machine: SshMachine, more: Settings = {}): Settings {
    return {
        kind: "existing",
        address: machine.address,
        hostKey: machine.hostKey,
        privateKey: "sshKey",
        minimumFreeDiskGiB: 1,
        ...more,
    };
}

/** What a machine that shares its kernel with this one can be given. */
export const baseline = { timeSync: "external", openFiles: 20_000 } as const;

/** How the administrator reaches a registry through its load balancer. */
export async function accessTo(stack: TestStack, balancer: Pick<SshMachine, "address">): Promise<Required<Access>> {
    const { caCertificate: ca, adminUsername, adminPassword } = await stack.outputs();
    const login = { name: adminUsername, password: adminPassword };
    return { name: `${stack.name}.example`, port: 443, address: balancer.address, ca, login };
}

/** A client that is logged in and has nothing but the CA. */
export async function clientOf(access: Required<Access>, folder: string): Promise<Skopeo> {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "ca.crt"), access.ca);
    const skopeo = new Skopeo(folder, folder);
    const { code, output } = await skopeo.login(access.address, access.login);
    if (code !== 0) {
        throw new Error(`cannot log in at ${access.address}: ${output}`);
    }
    return skopeo;
}

/** What a stack may leave on a machine, but for its folder. */
export async function remains(machine: SshMachine): Promise<Record<string, string[]>> {
    return {
        containers: await machine.docker("ps", "--all", "--quiet"),
        networks: await machine.docker("network", "ls", "--filter", "type=custom", "--quiet"),
        volumes: await machine.docker("volume", "ls", "--quiet"),
        images: await machine.docker("image", "ls", "--quiet"),
    };
}

export const nothing = { containers: [], networks: [], volumes: [], images: [] };

/**
 * Every file of a machine with its kind, mode, owner, size and age; without what the kernel and the logs say, and without
 * the ages of folders, in which a check may try whether it can write.
 */
export function filesOf(machine: SshMachine): Promise<string> {
    const without = ["/proc", "/sys", "/dev", "/run", "/tmp", "/var/log"].map((path) => `-path ${path}`).join(" -o ");
    const folders = "-type d -printf '%p %m %U\\n'";
    const files = "-printf '%p %y %m %U %s %T@ %l\\n'";
    return machine.script(`find / \\( ${without} \\) -prune -o ${folders} -o ${files} | sort`);
}
