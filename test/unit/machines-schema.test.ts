import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, it } from "mocha";
import { cidr, httpUrl, ipv4Address, sshPublicKey } from "../../config/fields";
import { parseStackFile, type StackFile } from "../../config/stack-file";
import { newSshKey } from "../support/ssh-key";
import { assertOneMistake, lines, mistakesOf } from "./support/mistakes";
import { fileWith, privateKey } from "./support/stack-files";

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1PyY83WZuOIXKzj7LqxitiSXtyZ+JoK4se3zgK2cyJ";
const sha256 = "0".repeat(64);

const existing = { kind: "existing", address: "192.0.2.10", hostKey: key };
const vm = { kind: "openstack", image: "debian-12", flavor: "m1.medium" };
const openstack = { network: { kind: "own", externalNetwork: "public" }, sshCidrs: ["192.0.2.0/24"] };
const topology = (node: string, loadBalancer: string) => ({ kind: "single", node, loadBalancer });

/** One machine called `box`, of kind existing. */
function withExisting(machine: object, secrets: readonly string[] = []): StackFile {
    return fileWith({ machines: { box: { ...existing, ...machine } } }, secrets);
}

/** One machine called `box`, of kind openstack. */
function withVm(machine: object, cloud: object = {}, secrets: readonly string[] = []): StackFile {
    return fileWith({ machines: { box: { ...vm, ...machine } }, openstack: { ...openstack, ...cloud } }, secrets);
}

const withBaseline = (baseline: object) => fileWith({ machines: { box: existing }, baseline });

/** The file with a secret of a value. */
function withSecret(file: StackFile, name: string, value: string): StackFile {
    return { ...file, values: { ...file.values, [name]: value }, secretKeys: new Set([...file.secretKeys, name]) };
}

describe("fields of machines", () => {
    const accepted = (schema: { safeParse(value: unknown): { success: boolean } }, value: unknown) =>
        schema.safeParse(value).success;

    it("take a range only when its host bits are zero", () => {
        for (const range of ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.0/24", "192.0.2.7/32", "192.0.2.128/25"]) {
            assert.ok(accepted(cidr, range), range);
        }
        const wrong = ["192.0.2.1/24", "192.0.2.128/24", "192.0.2.0", "192.0.2.0/33", "192.0.2/24", "2001:db8::/32"];
        for (const range of [...wrong, "192.0.2.0/", "/24", " 192.0.2.0/24", "192.0.2.0/24 ", "1.2.3.256/32", 24]) {
            assert.ok(!accepted(cidr, range), String(range));
        }
        fc.assert(
            fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 0, max: 32 }), (number, prefix) => {
                const address = [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join(".");
                const isNetwork = BigInt(number) % (1n << BigInt(32 - prefix)) === 0n;
                assert.equal(accepted(cidr, `${address}/${String(prefix)}`), isNetwork);
            }),
        );
    });

    it("take an IPv4 address and nothing like one", () => {
        fc.assert(fc.property(fc.ipV4(), (address) => assert.ok(accepted(ipv4Address, address))));
        for (const address of ["::1", "10.0.0", "10.0.0.0/8", "10.0.0.256", "010.0.0.1", "localhost", "", 10]) {
            assert.ok(!accepted(ipv4Address, address), String(address));
        }
    });

    it("take URLs of http and https without a password", () => {
        const schema = httpUrl("https://example.com");
        for (const url of ["http://proxy:3128", "https://files.example.com/a/b?c=d", "http://[::1]:8080/"]) {
            assert.ok(accepted(schema, url), url);
        }
        for (const url of [
            "ftp://x",
            "https://",
            "https://user:hunter2@example.com/",
            "http://a b",
            "proxy:3128",
            'http://a/"b',
            "http://a\\b",
        ]) {
            assert.ok(!accepted(schema, url), url);
        }
    });

    it("take SSH keys of the types that the plugin can check", () => {
        for (const type of ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"]) {
            assert.ok(accepted(sshPublicKey, `${type} AAAA`), type);
            assert.ok(accepted(sshPublicKey, `${type} AAAA+/== root@my host`), type);
        }
        for (const value of [
            "ssh-rsa AAAA",
            "ssh-dss AAAA",
            "AAAA",
            "ssh-ed25519",
            "ssh-ed25519 A*",
            `${key}\n${key}`,
        ]) {
            assert.ok(!accepted(sshPublicKey, value), value);
        }
        for (const type of ["ed25519", "ecdsa"] as const) {
            const text = newSshKey(type, "-C", "root@machine").public;
            assert.ok(accepted(sshPublicKey, text), text);
        }
    });
});

