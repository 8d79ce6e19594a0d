import {
    existsSync,
    mkdirSync,
    mkdtempSync,
    readdirSync,
    readFileSync,
    rmSync,
    statSync,
    truncateSync,
    writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { isAlive } from "../../toolchain/cache";
import { findRelease } from "../../toolchain/images/root-fs";
import { attempt, run, start, until, type Running } from "./processes";
import { newSshKey, type SshKey } from "./ssh-key";
import { PackageProxy } from "./ssh-machine/package-proxy";
import { machineRoot } from "./ssh-machine/root";
import { DIES_WITH_PARENT, Switch } from "./ssh-machine/switch";
import { firstProcess, TestMachine } from "./test-machine";

const bootScript = join(__dirname, "ssh-machine/boot.sh");

/** Capabilities, for setpriv, that would reach out of a machine: clock and modules are the kernel's. */
const FORBIDDEN = "-sys_time,-sys_module";

export interface SshMachineOptions {
    /** Who may log in, as in authorized_keys: as `root`, `ops` (sudo without a password) and `nosudo`. */
    readonly authorizedKey: string;
    /** Whether Docker and its compose plugin are installed; they do not run. Default: false. */
    readonly docker?: boolean;
    /** Whether apt gets packages, by a proxy on this machine ({@link SshMachine.packageProxy}). Default: false. */
    readonly packages?: boolean;
    /** Default: a new one. */
    readonly hostKey?: SshKey;
}

export interface RebuildOptions {
    /** Whether what is on the disks that were added stays. Default: true. */
    readonly keepDisks?: boolean;
    /** Default: the one that it had. */
    readonly hostKey?: SshKey;
}

/** What the machines of this process share. */
interface Site {
    readonly switch: Switch;
    readonly proxy: PackageProxy;
}

let site: Promise<Site> | undefined;
/** By the last number of the address. */
const machines = new Map<number, SshMachine>();

/** What a run that was killed has left is found by its dead process: `harborage-machines-PID`, with a file per machine. */
const notes = (pid: number) => join(tmpdir(), `harborage-machines-${pid}`);
const cgroupOf = (pid: number, name: string) => `harborage-machine-${pid}-${name}`;

/**
 * A machine on this machine that is reached by SSH: files, processes, network, host name and control groups of its own, in
 * namespaces. There is no service manager: at boot it mounts what is in fstab and starts sshd.
 *
 * The kernel is shared. The clock and `kernel.*` cannot be set, `vm.*` and `fs.*` are a copy without effect, and lsblk shows
 * disks of this machine, which have no device there. Loop devices cannot be made; {@link addDisk} gives disks.
 *
 * ```ts
 * const box = await SshMachine.make(stack.folder, "box", { authorizedKey: key.public });
 * await box.boot();
 * await box.run("apt-get", ["--version"]);
 * await box.close();
 * ```
 *
 * Machines of one process are on one switch with this machine, and reach nothing else. They end when the process does.
 */
export class SshMachine extends TestMachine {
    /** Where the machine is reached from this one and from its like; sshd listens on port 22. */
    readonly address: string;
    /** For `Acquire::http::Proxy`: `http://ADDRESS:PORT`. It forwards to the package sources of this machine only. */
    readonly packageProxy: string;
    /** Where it reaches this machine. */
    readonly hostAddress: string;

    private readonly folder: string;
    private readonly cgroup: string;
    /** Names of the disks, in the order in which they were added. */
    private readonly disks: string[] = [];
    private init: Running | undefined;
    /** The process id, on this machine, of the machine's first process; 0 while it is off. */
    private pid = 0;

    private constructor(
        folder: string,
        /** Its host name. */
        readonly name: string,
        private readonly number: number,
        private readonly site: Site,
        private readonly root: string,
        private key: SshKey,
        private readonly options: SshMachineOptions,
    ) {
        super();
        this.folder = join(resolve(folder), name);
        this.cgroup = cgroupOf(process.pid, name);
        this.address = site.switch.address(number);
        this.packageProxy = site.proxy.url;
        this.hostAddress = site.switch.host;
    }

    /** Whether such machines can be had here: Debian or Ubuntu, root, the right to make namespaces, and overlay files. */
    static async possible(): Promise<boolean> {
        try {
            findRelease();
        } catch {
            return false;
        }
        const folder = mkdtempSync(join(tmpdir(), "harborage-probe-"));
        const script = [
            `cd '${folder}'`,
            "mkdir lower upper work root",
            "mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work probe root",
            "mount -t proc proc root",
            "ip link add probe0 type veth peer name probe1",
        ];
        const namespaces = ["--mount", "--net", "--uts", "--ipc", "--cgroup", "--pid", "--fork", "--kill-child"];
        const probe = attempt("unshare", [...namespaces, "sh", "-ec", script.join("\n")]).catch(() => undefined);
        const possible = process.getuid?.() === 0 && (await probe)?.code === 0;
        rmSync(folder, { recursive: true, force: true });
        return possible;
    }

    /**
     * A machine that has never run; {@link boot} switches it on. Call {@link close} in `after`.
     *
     * @param folder the machine's files are below it, in a folder of the machine's name
     * @param name   its host name, one of its kind in this process
     */
    static async make(folder: string, name: string, options: SshMachineOptions): Promise<SshMachine> {
        await removeLeftovers();
        const root = await machineRoot(options.docker ?? false);
        site ??= openSite();
        const shared = await site;
        let number = 2;
        while (machines.has(number)) {
            number += 1;
        }
        const machine = new SshMachine(folder, name, number, shared, root, options.hostKey ?? newSshKey(), options);
        machines.set(number, machine);
        mkdirSync(notes(process.pid), { recursive: true });
        writeFileSync(join(notes(process.pid), name), machine.folder);
        await machine.format();
        return machine;
    }

    /** Makes the machine's files those of one that has never run. */
    private async format(): Promise<void> {
        const parts = ["upper", "work", "docker", "root", "seed"].map((part) => join(this.folder, part));
        await run("rm", ["-rf", ...parts]);
        await run("mkdir", ["-p", ...parts]);
        const seed = (file: string, content: string, mode = 0o644) =>
            writeFileSync(join(this.folder, "seed", file), `${content}\n`, { mode });
        seed("host_key", this.key.private.trimEnd(), 0o600);
        seed("host_key.pub", this.key.public);
        seed("authorized_keys", this.options.authorizedKey);
        // Refused at once. Without any, Docker would ask others, and wait for them whenever a name is that of no container.
        seed("resolv.conf", `nameserver ${this.hostAddress}`);
        if (this.options.packages === true) {
            seed(
                "apt.conf",
                `Acquire::http::Proxy "${this.packageProxy}";\nAcquire::https::Proxy "${this.packageProxy}";`,
            );
        }
        writeFileSync(this.logFile, "", { flag: "a" });
    }

    /** The public host key as in authorized_keys: `ssh-ed25519 AAAA…`. */
    get hostKey(): string {
        return this.key.public;
    }

    /** Outside of the machine's own files, so that it outlives them. */
    private get logFile(): string {
        return join(this.folder, "logins.log");
    }

    /** Switches it on; it answers SSH then. */
    async boot(): Promise<void> {
        const { folder, root, cgroup, name, address, site } = this;
        const network = `${address}/${site.switch.prefixLength}`;
        const command = ["bash", bootScript, folder, root, cgroup, name, network, FORBIDDEN];
        this.init = start("setpriv", [...DIES_WITH_PARENT, ...command], { seconds: 86400 });
        const { init } = this;
        const says = (word: string) =>
            until(`${name} has ${word}`, 60, () => {
                if (!isAlive(init.pid)) {
                    throw new Error(`${name} does not boot:\n${init.output()}`);
                }
                return init.output().includes(`${word}\n`);
            });
        await says("mounted");
        this.pid = firstProcess(init.pid) ?? 0;
        for (const disk of this.disks) {
            await this.attach(disk);
        }
        await site.switch.plugIn(this.pid, this.number);
        await says("booted");
    }

    /** Ends everything on it at once. What had been written stays, also what was on its way to the disk. */
    async cutPower(): Promise<void> {
        if (this.init === undefined) {
            return;
        }
        this.init.kill("SIGKILL");
        await this.init.done;
        this.init = undefined;
        this.pid = 0;
        await until(`${this.name} is off`, 60, async () => !(await this.site.switch.isPluggedIn(this.number)));
        await until(`the disks of ${this.name} are free`, 60, async () => !(await this.hasLoops()));
        await removeCgroup(this.cgroup);
    }

    /** Cuts the power and switches it on again. */
    async reboot(): Promise<void> {
        await this.cutPower();
        await this.boot();
    }

    /** Puts a fresh system in its place, as a cloud does, at the same address; it is on afterwards. */
    async rebuild({ keepDisks = true, hostKey = this.key }: RebuildOptions = {}): Promise<void> {
        await this.cutPower();
        this.key = hostKey;
        await this.format();
        for (const disk of keepDisks ? [] : this.disks) {
            const { size } = statSync(this.image(disk));
            truncateSync(this.image(disk), 0);
            truncateSync(this.image(disk), size);
        }
        await this.boot();
    }

    /** Takes it away with its files; the last of this process takes the switch along. */
    async close(): Promise<void> {
        await this.cutPower();
        await attempt("rm", ["-rf", this.folder]);
        rmSync(join(notes(process.pid), this.name), { force: true });
        machines.delete(this.number);
        if (machines.size === 0 && site !== undefined) {
            const { switch: link, proxy } = await site;
            site = undefined;
            await proxy.close();
            await link.close();
            rmSync(notes(process.pid), { recursive: true, force: true });
        }
    }

    /** What runs a program of the machine that this process is on in the network of that one, see {@link Skopeo}. */
    networkWrapper(): string[] {
        return ["nsenter", `--net=/proc/${this.running()}/ns/net`];
    }

    protected override enter(): string[] {
        // What is started from outside is held in by the same limits as what the machine starts.
        const enterGroups = 'for group in $0; do echo $$ >"$group/cgroup.procs"; done; exec "$@"';
        const groups = cgroupFolders(this.cgroup).map((folder) =>
            existsSync(`${folder}/init`) ? `${folder}/init` : folder,
        );
        const enter = ["nsenter", "--target", String(this.running()), "--all", "--root", "--wd"];
        const limits = ["setpriv", "--bounding-set", FORBIDDEN];
        const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        const environment = ["env", "-i", `PATH=${path}`, "HOME=/root", "LANG=C.UTF-8"];
        return ["sh", "-c", enterGroups, groups.join(" "), ...limits, ...enter, ...environment];
    }

    private running(): number {
        if (this.pid === 0) {
            throw new Error(`${this.name} is off`);
        }
        return this.pid;
    }

    /** What sshd has written since the machine was made, over all boots; level VERBOSE. */
    sshLog(): string {
        return readFileSync(this.logFile, "utf8");
    }

    /** How many logins sshd has let in since the machine was made. */
    connections(): number {
        return this.sshLog().match(/^Accepted publickey /gm)?.length ?? 0;
    }

    /**
     * Adds a blank disk, which is there at once when the machine is on and after every boot.
     *
     * @param sizeMiB takes up no space until it is written to
     * @returns the device as the machine sees it, always the same: `/dev/hbdata0`, `/dev/hbdata1`, …
     */
    async addDisk(sizeMiB: number): Promise<string> {
        const disk = `hbdata${this.disks.length}`;
        mkdirSync(join(this.folder, "disks"), { recursive: true });
        writeFileSync(this.image(disk), "");
        truncateSync(this.image(disk), sizeMiB * 1024 * 1024);
        this.disks.push(disk);
        if (this.pid !== 0) {
            await this.attach(disk);
        }
        return `/dev/${disk}`;
    }

    private image(disk: string): string {
        return join(this.folder, "disks", `${disk}.img`);
    }

    /** Whether a disk of it is a device of this machine. */
    private async hasLoops(): Promise<boolean> {
        const files = await run("losetup", ["--list", "--noheadings", "--output", "BACK-FILE"]);
        return files.includes(join(this.folder, "disks/"));
    }

    /** Its process on the machine holds the device, which the kernel takes away when nobody holds it any more. */
    private async attach(disk: string): Promise<void> {
        const script = [
            'loop=$(losetup --find --show "$1")',
            'exec 3<"$loop"',
            'losetup --detach "$loop"',
            'nsenter --target "$2" --mount mknod --mode 660 "/dev/$3" b $(stat --format "0x%t 0x%T" "$loop")',
            "echo attached",
            'exec nsenter --target "$2" --pid sleep infinity',
        ];
        const args = ["-euc", script.join("\n"), "attach", this.image(disk), String(this.running()), disk];
        const holder = start("bash", args, { seconds: 86400 });
        await Promise.race([
            until(`${this.name} has ${disk}`, 60, () => holder.output().includes("attached\n")),
            holder.done.then(({ output }) => Promise.reject(new Error(`${this.name} gets no ${disk}: ${output}`))),
        ]);
    }
}

async function openSite(): Promise<Site> {
    const link = await Switch.open();
    return { switch: link, proxy: await PackageProxy.open(link.host) };
}

/** A cgroup's folders in all the hierarchies that have it. */
function cgroupFolders(cgroup: string): string[] {
    return readFileSync("/proc/self/mounts", "utf8")
        .split("\n")
        .map((line) => line.split(" "))
        .filter(([, , type = ""]) => type === "cgroup" || type === "cgroup2")
        .map(([, mount = ""]) => join(mount, cgroup))
        .filter((folder) => existsSync(folder));
}

async function removeCgroup(cgroup: string): Promise<void> {
    for (const folder of cgroupFolders(cgroup)) {
        await attempt("find", [folder, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]);
    }
}

/** Takes away what processes that are dead have left; what they ran has died with them. */
async function removeLeftovers(): Promise<void> {
    for (const entry of readdirSync(tmpdir())) {
        const pid = /^harborage-machines-([0-9]+)$/.exec(entry)?.[1];
        if (pid === undefined || isAlive(Number(pid))) {
            continue;
        }
        const folder = notes(Number(pid));
        for (const name of existsSync(folder) ? readdirSync(folder) : []) {
            await attempt("rm", ["-rf", readFileSync(join(folder, name), "utf8")]);
            await removeCgroup(cgroupOf(Number(pid), name));
        }
        rmSync(folder, { recursive: true, force: true });
    }
}
