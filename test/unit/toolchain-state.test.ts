import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { parse } from "yaml";
import { parseLock, reasonToRelease, releaseDeadLocks, type Machine } from "../../toolchain/locks";
import {
    generateStackFile,
    machineKinds,
    needsImages,
    ownSecrets,
    type StackFileParts,
} from "../../toolchain/stack-file";
import { LocalState, parseCheckpoint } from "../../toolchain/state";

const TAKEN = Date.parse("2026-05-01T12:00:00Z");

/** A machine with one process, number 7. */
function machine(started: number): Machine {
    return { hostname: "here", startOf: (pid) => (pid === 7 ? started : undefined) };
}

describe("toolchain: locks", () => {
    const lock = { pid: 7, hostname: "here", taken: TAKEN };

    it("keeps the lock of a living process", () => {
        assert.equal(reasonToRelease(lock, machine(TAKEN - 1000)), undefined);
        // The start time is rounded: it may seem to lie a little after the lock.
        assert.equal(reasonToRelease(lock, machine(TAKEN + 900)), undefined);
    });

    it("keeps every lock of another machine", () => {
        assert.equal(reasonToRelease({ ...lock, hostname: "there", pid: 8 }, machine(TAKEN)), undefined);
    });

    it("releases the lock of a dead process, also when its number has been given out again", () => {
        assert.match(reasonToRelease({ ...lock, pid: 8 }, machine(0)) ?? "", /process 8 is gone/);
        assert.match(reasonToRelease(lock, machine(TAKEN + 60_000)) ?? "", /before another one got that number/);
    });

    it("reads what Pulumi writes, and nothing else", () => {
        const text = '{"pid":7,"username":"root","hostname":"here","timestamp":"2026-05-01T12:00:00.123456789Z"}';
        assert.deepEqual(parseLock(text), { pid: 7, hostname: "here", taken: TAKEN + 123 });
        for (const broken of ["", "{", "[]", '{"pid":7}', text.slice(0, 40)]) {
            assert.equal(parseLock(broken), undefined, broken);
        }
    });

    it("removes dead locks and old ones that were cut short; leaves the rest", () => {
        const directory = mkdtempSync(path.join(tmpdir(), "locks-"));
        const write = (name: string, content: string): string => {
            writeFileSync(path.join(directory, name), content);
            return path.join(directory, name);
        };
        const at = new Date(TAKEN).toISOString();
        const dead = write("dead.json", JSON.stringify({ pid: 8, hostname: "here", timestamp: at }));
        const alive = write("alive.json", JSON.stringify({ pid: 7, hostname: "here", timestamp: at }));
        const fresh = write("fresh.json", "{");
        const old = write("old.json", "{");
        utimesSync(old, TAKEN / 1000, TAKEN / 1000);
        try {
            assert.equal(releaseDeadLocks(directory, machine(TAKEN - 5)).length, 2);
            assert.deepEqual([dead, alive, fresh, old].map(existsSync), [false, true, true, false]);
            assert.deepEqual(releaseDeadLocks(path.join(directory, "none")), []);
        } finally {
            rmSync(directory, { recursive: true });
        }
    });
});

