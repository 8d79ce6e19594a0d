import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, it } from "mocha";
import { parse } from "yaml";
import { hintFor } from "../../components/machines/openstack/hints";
import { renderUserData } from "../../components/machines/openstack/user-data";
import { renderBaseline, renderDaemon } from "../../components/machines/render-baseline";
import type { BaselineConfig } from "../../config/baseline";
import { parseStackFile } from "../../config/stack-file";
import { withFolder } from "./support/machine";
import { fileWith, privateKey, remoteDraft, stackFile } from "./support/stack-files";

const sha256 = "0123456789abcdef".repeat(4);

function baselineOf(baseline: object): BaselineConfig {
    return parseStackFile(fileWith({ baseline })).baseline;
}

/** The files that a machine gets, by name. */
function filesOf(baseline: BaselineConfig, ports: readonly number[] = [443, 80]): Map<string, string> {
    const text = renderBaseline({
        baseline,
        ports,
        dataDirectory: "/var/lib/harborage/data",
        placeOf: ({ url, sha256: hash }) => url ?? `/incoming/${hash}`,
    });
    const files = text.split(/^@@ 0644 (.*)\n/m).slice(1);
    return new Map(files.flatMap((name, index) => (index % 2 === 0 ? [[name, files[index + 1] ?? ""]] : [])));
}

/** Whether a program is there. */
const isThere = (program: string) => spawnSync(program, ["--version"]).error === undefined;

