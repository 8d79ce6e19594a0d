import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { attempt, start, until, type Running } from "./processes";
import { DIES_WITH_PARENT, Switch } from "./ssh-machine/switch";
import { firstProcess, TestMachine } from "./test-machine";

/** Folders of the machine's own, by the place where it sees them. */
const own = { docker: "/var/lib/docker", log: "/var/log" } as const;

/** What stands in for runc where root lacks a capability. */
const runcScript = join(__dirname, "runc.sh");

/** Puts it in the place of runc, where both are needed: Docker before 23 does not see what root lacks. */
async function runcMounts(): Promise<string[]> {
    const lacks =
        "setpriv --list-caps | grep -vqxFf <(setpriv --dump | sed -n 's/^Capability bounding set: //p' | tr , '\\n')";
    const found = await attempt("bash", ["-c", `${lacks} && command -v runc`]);
    return found.code !== 0
        ? []
        : [
              `touch /run/runc`,
              `mount --bind ${found.stdout.trim()} /run/runc`,
              `mount --bind '${runcScript}' ${found.stdout.trim()}`,
          ];
}

/** The last number of its address. */
const NUMBER = 2;

/**
 * A machine on this machine: processes, network and Docker of its own, in namespaces; files are this machine's, so that
 * programs of this machine run on it. It can be cut off from power without harm to anything else that runs here.
 */
export class Machine extends TestMachine {
    private init: Running | undefined;
    /** The process id, on this machine, of the machine's first process. */
    private pid = 0;

    private constructor(
        private readonly folder: string,
        private readonly network: Switch,
    ) {
        super();
    }

    /** Whether such machines can be had here: it takes root, and the right to make namespaces. */
    static async possible(): Promise<boolean> {
        const probe = ["--mount", "--net", "--pid", "--fork", "--mount-proc", "sh", "-c", "mount -t tmpfs none /run"];
        return process.getuid?.() === 0 && (await attempt("unshare", probe).catch(() => undefined))?.code === 0;
    }

    /**
     * A machine that is off. Call {@link close} in `after`.
     *
     * @param folder for what the machine keeps
     */
    static async make(folder: string): Promise<Machine> {
        return new Machine(folder, await Switch.open());
    }

    /** Where the machine is reached from this one. */
    get address(): string {
        return this.network.address(NUMBER);
    }

    /** Switches it on. Docker does not start by itself: there is no service manager. */
    async boot(): Promise<void> {
        const mounts = Object.entries(own).map(([name, place]) => {
            mkdirSync(join(this.folder, name), { recursive: true });
            return `mkdir -p ${place} && mount --bind '${join(this.folder, name)}' ${place}`;
        });
        // Its first process must take in orphans, which a shell that waits does.
        const script = [
            "mount -t tmpfs none /run",
            "mkdir /run/lock",
            ...mounts,
            ...(await runcMounts()),
            "while :; do sleep 1; done",
        ].join("\n");
        const namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
        const command = ["unshare", ...namespaces, "sh", "-ec", script];
        this.init = start("setpriv", [...DIES_WITH_PARENT, ...command], { seconds: 86400 });
        const { pid } = this.init;
        this.pid = await until("the machine's first process runs", 60, () => firstProcess(pid));
        await until("the machine has its mounts", 60, async () => {
            return (await this.attempt("mountpoint", ["--quiet", own.log])).code === 0;
        });
        await this.network.plugIn(this.pid, NUMBER);
        await this.script(
            "ip link set lo up",
            `ip address add ${this.address}/${this.network.prefixLength} dev eth0`,
            "ip link set eth0 up",
        );
    }

    /** Ends everything on it at once. */
    async cutPower(): Promise<void> {
        this.init?.kill("SIGKILL");
        await this.init?.done;
        this.init = undefined;
        await until("the machine's network is gone", 60, async () => !(await this.network.isPluggedIn(NUMBER)));
    }

    /** Cuts the power and takes the network away; its folder stays. */
    async close(): Promise<void> {
        await this.cutPower();
        await this.network.close();
    }

    /** What runs a program on the machine, in this process's folder. */
    wrapper(folder: string): string[] {
        const enter = ["nsenter", "--target", String(this.pid), "--mount", "--net", "--pid"];
        return [...enter, "sh", "-c", 'cd "$0" && exec "$@"', folder];
    }

    protected override enter(): string[] {
        return this.wrapper("/");
    }
}