describe("toolchain: the generated stack file", () => {
    const parts: StackFileParts = {
        name: "Pulumi.dev.yaml",
        committed: "config:\n  harborage:publicName: localhost\n",
        previous: "",
        salt: "v1:salt",
        images: "none",
    };
    const images = { registry: "r:1", nginx: "n:1", bundle: { path: "/images.tar", sha256: "00" } };

    it("is the committed file with the salt and, where asked, the images", () => {
        assert.deepEqual(parse(generateStackFile({ ...parts, images })), {
            encryptionsalt: "v1:salt",
            config: { "harborage:publicName": "localhost", "harborage:images": images },
        });
    });

    it("can be made of nothing, and made again of itself without a change", () => {
        assert.deepEqual(parse(generateStackFile({ ...parts, committed: "config:\n" })), { encryptionsalt: "v1:salt" });
        const once = generateStackFile({ ...parts, images });
        assert.equal(generateStackFile({ ...parts, images: "keep", previous: once }), once);
        assert.doesNotMatch(generateStackFile({ ...parts, previous: once }), /images/);
    });

    it("carries over secrets, which live in it alone, and no other value", () => {
        const previous =
            "config:\n  harborage:token: { secure: v1:xyz }\n  harborage:publicName: old\n  harborage:x: 1\n";
        assert.deepEqual(configOf(generateStackFile({ ...parts, previous })), {
            "harborage:publicName": "localhost",
            "harborage:token": { secure: "v1:xyz" },
        });
    });

    it("leaves images alone that the committed file names", () => {
        const committed = "config:\n  harborage:images: { registry: mine }\n";
        assert.ok(!needsImages(committed, "x"));
        assert.ok(needsImages(parts.committed, "x"));
        assert.ok(!needsImages("config:\n  other:key: 1\n", "x"));
        assert.deepEqual(configOf(generateStackFile({ ...parts, committed, images }))["harborage:images"], {
            registry: "mine",
        });
    });

    it("knows the kinds of the machines, also where `config set` has written them as JSON", () => {
        const kinds = (machines: string) => machineKinds(`config:\n  harborage:machines: ${machines}\n`, "x");
        assert.deepEqual(kinds("{a: {kind: local}, b: {kind: openstack, flavor: f}, c: {kind: local}}"), [
            "local",
            "openstack",
        ]);
        assert.deepEqual(kinds(`'{"a":{"kind":"openstack"}}'`), ["openstack"]);
        for (const mistake of ["", "3", "[]", "{a: , b: 3, c: {kind: [x]}}", "'{'", "'null'", "{secure: v1:x}"]) {
            assert.deepEqual(kinds(mistake), [], mistake);
        }
        assert.deepEqual(machineKinds("", "x"), []);
    });

    it("says what is wrong with a file that is not a mapping", () => {
        assert.throws(() => generateStackFile({ ...parts, committed: "- 1" }), /Pulumi\.dev\.yaml: expected a mapping/);
        assert.throws(() => generateStackFile({ ...parts, committed: "a: [" }), /Pulumi\.dev\.yaml: /);
    });

    it("tells its own secrets from those that are committed", () => {
        const generated =
            "config:\n  harborage:a: { secure: v1:x }\n  harborage:b: { secure: v1:y }\n  harborage:c: 1\n";
        assert.deepEqual(ownSecrets("config:\n  harborage:b: { secure: v1:y }\n", generated), ["harborage:a"]);
    });
});

describe("toolchain: state", () => {
    it("reads salt, plugins and unfinished operations from a state file", () => {
        const resource = { urn: "urn:pulumi:dev::p::command:local:Command::release" };
        const latest = {
            secrets_providers: { state: { salt: "v1:salt" } },
            pending_operations: [{ type: "creating", resource }],
            resources: [
                { type: "pulumi:pulumi:Stack" },
                { type: "pulumi:providers:openstack" },
                { type: "pulumi:providers:random" },
                { type: "pulumi:providers:openstack" },
                { type: "openstack:compute/instance:Instance" },
            ],
        };
        assert.deepEqual(parseCheckpoint(JSON.stringify({ checkpoint: { latest } })), {
            salt: "v1:salt",
            pending: ["creating release"],
            plugins: ["openstack", "random"],
        });
        assert.deepEqual(parseCheckpoint('{"checkpoint":{}}'), { salt: undefined, pending: [], plugins: [] });
        assert.equal(parseCheckpoint('{"checkpoint":{"la'), undefined);
    });

    it("makes a passphrase once, for its owner alone, and refuses to go on without a lost one", () => {
        const home = mkdtempSync(path.join(tmpdir(), "home-"));
        try {
            const state = new LocalState(home, "p", "dev");
            state.prepare();
            const file = path.join(home, "dev", "passphrase");
            const passphrase = readFileSync(file, "utf8");
            assert.equal(statSync(file).mode & 0o777, 0o600);
            assert.ok(passphrase.trim().length >= 40);
            state.prepare();
            assert.equal(readFileSync(file, "utf8"), passphrase);
        } finally {
            rmSync(home, { recursive: true });
        }
    });

    it("puts the backup in the place of a state file that was cut short", () => {
        const home = mkdtempSync(path.join(tmpdir(), "home-"));
        try {
            const state = new LocalState(home, "p", "dev");
            state.prepare();
            const stacks = path.join(home, "dev", ".pulumi", "stacks", "p");
            const good = '{"version":3,"checkpoint":{"latest":{}}}';
            writeTree(stacks, { "dev.json": good.slice(0, 20), "dev.json.bak": good });
            state.recover();
            assert.equal(readFileSync(path.join(stacks, "dev.json"), "utf8"), good);
            rmSync(path.join(home, "dev", "passphrase"));
            assert.throws(() => state.prepare(), /passphrase file .* is gone/);
        } finally {
            rmSync(home, { recursive: true });
        }
    });
});

function configOf(text: string): Record<string, unknown> {
    return (parse(text) as { config: Record<string, unknown> }).config;
}

function writeTree(directory: string, files: Readonly<Record<string, string>>): void {
    for (const [name, content] of Object.entries(files)) {
        mkdirSync(directory, { recursive: true });
        writeFileSync(path.join(directory, name), content);
    }
}