describe("what machines get before Docker", () => {
    it("is a list of settings, each with its value, and a file for each program", () => {
        const files = filesOf(baselineOf({}));
        assert.deepEqual([...files.keys()], ["daemon.json", "docker.conf", "journald.conf", "settings"]);
        assert.equal(
            files.get("settings"),
            [
                "time-zone Etc/UTC",
                "time-sync chrony",
                "open-files 65535",
                "firewall keep",
                "port 443",
                "port 80",
                "selinux keep",
                "",
            ].join("\n"),
        );
        assert.equal(files.get("journald.conf"), "[Journal]\nSystemMaxUse=500M\n");
    });

    it("is what the stack file says", () => {
        const baseline = baselineOf({
            timeZone: "Europe/Zurich",
            timeServers: ["ntp1.example.com", "192.0.2.123"],
            openFiles: 2048,
            firewall: "open",
            seLinux: "permissive",
            journalMiB: 10,
            packages: { bundle: { path: "/srv/packages of mine.tar", sha256 } },
            docker: { version: "28.5", composePlugin: { url: "https://files.example.com/compose", sha256 } },
        });
        const files = filesOf(baseline, [5000]);
        assert.deepEqual(files.get("settings")?.trimEnd().split("\n"), [
            "time-zone Europe/Zurich",
            "time-sync chrony",
            "time-server ntp1.example.com",
            "time-server 192.0.2.123",
            "open-files 2048",
            "firewall open",
            "port 5000",
            "selinux permissive",
            `packages /incoming/${sha256}`,
            `packages-sha256 ${sha256}`,
            "docker-version 28.5",
            "compose-plugin https://files.example.com/compose",
            `compose-plugin-sha256 ${sha256}`,
        ]);
        assert.equal(files.get("journald.conf"), "[Journal]\nSystemMaxUse=10M\n");
        assert.match(filesOf(baselineOf({ timeSync: "external" })).get("settings") ?? "", /^time-sync external$/m);
    });

    it("can be read for every stack file", () => {
        fc.assert(
            fc.property(remoteDraft, (draft) => {
                const { baseline } = parseStackFile(stackFile(draft));
                const files = filesOf(baseline);
                for (const line of files.get("settings")?.trimEnd().split("\n") ?? []) {
                    assert.match(line, /^[a-z0-9-]+ \S/);
                }
                const sources = [...files.keys()].filter((name) => name.startsWith("sources/"));
                assert.equal(sources.length, baseline.packages.sources.length);
                assert.equal(files.has("apt.conf"), baseline.packages.proxy !== undefined);
            }),
        );
    });

    describe("of Docker", () => {
        it("limits logs and open files", () => {
            assert.deepEqual(JSON.parse(renderDaemon(baselineOf({ openFiles: 4096 }))), {
                "log-driver": "json-file",
                "log-opts": { "max-size": "20m", "max-file": "5" },
                "default-ulimits": { nofile: { Name: "nofile", Soft: 4096, Hard: 4096 } },
            });
        });

        it("is what the stack file says where that says something", () => {
            const daemon = { "log-driver": "journald", "log-opts": {}, bip: "172.31.0.1/16" };
            assert.deepEqual(JSON.parse(renderDaemon(baselineOf({ docker: { daemon } }))), {
                ...daemon,
                "default-ulimits": { nofile: { Name: "nofile", Soft: 65_535, Hard: 65_535 } },
            });
            fc.assert(
                fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (all) => {
                    const text = renderDaemon({ ...baselineOf({}), docker: { noProxy: [], daemon: all } });
                    const found = JSON.parse(text) as Record<string, unknown>;
                    for (const [key, value] of Object.entries(all).filter(([name]) => name !== "__proto__")) {
                        // -0 is 0 in JSON.
                        assert.equal(JSON.stringify(found[key]), JSON.stringify(value), key);
                    }
                    assert.ok(text.endsWith("}\n"));
                }),
            );
        });

        it("waits for the disk, and goes through the proxy where there is one", () => {
            const unit = (docker: object) => filesOf(baselineOf({ docker })).get("docker.conf");
            assert.equal(unit({}), "[Unit]\nRequiresMountsFor=/var/lib/harborage/data\n");
            assert.deepEqual(
                unit({ httpProxy: "http://proxy:3128/a%20b", noProxy: ["mirror.internal"] })?.split("\n"),
                [
                    "[Unit]",
                    "RequiresMountsFor=/var/lib/harborage/data",
                    "",
                    "[Service]",
                    // systemd.unit(5), Specifiers: a single % would be one.
                    'Environment="HTTP_PROXY=http://proxy:3128/a%%20b"',
                    'Environment="HTTPS_PROXY=http://proxy:3128/a%%20b"',
                    'Environment="NO_PROXY=localhost,127.0.0.1,mirror.internal"',
                    "",
                ],
            );
        });
    });

    describe("of apt", () => {
        const key = [
            "-----BEGIN PGP PUBLIC KEY BLOCK-----",
            "",
            "mDMEZ1234RYJKwYBBAHaRw8BAQdA",
            "=abcd",
            "-----END PGP PUBLIC KEY BLOCK-----",
            "",
        ];
        const docker = { name: "docker", uri: "https://mirror.example.com/docker", suite: "bookworm" };
        const sources = [
            { ...docker, components: ["stable", "test"], key: key.join("\n") },
            { name: "flat", uri: "http://mirror.example.com/flat", suite: "./", key: key.join("\n") },
        ];
        const files = filesOf(baselineOf({ packages: { proxy: "http://proxy.example.com:3128", sources } }));

        it("is a repository with its key inside, as sources.list(5) has it", () => {
            const signed = [
                "Signed-By:",
                " -----BEGIN PGP PUBLIC KEY BLOCK-----",
                " .",
                " mDMEZ1234RYJKwYBBAHaRw8BAQdA",
                " =abcd",
                " -----END PGP PUBLIC KEY BLOCK-----",
                "",
            ];
            assert.deepEqual(files.get("sources/docker")?.split("\n"), [
                "Types: deb",
                "URIs: https://mirror.example.com/docker",
                "Suites: bookworm",
                "Components: stable test",
                ...signed,
            ]);
            assert.deepEqual(files.get("sources/flat")?.split("\n"), [
                "Types: deb",
                "URIs: http://mirror.example.com/flat",
                "Suites: ./",
                ...signed,
            ]);
        });

        it("is a proxy for both protocols", () => {
            assert.equal(
                files.get("apt.conf"),
                'Acquire::http::Proxy "http://proxy.example.com:3128";\nAcquire::https::Proxy "http://proxy.example.com:3128";\n',
            );
        });

        it("is read by apt itself, where there is one", function () {
            if (!isThere("apt-get")) {
                this.skip();
            }
            withFolder((folder) => {
                mkdirSync(join(folder, "sources"));
                for (const [name, text] of files) {
                    writeFileSync(join(folder, name.startsWith("sources/") ? `${name}.sources` : name), text);
                }
                const where = ["-o", "Dir::Etc::sourcelist=/dev/null", "-o", `Dir::Etc::sourceparts=${folder}/sources`];
                const format = ["--no-release-info", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"];
                const configured = ["-c", join(folder, "apt.conf"), ...where];
                const apt = spawnSync("apt-get", [...configured, "indextargets", ...format], { encoding: "utf8" });
                assert.deepEqual([apt.status, apt.stderr], [0, ""]);
                assert.deepEqual([...new Set(apt.stdout.trimEnd().split("\n"))].sort(), [
                    // A suite that is a path has no components.
                    "http://mirror.example.com/flat/ ./ $(COMPONENT)",
                    "https://mirror.example.com/docker/ bookworm stable",
                    "https://mirror.example.com/docker/ bookworm test",
                ]);
                const config = spawnSync("apt-config", ["-c", join(folder, "apt.conf"), "dump"], { encoding: "utf8" });
                assert.match(config.stdout, /^Acquire::https::Proxy "http:\/\/proxy\.example\.com:3128";$/m);
            });
        });
    });
});

