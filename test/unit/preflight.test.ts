import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server } from "node:net";
import { availableParallelism, totalmem } from "node:os";
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
].concat(
    ["tail", "head", "find", "cut", "hostname", "id", "tr", "grep", "mount", "cat", "mkdir", "unshare", "sed"],
    ["nproc", "getent", "date", "stat", "timeout", "setpriv"],
);

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
    /** Who publishes a port. */
    readonly publisher?: readonly [port: number, container: string];
    /** Containers by name: the image and, after a blank, the stack. */
    readonly containers?: Readonly<Record<string, string>>;
}

function dockerProgram(docker: Docker): string {
    const { server, refusal = "", compose, published, process, publisher = [0, ""], containers = {} } = docker;
    const inspect = (name: string) =>
        `container inspect --format {{.Config.Image}} {{index .Config.Labels "harborage.stack"}} ${name}`;
    const found = Object.entries(containers).map(
        ([name, text]) =>
            `    '${inspect(name)}') echo '${text}'; exit 0 ;;\n    'container inspect'*' ${name}') exit 9 ;;`,
    );
    const list = process === undefined ? "" : "echo c0ffee";
    return `#!/bin/sh
case "$*" in
    info) ${server === undefined ? `echo '${refusal}' >&2; exit 1` : "exit 0"} ;;
    version*) echo '${server ?? ""}' ;;
    'compose version --short') ${compose === undefined ? "exit 1" : `echo '${compose}'`} ;;
    'ps --quiet --filter label=harborage.stack=test --filter publish=${published ?? 0}') echo c0ffee ;;
    'ps --quiet --filter label=harborage.stack=test') ${list || ":"} ;;
    'top c0ffee -o pid') printf 'PID\\n%s\\n' '${process ?? 0}' ;;
    'ps --filter publish=${publisher[0]} --format {{.Names}} (image {{.Image}})') echo '${publisher[1]}' ;;
${found.join("\n")}
    'container inspect'*) echo 'no such container' >&2; exit 1 ;;
esac
`;
}

const needed = ["packages=machine", "docker=20.10", "compose=2.17"];

/** What `chronyc -c tracking` says where chronyd has no server that answers (4.3). */
const unsynchronised =
    "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,Not synchronised";

/** A `chronyc` for a chronyd with one server. */
const answering = (tracking: string) => `#!/bin/sh
case "$*" in
    '-c -n tracking') echo '${tracking}' ;;
    '-n sources') printf 'MS Name\\n===\\n^? 192.0.2.1   0   6     0     -     +0ns\\n' ;;
esac
`;

const well: Docker = { server: "28.2.2", compose: "v2.36.0" };

interface Machine {
    readonly docker?: Docker | undefined;
    readonly without?: string;
    readonly words?: readonly string[];
    readonly directory?: string;
    /** Of /etc/os-release; needs mounts. */
    readonly system?: readonly [id: string, version: string];
    /** When that was written. Default: now. */
    readonly made?: Date;
    /** More mounts, as shell commands. */
    readonly mounts?: string;
    readonly minimum?: number;
    /** What is said of Docker's version. Default: what CNCF Distribution needs. */
    readonly versions?: readonly string[];
    /** Whether the machine is going to be set up, or is somebody's own. */
    readonly isSetUp?: boolean;
    /** Further programs of this machine. */
    readonly with?: readonly string[];
    /** Further programs, as texts. */
    readonly programs?: Readonly<Record<string, string>>;
    /** Who runs it. Default: this process's user. */
    readonly user?: number;
    readonly environment?: Readonly<Record<string, string>>;
}

const paths = new Map<string, string>();

