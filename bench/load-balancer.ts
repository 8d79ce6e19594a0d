import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { renderNginx } from "../components/load-balancer/render";
import { makePlan, type LoadBalancerPlan } from "../config/plan";
import { parseStackFile } from "../config/stack-file";
import { attempt, run, start, until, type Running } from "../test/support/processes";
import { selfSigned } from "../test/support/self-signed";
import { registryProgram, standInImages } from "../toolchain/images/build";

/** What may be lost on the way through the load balancer where the link is the limit. */
const TARGETS = { plain: 0.95, TLS: 0.8 } as const;

const MEGABYTE = 1_000_000;
const BLOB_BYTES = 100 * MEGABYTE;
const ROUNDS = 5;

/** Each link, in each direction. */
const MEGABITS = 400;

const client = "harborage-bench-client";
const balancer = "harborage-bench-lb";
const node = "harborage-bench-node";
const at = { client: "198.18.100.1", outside: "198.18.100.2", inside: "198.18.101.1", node: "198.18.101.2" };
const ports = { direct: 5000, TLS: 8443, plain: 8444 };

type Way = "direct" | keyof typeof TARGETS;
type Direction = "pull" | "push";

const within = (namespace: string, ...words: readonly string[]) => ["netns", "exec", namespace, ...words];
const ip = (text: string) => run("ip", text.split(" "));

/** A client, a load balancer and a node, each with a network of its own; the one in the middle also forwards packets. */
async function makeNetwork(): Promise<void> {
    for (const name of [client, balancer, node]) {
        await ip(`netns add ${name}`);
        await ip(`-n ${name} link set lo up`);
    }
    const link = async (left: string, leftAddress: string, right: string, rightAddress: string) => {
        await ip(`link add hbl netns ${left} type veth peer name hbr netns ${right}`);
        for (const [name, device, address] of [
            [left, "hbl", leftAddress],
            [right, "hbr", rightAddress],
        ] as const) {
            await ip(`-n ${name} address add ${address}/24 dev ${device}`);
            await ip(`-n ${name} link set ${device} up`);
            const limit = `tc qdisc add dev ${device} root tbf rate ${String(MEGABITS)}mbit burst 256kb latency 50ms`;
            await run("ip", within(name, ...limit.split(" ")));
        }
    };
    await link(client, at.client, balancer, at.outside);
    await link(balancer, at.inside, node, at.node);
    await ip(`-n ${client} route add default via ${at.outside}`);
    await ip(`-n ${node} route add default via ${at.inside}`);
    await run("ip", within(balancer, "sysctl", "-qw", "net.ipv4.ip_forward=1"));
}

async function removeNetwork(): Promise<void> {
    for (const name of [client, balancer, node]) {
        await attempt("ip", ["netns", "delete", name]);
    }
}

function startRegistry(folder: string, program: string): Running {
    const config = join(folder, "registry.yml");
    writeFileSync(
        config,
        JSON.stringify({
            version: 0.1,
            log: { level: "error", accesslog: { disabled: true } },
            storage: { filesystem: { rootdirectory: join(folder, "registry") } },
            http: { addr: `${at.node}:${String(ports.direct)}` },
        }),
    );
    return start("ip", within(node, program, "serve", config), {
        env: { OTEL_TRACES_EXPORTER: "none" },
        seconds: 900,
    });
}

/** nginx of the load balancer's image, with the configuration of a stack; and the same again without TLS. */
async function startNginx(folder: string): Promise<Running> {
    const images = await standInImages();
    if (images === undefined) {
        throw new Error("this works with the toolchain's own images, see toolchain/README.md");
    }
    const root = join(folder, "root");
    mkdirSync(root);
    await run("tar", ["-xf", images.bundle.path, "-C", folder]);
    const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")) as {
        RepoTags: string[];
        Layers: string[];
    }[];
    const [layer = ""] = manifest.find(({ RepoTags }) => RepoTags.includes(images.nginx))?.Layers ?? [];
    await run("tar", ["-xf", join(folder, layer), "-C", root]);

    const release = join(root, "etc/harborage/current");
    mkdirSync(join(release, "secrets/root"), { recursive: true });
    mkdirSync(join(root, "dev"), { recursive: true });
    for (const name of ["stdout", "stderr", "null"]) {
        writeFileSync(join(root, "dev", name), "");
    }
    const { key, cert } = selfSigned([`IP:${at.outside}`]);
    writeFileSync(join(release, "secrets/root/server.key"), key);
    writeFileSync(join(release, "secrets/root/server.crt"), cert);
    writeFileSync(join(release, "release.conf"), 'map "" $release {\n    default "bench";\n}\n');
    const text = renderNginx({ plan: plan(), upstreams: [{ name: "node", address: at.node, port: ports.direct }] });
    const [tls = ""] = /^ {4}server \{\n {8}listen \d+ ssl[^]*?^ {4}\}\n/m.exec(text) ?? [];
    const plain = tls.replace(/^ {8}ssl_.*\n/gm, "").replace(/listen \d+ ssl/, `listen ${String(ports.plain)}`);
    writeFileSync(join(release, "nginx.conf"), text.replace(tls, `${tls}\n${plain}`));
    const words = ["chroot", root, "nginx", "-c", "/etc/harborage/current/nginx.conf", "-g", "daemon off;"];
    return start("ip", within(balancer, ...words), { seconds: 900 });
}

