import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import { canMount, listing, runMachineScript, withFolder, type Run } from "./support/machine";

const script = "machines/scripts/preflight.sh";
const claim = "00aa11bb22cc33dd";

/** What the script uses, and nothing else: whether this machine has Docker makes no difference. */
const programs = [
    "bash",
    "sh",
    "flock",
    "tar",
    "base64",
    "sha256sum",
    "awk",
    "df",
    "sort",
    "dirname",
    "mktemp",
    "rm",
].concat(["tail", "head", "find", "cut", "hostname", "id", "tr", "grep", "mount", "cat", "mkdir", "unshare"]);

interface Docker {
    /** What the daemon says; absent: it does not answer, and `docker info` says this. */
    readonly server?: string;
    readonly refusal?: string;
    readonly compose?: string;
    /** Whether the daemon is installed. */
    readonly daemon?: boolean;
    /** Ports that containers of the stack publish. */
    readonly published?: number;
    /** A process that is in a container of the stack. */
    readonly process?: number;
}

function dockerProgram({ server, refusal = "", compose, published, process }: Docker): string {
    const list = process === undefined ? "" : "echo c0ffee";
    return `#!/bin/sh
case "$*" in
    info) ${server === undefined ? `echo '${refusal}' >&2; exit 1` : "exit 0"} ;;
    version*) echo '${server ?? ""}' ;;
    'compose version --short') ${compose === undefined ? "exit 1" : `echo '${compose}'`} ;;
    'ps --quiet --filter label=harborage.stack=test --filter publish=${published ?? 0}') echo c0ffee ;;
    'ps --quiet --filter label=harborage.stack=test') ${list || ":"} ;;
    'top c0ffee -o pid') printf 'PID\\n%s\\n' '${process ?? 0}' ;;
esac
`;
}

const well: Docker = { server: "28.2.2", compose: "v2.36.0" };

interface Machine {
    readonly docker?: Docker | undefined;
    readonly without?: string;
    readonly words?: readonly string[];
    readonly directory?: string;
    /** Of /etc/os-release; needs mounts. */
    readonly system?: readonly [id: string, version: string];
    /** More mounts, as shell commands. */
    readonly mounts?: string;
    readonly minimum?: number;
    /** Whether the machine is going to be set up, or is somebody's own. */
    readonly isSetUp?: boolean;
    /** Further programs of this machine. */
    readonly with?: readonly string[];
    /** Further programs, as texts. */
    readonly programs?: Readonly<Record<string, string>>;
}

/**
 * Runs the check, and makes sure that it changed nothing.
 *
 * @param isList whether what it says is the list of problems
 */
function check(folder: string, machine: Machine = {}, isList = true): Run & { problems: string[] } {
    const bin = join(folder, "bin");
    mkdirSync(bin, { recursive: true });
    for (const program of [...programs, ...(machine.with ?? [])].filter((each) => each !== machine.without)) {
        const path = spawnSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).stdout.trim();
        symlinkSync(path, join(bin, program));
    }
    if (machine.docker !== undefined) {
        writeFileSync(join(bin, "docker"), dockerProgram(machine.docker));
        chmodSync(join(bin, "docker"), 0o755);
    }
    for (const [name, text] of Object.entries(machine.programs ?? {})) {
        writeFileSync(join(bin, name), text, { mode: 0o755 });
    }
    if (machine.docker?.daemon === true) {
        symlinkSync("/bin/true", join(bin, "dockerd"));
    }
    const mounts = [];
    if (machine.system !== undefined) {
        const [id, version] = machine.system;
        writeFileSync(join(folder, "os-release"), `ID=${id}\nVERSION_ID="${version}"\n`);
        mounts.push(`mount --bind '${join(folder, "os-release")}' /etc/os-release`);
    }
    mounts.push(machine.mounts ?? "");
    const { directory = join(folder, "box"), minimum = 1, words = [] } = machine;
    mkdirSync(join(folder, "box"), { recursive: true });
    const before = listing(folder);
    const kind = `${machine.isSetUp === true ? "system" : "this-machine"}=${claim}-1`;
    const run = runMachineScript(script, [directory, claim, String(minimum), "test", kind, ...words], {
        environment: { PATH: bin, HOME: folder },
        ...(mounts.join("") === "" ? {} : { mounts: mounts.join("\n") }),
    });
    assert.equal(listing(folder), before, "it changed something");
    rmSync(bin, { recursive: true });
    const problems = run.stderr.split("\n").flatMap((line) => (line.startsWith("  - ") ? [line.slice(4)] : []));
    if (run.status === 0) {
        assert.equal(run.stderr, "");
    } else if (isList) {
        assert.equal(run.status, 1, run.stderr);
        assert.match(run.stderr, /^harborage: \S+ is not ready, and nothing on it was changed:\n/);
    }
    return { ...run, problems };
}