/** Where this machine has a program. */
function pathOf(program: string): string {
    const path =
        paths.get(program) ?? spawnSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).stdout.trim();
    paths.set(program, path);
    return path;
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
        symlinkSync(pathOf(program), join(bin, program));
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
        utimesSync(join(folder, "os-release"), machine.made ?? new Date(), machine.made ?? new Date());
        mounts.push(`mount --bind '${join(folder, "os-release")}' /etc/os-release`);
    }
    mounts.push(machine.mounts ?? "");
    const { directory = join(folder, "box"), minimum = 1, versions = needed, words = [] } = machine;
    mkdirSync(join(folder, "box"), { recursive: true });
    const before = listing(folder);
    const kind = `${machine.isSetUp === true ? "system" : "this-machine"}=${claim}-1`;
    const run = runMachineScript(script, [directory, claim, "test", kind, `disk=${minimum}`, ...versions, ...words], {
        environment: { ...machine.environment, PATH: bin, HOME: folder },
        ...(machine.user === undefined ? {} : { user: machine.user }),
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
        const run = runMachineScript(script, ["/proc/none", claim, "test", `this-machine=${claim}-1`, "disk=1"], {
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

    it("refuses another engine in the place of the one that runs", () => {
        withFolder((folder) => {
            const current = join(folder, "box/stacks/harborage-test-registry/current");
            mkdirSync(current, { recursive: true });
            writeFileSync(join(folder, "box", "incarnation"), `${claim}-3\n`);
            writeFileSync(join(current, "compose.yaml"), "");
            const words = (engine: string) => [`engine=${engine}:harborage-test-registry`];
            assert.equal(check(folder, { docker: well, words: words("distribution") }).status, 0);
            assert.match(
                problemOf(folder, { docker: well, words: words("harbor") }),
                /is of engine distribution, .*registry\.engine/,
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
                "Docker is 19.03.15; expected 20.10 or newer; upgrade it, with its services stopped (docs.docker.com/engine/install)",
                "docker compose is 2.16.0; expected 2.17 or newer; upgrade it (docs.docker.com/compose/install/linux), or, where the machine is reached by SSH, name the program (baseline.docker.composePlugin)",
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

        it("says what needs it, where no setting chooses another", () => {
            withFolder((folder) => {
                assert.match(
                    problemOf(folder, { docker: well, words: [`${port}=Harbor's log service`] }),
                    new RegExp(
                        `^port ${port} is taken by \\S+ \\(pid ${process.pid}\\); stop it: the port is needed for Harbor's log service$`,
                    ),
                );
            });
        });

        it("finds it on the loopback address of IPv6 alone, too", async () => {
            const other = createServer();
            await new Promise<void>((done, failed) => other.once("error", failed).listen(0, "::1", done));
            const { port: taken } = other.address() as AddressInfo;
            withFolder((folder) => {
                assert.match(
                    problemOf(folder, { docker: well, words: [`${taken}=registry.port`] }),
                    new RegExp(`^port ${taken} is taken by `),
                );
            });
            other.close();
        });

        it("names the container that a proxy of Docker's listens for, if there is one", () => {
            const { title } = process;
            process.title = "docker-proxy";
            try {
                withFolder((folder) => {
                    const publisher = [port, "web (image nginx:1)"] as const;
                    assert.equal(
                        problemOf(folder, { docker: { ...well, publisher }, words: words() }),
                        `port ${port} is taken by the container web (image nginx:1); stop it, or choose another port (loadBalancer.httpsPort)`,
                    );
                    assert.match(
                        problemOf(folder, { docker: well, words: words() }),
                        new RegExp(`^port ${port} is taken by docker-proxy \\(pid ${process.pid}\\); `),
                    );
                });
            } finally {
                process.title = title;
            }
        });

        it("reports all problems at once", () => {
            withFolder((folder) => {
                mkdirSync(join(folder, "box"));
                writeFileSync(join(folder, "box", "incarnation"), "0000000000000000-1\n");
                const docker = { server: "19.03.15", compose: "2.16.0", containers: { redis: "redis:7 " } };
                const more = ["cpus=4096", "memory=99999999", "clock=true", "resolve=none.invalid", "container=redis"];
                const { problems } = check(folder, {
                    docker,
                    words: [...words(), ...more],
                    minimum: 90_000_000,
                    without: "flock",
                    programs: { chronyc: answering(unsynchronised) },
                });
                const expected = [
                    [/flock/, /another stack/, /GiB free/, /Docker is/, /docker compose is/, /port/],
                    [/CPUs/, /of memory/, /clock/, /none\.invalid/, /container redis/],
                ].flat();
                assert.ok(problems.length >= expected.length, problems.join("\n"));
                for (const each of expected) {
                    assert.ok(
                        problems.some((problem) => each.test(problem)),
                        String(each),
                    );
                }
            });
        });
    });

    describe("with what a registry needs of the machine", () => {
        it("counts CPUs", () => {
            withFolder((folder) => {
                const cpus = availableParallelism();
                const environment = { OMP_NUM_THREADS: "1", OMP_THREAD_LIMIT: "1" };
                assert.equal(check(folder, { docker: well, words: [`cpus=${cpus}`], environment }).status, 0);
                assert.equal(
                    problemOf(folder, { docker: well, words: [`cpus=${cpus + 1}`] }),
                    `this machine has ${cpus} CPUs; expected at least ${cpus + 1}; give it more, or name another machine (topology)`,
                );
            });
        });

        it("measures memory", () => {
            withFolder((folder) => {
                const MiB = Math.floor(totalmem() / 1024 / 1024);
                assert.equal(check(folder, { docker: well, words: [`memory=${MiB}`] }).status, 0);
                assert.equal(
                    problemOf(folder, { docker: well, words: [`memory=${MiB + 1}`] }),
                    `this machine has ${MiB} MiB of memory; expected at least ${MiB + 1} MiB; give it more, or name another machine (topology)`,
                );
            });
        });

        it("looks up the public name", () => {
            withFolder((folder) => {
                assert.equal(check(folder, { docker: well, words: ["resolve=localhost"] }).status, 0);
                assert.equal(
                    problemOf(folder, { docker: well, words: ["resolve=registry.invalid"] }),
                    "the name registry.invalid has no address on this machine (publicName); give it one in DNS, or here in /etc/hosts: ADDRESS registry.invalid",
                );
            });
        });

        it("refuses a user who is not root, where files belong to several", function () {
            if (process.getuid?.() !== 0) {
                this.skip();
            }
            withFolder((folder) => {
                chmodSync(folder, 0o755);
                mkdirSync(join(folder, "box"));
                chmodSync(join(folder, "box"), 0o777);
                const words = ["root=true"];
                assert.equal(check(folder, { docker: well, words }).status, 0);
                assert.equal(check(folder, { docker: well, user: 65534 }).status, 0);
                assert.equal(
                    problemOf(folder, { docker: well, words, user: 65534 }),
                    "this runs as nobody; expected root, because the registry's files belong to several users; run up as root, or name a machine that is reached by SSH (topology)",
                );
            });
        });

        it("refuses a container with a name of the registry's, unless it is the stack's own", () => {
            withFolder((folder) => {
                const words = ["container=registry", "container=redis"];
                const of = (text: string) => ({ docker: { ...well, containers: { redis: text } }, words });
                assert.equal(check(folder, of("goharbor/redis-photon:v2.15.2 test")).status, 0);
                const remedy =
                    "remove it (docker stop redis; docker rm redis), or rename it (docker rename redis OTHER)";
                assert.equal(
                    problemOf(folder, of("redis:7 ")),
                    `there is a container redis (image redis:7), and the registry needs that name; ${remedy}`,
                );
                assert.equal(
                    problemOf(folder, of("goharbor/redis-photon:v2.15.2 other")),
                    `there is a container redis (image goharbor/redis-photon:v2.15.2, of the stack other), and the registry needs that name; ${remedy}`,
                );
            });
        });

        describe("such as a clock that is right", () => {
            const clock = (folder: string, programs: Readonly<Record<string, string>>, isSetUp = false) =>
                check(folder, { docker: well, words: ["clock=true"], programs, isSetUp });
            const synchronised = (offset: string) =>
                `C0000202,192.0.2.2,2,1795820169.325552695,${offset},0.000002000,0.000003000,-1.2,0.0,0.1,0.002,0.0003,64.2,Normal`;
            const ntpq = (leap: string) =>
                `#!/bin/sh\ncase "$*" in *rv) echo 'associd=0 status=c016 ${leap}, sync_unspec, 1 event, restart,' ;; *) printf 'remote\\n===\\n 192.0.2.1  .INIT.  16 u\\n' ;; esac\n`;
            const timedatectl = (...lines: string[]) => `#!/bin/sh\nprintf '%s\\n' ${lines.join(" ")}\n`;
            const nobody = "#!/bin/sh\necho '506 Cannot talk to daemon'\nexit 1\n";
            const notInSync = "the clock is not in sync, and a registry's tokens fail by that; ";
            const why = ({ problems, stderr }: ReturnType<typeof check>) => {
                assert.equal(problems.length, 1, stderr);
                return problems[0] ?? "";
            };

            it("says so in one line where nothing can tell", () => {
                withFolder((folder) => {
                    const line =
                        "nothing here tells whether the clock is in sync; a registry's tokens fail when it is not\n";
                    const off = timedatectl("Timezone=Etc/UTC", "NTP=no", "NTPSynchronized=no");
                    const silent = "#!/bin/sh\necho '***Socket error; probably ntpd is not running'\n";
                    for (const programs of [
                        {},
                        { chronyc: nobody, ntpq: silent },
                        { timedatectl: off },
                        { timedatectl: nobody },
                    ]) {
                        const { status, stdout } = clock(folder, programs);
                        assert.deepEqual([status, stdout], [0, line]);
                    }
                });
            });

            it("is content where a time service is", () => {
                withFolder((folder) => {
                    for (const programs of [
                        { chronyc: answering(synchronised("-0.000012345")) },
                        { chronyc: answering(synchronised("0.499")) },
                        { chronyc: nobody, ntpq: ntpq("leap_none") },
                        { chronyc: nobody, timedatectl: timedatectl("NTP=yes", "NTPSynchronized=yes") },
                    ]) {
                        const { status, stdout } = clock(folder, programs);
                        assert.deepEqual([status, stdout], [0, ""]);
                    }
                });
            });

            it("names the time service that has none, and what it sees", () => {
                withFolder((folder) => {
                    assert.equal(
                        why(clock(folder, { chronyc: answering(unsynchronised) })),
                        `${notInSync}give chrony servers that answer (/etc/chrony/chrony.conf). It sees: ^? 192.0.2.1 0 6 0 - +0ns;`,
                    );
                    assert.equal(
                        why(clock(folder, { chronyc: nobody, ntpq: ntpq("leap_alarm") })),
                        `${notInSync}give ntpd servers that answer (ntp.conf). It sees: 192.0.2.1 .INIT. 16 u;`,
                    );
                    assert.equal(
                        why(clock(folder, { timedatectl: timedatectl("NTP=yes", "NTPSynchronized=no") })),
                        `${notInSync}name servers that answer (/etc/systemd/timesyncd.conf), and see timedatectl timesync-status`,
                    );
                });
            });

            it("names by how much it is wrong, where chrony has not set it yet", () => {
                withFolder((folder) => {
                    for (const offset of ["12.345", "-12.345"]) {
                        assert.equal(
                            why(clock(folder, { chronyc: answering(synchronised(offset)) })),
                            "the clock is off by 12.345 s; expected less than 0.5 s; let chrony set it at once (chronyc makestep)",
                        );
                    }
                });
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

        it("installs no Docker and no compose that are too old, as far as apt knows what it has", () => {
            withFolder((folder) => {
                const apt = (docker: string, compose: string) =>
                    `#!/bin/sh\nfor package; do :; done\necho "$package:"\necho '  Installed: (none)'\ncase $package in docker.io) echo '  Candidate: ${docker}' ;; docker-compose*) echo '  Candidate: ${compose}' ;; *) exit 0 ;; esac\n`;
                const problems = (docker: string, compose: string, versions: readonly string[]) =>
                    check(folder, {
                        system: ["ubuntu", "22.04"],
                        mounts: noDocker,
                        with: ["apt-get"],
                        programs: { "apt-cache": apt(docker, compose) },
                        versions,
                    }).problems;
                const wanted = ["docker=20.10.10", "compose=2.24.4"];
                const versions = ["packages=machine", ...wanted];
                assert.deepEqual(problems("20.10.24+dfsg1-1+deb12u1", "2.26.1-4", versions), []);
                assert.deepEqual(problems("(none)", "(none)", versions), []);
                const old = ["5:20.10.5~ce-1~ubuntu", "2.20.2+ds1-0ubuntu1"] as const;
                const remedy =
                    "take Docker's own repository (docs.docker.com/engine/install; baseline.packages.sources where the machine is reached by SSH)";
                assert.deepEqual(problems(...old, versions), [
                    `apt's newest Docker is 20.10.5; expected 20.10.10 or newer; ${remedy}`,
                    `apt's newest docker compose is 2.20.2; expected 2.24.4 or newer; ${remedy}`,
                ]);
                // The stack file names other packages.
                assert.deepEqual(problems(...old, wanted), []);
            });
        });

        it("looks at the version of a Docker that is going to be started", () => {
            withFolder((folder) => {
                const dockerd = "#!/bin/sh\necho 'Docker version 20.10.5+dfsg1, build 55c4c88'\n";
                const machine = { docker: { compose: "2.30.0" }, programs: { dockerd }, with: ["apt-get"] };
                const at = (version: string) => ({
                    ...machine,
                    system: ["debian", "12"] as const,
                    versions: [`docker=${version}`, "compose=2.24.4"],
                });
                assert.equal(check(folder, at("20.10")).status, 0);
                assert.match(
                    problemOf(folder, at("20.10.10")),
                    /^Docker is 20\.10\.5\+dfsg1; expected 20\.10\.10 or newer; upgrade it/,
                );
            });
        });

        it("takes for its memory what a machine that is a container itself is given", () => {
            withFolder((folder) => {
                const limited = (file: string, text: string) => ({
                    docker: well,
                    words: ["memory=2000"],
                    mounts: `mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory && echo ${text} >/sys/fs/cgroup/${file}`,
                });
                for (const file of ["memory.max", "memory/memory.limit_in_bytes"]) {
                    assert.match(
                        problemOf(folder, limited(file, "1073741824")),
                        /^this machine has 1024 MiB of memory; expected at least 2000 MiB; /,
                    );
                    assert.equal(check(folder, limited(file, "9223372036854771712")).status, 0);
                }
                assert.equal(check(folder, limited("memory.max", "max")).status, 0);
            });
        });

        it("refuses a clock that is older than the system, also where chrony is still to come", () => {
            withFolder((folder) => {
                const made = new Date(Date.now() + 40 * 86_400_000);
                const machine = { docker: well, system: ["debian", "12"], words: ["clock=true"] } as const;
                const today = new Date().toISOString().slice(0, 10);
                for (const isSetUp of [true, false]) {
                    const text = problemOf(folder, { ...machine, made, isSetUp });
                    assert.match(
                        text,
                        new RegExp(`^the clock says ${today} \\d\\d:\\d\\d UTC, but this system was made on `),
                    );
                    assert.ok(
                        text.endsWith(
                            ` on ${made.toISOString().slice(0, 10)}; set it (date --utc --set 'YYYY-MM-DD HH:MM')`,
                        ),
                        text,
                    );
                    assert.equal(check(folder, { ...machine, isSetUp }).status, 0);
                }
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

        it("wants less of a disk that the stack has filled itself, and no more than the stack file says", () => {
            withFolder((folder) => {
                const box = join(folder, "box");
                const small = (size: string) => `mount -t tmpfs -o size=${size} none '${box}'`;
                const claimed = `echo ${claim}-3 >'${box}/incarnation'`;
                assert.match(
                    problemOf(folder, { docker: well, mounts: small("6g"), minimum: 7 }),
                    /box has 6\.0 GiB free; expected at least 7 GiB/,
                );
                const mounts = `${small("6g")}\n${claimed}`;
                assert.equal(check(folder, { docker: well, mounts, minimum: 7 }).status, 0);
                const smaller = `${small("4g")}\n${claimed}`;
                assert.match(
                    problemOf(folder, { docker: well, mounts: smaller, minimum: 7 }),
                    /box has [34]\.\d GiB free; expected at least 5 GiB/,
                );
                assert.equal(check(folder, { docker: well, mounts: smaller, minimum: 2 }).status, 0);
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

            it("refuses Debian 12 without a source of compose, as far as apt knows what it has", () => {
                withFolder((folder) => {
                    const apt = (...known: string[]) =>
                        `#!/bin/sh\nfor package; do :; done\ncase $package in ${known.join("|")}) echo '  Candidate: 5:28.5.1-1' ;; esac\n`;
                    const of = (aptCache: string, versions = needed) => ({
                        isSetUp: true,
                        system: ["debian", "12"] as const,
                        mounts: `${noDocker}\nmount -t tmpfs none /etc/docker 2>/dev/null || :`,
                        with: ["apt-get"],
                        programs: { "apt-cache": aptCache },
                        versions,
                    });
                    assert.equal(
                        problemOf(folder, of(apt("docker.io"))),
                        "the plugin docker compose is missing, and debian 12 has no package of it; name the program (baseline.docker.composePlugin), or Docker's own repository (baseline.packages.sources)",
                    );
                    // Docker's own repository; lists that were not read yet; packages or a program of the stack file's.
                    assert.equal(check(folder, of(apt("docker.io", "docker-ce"))).status, 0);
                    assert.equal(check(folder, of(apt("none"))).status, 0);
                    assert.equal(check(folder, of(apt("docker.io"), ["docker=20.10", "compose=2.17"])).status, 0);
                    assert.equal(check(folder, of(apt("docker.io"), ["packages=machine", "docker=20.10"])).status, 0);
                });
            });

            it("leaves the clock to chrony, which comes with the rest", () => {
                withFolder((folder) => {
                    const programs = { chronyc: answering(unsynchronised) };
                    const { status, stdout } = check(folder, { ...debian, words: ["clock=true"], programs });
                    assert.deepEqual([status, stdout], [0, ""]);
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
