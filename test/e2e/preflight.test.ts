import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import { closedSite } from "../support/closed-site";
import { sha256 } from "../support/image";
import { TestStack, type Settings } from "../support/launcher";
import { Machine } from "../support/machine";
import { attempt, run, start, until, type Running } from "../support/processes";
import { machineResources } from "../support/state";

/** The file that stands for Harbor's installer: it is looked at, and never unpacked. */
const installer = "no installer\n";
const logPort = 1514;

/** A folder with chronyd and chronyc: the distribution's package, which is not installed. */
async function chrony(folder: string): Promise<string | undefined> {
    mkdirSync(folder, { recursive: true });
    const got = await attempt("apt-get", ["download", "chrony"], { cwd: folder }).catch(() => undefined);
    if (got?.code !== 0) {
        return undefined;
    }
    await run("sh", ["-ec", "dpkg --extract chrony_*.deb ."], { cwd: folder });
    return join(folder, "usr");
}

/** What is wrong with a machine for Harbor is found on a real one, by `up`, and nothing is changed there. */
describe("preflight for Harbor", function () {
    this.timeout("5m");

    let stack: TestStack | undefined;
    let machine: Machine;
    let site: Settings;
    let programs: string | undefined;
    let problems: readonly string[] = [];
    let stateBefore: object;
    const running: Running[] = [];

    const theStack = (): TestStack => {
        assert.ok(stack);
        return stack;
    };
    const group = () => `harborage-${theStack().name}`;
    const write = (hash: string, machineSettings: Settings = {}) =>
        theStack().write({
            ...site,
            publicName: "localhost",
            machines: { box: { kind: "local", directory: theStack().machineDirectory, ...machineSettings } },
            registry: {
                engine: "harbor",
                version: "2.15.2",
                port: theStack().registryPort,
                installer: { path: join(theStack().folder, "installer.tgz"), sha256: hash },
            },
        });
    /** Everything that a stack could change on the machine. */
    const state = async () => ({
        containers: await machine.docker("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}"),
        images: await machine.docker("image", "ls", "--all", "--no-trunc", "--quiet"),
        networks: await machine.docker("network", "ls", "--no-trunc", "--quiet"),
        volumes: await machine.docker("volume", "ls", "--quiet"),
        folder: existsSync(theStack().machineDirectory) ? readdirSync(theStack().machineDirectory) : "none",
        docker: await machine.script(
            // Not every machine has them.
            "for folder in /etc/docker /usr/local/lib/docker; do [[ ! -e $folder ]] || find $folder -printf '%p %m %s %T@\\n' | sort; done",
        ),
    });
    /** Runs a program on one CPU, with 2 GiB of memory and a disk of 10 GiB. */
    const small = (): readonly string[] => {
        const { name, folder } = theStack();
        const script = [
            "if [ -d /sys/fs/cgroup/memory ]; then root=/sys/fs/cgroup/memory limit=memory.limit_in_bytes",
            "else root=/sys/fs/cgroup limit=memory.max; fi",
            `mkdir "$root/${group()}"`,
            `echo 2147483648 >"$root/${group()}/$limit"`,
            `echo $$ >"$root/${group()}/cgroup.procs"`,
            // As in a container: the limit is at the root of what it sees.
            `mount --bind "$root/${group()}" "$root"`,
            'mount -t tmpfs -o size=10g none "$0"',
            'exec taskset --cpu-list 0 "$@"',
        ].join("\n");
        const disk = join(folder, name);
        mkdirSync(disk, { recursive: true });
        return [...machine.wrapper(theStack().project), "unshare", "--mount", "sh", "-ec", script, disk];
    };
    const runOnMachine = (words: readonly string[]) => {
        const [program = "", ...rest] = [...machine.wrapper("/"), ...words];
        const process = start(program, rest, { seconds: 600 });
        running.push(process);
        return process;
    };
    const one = (pattern: RegExp): string => {
        const found = problems.filter((problem) => pattern.test(problem));
        assert.equal(found.length, 1, `${String(pattern)}:\n${problems.join("\n")}`);
        return found[0] ?? "";
    };

    before(async function () {
        if (!(await Machine.possible())) {
            console.log("      needs root and namespaces");
            this.skip();
        }
        stack = await TestStack.make("preflight");
        machine = await Machine.make(join(stack.folder, "box"));
        site = await closedSite(stack.folder);
        programs = await chrony(join(stack.folder, "chrony"));
        writeFileSync(join(stack.folder, "installer.tgz"), installer);
        write(sha256(Buffer.from(installer)));
        // Gets what is missing from the net, which the machine does not reach.
        const preview = await stack.run("preview");
        assert.equal(preview.code, 0, preview.output);
        await machine.boot();
        await machine.startDocker();

        // A container that is in the way, one that holds a port, and a program that holds another.
        const image = join(stack.folder, "image.tar");
        await run("tar", ["--create", "--file", image, "--directory", stack.folder, "installer.tgz"]);
        await machine.docker("import", image, "harborage-test/idle:1");
        await machine.docker("create", "--name", "redis", "harborage-test/idle:1", "/installer.tgz");
        const listen = `require("net").createServer().listen(${logPort}, "127.0.0.1", () => console.log("listens"))`;
        const listener = runOnMachine([process.execPath, "-e", listen]);
        await until("something listens", 60, () => listener.output().includes("listens"));
        if (programs !== undefined) {
            const conf = join(stack.folder, "chrony.conf");
            writeFileSync(conf, "pidfile /run/chronyd.pid\nserver 192.0.2.1 iburst\n");
            // -x, and without the right to: the clock is this machine's.
            const daemon = [join(programs, "sbin/chronyd"), "-x", "-d", "-u", "root", "-f", conf];
            runOnMachine(["setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time", ...daemon]);
            const tracking = () => machine.attempt(join(theStack().folder, "chrony/usr/bin/chronyc"), ["tracking"]);
            await until("chronyd answers", 60, async () => (await tracking()).code === 0);
            stack.env = { PATH: `${join(programs, "bin")}:${process.env["PATH"] ?? ""}` };
        }
        stateBefore = await state();
    });

    after(async () => {
        for (const process of running) {
            process.kill("SIGKILL");
        }
        if (stack !== undefined) {
            await machine.close();
            await stack.cleanUp();
            const groups = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map((root) => join(root, group()));
            await attempt(
                "rmdir",
                groups.filter((folder) => existsSync(folder)),
            );
        }
    });

    it("names all that is wrong at once, and changes nothing", async () => {
        const { name, folder } = theStack();
        write(sha256(Buffer.from(installer)), { directory: join(folder, name, "box") });
        theStack().write({ ...theStack().settings, publicName: `${name}.invalid` });
        const { code, output } = await theStack().tryUp([], { wrapper: small() });
        assert.notEqual(code, 0, output);
        assert.match(output, /is not ready, and nothing on it was changed/);
        const lines = output.split("\n").map((line) => line.trim());
        problems = [...new Set(lines.filter((line) => line.startsWith("- ")).map((line) => line.slice(2)))];
        assert.deepEqual(await state(), stateBefore);
        assert.deepEqual(machineResources(theStack()), [], "done on the machine");
    });

    it("says how many CPUs and how much memory there are", () => {
        assert.ok(availableParallelism() >= 2, "the machine has more, and this was one of them");
        assert.match(one(/CPUs/), /^this machine has 1 CPUs; expected at least 2; /);
        assert.match(one(/memory/), /^this machine has 2048 MiB of memory; expected at least 3700 MiB; /);
    });

    it("says how much disk there is, and where another minimum is set", () => {
        const folder = join(theStack().folder, theStack().name);
        assert.equal(
            one(new RegExp(`^${folder} has `)),
            `${folder} has 10.0 GiB free; expected at least 40 GiB (machines.*.minimumFreeDiskGiB)`,
        );
    });

    it("says who has the port of Harbor's log service, on the loopback address alone", () => {
        assert.match(one(/^port/), /^port 1514 is taken by \S+ \(pid \d+\); stop it: .*Harbor's log service/);
    });

    it("says which container has a name of Harbor's", () => {
        assert.match(
            one(/container/),
            /^there is a container redis \(image harborage-test\/idle:1\), .* docker rm redis/,
        );
    });

    it("says that chrony has no server that answers", function () {
        if (programs === undefined) {
            console.log("      needs the package chrony");
            this.skip();
        }
        assert.match(one(/clock/), /^the clock is not in sync, .* It sees: \^\? 192\.0\.2\.1 /);
    });

    it("says that the public name has no address", () => {
        assert.match(
            one(/publicName/),
            new RegExp(`^the name ${theStack().name}\\.invalid has no address on this machine`),
        );
    });

    it("finds another installer than the one that is meant, before it looks at the machine", async () => {
        const wrong = "0".repeat(64);
        write(wrong);
        theStack().takeCommands();
        const { code, output } = await theStack().tryUp([], { wrapper: machine.wrapper(theStack().project) });
        assert.notEqual(code, 0, output);
        const path = join(theStack().folder, "installer.tgz");
        assert.ok(
            output.includes(
                `harborage:registry.installer.sha256: ${path} has the SHA-256 ${sha256(Buffer.from(installer))}; expected ${wrong}.`,
            ),
            output,
        );
        assert.deepEqual(theStack().takeCommands(), []);
        assert.deepEqual(await state(), stateBefore);
        assert.deepEqual(machineResources(theStack()), []);
    });
});