describe("stack file with machines", () => {
    it("fills in every default of a machine that exists", () => {
        const file = withExisting({ bastion: { address: "bastion.example.com", hostKey: "accept-any" } });
        assert.deepEqual(parseStackFile(file).machines["box"], {
            ...existing,
            port: 22,
            user: "root",
            bastion: { address: "bastion.example.com", port: 22, user: "root", hostKey: "accept-any" },
            directory: "/var/lib/harborage",
            generation: 1,
        });
    });

    it("fills in every default of a VM and its cloud", () => {
        const config = parseStackFile(withVm({ dataVolume: { sizeGiB: 10 }, bootVolume: { sizeGiB: 20 } }));
        assert.deepEqual(config.machines["box"], {
            ...vm,
            user: "debian",
            floatingIp: false,
            bootVolume: { sizeGiB: 20 },
            dataVolume: { sizeGiB: 10, deleteData: false },
            metadata: {},
            directory: "/var/lib/harborage",
            generation: 1,
        });
        assert.deepEqual(config.openstack, {
            auth: {},
            network: { kind: "own", cidr: "10.42.0.0/24", externalNetwork: "public", nameServers: [] },
            sshCidrs: ["192.0.2.0/24"],
            clientCidrs: ["0.0.0.0/0"],
            sshKey: { kind: "generated" },
            antiAffinity: "soft",
            bootMinutes: 10,
        });
    });

    it("never opens SSH to everybody by itself", () => {
        const { network } = openstack;
        assertOneMistake(
            fileWith({ machines: { box: vm }, openstack: { network } }),
            "harborage:openstack.sshCidrs: is missing; expected a list of address ranges, for example [192.0.2.0/24]",
        );
    });

    it("reports mistakes in every part at once", () => {
        const file = fileWith({
            machines: {
                lb: { ...existing, address: "-", user: "Root", port: 0 },
                node: { ...vm, floatingIp: "yes", dataVolume: { sizeGiB: 0 }, colour: "red" },
            },
            topology: topology("node", "lb"),
            openstack: { network: { kind: "own" }, sshCidrs: [], antiAffinity: "maybe" },
            baseline: { timeZone: "Mars/Olympus", openFiles: 10, docker: { version: "latest" } },
        });
        assert.deepEqual(lines(file).sort(), [
            'harborage:baseline.docker.version: "latest" is wrong; expected a version or its beginning, for example 28.5',
            "harborage:baseline.openFiles: 10 is wrong; expected a number of open files from 1024 to 1048576, for example 65535",
            'harborage:baseline.timeZone: "Mars/Olympus" is wrong; expected a time zone that exists, for example Europe/Zurich',
            'harborage:machines.lb.address: "-" is wrong; expected a DNS name or an IP address, for example registry.internal',
            "harborage:machines.lb.port: 0 is wrong; expected a TCP port from 1 to 65535, for example 22",
            'harborage:machines.lb.user: "Root" is wrong; expected the name of a user, for example debian',
            "harborage:machines.node.colour: there is no such key; the keys here are: kind, image, flavor, user, floatingIp, address, availabilityZone, bootVolume, dataVolume, metadata, count, directory, generation, generations, minimumFreeDiskGiB",
            "harborage:machines.node.dataVolume.sizeGiB: 0 is wrong; expected GiB from 1 to 100000, for example 200",
            'harborage:machines.node.floatingIp: "yes" is wrong; expected true or false',
            'harborage:openstack.antiAffinity: "maybe" is wrong; expected one of: soft, hard, none',
            "harborage:openstack.network.externalNetwork: is missing; expected the name of an external network, for example public",
            "harborage:openstack.sshCidrs: is wrong; expected at least one range that `up` is run from, for example [192.0.2.0/24]",
        ]);
    });

    const refused: [what: string, file: StackFile, expected: string | RegExp][] = [
        [
            "a machine without a host key",
            fileWith({ machines: { box: { kind: "existing", address: "192.0.2.10" } } }),
            `machines.box.hostKey: is missing; expected the machine's SSH host key of type ed25519 or ecdsa (cat /etc/ssh/ssh_host_ed25519_key.pub), or accept-any to trust whoever answers, for example ${key}`,
        ],
        [
            "a host key of type rsa, with the reason",
            withExisting({ hostKey: "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7" }),
            /^machines\.box\.hostKey: "ssh-rsa AAAA.* is wrong; .*: with RSA, @pulumi\/command asks for signatures with SHA-1, which servers refuse, for example ssh-ed25519 /,
        ],
        [
            "a public key of type rsa, with the reason",
            withVm({}, { sshKey: { kind: "public-key", publicKey: "ssh-rsa AAAAB3NzaC1yc2E" } }),
            /^openstack\.sshKey\.publicKey: "ssh-rsa AAAA.* is wrong; .*: with RSA, @pulumi\/command asks for signatures with SHA-1, which servers refuse, for example ssh-ed25519 /,
        ],
        [
            "a name without the address that others reach it at",
            withExisting({ address: "node.internal" }),
            "machines.box.privateAddress: the default does not fit; expected the machine's IPv4 address, since `address` is a name, for example 192.0.2.10",
        ],
        [
            "an IPv6 address without an IPv4 address",
            withExisting({ address: "2001:db8::1" }),
            /^machines\.box\.privateAddress: the default does not fit; expected the machine's IPv4 address/,
        ],
        [
            "a range where an address is expected",
            withExisting({ privateAddress: "10.0.0.0/8" }),
            'machines.box.privateAddress: "10.0.0.0/8" is wrong; expected an IPv4 address, for example 192.0.2.10',
        ],
        [
            "a folder below the home of whoever logs in",
            withExisting({ directory: "~/registry" }),
            'machines.box.directory: "~/registry" is wrong; expected an absolute folder of letters, digits and _ . - /, for example /var/lib/harborage',
        ],
        [
            "a folder that climbs",
            withExisting({ directory: "/srv/../etc" }),
            /^machines\.box\.directory: "\/srv\/\.\.\/etc" is wrong; expected an absolute folder/,
        ],
        [
            "a disk that is no device",
            withExisting({ dataDevice: "sdb" }),
            'machines.box.dataDevice: "sdb" is wrong; expected a block device, for example /dev/disk/by-id/wwn-0x5000c500a1b2c3d4',
        ],
        [
            "a bastion without a host key",
            withExisting({ bastion: { address: "192.0.2.1" } }),
            /^machines\.box\.bastion\.hostKey: is missing; expected the machine's SSH host key/,
        ],
        [
            "a private key in place of its name",
            withExisting({ privateKey: privateKey("x") }),
            /^machines\.box\.privateKey: "-----BEGIN OPENSSH.* is wrong; expected the name of a secret that was set with/,
        ],
        [
            "a VM without an image",
            fileWith({ machines: { box: { kind: "openstack", flavor: "m1.medium" } }, openstack }),
            "machines.box.image: is missing; expected the name of an image, for example debian-12",
        ],
        [
            "a key of another kind of machine",
            withVm({ hostKey: key }),
            /^machines\.box\.hostKey: there is no such key; the keys here are: kind, image, flavor, /,
        ],
        [
            "metadata that is no text",
            withVm({ metadata: { owner: 7 } }),
            "machines.box.metadata.owner: 7 is wrong; expected text of at most 255 characters, for example platform",
        ],
        [
            "a range that is there twice",
            withVm({}, { sshCidrs: ["192.0.2.0/24", "198.51.100.0/24", "192.0.2.0/24"] }),
            'openstack.sshCidrs[2]: "192.0.2.0/24" is there twice; expected each range once',
        ],
        [
            "a registry for nobody",
            withVm({}, { clientCidrs: [] }),
            "openstack.clientCidrs: is wrong; expected at least one range, for example [0.0.0.0/0]",
        ],
        [
            "a range with host bits",
            withVm({}, { clientCidrs: ["192.0.2.1/24"] }),
            'openstack.clientCidrs[0]: "192.0.2.1/24" is wrong; expected a range of IPv4 addresses with all host bits zero, for example 192.0.2.0/24',
        ],
        [
            "a network of no kind",
            withVm({}, { network: { name: "platform" } }),
            "openstack.network.kind: is missing; one of: own, existing",
        ],
        [
            "an SSH key of a kind that there is not",
            withVm({}, { sshKey: { kind: "agent" } }),
            'openstack.sshKey.kind: "agent" is wrong; there is: generated, public-key, keypair',
        ],
        [
            "a password in place of its name",
            withVm({}, { auth: { password: "hunter 2" } }),
            'openstack.auth.password: "hunter 2" is wrong; expected the name of a secret that was set with `pulumi config set --secret NAME`, for example ciPassword',
        ],
        [
            "time servers that nothing would ask",
            withBaseline({ timeSync: "external", timeServers: ["ntp.example.com"] }),
            "baseline.timeServers: is wrong; expected none with timeSync external: nothing would ask them, for example []",
        ],
        [
            "a file of neither path nor URL",
            withBaseline({ packages: { bundle: { sha256 } } }),
            "baseline.packages.bundle.path: is missing; expected either path or url, for example /srv/packages.tar",
        ],
        [
            "a file of both path and URL",
            withBaseline({ docker: { composePlugin: { path: "/srv/x", url: "https://x/x", sha256 } } }),
            'baseline.docker.composePlugin.path: "/srv/x" is there beside url; expected either path or url, for example /srv/docker-compose-linux-x86_64',
        ],
        [
            "a file without a hash",
            withBaseline({ packages: { bundle: { path: "/srv/x" } } }),
            /^baseline\.packages\.bundle\.sha256: is missing; expected 64 hexadecimal digits, as sha256sum prints them, for example [0-9a-f]{64}$/,
        ],
        [
            "a proxy with a password",
            withBaseline({ packages: { proxy: "http://me:hunter2@proxy:3128" } }),
            'baseline.packages.proxy: "http://me:hunter2@proxy:3128" is wrong; expected an http or https URL without a password, for example http://proxy.example.com:3128',
        ],
        [
            "a repository without the text of its key",
            withBaseline({
                packages: { sources: [{ name: "docker", uri: "https://x", suite: "bookworm", key: "x" }] },
            }),
            /^baseline\.packages\.sources\[0\]\.key: "x" is wrong; expected an armored OpenPGP public key, /,
        ],
        [
            "two repositories of one name",
            withBaseline({
                packages: {
                    sources: ["a", "b"].map((suite) => ({
                        name: "docker",
                        uri: "https://x",
                        suite,
                        key: "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx",
                    })),
                },
            }),
            'baseline.packages.sources[1].name: "docker" is there twice; give each repository a name of its own',
        ],
        [
            "images from nowhere",
            fileWith({ images: { registry: "r:1", nginx: "n:1", bundle: { sha256 } } }),
            "images.bundle.path: is missing; expected either path or url, for example /srv/harborage-images.tar",
        ],
    ];
    for (const [what, file, expected] of refused) {
        it(`refuses ${what}`, () => {
            const source = typeof expected === "string" ? undefined : expected.source.replace("^", "^harborage:");
            assertOneMistake(file, source === undefined ? `harborage:${String(expected)}` : new RegExp(source));
        });
    }

    describe("that contradict each other", () => {
        const needed =
            "harborage:openstack: is needed by the machines of kind openstack, for example {network: {kind: own, externalNetwork: public}, sshCidrs: [192.0.2.0/24]}";

        it("asks for the cloud of its VMs", () => {
            assertOneMistake(fileWith({ machines: { box: vm } }), needed);
        });

        it("refuses a cloud that nothing is in", () => {
            assertOneMistake(
                fileWith({ openstack }),
                "harborage:openstack: is for nothing: no machine is of kind openstack; remove it",
            );
        });

        it("asks where floating IPs come from", () => {
            const network = { kind: "existing", name: "platform" };
            assertOneMistake(
                withVm({ floatingIp: true }, { network }),
                "harborage:openstack.network.externalNetwork: is needed for floating IPs: the network that they come from, for example public",
            );
            parseStackFile(withVm({ floatingIp: true }, { network: { ...network, externalNetwork: "public" } }));
            parseStackFile(withVm({ floatingIp: false }, { network }));
        });

        it("refuses an address that is not in the network, also in the one by default", () => {
            const path = "harborage:machines.box.address";
            assertOneMistake(
                withVm({ address: "10.42.1.7" }),
                `${path}: "10.42.1.7" is not in the network's range 10.42.0.0/24`,
            );
            const network = { kind: "own", cidr: "172.16.0.0/12", externalNetwork: "public" };
            assertOneMistake(
                withVm({ address: "172.32.0.1" }, { network }),
                `${path}: "172.32.0.1" is not in the network's range 172.16.0.0/12`,
            );
            parseStackFile(withVm({ address: "172.31.255.254" }, { network }));
            // Of a network that exists the range is not known.
            parseStackFile(withVm({ address: "172.32.0.1" }, { network: { kind: "existing", name: "platform" } }));
        });

        it("refuses a node on this machine whose load balancer is elsewhere", () => {
            const machines = { here: { kind: "local" }, there: existing };
            assertOneMistake(
                fileWith({ machines, topology: topology("here", "there") }),
                'harborage:topology.loadBalancer: "there" is wrong; expected here: a node on this machine answers to a load balancer on this machine only',
            );
            parseStackFile(fileWith({ machines, topology: topology("there", "here") }));
        });

        it("refuses a node in the cloud whose load balancer is on this machine", () => {
            const machines = { here: { kind: "local" }, there: vm };
            assertOneMistake(
                fileWith({ machines, openstack, topology: topology("there", "here") }),
                "harborage:topology.loadBalancer: \"here\" is wrong; expected a machine of kind openstack or existing: the node's security group must name the load balancer's address",
            );
        });

        it("refuses SSH's port for anything else", () => {
            const expected = "22 is wrong; expected another port than SSH's on the same machine, for example 5000";
            const loadBalancer = { mode: "http", httpsPort: 22 };
            const registry = { engine: "distribution", port: 22 };
            const both = { lb: vm, node: { ...existing, port: 2222 } };
            const files = (settings: object) =>
                fileWith({ machines: both, openstack, topology: topology("node", "lb"), ...settings });
            assertOneMistake(files({ loadBalancer }), `harborage:loadBalancer.httpsPort: ${expected}`);
            assertOneMistake(
                files({ registry: { ...registry, port: 2222 } }),
                `harborage:registry.port: 2${expected.replace("22", "222")}`,
            );
            parseStackFile(files({ registry }));
            // Whether SSH runs on this machine, and where, its check finds out.
            parseStackFile(fileWith({ loadBalancer }));
        });

        it("says them together with the other mistakes", () => {
            const file = fileWith({ machines: { box: { ...vm, user: "-" } }, publicName: "-" });
            assert.deepEqual(
                mistakesOf(file)
                    .map(({ path }) => path)
                    .sort(),
                ["harborage:machines.box.user", "harborage:openstack", "harborage:publicName"],
            );
        });
    });

    describe("and secrets", () => {
        const auth = (name: string) => withVm({}, { auth: { [name]: "mySecret" } });
        const keyFile = newSshKey().private;
        const places: [path: string, file: StackFile, value: string, example: string][] = [
            ["machines.box.privateKey", withExisting({ privateKey: "mySecret" }), keyFile, "sshKey"],
            [
                "machines.box.bastion.privateKey",
                withExisting({ bastion: { address: "192.0.2.1", hostKey: key, privateKey: "mySecret" } }),
                keyFile,
                "bastionKey",
            ],
            [
                "openstack.sshKey.privateKey",
                withVm({}, { sshKey: { kind: "public-key", publicKey: key, privateKey: "mySecret" } }),
                keyFile,
                "sshKey",
            ],
            [
                "openstack.sshKey.privateKey",
                withVm({}, { sshKey: { kind: "keypair", name: "platform", privateKey: "mySecret" } }),
                keyFile,
                "sshKey",
            ],
            ["openstack.auth.password", auth("password"), "hunter2", "cloudPassword"],
            [
                "openstack.auth.applicationCredentialSecret",
                auth("applicationCredentialSecret"),
                "hunter2",
                "cloudSecret",
            ],
            ["openstack.auth.token", auth("token"), "hunter2", "cloudToken"],
        ];
        for (const [path, file, value, example] of places) {
            it(`finds the one at ${path}`, () => {
                assert.doesNotMatch(
                    JSON.stringify(parseStackFile(withSecret(file, "mySecret", value))),
                    /hunter2|PRIVATE/,
                );
                assertOneMistake(
                    file,
                    `harborage:${path}: there is no secret "mySecret"; set it with: pulumi config set --secret mySecret --stack test`,
                );
                const plain = { ...file, values: { ...file.values, mySecret: value } };
                assertOneMistake(
                    plain,
                    "harborage:mySecret: is in plain text; set it again with: pulumi config set --secret mySecret --stack test",
                );
                const renamed = Object.entries(file.values).map(([name, text]) => [
                    name,
                    text.replaceAll("mySecret", "topology"),
                ]);
                assertOneMistake(
                    { ...file, values: Object.fromEntries(renamed) as Record<string, string> },
                    `harborage:${path}: "topology" is a setting, not a secret; for example ${example}`,
                );
            });
        }

        it("refuses an empty one", () => {
            for (const name of ["password", "applicationCredentialSecret", "token"]) {
                assertOneMistake(
                    withSecret(auth(name), "mySecret", ""),
                    "harborage:mySecret: is empty; expected the secret itself",
                );
            }
        });

        const withKey = (value: string) => withSecret(withExisting({ privateKey: "myKey" }), "myKey", value);

        it("takes private keys as ssh-keygen and openssl write them", () => {
            for (const [type, ...options] of [["ed25519"], ["ecdsa"], ["rsa", "-b", "2048", "-m", "PEM"]] as const) {
                parseStackFile(withKey(newSshKey(type, ...options).private));
            }
            const pkcs8 = spawnSync("openssl", ["genpkey", "-algorithm", "ED25519"], { encoding: "utf8" }).stdout;
            parseStackFile(withKey(pkcs8));
        });

        it("refuses a private key with a passphrase, whoever wrote it", () => {
            const pkcs8 = ["genpkey", "-algorithm", "ED25519", "-aes256", "-pass", "pass:hunter2"];
            for (const value of [
                newSshKey("ed25519", "-N", "hunter2").private,
                newSshKey("ecdsa", "-N", "hunter2").private,
                newSshKey("rsa", "-b", "2048", "-m", "PEM", "-N", "hunter2").private,
                spawnSync("openssl", pkcs8, { encoding: "utf8" }).stdout,
            ]) {
                assertOneMistake(
                    withKey(value),
                    "harborage:myKey: has a passphrase; expected a key without one, or the SSH agent",
                );
            }
        });

        it("refuses what is no private key, and does not show it", () => {
            for (const value of [key, "hunter2", "", keyFile.replaceAll("\n", " "), keyFile.replaceAll("\n", "")]) {
                assertOneMistake(
                    withKey(value),
                    "harborage:myKey: is no private key; expected the text of a file such as ~/.ssh/id_ed25519, with its line ends (pulumi config set --secret NAME <FILE)",
                );
            }
        });

        it("refuses one that nothing refers to", () => {
            assertOneMistake(
                withExisting({}, ["keyOfOld"]),
                /^harborage:keyOfOld: is a secret that nothing refers to; expected its name where it is used/,
            );
        });

        it("takes one for several machines", () => {
            const machines = { lb: { ...existing, privateKey: "key" }, node: { ...existing, privateKey: "key" } };
            parseStackFile(fileWith({ machines, topology: topology("node", "lb") }, ["key"]));
        });
    });
});