describe("user data of a VM", () => {
    const hostPrivateKey = privateKey("line one\nline two: {yaml} # or not");
    const text = renderUserData({ hostPrivateKey, hostPublicKey: "ssh-ed25519 AAAA\n" });

    it("gives the VM its host key and no other, and lets nobody in by password", () => {
        assert.match(text, /^#cloud-config\n/);
        assert.deepEqual(parse(text), {
            ssh_deletekeys: true,
            ssh_genkeytypes: [],
            ssh_keys: { ed25519_private: hostPrivateKey, ed25519_public: "ssh-ed25519 AAAA" },
            disable_root: true,
            ssh_pwauth: false,
        });
    });

    it("is valid for cloud-init itself, where there is one", function () {
        if (!isThere("cloud-init")) {
            this.skip();
        }
        withFolder((folder) => {
            writeFileSync(join(folder, "user-data"), text);
            const { status, stderr } = spawnSync("cloud-init", ["schema", "--config-file", join(folder, "user-data")]);
            assert.equal(status, 0, String(stderr));
        });
    });
});

describe("what to do about refusals of OpenStack", () => {
    const path = "harborage:machines.node";
    const cases: [error: string, hint: RegExp | undefined][] = [
        ["Quota exceeded for cores: Requested 8, but already used 4 of 10 cores", /the project's quota.*limits show/],
        ["VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota.", /quota/],
        ["Maximum number of ports exceeded: OverLimit", /quota/],
        [
            "No valid host was found. There are not enough hosts available.",
            /no host .* has room.*antiAffinity hard, soft/,
        ],
        [
            "Flavor's disk is too small for requested image. Flavor disk is 1073741824 bytes",
            /node\.flavor: .*bootVolume/,
        ],
        ["Unexpected API Error", undefined],
    ];
    for (const [error, hint] of cases) {
        it(`${hint === undefined ? "is nothing" : "is said"} for: ${error}`, () => {
            const found = hintFor(path, ["error creating openstack_compute_instance_v2", error]);
            if (hint === undefined) {
                assert.equal(found, undefined);
            } else {
                assert.match(found ?? "", hint);
                assert.ok(found?.startsWith(path), found);
            }
        });
    }
});
