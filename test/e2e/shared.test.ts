import assert from "node:assert/strict";
import { after, before, describe, it } from "mocha";
import { servedCertificate, type Access } from "../support/client";
import { Cluster } from "../support/cluster";
import { checkChange, checkChunks, checkIllness, checkLoad, checkResize, livesOnAll } from "../support/cluster-checks";
import { baseline, nothing, remains } from "../support/existing";
import type { Settings } from "../support/launcher";
import type { LoadOptions } from "../support/load";
import { SshMachine } from "../support/ssh-machine";

/**
 * Several nodes of CNCF Distribution on one S3 server. HARBORAGE_LOAD_OPERATIONS is how many pushes and how many pulls go
 * through a cluster that is well; default: 60.
 */
const operations = Number(process.env["HARBORAGE_LOAD_OPERATIONS"] ?? 60);

describe("a registry on several machines that share an object store", function () {
    this.timeout("20m");

    let cluster: Cluster | undefined;
    let access: Required<Access>;

    const theCluster = (): Cluster => {
        assert.ok(cluster);
        return cluster;
    };
    const settings = ({ objects }: Cluster, changed: Settings): Settings => ({
        baseline,
        storage: { objects },
        registry: {
            engine: "distribution",
            port: 5000,
            // Pushes would be refused where its hour comes while these tests run.
            garbageCollection: { enabled: false },
            ...(changed["registry"] as Settings),
        },
        loadBalancer: { mode: "http", drainSeconds: 20, ...(changed["loadBalancer"] as Settings) },
        ...(changed["certificate"] === undefined ? {} : { certificate: changed["certificate"] }),
    });
    /** Two of each: more would take from an `up` what it needs of this machine. */
    const load = (): LoadOptions => ({ access, pushers: 2, pullers: 2 });

    before(async function () {
        if (!(await SshMachine.possible())) {
            console.log("      needs root, namespaces and overlay file systems");
            this.skip();
        }
        cluster = await Cluster.make({ word: "shared", nodes: 5, settings });
        cluster.write(3);
        const { seconds } = await cluster.up();
        console.log(`      three nodes after ${seconds.toFixed(0)} s`);
        access = await cluster.access();
    });

    after(() => cluster?.close());

    it("is left alone by an up that has nothing to change", async () => {
        assert.deepEqual((await theCluster().up()).names, []);
    });

    it(`takes and gives ${operations} images through all of its nodes, and nothing fails`, async function () {
        this.timeout("30m");
        await checkLoad(theCluster(), 3, { access }, operations);
    });

    it("takes a layer of more than 100 MB in chunks that go to different nodes", () =>
        checkChunks(theCluster(), "load/big"));

    it("loses nothing that was acknowledged when a node loses its power, and takes it back when it is well", () => {
        const node = theCluster().node(2);
        return checkIllness(theCluster(), {
            title: "has lost its power",
            node,
            load: load(),
            begin: () => node.cutPower(),
            end: async () => {
                await node.boot();
                await node.startDocker();
            },
            // How soon is for bench/ to say.
            outWithin: 60,
            backWithin: 60,
        });
    });

    it("takes a node out that cannot reach the object store, and takes it back when it can", () => {
        const node = theCluster().node(3);
        const rules = (action: string) => {
            const rule = `--protocol tcp --dport ${theCluster().s3.port} --jump REJECT --reject-with tcp-reset`;
            // What its containers send on, and what it sends itself.
            return node.script(`iptables ${action} FORWARD ${rule}`, `iptables ${action} OUTPUT ${rule}`);
        };
        return checkIllness(theCluster(), {
            title: "is cut off from the object store",
            node,
            load: load(),
            begin: () => rules("--insert"),
            end: () => rules("--delete"),
            outWithin: 60,
            backWithin: 30,
            mayAnswer: true,
        });
    });

    it("changes a setting of every node in turn, and the load balancer's certificate, and nothing fails", async () => {
        const { balancer } = theCluster();
        const before = await livesOnAll([balancer]);
        const { serialNumber } = await servedCertificate(access);
        theCluster().write(3, {
            registry: { logLevel: "warn" },
            loadBalancer: { hstsSeconds: 600 },
            certificate: { kind: "own-ca", validityDays: 300 },
        });
        const { names } = await checkChange("a setting of every node", theCluster(), load());
        for (const { name } of theCluster().used(3)) {
            assert.ok(names.includes(`${name}-release`), names.join(", "));
        }
        assert.notEqual((await servedCertificate(access)).serialNumber, serialNumber);
        assert.deepEqual(await livesOnAll([balancer]), before);
    });

    it("is five nodes and two while it is used: nothing fails, and the others are not touched", async () => {
        await checkResize(theCluster(), load(), [5, 2]);
        for (const node of theCluster().nodes.slice(2)) {
            assert.deepEqual((await remains(node)).containers, [], node.name);
        }
    });

    it("leaves the images in the object store when it is destroyed, and nothing else", async () => {
        const { stack, machines } = theCluster();
        const stored = theCluster().objectNames();
        assert.ok(stored.length > 0);
        const { code, output } = await stack.run("destroy");
        assert.equal(code, 0, output);
        for (const machine of machines) {
            assert.deepEqual(await remains(machine), nothing, machine.name);
        }
        assert.deepEqual(theCluster().objectNames(), stored);
    });
});
