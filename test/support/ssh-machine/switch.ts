import { run, start, until, type Running } from "../processes";

/**
 * A switch with this machine and test machines on it, in a network of its own from the range for tests of network
 * equipment (RFC 2544), which nobody routes.
 *
 * The bridge is in a namespace: this machine's firewall, which may drop what is forwarded, does not see what goes from one
 * test machine to the next. It all goes with its one process, which goes with this one.
 */
export class Switch {
    private constructor(
        private readonly holder: Running,
        /** This machine's end. */
        private readonly link: string,
        /** The first three numbers of every address, for example `198.18.7`. */
        private readonly prefix: string,
    ) {}

    static async open(): Promise<Switch> {
        const holder = start(
            "setpriv",
            [...DIES_WITH_PARENT, "unshare", "--net", "sh", "-c", "echo up; exec sleep 86400"],
            {
                seconds: 86400,
            },
        );
        await until("the namespace of the switch is there", 60, () => holder.output().includes("up"));
        const { pid } = holder;
        const index = await take(pid);
        const link = linkName(index);
        const prefix = `198.${18 + (index >> 8)}.${index & 255}`;
        const bridge = [
            "ip link add name bridge0 type bridge",
            "ip link set host0 master bridge0 up",
            "ip link set bridge0 up",
            // On where the kernel has it, and then iptables in this namespace could drop frames.
            "for f in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $f ] || echo 0 >$f; done",
        ];
        await run("nsenter", [`--net=/proc/${pid}/ns/net`, "sh", "-ec", bridge.join("\n")]);
        await run("ip", ["address", "add", `${prefix}.1/24`, "dev", link]);
        await run("ip", ["link", "set", link, "up"]);
        return new Switch(holder, link, prefix);
    }

    /** The length of the network's prefix. */
    readonly prefixLength = 24;

    /** This machine, as the others see it. */
    get host(): string {
        return this.address(1);
    }

    /** @param number 2 to 254 for machines */
    address(number: number): string {
        return `${this.prefix}.${number}`;
    }

    /**
     * Gives the namespace of a process an `eth0`.
     *
     * @param number of the address: it makes the hardware's address, so that it stays when a machine is made again
     */
    async plugIn(pid: number, number: number): Promise<void> {
        const hardware = `02:00:00:00:00:${number.toString(16).padStart(2, "0")}`;
        const name = `machine${number}`;
        const commands = [
            `link add ${name} type veth peer name eth0 address ${hardware} netns ${pid}`,
            `link set ${name} master bridge0 up`,
        ];
        await run("nsenter", [`--net=/proc/${this.holder.pid}/ns/net`, "ip", "-batch", "-"], {
            input: commands.join("\n"),
        });
    }

    /** Whether a machine's cable is still there, which is so until its namespace has gone. */
    async isPluggedIn(number: number): Promise<boolean> {
        const links = await run("nsenter", [`--net=/proc/${this.holder.pid}/ns/net`, "ip", "-brief", "link"]);
        return links.includes(`machine${number}@`);
    }

    async close(): Promise<void> {
        // It would go with the namespace, but some time later.
        await run("ip", ["link", "delete", this.link]);
        this.holder.kill("SIGKILL");
        await this.holder.done;
    }
}

/** For setpriv: what it runs is killed when this process ends in any way. */
export const DIES_WITH_PARENT = ["--pdeathsig", "KILL"] as const;

const NETWORKS = 512;
const linkName = (index: number) => `hbswitch${index}`;

/** Takes a network that nobody has: the name of its link on this machine can be there once only. */
async function take(pid: number): Promise<number> {
    let last: unknown;
    for (let tried = 0; tried < NETWORKS; tried += 1) {
        const index = (process.pid + tried) % NETWORKS;
        const peer = ["peer", "name", "host0", "netns", String(pid)];
        try {
            await run("ip", ["link", "add", linkName(index), "type", "veth", ...peer]);
            return index;
        } catch (error) {
            last = error;
            if (!String(error).includes("File exists")) {
                break;
            }
        }
    }
    throw last;
}
