import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
    closeSync,
    existsSync,
    mkdirSync,
    openSync,
    readFileSync,
    readdirSync,
    statSync,
    writeFileSync,
    writeSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import { canMount, runFunctions, withFolderAsync, type FunctionsOptions, type Run } from "./support/machine";

const script = "machines/scripts/system.sh";
const sha256 = (content: string | Buffer) => createHash("sha256").update(content).digest("hex");

/** Runs a piece of shell in a folder that is removed afterwards, and looks at it. */
async function run(
    code: string,
    options: Omit<FunctionsOptions, "folder"> & { readonly prepare?: (folder: string) => void } = {},
    look: (folder: string, run: Run) => void | Promise<void> = () => undefined,
): Promise<Run> {
    const { prepare, ...others } = options;
    return withFolderAsync(async (folder) => {
        prepare?.(folder);
        const found = await runFunctions(script, code, { folder, ...others });
        await look(folder, found);
        return found;
    });
}

/** What a piece of shell prints, when it succeeds. */
async function printed(code: string, options?: Parameters<typeof run>[1]): Promise<string> {
    const { status, stdout, stderr } = await run(code, options);
    assert.equal(status, 0, stderr);
    return stdout.trimEnd();
}

/** What it says when it fails. */
async function failure(code: string, options?: Parameters<typeof run>[1]): Promise<string> {
    const { status, stderr } = await run(code, options);
    assert.equal(status, 1, stderr);
    const [, message = ""] = /^harborage: ([^]*)\n$/.exec(stderr) ?? [];
    assert.notEqual(message, "", stderr);
    return message;
}

/** Writes what the program gives to `system.sh`. */
const withSettings = (settings: string) => (folder: string) => {
    mkdirSync(join(folder, "work"), { recursive: true });
    writeFileSync(join(folder, "work", "settings"), settings);
};