function plan(): LoadBalancerPlan {
    const settings = {
        publicName: "registry.test",
        machines: { box: { kind: "local" } },
        topology: { kind: "single", node: "box", loadBalancer: "box" },
        registry: { engine: "distribution" },
        loadBalancer: { mode: "http", httpsPort: ports.TLS, httpPort: 8080 },
    };
    const values = Object.entries(settings).map(([key, value]) => [
        key,
        typeof value === "string" ? value : JSON.stringify(value),
    ]);
    const file = {
        stack: "bench",
        values: Object.fromEntries(values) as Record<string, string>,
        secretKeys: new Set(""),
    };
    return makePlan("bench", parseStackFile(file)).loadBalancer;
}

/** CPU seconds of all processes of a program so far. */
function cpuOf(program: string): number {
    const ticks = readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name))
        .map((pid) => {
            try {
                const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
                const [, name = "", rest = ""] = /^\d+ \((.*)\) (.*)$/s.exec(stat) ?? [];
                const fields = rest.split(" ");
                return name === program ? Number(fields[11]) + Number(fields[12]) : 0;
            } catch {
                return 0;
            }
        });
    return ticks.reduce((sum, each) => sum + each, 0) / 100;
}

const base = (way: Way) =>
    way === "direct"
        ? `http://${at.node}:${String(ports.direct)}`
        : `${way === "TLS" ? "https" : "http"}://${at.outside}:${String(ports[way])}`;

async function curl(...words: readonly string[]): Promise<string> {
    return run("ip", within(client, "curl", "--silent", "--show-error", "--fail", "--insecure", "--http1.1", ...words));
}

/** Seconds that a blob takes on a way. */
async function transfer(way: Way, direction: Direction, file: string, digest: string): Promise<number> {
    if (direction === "pull") {
        const words = ["--output", "/dev/null", "--write-out", "%{time_total}"];
        return Number(await curl(...words, `${base(way)}/v2/bench/blobs/${digest}`));
    }
    const url = `${base(way)}/v2/bench/blobs/uploads/`;
    const place = await curl("--request", "POST", "--output", "/dev/null", "--write-out", "%header{location}", url);
    const target = `${base(way)}${new URL(place, base(way)).pathname}${new URL(place, base(way)).search}&digest=${digest}`;
    const words = ["--upload-file", file, "--output", "/dev/null", "--write-out", "%{time_total}"];
    return Number(await curl("--header", "Expect:", ...words, target));
}

function median(values: readonly number[]): number {
    return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/**
 * Compares a node behind the load balancer with the node itself, blobs of 100 MB over links of the same width: the ways
 * take turns. Gives whether the targets are met.
 */
export async function compareThroughput(): Promise<boolean> {
    if (process.getuid?.() !== 0) {
        throw new Error("this needs root, for networks of its own");
    }
    await removeNetwork();
    const program = await registryProgram();
    const folder = mkdtempSync("/dev/shm/harborage-bench-");
    const running: Running[] = [];
    try {
        await makeNetwork();
        running.push(startRegistry(folder, program), await startNginx(folder));
        await until("the registry answers through nginx", 30, async () => {
            return (await attempt("ip", within(client, "curl", "-sfk", `${base("TLS")}/v2/`))).code === 0;
        });
        const file = join(folder, "blob");
        const content = randomBytes(BLOB_BYTES);
        writeFileSync(file, content);
        const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;

        const ways: Way[] = ["direct", "plain", "TLS"];
        let met = true;
        for (const direction of ["push", "pull"] as const) {
            const seconds: Record<Way, number[]> = { direct: [], plain: [], TLS: [] };
            const cpu: Record<Way, number> = { direct: 0, plain: 0, TLS: 0 };
            for (let round = 0; round <= ROUNDS; round++) {
                for (const way of ways) {
                    const before = cpuOf("nginx");
                    const taken = await transfer(way, direction, file, digest);
                    // The first one is not measured.
                    if (round > 0) {
                        seconds[way].push(taken);
                        cpu[way] += cpuOf("nginx") - before;
                    }
                }
            }
            for (const way of ways) {
                const rate = BLOB_BYTES / MEGABYTE / median(seconds[way]);
                const ratio = median(seconds.direct) / median(seconds[way]);
                const perGigabyte = cpu[way] / ((ROUNDS * BLOB_BYTES) / 1e9);
                const cells = [`${rate.toFixed(1)} MB/s`, `× ${ratio.toFixed(3)}`];
                const nginx = way === "direct" ? "" : `nginx ${perGigabyte.toFixed(2)} CPU s per GB`;
                console.log(
                    [direction.padEnd(6), way.padEnd(8), ...cells.map((cell) => cell.padStart(12)), nginx].join(" "),
                );
                met &&= way === "direct" || ratio >= TARGETS[way];
            }
        }
        const link = `${String(MEGABITS / 8)} MB/s each way`;
        console.log(
            `links: ${link}; target: × ${String(TARGETS.plain)} plain, × ${String(TARGETS.TLS)} TLS: ${met ? "met" : "not met"}`,
        );
        return met;
    } finally {
        running.forEach((each) => each.kill("SIGKILL"));
        await Promise.all(running.map(({ done }) => done));
        await removeNetwork();
        rmSync(folder, { recursive: true, force: true });
    }
}
