import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { goTool } from "../../toolchain/go-tool";
import { composeTool } from "../../toolchain/compose-plugin";
import { sha256 } from "../support/image";
import type { Settings, TestStack } from "../support/launcher";
import { attempt, run, type Ran } from "../support/processes";
import type { SshKey } from "../support/ssh-key";

/** Where the test bed keeps its credentials and the files that guests fetch. */
const bed = process.env["LAB"] ?? "/var/lib/openstack-lab";

const fileFolder = join(bed, "files");
const fileServer = "http://172.24.4.1:3143";

/** Guests are emulated: everything takes ten times as long as it would. */
export const upSeconds = 40 * 60;

/** Brings the bed up where it is not. @returns what takes it down again, where it was not there before */
export async function bringUp(): Promise<() => Promise<void>> {
    const program = (name: string) => join(__dirname, "bed", name);
    const wasThere = (await attempt(program("status.sh"), [], { seconds: 120 })).code === 0;
    await run(program("up.sh"), [], { seconds: 30 * 60 });
    return async () => {
        // Whoever brought it up goes on with it.
        if (!wasThere) {
            await attempt(program("down.sh"), [], { seconds: 300 });
        }
    };
}

/** `baseline` of a stack file whose machines reach this one and nothing else. */
export async function baseline(): Promise<Settings> {
    const plugin = await goTool(composeTool());
    mkdirSync(fileFolder, { recursive: true });
    copyFileSync(plugin, join(fileFolder, "docker-compose"));
    return {
        timeServers: ["172.24.4.1"],
        timeZone: "Europe/Zurich",
        packages: { proxy: "http://172.24.4.1:3142" },
        docker: { composePlugin: { url: `${fileServer}/docker-compose`, sha256: sha256(readFileSync(plugin)) } },
    };
}

/** `openstack` of a stack file: a network of its own, that this machine may log in from. */
export function openstack(key: SshKey): Settings {
    return {
        auth: { password: "cloudPassword" },
        network: { kind: "own", cidr: "10.43.0.0/24", externalNetwork: "public" },
        sshCidrs: ["172.24.4.1/32"],
        sshKey: { kind: "public-key", publicKey: key.public, privateKey: "sshKey" },
        bootMinutes: 15,
    };
}

/** Gives a stack the way into the cloud: from the stack file as a secret, the rest from the environment, both ways at once. */
export function enterCloud(stack: TestStack, cloud: Readonly<Record<string, string>>): void {
    stack.env = { ...cloud, OS_PASSWORD: undefined };
}

/** Ends a stack with its volumes, also one that failed half-way. */
export async function endStack(stack: TestStack): Promise<void> {
    // Unprotected first, or the volumes would stay.
    await stack.run("pulumi", ["state", "unprotect", "--all", "--yes"], { seconds: 120 });
    await stack.run("destroy", [], { seconds: 15 * 60 });
    await attempt("rm", ["-rf", stack.folder]);
}

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

    /** Ends a VM at once; the bed's are processes of this machine. */
    async cutPower(name: string): Promise<void> {
        await run("pkill", ["-KILL", "-f", `uuid ${await this.id(name)}`]);
    }

    async addresses(name: string): Promise<{ fixed: string; floating?: string }> {
        const text = await this.openstack("server", "show", this.fullName(name), "-f", "json", "-c", "addresses");
        const { addresses } = JSON.parse(text) as { addresses: Record<string, string[]> };
        const [fixed = "", floating] = Object.values(addresses).flat();
        return { fixed, ...(floating === undefined ? {} : { floating }) };
    }

    /** A shell command on a VM, as root; the standard input of the shell is the command. */
    async attempt(name: string, command: string, seconds = 120): Promise<Ran> {
        const [first] = this.names;
        const { floating = "" } = await this.addresses(first);
        const jump = ["-o", `ProxyCommand=ssh -F ${this.config} -W %h:%p ${floating}`];
        const to = name === first ? [floating] : [...jump, (await this.addresses(name)).fixed];
        return attempt("ssh", ["-F", this.config, ...to, "sudo", "bash", "-s"], { input: command, seconds });
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
