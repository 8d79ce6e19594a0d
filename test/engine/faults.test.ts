import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { containerName, containersOf, docker, ensureDocker, lifeOf } from "../support/docker";
import { TestStack, type LauncherOptions, type Settings } from "../support/launcher";
import { programsOnPath } from "../support/program-log";
import { machineResources, registryStatus } from "../support/state";

/** A program that runs another one with mounts of its own, which only that one sees; `script` makes them. */
function withMounts(script: string): LauncherOptions {
    return { wrapper: ["unshare", "--mount", "sh", "-ec", `${script}\nexec "$@"`, "sh"] };
}

/** What the preflight found wrong: each problem once. */
function problemsIn(output: string): string[] {
    const lines = output.split("\n").map((line) => line.trim());
    return [...new Set(lines.filter((line) => line.startsWith("- ")).map((line) => line.slice(2)))];
}

function listen(port: number): Promise<Server> {
    return new Promise((resolve, reject) => {
        const server = createServer().once("error", reject);
        server.listen(port, "0.0.0.0", () => resolve(server));
    });
}

const close = (server: Server) => new Promise((resolve) => server.close(resolve));

describe("what a machine lacks or already has", function () {
    this.timeout(300_000);
    let stack: TestStack;
    let disk = "";
    const held: Server[] = [];

    before(async function () {
        if (process.getuid?.() !== 0) {
            // Mounts need root, as does a machine that is set up from nothing.
            this.skip();
        }
        await ensureDocker();
        stack = await TestStack.make("faults");
        // A disk that can be made smaller while a registry runs on it.
        disk = join(stack.folder, "disk");
        mkdirSync(disk);
        execFileSync("mount", ["-t", "tmpfs", "-o", "size=2g,mode=0755", "harborage-test", disk]);
    });

    beforeEach(() => write());

    afterEach(async () => {
        await Promise.all(held.splice(0).map(close));
    });

    after(async () => {
        // Where the tests were skipped there is nothing.
        if (existsSync(disk)) {
            resize("2g");
            try {
                await stack.run("destroy");
            } finally {
                execFileSync("umount", ["--lazy", disk]);
                await stack.cleanUp();
            }
        }
    });

    const directory = () => join(disk, "machine");

    function resize(size: string): void {
        execFileSync("mount", ["-o", `remount,size=${size}`, disk]);
    }

    function write(changed: Settings = {}, machine: Settings = {}): void {
        stack.write({
            machines: { box: { kind: "local", directory: directory(), minimumFreeDiskGiB: 1, ...machine } },
            ...changed,
        });
    }

    /** Runs an `up` that the preflight has to refuse, and gives the problems that it names. */
    async function refused(options?: LauncherOptions): Promise<string[]> {
        const { code, output } = await stack.tryUp([], options);
        assert.notEqual(code, 0, output);
        assert.match(output, /is not ready, and nothing on it was changed/);
        assert.doesNotMatch(output, /^\s+at .*:\d+:\d+\)?$/m);
        assert.deepEqual(machineResources(stack), [], "done on the machine");
        assert.deepEqual(await containersOf(stack.name), []);
        return problemsIn(output);
    }

    it("names who has the port", async () => {
        held.push(await listen(stack.httpsPort));

        const problems = await refused();

        const name = readFileSync(`/proc/${process.pid}/comm`, "utf8").trim();
        assert.deepEqual(problems, [
            `port ${stack.httpsPort} is taken by ${name} (pid ${process.pid}); stop it, or choose another port (loadBalancer.httpsPort)`,
        ]);
        assert.ok(!existsSync(directory()));
    });

    it("names every problem at once, and leaves another stack's folder as it is", async () => {
        const foreign = join(stack.folder, "foreign");
        mkdirSync(foreign);
        writeFileSync(join(foreign, "incarnation"), "0123456789abcdef-1\n");
        writeFileSync(join(foreign, "theirs"), "data\n");
        write({}, { directory: foreign, minimumFreeDiskGiB: 90_000 });
        held.push(await listen(stack.httpPort), await listen(stack.registryPort));

        const problems = await refused();

        const expected = [
            /^.*foreign belongs to another stack, .*machines\.\*\.directory/,
            /^.* has [\d.]+ GiB free; expected at least 90000 GiB \(machines\.\*\.minimumFreeDiskGiB\)$/,
            new RegExp(
                `^port ${stack.httpPort} is taken by .*\\(pid ${process.pid}\\).*\\(loadBalancer\\.httpPort\\)$`,
            ),
            new RegExp(`^port ${stack.registryPort} is taken by .*\\(registry\\.port\\)$`),
        ];
        for (const pattern of expected) {
            assert.ok(
                problems.some((problem) => pattern.test(problem)),
                `${pattern}\n${problems.join("\n")}`,
            );
        }
        assert.deepEqual(readdirSync(foreign).sort(), ["incarnation", "theirs"]);
        assert.equal(readFileSync(join(foreign, "incarnation"), "utf8"), "0123456789abcdef-1\n");
    });

    it("names the folder whose disk is nearly full", async () => {
        const small = join(stack.folder, "small");
        mkdirSync(small);
        write({}, { directory: join(small, "machine") });

        const problems = await refused(withMounts(`mount -t tmpfs -o size=64m harborage-test ${small}`));

        assert.deepEqual(problems, [
            `${small} has 0.0 GiB free; expected at least 1 GiB (machines.*.minimumFreeDiskGiB)`,
        ]);
        assert.deepEqual(readdirSync(small), []);
    });

    it("names the folder that it cannot write to, also when it is root", async () => {
        const sealed = join(stack.folder, "sealed");
        mkdirSync(sealed);
        write({}, { directory: join(sealed, "machine") });

        const problems = await refused(
            withMounts(`mount --bind ${sealed} ${sealed}\nmount -o remount,bind,ro ${sealed}`),
        );

        assert.equal(problems.length, 1, problems.join("\n"));
        assert.match(problems[0] ?? "", new RegExp(`cannot write to ${sealed};.*\\(machines\\.\\*\\.directory\\)$`));
        assert.deepEqual(readdirSync(sealed), []);
    });

    it("says what to install where there is no Docker and it cannot install it", async () => {
        const release = join(stack.folder, "os-release");
        writeFileSync(release, 'ID=arch\nNAME="Arch Linux"\n');
        const bin = join(stack.folder, "bin");
        mkdirSync(bin);
        for (const [name, file] of programsOnPath()) {
            if (!name.startsWith("docker")) {
                symlinkSync(file, join(bin, name));
            }
        }
        const socket = existsSync("/var/run/docker.sock") ? "mount --bind /dev/null /var/run/docker.sock" : "";

        const problems = await refused({
            ...withMounts(`${socket}\nmount --bind ${release} "$(readlink -f /etc/os-release)"`),
            env: { PATH: bin, DOCKER_HOST: undefined },
        });

        assert.deepEqual(problems, [
            "Docker is missing, and root cannot install it here (arch); install Docker Engine 20.10 or newer with the compose plugin, or run as root on Debian or Ubuntu",
        ]);
        assert.ok(!existsSync(directory()));
    });

    it("converges when the causes are gone", async () => {
        await stack.up();

        assert.equal(await registryStatus(stack), 401);
    });

    it("goes on with the old release when the disk is full during a change", async () => {
        const nginx = containerName(stack.name, "lb", "nginx");
        const registry = containerName(stack.name, "registry", "registry");
        const lives = await Promise.all([lifeOf(nginx), lifeOf(registry)]);
        const releases = releasesOf(directory());
        const used = execFileSync("df", ["--output=used", "--block-size=1K", disk], { encoding: "utf8" });
        resize(`${used.trim().split("\n").at(-1)?.trim() ?? ""}k`);
        const loadBalancer = { ...(stack.settings["loadBalancer"] as Settings), hstsSeconds: 600 };
        const changes: readonly Settings[] = [
            { loadBalancer },
            { registry: { ...(stack.settings["registry"] as Settings), users: [{ name: "admin" }, { name: "ci" }] } },
        ];
        for (const changed of changes) {
            write(changed);

            const { code, output } = await stack.tryUp();

            assert.notEqual(code, 0, output);
            assert.match(output, /No space left on device|cannot write the files/i);
            assert.equal(await registryStatus(stack), 401);
            assert.deepEqual(await Promise.all([lifeOf(nginx), lifeOf(registry)]), lives);
            assert.deepEqual(releasesOf(directory()), releases);
        }
        resize("2g");
        write({ ...changes[0], ...changes[1] });

        await stack.up();

        assert.equal(await registryStatus(stack), 401);
        const users = execFileSync("find", [join(directory(), "stacks"), "-name", "htpasswd"], { encoding: "utf8" });
        assert.equal(users.trim().split("\n").length, 1, users);
        assert.match(readFileSync(users.trim(), "utf8"), /^ci:/m);
    });

    it("refuses a bundle of images that is not the one that was meant, and converges with the right one", async () => {
        // Under names of its own, which no other stack of this machine holds on to.
        const images = {
            registry: `harborage-test/registry:${process.pid}`,
            nginx: `harborage-test/nginx:${process.pid}`,
        };
        const containers = {
            registry: containerName(stack.name, "registry", "registry"),
            nginx: containerName(stack.name, "lb", "nginx"),
        };
        for (const name of ["registry", "nginx"] as const) {
            await docker("tag", await docker("inspect", "--format", "{{.Image}}", containers[name]), images[name]);
        }
        const bundle = join(stack.folder, "images.tar");
        await docker("save", "--output", bundle, ...Object.values(images));
        await docker("image", "rm", ...Object.values(images));
        const actual = execFileSync("sha256sum", [bundle], { encoding: "utf8" }).slice(0, 64);
        await stack.run("destroy");
        const wrong = "0".repeat(64);
        write({ images: { ...images, bundle: { path: bundle, sha256: wrong } } });

        const { code, output } = await stack.tryUp();

        assert.notEqual(code, 0, output);
        assert.ok(
            output.includes(`harborage:images.bundle.sha256: ${bundle} has the SHA-256 ${actual}; expected ${wrong}.`),
            output,
        );
        assert.deepEqual(await containersOf(stack.name), []);
        assert.doesNotMatch(output, /loading/);
        assert.deepEqual(machineResources(stack), [], "done on the machine");
        assert.ok(!existsSync(join(directory(), "stacks")), "services were put on the machine");

        const right = { images: { ...images, bundle: { path: bundle, sha256: actual } } };
        write(right);
        await stack.up();

        assert.equal(await registryStatus(stack), 401);

        // Another bundle is looked at before what runs is touched.
        const lives = await Promise.all([lifeOf(containers.registry), lifeOf(containers.nginx)]);
        stack.takeCommands();
        write({ images: { ...images, bundle: { path: bundle, sha256: wrong } } });
        const changed = await stack.tryUp();
        assert.notEqual(changed.code, 0, changed.output);
        assert.match(changed.output, /harborage:images\.bundle\.sha256: /);
        assert.deepEqual(stack.takeCommands(), [], "done on the machine");
        assert.deepEqual(await Promise.all([lifeOf(containers.registry), lifeOf(containers.nginx)]), lives);
        write(right);
        assert.deepEqual((await stack.up()).changes, []);

        // Somebody tidies up: what was loaded cannot be pulled again.
        await docker("rm", "--force", containers.nginx);
        await docker("image", "rm", images.nginx);
        write({
            ...right,
            loadBalancer: { mode: "http", httpsPort: stack.httpsPort, httpPort: stack.httpPort, hstsSeconds: 60 },
        });
        await stack.up();

        assert.equal(await registryStatus(stack), 401);
    });
});

/** What services of a machine are run with, by project. */
function releasesOf(directory: string): Record<string, string> {
    const stacks = join(directory, "stacks");
    return Object.fromEntries(
        readdirSync(stacks).map((project) => [
            project,
            execFileSync("readlink", [join(stacks, project, "current")], { encoding: "utf8" }).trim(),
        ]),
    );
}
