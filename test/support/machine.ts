import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { projectDirectory } from "./launcher";
import { attempt, run, start, until, type Ran, type RunOptions, type Running } from "./processes";

/** Folders of the machine's own, by the place where it sees them. */
const own = { docker: "/var/lib/docker", log: "/var/log" } as const;

/**
 * A machine on this machine: processes, network and Docker of its own, in namespaces; files are this machine's. It can be
 * cut off from power without harm to anything else that runs here.
 */
export class Machine {
    /** Where the machine is reached from this one. */
    readonly address: string;
    private readonly gateway: string;
    private readonly link = `hb${process.pid}`;
    private init: Running | undefined;
    /** The process id, on this machine, of the machine's first process. */
    private pid = 0;

    /** @param folder for what the machine keeps */
    constructor(private readonly folder: string) {
        // From the range for tests of network equipment (RFC 2544), which nobody routes.
        const subnet = `198.19.${process.pid % 256}`;
        this.gateway = `${subnet}.1`;
        this.address = `${subnet}.2`;
    }

    /** Whether such machines can be had here: it takes root, and the right to make namespaces. */
    static async possible(): Promise<boolean> {
        const probe = ["--mount", "--net", "--pid", "--fork", "--mount-proc", "sh", "-c", "mount -t tmpfs none /run"];
        return process.getuid?.() === 0 && (await attempt("unshare", probe).catch(() => undefined))?.code === 0;
    }

    /** Switches it on. Docker does not start by itself: there is no service manager. */
    async boot(): Promise<void> {
        const mounts = Object.entries(own).map(([name, place]) => {
            mkdirSync(join(this.folder, name), { recursive: true });
            return `mkdir -p ${place} && mount --bind '${join(this.folder, name)}' ${place}`;
        });
        // Its first process must take in orphans, which a shell that waits does.
        const script = ["mount -t tmpfs none /run", "mkdir /run/lock", ...mounts, "while :; do sleep 1; done"].join(
            "\n",
        );
        const namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
        this.init = start("unshare", [...namespaces, "sh", "-ec", script], { seconds: 3600 });
        const { pid } = this.init;
        this.pid = await until("the machine's first process runs", 10, () => {
            return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")) || undefined;
        });
        await until("the machine has its mounts", 10, async () => {
            return (await this.attempt("mountpoint", ["--quiet", own.log])).code === 0;
        });
        await run("ip", ["link", "add", this.link, "type", "veth", "peer", "name", "eth0", "netns", String(this.pid)]);
        await run("ip", ["address", "add", `${this.gateway}/24`, "dev", this.link]);
        await run("ip", ["link", "set", this.link, "up"]);
        await this.run("ip", ["link", "set", "lo", "up"]);
        await this.run("ip", ["address", "add", `${this.address}/24`, "dev", "eth0"]);
        await this.run("ip", ["link", "set", "eth0", "up"]);
    }

    /** Ends everything on it at once. */
    async cutPower(): Promise<void> {
        this.init?.kill("SIGKILL");
        await this.init?.done;
        this.init = undefined;
        await until("the machine's network is gone", 20, async () => {
            return (await attempt("ip", ["link", "show", this.link])).code !== 0;
        });
    }

    /** What runs a program on the machine, in this process's folder. */
    wrapper(folder: string): string[] {
        const enter = ["nsenter", "--target", String(this.pid), "--mount", "--net", "--pid"];
        return [...enter, "sh", "-c", 'cd "$0" && exec "$@"', folder];
    }

    attempt(command: string, args: readonly string[], options?: RunOptions): Promise<Ran> {
        const [program = "", ...words] = [...this.wrapper("/"), command, ...args];
        return attempt(program, words, options);
    }

    run(command: string, args: readonly string[]): Promise<string> {
        const [program = "", ...words] = [...this.wrapper("/"), command, ...args];
        return run(program, words);
    }

    /** Lines that `docker` writes on the machine. */
    async docker(...args: readonly string[]): Promise<string[]> {
        return (await this.run("docker", args)).split("\n").filter((line) => line !== "");
    }

    /** Starts Docker in the way that `up` does. */
    async startDocker(): Promise<void> {
        const scripts = join(projectDirectory, "components/machines/scripts");
        await this.run("bash", ["-c", `. ${scripts}/lib.sh && . ${scripts}/baseline.sh && ensure_docker`]);
    }

    /** Ends Docker, as a service manager does, with every container. */
    async stopDocker(): Promise<void> {
        await this.run("sh", ["-c", "kill $(cat /run/docker.pid)"]);
        await until("Docker has ended", 60, async () => (await this.attempt("pgrep", ["-x", "dockerd"])).code !== 0);
    }
}