/** Mounts that give Docker settings. */
const withDaemon = [
    "mount -t tmpfs none /mnt",
    "/bin/cp -a /etc /mnt/etc",
    "mkdir -p /mnt/etc/docker",
    "echo '{}' >/mnt/etc/docker/daemon.json",
    "mount --bind /mnt/etc /etc",
].join("\n");

/** The one problem that a machine has. */
function problemOf(folder: string, machine: Machine): string {
    const { problems, stderr } = check(folder, machine);
    assert.equal(problems.length, 1, stderr);
    return problems[0] ?? "";
}

describe("preflight.sh", () => {
    it("finds nothing where all is well", () => {
        withFolder((folder) => assert.equal(check(folder, { docker: well }).status, 0));
    });

    it("finds nothing where the stack runs already", () => {
        withFolder((folder) => {
            mkdirSync(join(folder, "box"));
            writeFileSync(join(folder, "box", "incarnation"), `${claim}-3\n`);
            assert.equal(check(folder, { docker: well }).status, 0);
        });
    });

    it("makes no folder that is not there yet", () => {
        withFolder((folder) => {
            assert.equal(check(folder, { docker: well, directory: join(folder, "not/there/yet") }).status, 0);
            assert.equal(check(folder, { docker: well, directory: "~/not/there/either" }).status, 0);
        });
    });

    it("has nothing to do on delete", () => {
        const run = runMachineScript(script, ["/proc/none", claim, "1", "test", `this-machine=${claim}-1`], {
            action: "delete",
        });
        assert.deepEqual(run, { status: 0, stdout: "", stderr: "" });
    });

    it("names a program that is missing", () => {
        withFolder((folder) => {
            assert.equal(
                problemOf(folder, { docker: well, without: "flock" }),
                "the program flock is missing; install it",
            );
        });
    });

    it("refuses a folder of another incarnation", () => {
        withFolder((folder) => {
            mkdirSync(join(folder, "box"));
            writeFileSync(join(folder, "box", "incarnation"), "0000000000000000-1\n");
            assert.match(
                problemOf(folder, { docker: well }),
                /box belongs to another stack, or .* remove .*\/box\/incarnation/,
            );
        });
    });

    it("refuses a folder that others use, and takes one with data that was kept", () => {
        withFolder((folder) => {
            mkdirSync(join(folder, "box", "data", "registry"), { recursive: true });
            writeFileSync(join(folder, "box", "lock"), "");
            assert.equal(check(folder, { docker: well }).status, 0);
            writeFileSync(join(folder, "box", "thesis.tex"), "");
            assert.match(
                problemOf(folder, { docker: well }),
                /box holds other things \(.*\/thesis\.tex\); name a folder/,
            );
        });
    });

    it("refuses a folder that is a file", () => {
        withFolder((folder) => {
            writeFileSync(join(folder, "file"), "");
            assert.match(
                problemOf(folder, { docker: well, directory: join(folder, "file/box") }),
                /file is not a folder/,
            );
        });
    });

    it("refuses an old Docker and an old compose", () => {
        withFolder((folder) => {
            const { problems } = check(folder, { docker: { server: "19.03.15", compose: "2.16.0" } });
            assert.deepEqual(problems, [
                "Docker is 19.03.15; expected 20.10 or newer",
                "docker compose is 2.16.0; expected 2.17 or newer",
            ]);
        });
    });

    describe("with a port that is taken", () => {
        let server: Server;
        let port: number;
        before(async () => {
            server = createServer();
            await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
            port = (server.address() as AddressInfo).port;
        });
        after(() => server.close());
        const words = () => [`${port}=loadBalancer.httpsPort`];

        it("names who has it, and the setting that chooses another", () => {
            withFolder((folder) => {
                assert.match(
                    problemOf(folder, { docker: well, words: words() }),
                    new RegExp(
                        `^port ${port} is taken by \\S+ \\(pid ${process.pid}\\); .*\\(loadBalancer\\.httpsPort\\)$`,
                    ),
                );
            });
        });

        it("knows the containers of the stack that publish it", () => {
            withFolder((folder) => {
                assert.equal(check(folder, { docker: { ...well, published: port }, words: words() }).status, 0);
            });
        });

        it("knows the containers of the stack on the machine's own network", () => {
            withFolder((folder) => {
                const docker = { ...well, process: process.pid };
                assert.equal(check(folder, { docker, words: words() }).status, 0);
                assert.equal(check(folder, { docker: { ...well, process: 1 }, words: words() }).status, 1);
            });
        });

        it("reports all problems at once", () => {
            withFolder((folder) => {
                mkdirSync(join(folder, "box"));
                writeFileSync(join(folder, "box", "incarnation"), "0000000000000000-1\n");
                const docker = { server: "19.03.15", compose: "2.16.0" };
                const { problems } = check(folder, { docker, words: words(), minimum: 90_000_000, without: "flock" });
                assert.ok(problems.length >= 6, problems.join("\n"));
                const expected = [/flock/, /another stack/, /GiB free/, /Docker is/, /docker compose is/, /port/];
                for (const each of expected) {
                    assert.ok(
                        problems.some((problem) => each.test(problem)),
                        String(each),
                    );
                }
            });
        });
    });

    describe("with mounts of its own", () => {
        before(function () {
            if (!canMount) {
                // Needs root; in containers also the right to mount.
                this.skip();
            }
        });
        const noDocker = "mount -t tmpfs none /run";

        it("says what to install where there is no Docker and none can be installed", () => {
            withFolder((folder) => {
                assert.equal(
                    problemOf(folder, { system: ["fedora", "42"], mounts: noDocker }),
                    "Docker is missing, and root cannot install it here (fedora); install Docker Engine 20.10 or newer with the compose plugin, or run as root on Debian or Ubuntu",
                );
            });
        });

        it("says what to start where Docker does not answer", () => {
            withFolder((folder) => {
                const refusal = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock";
                assert.equal(
                    problemOf(folder, {
                        docker: { refusal, daemon: true },
                        system: ["fedora", "42"],
                        mounts: noDocker,
                    }),
                    `Docker is there but does not answer root: ${refusal}; start it (systemctl start docker), or add the user to the group docker and log in again`,
                );
            });
        });

        it("refuses Docker without compose where no package has it", () => {
            withFolder((folder) => {
                assert.match(
                    problemOf(folder, { docker: { server: "28.2.2" }, system: ["debian", "12"] }),
                    /^the plugin docker compose is missing, and debian 12 has no package of it; install docker-compose-plugin/,
                );
            });
        });

        it("refuses a folder that cannot be written, also to root", () => {
            withFolder((folder) => {
                const box = join(folder, "box");
                const mounts = `mount --bind '${box}' '${box}'\nmount -o remount,bind,ro '${box}'`;
                assert.equal(
                    problemOf(folder, { docker: well, mounts }),
                    `root cannot write to ${box}; give it to this user, or name another folder (machines.*.directory)`,
                );
            });
        });

        it("refuses a disk that is nearly full", () => {
            withFolder((folder) => {
                const mounts = `mount -t tmpfs -o size=200m none '${join(folder, "box")}'`;
                assert.match(
                    problemOf(folder, { docker: well, mounts }),
                    /box has 0\.1 GiB free; expected at least 1 GiB \(machines\.\*\.minimumFreeDiskGiB\)$/,
                );
            });
        });

        it("looks at the disk of Docker's images too", () => {
            withFolder((folder) => {
                const mounts = "mkdir -p /var/lib && mount -t tmpfs -o size=200m none /var/lib";
                assert.match(problemOf(folder, { docker: well, mounts }), /^\/var\/lib has 0\.1 GiB free/);
            });
        });

        describe("that is going to be set up", () => {
            const debian = { docker: well, isSetUp: true, system: ["debian", "12"] } as const;

            it("finds nothing where Docker and compose are still to come", () => {
                withFolder((folder) => {
                    const mounts = `${noDocker}\nmount -t tmpfs none /etc/docker 2>/dev/null || :`;
                    for (const system of [
                        ["debian", "12"],
                        ["debian", "13"],
                        ["ubuntu", "22.04"],
                        ["ubuntu", "24.04"],
                    ] as const) {
                        assert.equal(
                            check(folder, { isSetUp: true, system, mounts, with: ["apt-get"] }).status,
                            0,
                            system.join(" "),
                        );
                    }
                });
            });

            it("refuses a system that it does not know its way around in", () => {
                withFolder((folder) => {
                    for (const [system, name] of [
                        [["debian", "11"], "debian 11"],
                        [["ubuntu", "20.04"], "ubuntu 20.04"],
                        [["rocky", "9.4"], "rocky 9.4"],
                    ] as const) {
                        assert.equal(
                            problemOf(folder, { ...debian, system }),
                            `this is ${name}; expected Debian 12 or 13, or Ubuntu 22.04 or 24.04`,
                        );
                    }
                });
            });

            it("leaves somebody's own machine its system and Docker's settings", () => {
                withFolder((folder) => {
                    const mounts = withDaemon;
                    assert.equal(check(folder, { docker: well, system: ["fedora", "42"], mounts }).status, 0);
                });
            });

            it("refuses Docker's settings that are somebody else's", () => {
                withFolder((folder) => {
                    assert.equal(
                        problemOf(folder, { ...debian, mounts: withDaemon }),
                        "/etc/docker/daemon.json was not written by harborage; put what it says into baseline.docker.daemon and remove it",
                    );
                });
            });

            it("waits for cloud-init, and says that it failed", () => {
                withFolder((folder) => {
                    const text = "#!/bin/sh\n[ \"$2\" = --long ] && echo 'detail: no network'\nexit 1\n";
                    const run = check(folder, { ...debian, programs: { "cloud-init": text } }, false);
                    assert.deepEqual(
                        [run.status, run.stderr],
                        [1, "harborage: cloud-init failed: detail: no network\n"],
                    );
                });
            });
        });
    });
});
