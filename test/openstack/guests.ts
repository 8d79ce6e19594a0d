import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { attempt, run, type Ran } from "../support/processes";
import type { SshKey } from "../support/ssh-machine";

/** Where the test bed keeps its credentials and the files that guests fetch. */
const bed = process.env["LAB"] ?? "/var/lib/openstack-lab";

export const fileFolder = join(bed, "files");
export const fileServer = "http://172.24.4.1:3143";

/** The OS_* variables of a file that the bed has written: `openrc`, `tight-openrc`. */
export async function credentials(file: string): Promise<Record<string, string>> {
    const text = await run("bash", ["-c", `set -a; env -i bash -c '. ${join(bed, file)}; env'`]);
    const entries = text.split("\n").flatMap((line) => {
        const [, key, value = ""] = /^(OS_[A-Z_]+)=(.*)$/.exec(line) ?? [];
        return key === undefined ? [] : [[key, value] as const];
    });
    return Object.fromEntries(entries);
}

/** The stack's VMs, looked at past the program: by the cloud's API and by SSH. */
export class Guests {
    private readonly config: string;

    /**
     * @param names those that have no floating IP are reached through the first
     */
    constructor(
        folder: string,
        private readonly stack: string,
        private readonly env: Readonly<Record<string, string>>,
        key: SshKey,
        private readonly names: readonly [string, ...string[]],
    ) {
        mkdirSync(folder, { recursive: true });
        this.config = join(folder, "ssh_config");
        writeFileSync(join(folder, "id"), key.private, { mode: 0o600 });
        writeFileSync(
            this.config,
            `IdentityFile ${join(folder, "id")}\nIdentitiesOnly yes\nUser debian\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\nConnectTimeout 20\n`,
        );
    }

    /** A command of OpenStack's client. */
    openstack(...args: readonly string[]): Promise<string> {
        return run("openstack", args, { env: this.env });
    }

    private fullName(name: string): string {
        return `harborage-${this.stack}-${name}`;
    }

    /** The id of a VM. */
    id(name: string): Promise<string> {
        return this.openstack("server", "show", this.fullName(name), "-f", "value", "-c", "id");
    }

    async addresses(name: string): Promise<{ fixed: string; floating?: string }> {
        const text = await this.openstack("server", "show", this.fullName(name), "-f", "json", "-c", "addresses");
        const { addresses } = JSON.parse(text) as { addresses: Record<string, string[]> };
        const [fixed = "", floating] = Object.values(addresses).flat();
        return { fixed, ...(floating === undefined ? {} : { floating }) };
    }

    /** A shell command on a VM, as root; the standard input of the shell is the command. */
    async attempt(name: string, command: string): Promise<Ran> {
        const [first] = this.names;
        const { floating = "" } = await this.addresses(first);
        const jump = ["-o", `ProxyCommand=ssh -F ${this.config} -W %h:%p ${floating}`];
        const to = name === first ? [floating] : [...jump, (await this.addresses(name)).fixed];
        return attempt("ssh", ["-F", this.config, ...to, "sudo", "bash", "-s"], { input: command, seconds: 120 });
    }

    async run(name: string, command: string): Promise<string> {
        const ran = await this.attempt(name, command);
        if (ran.code !== 0) {
            throw new Error(`${name}: ${command}: exit code ${ran.code}\n${ran.output}`);
        }
        return ran.stdout.trimEnd();
    }

    /** How often somebody has logged in to a VM by SSH since it was made, this look included. */
    async logins(name: string): Promise<number> {
        return Number(await this.run(name, "journalctl --unit ssh --no-pager | grep -c 'Accepted publickey' || true"));
    }
}
