import assert from "node:assert/strict";
import { before, describe, it } from "mocha";
import { plain, reaches, resourcesOf, runProgram, settingsOf, type ProgramRun, type Registered } from "./program";

const staging = settingsOf("Pulumi.staging.yaml");
const lb = { kind: "openstack", image: "debian-12", flavor: "m1.small", floatingIp: true };
const node = { kind: "openstack", image: "debian-12", flavor: "m1.large", dataVolume: { sizeGiB: 40 } };
const own = { kind: "machine", machine: "db" };

const settings = (count: number) => ({
    ...staging,
    machines: { lb, db: { ...lb, floatingIp: false }, node: { ...node, count } },
    topology: { kind: "shared", nodes: ["node"], loadBalancer: "lb" },
    storage: {
        objects: {
            kind: "external",
            bucket: "registry",
            region: "eu-central-1",
            accessKey: "key",
            secretKey: "secret",
        },
        database: own,
        cache: own,
    },
});
const secrets = { key: "an-access-key", secret: "a-secret-key" };

const key = ({ type, name }: Registered) => `${type} ${name}`;
const command = (run: ProgramRun, name: string): Registered => {
    const found = resourcesOf(run, "command:remote:Command").find((each) => each.name === name);
    assert.ok(found, `no command ${name}`);
    return found;
};

describe("program with several nodes", function () {
    this.timeout("2m");

    let two: ProgramRun;
    let four: ProgramRun;

    before(async () => {
        [two, four] = await Promise.all([
            runProgram({ settings: settings(2), secrets }),
            runProgram({ settings: settings(4), secrets }),
        ]);
        assert.equal(two.error?.message, undefined);
        assert.equal(four.error?.message, undefined);
    });

    it("changes nothing but the load balancer when nodes come or go", () => {
        const inputs = (run: ProgramRun) =>
            new Map(run.resources.map((each) => [key(each), JSON.stringify(plain(each.inputs))]));
        const [before, after] = [inputs(two), inputs(four)];
        const changed = [...before].filter(([name, value]) => after.get(name) !== value).map(([name]) => name);
        assert.deepEqual(changed.sort(), [
            "command:remote:Command load-balancer-files",
            "command:remote:Command load-balancer-release",
        ]);
        const added = [...after.keys()].filter((name) => !before.has(name));
        assert.ok(added.length > 0);
        for (const name of added) {
            assert.match(name, / (?:openstack-)?node-[34]\b/);
        }
    });

    it("changes nodes one after the other, and has what is heavy done on all before", () => {
        const release = (number: number) => `command:remote:Command node-${String(number)}-release`;
        for (const number of [2, 3, 4]) {
            const { dependsOn } = command(four, `node-${String(number)}-release`);
            assert.ok(reaches(four, dependsOn, release(number - 1)), `node-${String(number)} does not wait`);
            const { dependsOn: early } = command(four, `node-${String(number)}-files`);
            assert.ok(!reaches(four, early, release(number - 1)), `the files of node-${String(number)} wait`);
        }
    });

    it("starts no node before its database and its cache can be used", () => {
        for (const part of ["database", "cache"]) {
            assert.ok(
                reaches(four, command(four, "node-1-release").dependsOn, `command:remote:Command ${part}-release`),
                part,
            );
        }
    });

    it("gives every node the same secrets", () => {
        const files = (number: number) => {
            const { stdin } = command(four, `node-${String(number)}-release`).inputs;
            return JSON.stringify(plain(stdin));
        };
        assert.equal(files(1), files(2));
        assert.equal(files(1), files(4));
    });

    it("stops the others before the first one changes the database, and none of it runs at other times", () => {
        const quiesced = resourcesOf(four, "command:remote:Command").filter(({ name }) => name.endsWith("-quiesce"));
        assert.deepEqual(
            quiesced.map(({ name }) => name),
            ["node-2-quiesce", "node-3-quiesce", "node-4-quiesce"],
        );
        for (const each of quiesced) {
            assert.ok(reaches(four, command(four, "node-1-release").dependsOn, key(each)));
            assert.match(String(plain(each.inputs["create"])), / 2\.15\.2$/);
        }
    });
});
