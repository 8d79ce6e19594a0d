import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { parseStackFile } from "../../config/stack-file";
import { assertOneMistake } from "./support/mistakes";
import { fileWith } from "./support/stack-files";

const harbor = {
    engine: "harbor",
    version: "2.15.2",
    installer: { path: "/srv/harbor.tgz", sha256: "0".repeat(64) },
};
const region = "eu-central-1";
const network = { vpc: "vpc-0a1b2c3d", subnets: ["subnet-0a1b2c3d", "subnet-0b1c2d3e"], nodeCidrs: ["10.42.0.0/24"] };
const made = { kind: "aws" };
const publicTo = (...allowedCidrs: string[]) => ({ ...made, public: { allowedCidrs } });
const from = (...nodeCidrs: string[]) => ({ region, network: { ...network, nodeCidrs } });

describe("storage in AWS, in the stack file", () => {
    it("needs a region and a network, and is safe by default", () => {
        const { storage } = parseStackFile(
            fileWith({
                registry: harbor,
                aws: { region, network },
                storage: { objects: made, database: made, cache: made },
            }),
        );
        assert.deepEqual(storage.objects, {
            kind: "aws",
            keepDeletedDays: 7,
            storageClass: "STANDARD",
            redirect: false,
            deleteData: false,
        });
        assert.deepEqual(storage.database, {
            kind: "aws",
            engineVersion: 17,
            instanceClass: "db.m7g.large",
            storageGiB: 20,
            maximumStorageGiB: 100,
            multiAz: true,
            backupDays: 14,
            deleteData: false,
        });
        assert.deepEqual(storage.cache, {
            kind: "aws",
            engineVersion: "8.0",
            nodeType: "cache.t4g.small",
            replicas: 1,
            snapshotDays: 7,
            deleteData: false,
        });
    });

    const databaseIn = (more: object) => ({ registry: harbor, aws: { region, network }, storage: { database: more } });
    const publicDatabase = (...allowedCidrs: string[]) => ({
        registry: harbor,
        aws: { region, network: { vpc: network.vpc, subnets: network.subnets } },
        storage: { database: publicTo(...allowedCidrs) },
    });

    it("takes a database that is reached by the internet, from the nodes' addresses", () => {
        const { database } = parseStackFile(fileWith(publicDatabase("203.0.113.7/32", "198.51.100.0/28"))).storage;
        assert.ok(database.kind === "aws");
        assert.deepEqual(database.public, { allowedCidrs: ["203.0.113.7/32", "198.51.100.0/28"] });
    });

    const internet =
        "would let the whole internet in; expected the nodes' public addresses, for example 203.0.113.7/32";
    const allowed = "storage.database.public.allowedCidrs[0]";
    const nodeCidrs = "aws.network.nodeCidrs[0]";
    const refused: [what: string, settings: Record<string, unknown>, expected: string][] = [
        ["everybody", publicDatabase("0.0.0.0/0"), `${allowed}: "0.0.0.0/0" ${internet}`],
        ["everybody in IPv6", publicDatabase("::/0"), `${allowed}: "::/0" ${internet}`],
        [
            "half of everybody",
            publicDatabase("0.0.0.0/1"),
            `${allowed}: "0.0.0.0/1" is too wide a range; expected the nodes' public addresses, with a prefix of 16 bits or more, for example 203.0.113.7/32`,
        ],
        [
            "everybody as nodes",
            { registry: harbor, aws: from("0.0.0.0/0"), storage: { cache: made } },
            `${nodeCidrs}: "0.0.0.0/0" would let the whole internet in; expected the ranges that the nodes' own addresses are in, for example 10.42.0.0/24`,
        ],
        [
            "half of everybody as nodes",
            { registry: harbor, aws: from("128.0.0.0/1"), storage: { cache: made } },
            `${nodeCidrs}: "128.0.0.0/1" is too wide a range; expected the ranges that the nodes' own addresses are in, with a prefix of 8 bits or more, for example 10.42.0.0/24`,
        ],
        [
            "a bucket without AWS",
            { storage: { objects: made } },
            "aws: is needed by storage.objects, for example {region: eu-central-1}",
        ],
        ["AWS for nothing", { aws: { region } }, "aws: is for nothing: no storage is of kind aws; remove it"],
        [
            "a database without a network",
            { registry: harbor, aws: { region }, storage: { database: made } },
            "aws.network: is needed by a database or a cache of kind aws, for example {vpc: vpc-0a1b2c3d4e5f60718, subnets: [subnet-0a1b2c3d4e5f60718, subnet-0b1c2d3e4f5a60719], nodeCidrs: [10.42.0.0/24]}",
        ],
        [
            "a database that nobody may come to",
            {
                registry: harbor,
                aws: { region, network: { vpc: network.vpc, subnets: network.subnets } },
                storage: { database: made, cache: made },
            },
            "aws.network.nodeCidrs: is needed by storage.database and storage.cache: the ranges that nodes come from, for example [10.42.0.0/24]",
        ],
        [
            "nodes that come by both ways",
            { registry: harbor, aws: { region, network }, storage: { database: publicTo("203.0.113.7/32") } },
            "aws.network.nodeCidrs: has no effect: the database takes connections from storage.database.public.allowedCidrs; remove it",
        ],
        [
            "a disk that cannot grow",
            databaseIn({ ...made, storageGiB: 200 }),
            "storage.database.maximumStorageGiB: the default does not fit; expected at least a tenth more than storageGiB, which is what RDS asks for, for example 100 with storageGiB 20",
        ],
        [
            "a bucket that S3 would refuse",
            { aws: { region }, storage: { objects: { ...made, bucket: "Registry.example" } } },
            'storage.objects.bucket: "Registry.example" is wrong; expected a name of 3 to 63 lower-case letters, digits and hyphens, for example acme-registry',
        ],
        [
            "one subnet",
            {
                registry: harbor,
                aws: { region, network: { ...network, subnets: ["subnet-0a1b2c3d"] } },
                storage: { cache: made },
            },
            "aws.network.subnets: is wrong; expected subnets in two availability zones, for example [subnet-0a1b2c3d4e5f60718, subnet-0b1c2d3e4f5a60719]",
        ],
        [
            "a database that Harbor cannot back up",
            { ...databaseIn(made), registry: { ...harbor, version: "2.15.1" } },
            "storage.database.engineVersion: the default does not fit; expected 15 or less: Harbor 2.15.1 cannot back up a newer one",
        ],
        [
            "no backups",
            databaseIn({ ...made, backupDays: 0 }),
            "storage.database.backupDays: 0 is wrong; expected days from 1 to 35, for example 14",
        ],
        [
            "a tag that AWS keeps for itself",
            { aws: { region, tags: { "aws:name": "x" } }, storage: { objects: made } },
            `aws.tags.aws:name: "x" is wrong; expected texts by name, the names not beginning with aws:, for example {CostCenter: '4711'}`,
        ],
    ];
    for (const [what, settings, expected] of refused) {
        it(`is refused with ${what}`, () => {
            assertOneMistake(fileWith(settings), `harborage:${expected}`);
        });
    }
});