describe("system.sh", () => {
    describe("formats a disk", () => {
        const MiB = 1024 * 1024;

        /** An image of a disk: 32 MiB of zeros, and what is done to it. */
        const disk = (change: (path: string) => void) => (folder: string) => {
            const path = join(folder, "disk");
            writeFileSync(path, Buffer.alloc(32 * MiB));
            change(path);
        };
        const writeAt = (path: string, offset: number, content: Buffer | string) => {
            const file = openSync(path, "r+");
            writeSync(file, Buffer.from(content), 0, content.length, offset);
            closeSync(file);
        };
        const by = (program: string, words: readonly string[], input?: string) => (path: string) => {
            const { status, stderr } = spawnSync(program, [...words, path], { input });
            assert.equal(status, 0, String(stderr));
        };
        const format = `format_blank "$folder/disk"`;

        it("that is blank", async () => {
            await run(format, { prepare: disk(() => undefined) }, (folder, { status, stdout, stderr }) => {
                assert.equal(status, 0, stderr);
                assert.equal(stdout, `formatting ${folder}/disk, which is blank\n`);
                const { stdout: found } = spawnSync("blkid", ["--probe", "--output", "export", join(folder, "disk")]);
                assert.match(String(found), /^LABEL=harborage\n(?:.*\n)*TYPE=ext4$/m);
            });
        });

        it("once: one that it has formatted keeps what is on it", async () => {
            const prepare = disk((path) => {
                by("mkfs.ext4", ["-q"])(path);
                writeAt(path, 30 * MiB, "somebody's data");
            });
            await run(
                `sha256sum <"$folder/disk"; ${format}; sha256sum <"$folder/disk"`,
                { prepare },
                (_, { status, stdout, stderr }) => {
                    assert.equal(status, 0, stderr);
                    const [before, now, ...rest] = stdout.trimEnd().split("\n");
                    assert.equal(now, before);
                    assert.deepEqual(rest, []);
                },
            );
        });

        const kept: [what: string, change: (path: string) => void, expected: RegExp][] = [
            ["with swap space", by("mkswap", ["--quiet"]), /holds something else and is not formatted: .*TYPE=swap/],
            [
                "with a partition table",
                by("sfdisk", ["--quiet"], "label: gpt\n,8M\n"),
                /holds something else and is not formatted: .*PTTYPE=gpt/,
            ],
            [
                "of an old PC",
                by("sfdisk", ["--quiet"], "label: dos\n,8M\n"),
                /holds something else and is not formatted: .*PTTYPE=dos/,
            ],
            ["with XFS", (path) => writeAt(path, 0, xfs()), /is not formatted/],
            [
                "that is encrypted",
                (path) =>
                    writeAt(path, 0, Buffer.concat([Buffer.from("LUKS\xba\xbe\0\x01", "latin1"), randomBytes(2048)])),
                /is not formatted/,
            ],
            ["of random bytes", (path) => writeAt(path, 0, randomBytes(MiB)), /is not blank and is not formatted/],
            ["with a byte at its beginning", (path) => writeAt(path, 0, "\x01"), /is not blank and is not formatted/],
            ["with a byte at 10 MiB", (path) => writeAt(path, 10 * MiB, "\x01"), /is not blank and is not formatted/],
            ["with a byte at the end of 16 MiB", (path) => writeAt(path, 16 * MiB - 1, "\x01"), /is not blank/],
        ];
        for (const [what, change, expected] of kept) {
            it(`never ${what}, and says what to do`, async () => {
                const prepare = disk(change);
                await run(
                    `sha256sum <"$folder/disk" >"$folder/before"; ${format}`,
                    { prepare },
                    (folder, { status, stderr }) => {
                        assert.equal(status, 1, stderr);
                        assert.match(stderr, expected);
                        assert.match(stderr, /wipe it by hand \(wipefs --all .*or name another disk/);
                        const [before = ""] = readFileSync(join(folder, "before"), "utf8").split(" ");
                        assert.equal(sha256(readFileSync(join(folder, "disk"))), before);
                    },
                );
            });
        }

        it("never with partitions that are in use", async () => {
            const message = await failure(format, {
                prepare: disk(() => undefined),
                programs: { lsblk: 'printf "vdb\\nvdb1\\n"' },
            });
            assert.match(message, /disk has partitions and is not formatted; name a disk without any/);
        });

        it("never when its bytes cannot be read", async () => {
            const { status } = await run(`format_blank "$folder/none"`);
            assert.equal(status, 1);
        });
    });

    describe("finds the disk", () => {
        const volume = "12345678-9abc-def0-1234-56789abcdef0";
        /** As a machine where it appears at the second look; the others are the boot disk's and a stranger's. */
        const lsblk = (serial: string) => `
            printf 'vda \\nvdb 0000000000000000\\n'
            [ -e "$folder/looked" ] && printf 'vdc ${serial}\\n'
            : >"$folder/looked"`;
        const find = `sleep() { SECONDS=$((SECONDS + 25)); }; find_disk 'serial=${volume},200GiB'`;

        it("by the volume's id, whole or cut as hypervisors do", async () => {
            for (const serial of [volume, volume.slice(0, 20)]) {
                assert.equal(await printed(find, { programs: { lsblk: lsblk(serial) } }), "/dev/vdc");
            }
        });

        it("by no part that other disks could have, and says which there are", async () => {
            for (const serial of [volume.slice(0, 15), volume.slice(1, 21), `${volume}0`, ""]) {
                assert.match(
                    await failure(find, { programs: { lsblk: lsblk(serial) } }),
                    new RegExp(
                        `^the disk for the data is not there after 60 s: serial=${volume},200GiB .*this machine has: vda ;`,
                    ),
                );
            }
        });

        it("by its device, through every link", async function () {
            const device = readdirSync("/dev")
                .map((name) => join("/dev", name))
                .find((path) => statSync(path).isBlockDevice());
            if (device === undefined) {
                this.skip();
            }
            assert.equal(await printed(`ln -s ${device} "$folder/link"; find_disk "$folder/link"`), device);
        });

        it("and takes nothing else for one", async () => {
            const wait = "sleep() { SECONDS=$((SECONDS + 25)); };";
            assert.match(
                await failure(`${wait} : >"$folder/file"; find_disk "$folder/file"`, {
                    programs: { lsblk: "echo vda" },
                }),
                /^the disk for the data is not there after 60 s: .*\/file /,
            );
        });
    });

    it("tells versions by their beginning", async () => {
        const cases: [version: string, want: string, isSo: boolean][] = [
            ["5:28.5.1-1~debian.12~bookworm", "28.5", true],
            ["5:28.5.1-1~debian.12~bookworm", "28.5.1", true],
            ["5:28.5.1-1~debian.12~bookworm", "28", true],
            ["5:28.5.1-1~debian.12~bookworm", "5", false],
            ["28.5.1", "28.5", true],
            ["28.50.1", "28.5", false],
            ["28.5.10", "28.5.1", false],
            ["20.10.24+dfsg1-1+b3", "20.10.24", true],
            ["20.10.24+dfsg1-1+b3", "20.10.2", false],
            ["29.0.0-rc.2", "29.0.0", true],
            ["128.5.1", "28.5", false],
            ["28", "28.5", false],
        ];
        const code = cases.map(([version, want]) => `version_begins '${version}' '${want}' && echo yes || echo no`);
        assert.deepEqual(
            (await printed(code.join("\n"))).split("\n"),
            cases.map(([, , isSo]) => (isSo ? "yes" : "no")),
        );
    });

    describe("takes the package of Docker", () => {
        const lists: Record<string, string> = {
            "docker-ce":
                "docker-ce | 5:28.5.1-1~debian.12~bookworm | https://mirror bookworm/stable amd64 Packages\\n docker-ce | 5:27.5.1-1~debian.12~bookworm | https://mirror bookworm/stable amd64 Packages\\n",
            "docker.io": " docker.io | 20.10.24+dfsg1-1+b3 | http://mirror.example.com bookworm/main amd64 Packages\\n",
        };
        const choose = (want: string, packages: readonly string[]) => ({
            prepare: withSettings(want === "" ? "" : `docker-version ${want}\n`),
            programs: {
                "apt-cache": `[ "$1" = madison ] || exit 1; shift; for package; do case $package in ${packages
                    .map((name) => `${name}) printf '${lists[name] ?? ""}' ;;`)
                    .join(" ")} esac; done`,
            },
        });
        const code = "apt_update() { :; }; docker_package";

        it("that is there, Docker's own before the distribution's", async () => {
            assert.equal(await printed(code, choose("", ["docker-ce", "docker.io"])), "docker-ce");
            assert.equal(await printed(code, choose("", ["docker.io"])), "docker.io");
        });

        it("in the version that is asked for", async () => {
            const both = ["docker-ce", "docker.io"];
            assert.equal(await printed(code, choose("28", both)), "docker-ce=5:28.5.1-1~debian.12~bookworm");
            assert.equal(await printed(code, choose("27.5", both)), "docker-ce=5:27.5.1-1~debian.12~bookworm");
            assert.equal(await printed(code, choose("20.10", both)), "docker.io=20.10.24+dfsg1-1+b3");
        });

        it("and says which there are when none fits", async () => {
            assert.equal(
                await failure(code, choose("29", ["docker-ce", "docker.io"])),
                "apt has no Docker Engine of version 29 (baseline.docker.version); it has: docker-ce 5:28.5.1-1~debian.12~bookworm, docker-ce 5:27.5.1-1~debian.12~bookworm, docker.io 20.10.24+dfsg1-1+b3",
            );
            assert.match(
                await failure(code, choose("", [])),
                /^apt has no Docker Engine \(baseline\.docker\.version\)/,
            );
        });
    });

    describe("puts a file into place", () => {
        const prepare = withSettings("");
        const put = 'put settings "$folder/etc/a/b.conf" && echo changed || echo same';

        it("when it is another one, and only then", async () => {
            await run(
                `${put}; ${put}; echo x >"$work/settings"; ${put}; ${put}; stat -c %a "$folder/etc/a/b.conf"`,
                { prepare },
                (folder, { status, stdout, stderr }) => {
                    assert.equal(status, 0, stderr);
                    assert.deepEqual(stdout.trimEnd().split("\n"), ["changed", "same", "changed", "same", "644"]);
                    assert.deepEqual(readdirSync(join(folder, "etc/a")), ["b.conf"]);
                    assert.equal(readFileSync(join(folder, "etc/a/b.conf"), "utf8"), "x\n");
                },
            );
        });

        it("and takes it away when there is none, once", async () => {
            const code = `${put}; rm "$work/settings"; ${put}; ${put}; ls "$folder/etc/a"`;
            assert.equal(await printed(code, { prepare }), "changed\nchanged\nsame");
        });
    });

    describe("in /etc", () => {
        before(function () {
            if (!canMount) {
                this.skip();
            }
        });

        /** Runs with a folder of its own in place of /etc, and says what is in it afterwards. */
        async function inEtc(
            files: Readonly<Record<string, string>>,
            settings: string,
            code: string,
            look: (read: (name: string) => string | undefined, run: Run) => void,
            programs: Readonly<Record<string, string>> = {},
        ): Promise<void> {
            const prepare = (folder: string) => {
                withSettings(settings)(folder);
                mkdirSync(join(folder, "etc"));
                for (const [name, text] of Object.entries(files)) {
                    mkdirSync(join(folder, "etc", name, ".."), { recursive: true });
                    writeFileSync(join(folder, "etc", name), text);
                }
            };
            await run(code, { prepare, etc: "etc", programs }, (folder, found) => {
                const read = (name: string) => {
                    const path = join(folder, "etc", name);
                    return existsSync(path) ? readFileSync(path, "utf8") : undefined;
                };
                look(read, found);
            });
        }

        const chrony = [
            "# Welcome to the chrony configuration file.",
            "confdir /etc/chrony/conf.d",
            "pool 2.debian.pool.ntp.org iburst",
            "server ntp.hoster.example iburst",
            "sourcedir /run/chrony-dhcp",
            "sourcedir /etc/chrony/sources.d",
            "keyfile /etc/chrony/chrony.keys",
            "rtcsync",
            "",
        ].join("\n");
        const asSystemd = `
            has_systemd() { true; }
            systemctl() { printf 'systemctl %s\\n' "$*"; }`;

        it("lets chrony ask the stack's servers alone, and the distribution's again when there are none", async () => {
            const servers = "time-server ntp.example.com\ntime-server 192.0.2.123\n";
            await inEtc(
                { "chrony/chrony.conf": chrony },
                servers,
                `${asSystemd}\nset_time_servers; cp -r /etc/chrony "$folder/etc/first"; set_time_servers; cp -r /etc/chrony "$folder/etc/second"; : >"$work/settings"; rm "$work/chrony.sources"; set_time_servers`,
                (read, { status, stdout, stderr }) => {
                    assert.equal(status, 0, stderr);
                    for (const time of ["first", "second"]) {
                        assert.equal(
                            read(`${time}/sources.d/harborage.sources`),
                            "server ntp.example.com iburst\nserver 192.0.2.123 iburst\n",
                        );
                        assert.deepEqual(
                            read(`${time}/chrony.conf`)?.split("\n"),
                            [
                                "# Welcome to the chrony configuration file.",
                                "confdir /etc/chrony/conf.d",
                                "#harborage: pool 2.debian.pool.ntp.org iburst",
                                "#harborage: server ntp.hoster.example iburst",
                                "#harborage: sourcedir /run/chrony-dhcp",
                                "sourcedir /etc/chrony/sources.d",
                                "keyfile /etc/chrony/chrony.keys",
                                "rtcsync",
                                "",
                            ],
                            time,
                        );
                    }
                    assert.equal(read("chrony/chrony.conf"), chrony);
                    assert.equal(read("chrony/sources.d/harborage.sources"), undefined);
                    // Restarted when something changed.
                    const all = stdout.trimEnd().split("\n");
                    assert.equal(all.filter((line) => line === "systemctl restart chrony").length, 2, stdout);
                },
            );
        });

        it("keeps its one line of fstab, and everybody else's", async () => {
            const others =
                "UUID=aa / ext4 defaults 0 1\n# /srv/data is elsewhere\nUUID=bb /srv/data2 xfs defaults 0 2\n";
            await inEtc(
                { fstab: others },
                "",
                `set_fstab "UUID=1 $directory/data ext4 defaults 0 2"
                set_fstab "UUID=2 $directory/data ext4 defaults 0 2"
                cp /etc/fstab /etc/with
                set_fstab
                set_fstab`,
                (read, { status, stderr }) => {
                    assert.equal(status, 0, stderr);
                    assert.match(read("with") ?? "", /^UUID=2 \S+\/data ext4 defaults 0 2$/m);
                    assert.equal(read("with")?.replace(/^UUID=2.*\n/m, ""), others);
                    assert.equal(read("fstab"), others);
                },
            );
        });

        it("makes an fstab of nothing", async () => {
            await inEtc(
                { fstab: "" },
                "",
                'set_fstab "UUID=1 $directory/data ext4 defaults 0 2"',
                (read, { status, stderr }) => {
                    assert.equal(status, 0, stderr);
                    assert.match(read("fstab") ?? "", /^UUID=1 \S+\/data ext4 defaults 0 2\n$/);
                },
            );
        });

        it("has the stack's repositories and no older ones of it, and leaves other people's alone", async () => {
            const code = `
                mkdir "$work/sources"; echo new >"$work/sources/docker"; echo 'Acquire' >"$work/apt.conf"
                set_packages
                set_packages
                ls /etc/apt/sources.list.d | sort`;
            const files = {
                "apt/sources.list.d/debian.sources": "debian\n",
                "apt/sources.list.d/harborage-old.sources": "old\n",
                "apt/sources.list.d/harborage-docker.sources": "before\n",
                "apt/apt.conf.d/00": "",
            };
            await inEtc(files, "time-sync external\n", code, (read, { status, stdout, stderr }) => {
                assert.equal(status, 0, stderr);
                assert.deepEqual(stdout.trimEnd().split("\n"), ["debian.sources", "harborage-docker.sources"]);
                assert.equal(read("apt/sources.list.d/harborage-docker.sources"), "new\n");
                assert.equal(read("apt/apt.conf.d/90harborage"), "Acquire\n");
            });
        });

        it("knows Docker's settings that it wrote once, and refuses somebody else's", async () => {
            const code = `
                foreign_daemon /etc/docker/daemon.json || echo ours
                install_packages() { :; }; ensure_docker() { :; }; docker_answers() { false; }; docker_package() { echo x; }; install_engine() { :; }; compose_answers() { true; }
                has_systemd() { false; }
                cp "$folder/ours.json" "$work/daemon.json"
                install_docker >/dev/null
                install_docker >/dev/null
                wc -l </etc/docker/harborage.sha256
                foreign_daemon /etc/docker/daemon.json || echo ours
                echo '{"bip": "172.31.0.1/16"}' >/etc/docker/daemon.json
                foreign_daemon /etc/docker/daemon.json`;
            await inEtc(
                { "docker/key.json": "" },
                "",
                `echo '{}' >"$folder/ours.json"\n${code}`,
                (_, { status, stdout, stderr }) => {
                    assert.equal(status, 0, stderr);
                    assert.deepEqual(stdout.trimEnd().split("\n"), [
                        "ours",
                        "1",
                        "ours",
                        "/etc/docker/daemon.json was not written by harborage; put what it says into baseline.docker.daemon and remove it",
                    ]);
                },
            );
        });

        it("touches nothing where Docker's settings are somebody else's", async () => {
            const code = `unpack_files() { :; }; wait_for_cloud_init() { :; }; set_packages() { echo touched; }; mktemp() { echo "$folder/work"; }
                directory=$folder/box; incarnation=x; apply -`;
            await inEtc({ "docker/daemon.json": "{}\n" }, "", code, (read, { status, stdout, stderr }) => {
                assert.deepEqual([status, stdout], [1, ""]);
                assert.match(stderr, /^harborage: \/etc\/docker\/daemon\.json was not written by harborage; /);
                assert.equal(read("docker/daemon.json"), "{}\n");
                assert.equal(read("../box"), undefined);
            });
        });
    });

    describe("opens the firewall", () => {
        const settings = (firewall: string) => withSettings(`firewall ${firewall}\nport 443\nport 80\n`);
        const ufw = (status: string) => `[ "$1" = status ] && echo 'Status: ${status}'; echo "ufw $*" >>"$folder/log"`;
        async function calls(
            firewall: string,
            status: string,
            environment = "SSH_CONNECTION='10.0.0.9 5 10.0.0.1 2222'",
        ) {
            const programs = {
                ufw: ufw(status),
                sshd: "printf 'port 22\\nport 2022\\n'",
                "firewall-cmd": "exit 1",
            };
            const code = `${environment}; has_systemd() { false; }; set_firewall; [ ! -e "$folder/log" ] || cat "$folder/log"`;
            return (await printed(code, { prepare: settings(firewall), programs })).split("\n");
        }
        const allowed = (...ports: number[]) => ["ufw status", ...ports.map((port) => `ufw allow ${port}/tcp`)];

        it("for the stack's ports and the one that this came in by", async () => {
            assert.deepEqual(await calls("open", "active"), allowed(2222, 443, 80));
        });

        it("for sshd's ports where sudo has taken away what this came in by", async () => {
            assert.deepEqual(await calls("open", "active", "unset SSH_CONNECTION"), allowed(22, 2022, 443, 80));
        });

        it("only where there is one that is active, and where it is asked to", async () => {
            assert.deepEqual(await calls("open", "inactive"), ["ufw status"]);
            assert.deepEqual(await calls("keep", "active"), [""]);
            assert.deepEqual(await calls("off", "active"), ["ufw disable"]);
        });
    });

    describe("waits for cloud-init", () => {
        const wait = (program: string | undefined, seconds = 30) =>
            run(
                `wait_for_cloud_init ${seconds} && echo done`,
                program === undefined ? {} : { programs: { "cloud-init": program } },
            );

        it("that has ended, also with warnings", async () => {
            for (const code of [0, 2]) {
                const { status, stdout, stderr } = await wait(`exit ${code}`);
                assert.deepEqual([status, stdout, stderr], [0, "done\n", ""]);
            }
        });

        it("and says what it says when it failed", async () => {
            const { status, stderr } = await wait('[ "$2" = --long ] && echo "detail: no network"; exit 1');
            assert.deepEqual([status, stderr], [1, "harborage: cloud-init failed: detail: no network\n"]);
        });

        it("not for ever", async () => {
            const { status, stderr } = await wait("exec sleep 20", 1);
            assert.equal(status, 1);
            assert.equal(stderr, "harborage: cloud-init has not ended after 1 s; see /var/log/cloud-init-output.log\n");
        });
    });

    describe("takes a file", () => {
        const content = "the file\n";
        let server: Server;
        let url: string;
        let served: number;
        before(async () => {
            served = 0;
            server = createServer((request, response) => {
                served += 1;
                response.writeHead(request.url === "/file" ? 200 : 404).end(content);
            });
            await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
            url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
        });
        after(() => server.close());

        it("from a URL once, and checks it each time", async () => {
            const begin = served;
            const code = `file_at "$directory" ${url}/file ${sha256(content)} images.bundle`;
            await run(`${code}; ${code}`, {}, (folder, { status, stdout, stderr }) => {
                const path = join(folder, "incoming", sha256(content));
                assert.deepEqual([status, stdout, stderr], [0, `${path}\n${path}\n`, ""]);
                assert.equal(readFileSync(path, "utf8"), content);
                assert.equal(served - begin, 1);
            });
        });

        it("from a URL with another hash not, and does not keep it", async () => {
            const wanted = sha256("another");
            await run(
                `file_at "$directory" ${url}/file ${wanted} images.bundle`,
                {},
                (folder, { status, stdout, stderr }) => {
                    assert.deepEqual([status, stdout], [1, ""]);
                    assert.equal(
                        stderr,
                        `harborage: ${folder}/incoming/${wanted} has the SHA-256 ${sha256(content)}; expected ${wanted} (images.bundle.sha256)\n`,
                    );
                    assert.deepEqual(readdirSync(join(folder, "incoming")), []);
                },
            );
        });

        it("from a URL that has none not, and says which setting it is", async () => {
            const { status, stderr } = await run(`file_at "$directory" ${url}/none ${sha256("")} images.bundle`);
            assert.equal(status, 1);
            assert.ok(stderr.includes(`harborage: cannot fetch ${url}/none (images.bundle.url)\n`), stderr);
        });

        it("by path where it is, and leaves a wrong one there", async () => {
            const prepare = (folder: string) => writeFileSync(join(folder, "file"), content);
            const at = (hash: string) => `file_at "$directory" "$folder/file" ${hash} baseline.packages.bundle`;
            await run(at(sha256(content)), { prepare }, (folder, { status, stdout }) => {
                assert.deepEqual([status, stdout], [0, `${folder}/file\n`]);
            });
            await run(at(sha256("")), { prepare }, (folder, { status, stderr }) => {
                assert.equal(status, 1);
                assert.match(
                    stderr,
                    /file has the SHA-256 [0-9a-f]{64}; expected [0-9a-f]{64} \(baseline\.packages\.bundle\.sha256\)\n$/,
                );
                assert.ok(existsSync(join(folder, "file")));
            });
            assert.match(
                await failure(at(sha256(content))),
                /^cannot read .*\/file \(baseline\.packages\.bundle\.path\)$/,
            );
        });
    });
});

/** The first sector of an XFS, as far as it is looked at (xfs_format.h, struct xfs_dsb). */
function xfs(): Buffer {
    const sector = Buffer.alloc(512);
    sector.write("XFSB", 0);
    sector.writeUInt32BE(4096, 4);
    sector.writeBigUInt64BE(8192n, 8);
    randomBytes(16).copy(sector, 32);
    sector.writeUInt32BE(4096, 84);
    sector.writeUInt32BE(2, 88);
    sector.writeUInt16BE(512, 102);
    sector.writeUInt16BE(512, 104);
    sector.set([12, 9, 9, 3, 12], 120);
    return sector;
}
