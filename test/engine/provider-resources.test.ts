import assert from "node:assert/strict";
import { after, before, describe, it } from "mocha";
import { adminPassword } from "../../provider/admin-password";
import { connect, Harbor, isStatus } from "../../provider/client";
import { configuration } from "../../provider/configuration";
import { garbageCollectionSchedule } from "../../provider/garbage-collection-schedule";
import { project } from "../../provider/project";
import { purgeAuditSchedule } from "../../provider/purge-audit-schedule";
import { registryEndpoint } from "../../provider/registry-endpoint";
import { replicationPolicy } from "../../provider/replication-policy";
import { afterRead, checkInputs, difference, stateOf, type AnyResource } from "../../provider/resource";
import { robotAccount } from "../../provider/robot-account";
import { scanAllSchedule } from "../../provider/scan-all-schedule";
import type { Values } from "../../provider/values";
import { realHarbor } from "../support/given-harbor";

/**
 * The resources of the provider against a real Harbor 2.14 or 2.15, without an engine. Skipped unless the environment names
 * one; see test/support/given-harbor.ts for the variables.
 */

const connection = realHarbor();

/** One resource, in the way in which the engine goes about it. */
class Life {
    id = "";
    state: Values = {};
    inputs: Values = {};

    constructor(
        private readonly harbor: Harbor,
        private readonly type: AnyResource,
    ) {}

    async create(given: Values): Promise<void> {
        this.inputs = this.checked(given);
        const { id, outputs } = await this.type.create(this.harbor, this.inputs);
        this.id = id;
        this.state = stateOf(this.type, this.inputs, outputs);
    }

    /** Reads, and tells what differs from what the program wants; undefined when it is gone. */
    async refresh(): Promise<readonly string[] | undefined> {
        const found = await this.type.read(this.harbor, this.id, this.state);
        if (found === undefined) {
            return undefined;
        }
        this.state = afterRead(this.type, this.inputs, found).state;
        return this.changes(this.inputs);
    }

    changes(given: Values): readonly string[] {
        return difference(this.type, this.state, this.checked(given)).changed;
    }

    async update(given: Values = this.inputs): Promise<void> {
        const inputs = this.checked(given);
        const outputs = await this.type.update(this.harbor, this.id, this.state, inputs);
        this.inputs = inputs;
        this.state = stateOf(this.type, inputs, outputs);
    }

    async delete(): Promise<void> {
        await this.type.delete(this.harbor, this.id, this.state);
    }

    /** As after `import`: nothing is known but the id. */
    async imported(given: Values): Promise<readonly string[]> {
        const found = await this.type.read(this.harbor, this.id, undefined);
        assert.ok(found, "it is not there");
        return difference(this.type, afterRead(this.type, {}, found).state, this.checked(given)).changed;
    }

    private checked(given: Values): Values {
        const { inputs, failures } = checkInputs(this.type.inputs, given);
        assert.deepEqual(failures, []);
        assert.deepEqual(this.type.checkTogether?.(inputs) ?? [], []);
        return inputs;
    }
}

/** Harbor answers a robot's question who it is with 412, and anybody else's with 401. */
async function robotLogin(harbor: Harbor, name: string, secret: string): Promise<boolean> {
    try {
        await harbor.as(name, secret).get("/users/current");
        assert.fail("a robot is no user");
    } catch (error) {
        assert.ok(isStatus(error, 401, 412), String(error));
        return isStatus(error, 412);
    }
}

(connection === undefined ? describe.skip : describe)("provider resources in a real Harbor", function () {
    this.timeout(120_000);
    const { url = "https://none.test", address } = connection ?? {};
    const own = `harborage-test-${process.pid}`;
    let harbor: Harbor;
    const made: Life[] = [];
    const life = (type: AnyResource): Life => {
        const one = new Life(harbor, type);
        made.push(one);
        return one;
    };

    before(() => {
        assert.ok(connection);
        harbor = new Harbor(connection, connect(connection), new AbortController().signal);
    });
    after("take away what a failed test has left", async () => {
        for (const one of made.reverse()) {
            await one.delete().catch(() => undefined);
        }
    });

    it("Project", async () => {
        const one = life(project);
        const given = {
            name: own,
            storageLimitBytes: 2 ** 30,
            autoScan: true,
            preventVulnerable: true,
            severity: "high",
        };
        await one.create(given);
        assert.equal(typeof one.state["projectId"], "number");
        assert.deepEqual(await one.refresh(), [], "after create");
        assert.deepEqual(await one.imported(given), [], "after import");

        await harbor.put(`/projects/${own}`, { metadata: { public: "true", auto_scan: "false", severity: "low" } });
        const [quota] = await harbor.list<{ id: number; ref: { name: string } }>("/quotas", {
            reference: "project",
            reference_id: String(one.state["projectId"]),
        });
        await harbor.put(`/quotas/${quota?.id ?? 0}`, { hard: { storage: -1 } });
        assert.deepEqual((await one.refresh())?.toSorted(), ["autoScan", "public", "severity", "storageLimitBytes"]);
        await one.update();
        assert.deepEqual(await one.refresh(), [], "after it was healed");

        await one.update({ name: own, contentTrust: true, autoSbom: true, reuseSystemCveAllowlist: false });
        assert.deepEqual(await one.refresh(), [], "after update");
        const found = await harbor.get<{ metadata: Record<string, string> }>(`/projects/${own}`);
        assert.equal(found?.metadata["enable_content_trust_cosign"], "true");
        assert.equal(found.metadata["prevent_vul"], "false");

        await assert.rejects(
            new Life(harbor, project).create({ name: own }),
            /409: .*already exists\. To take over.*import: "/,
        );
        const adopted = new Life(harbor, project);
        await adopted.create({ name: own, public: true, adopt: true });
        assert.equal(adopted.state["projectId"], one.state["projectId"]);
        assert.deepEqual(await one.refresh(), ["public", "autoSbom", "contentTrust", "reuseSystemCveAllowlist"]);

        await one.delete();
        assert.equal(await one.refresh(), undefined);
        await one.delete();
    });

    it("Project, without what is not managed", async () => {
        const one = life(project);
        await one.create({ name: `${own}-plain` });
        assert.deepEqual(await one.refresh(), []);
        await harbor.put(`/projects/${own}-plain`, { metadata: { severity: "critical" } });
        assert.deepEqual(await one.refresh(), []);
        assert.equal("severity" in one.state, false);
        await one.delete();
    });

    it("RobotAccount of a project", async () => {
        const team = life(project);
        await team.create({ name: `${own}-team` });
        const one = life(robotAccount);
        const pull = { resource: "repository", action: "pull" };
        const push = { resource: "repository", action: "push" };
        const given = (access: object[], more: Values = {}): Values => ({
            name: "ci",
            level: "project",
            permissions: [{ kind: "project", namespace: `${own}-team`, access }],
            ...more,
        });
        await one.create(given([push, pull]));
        const { fullName, secret } = one.state as { fullName: string; secret: string };
        assert.match(fullName, new RegExp(`${own}-team\\+ci$`));
        assert.deepEqual(await one.refresh(), [], "after create");
        assert.deepEqual(await one.imported(given([pull, push])), [], "after import");
        const login = (password: string) => robotLogin(harbor, fullName, password);
        assert.equal(await login(secret), true);

        await harbor.put(`/robots/${one.id}`, {
            name: fullName,
            level: "project",
            description: "by hand",
            duration: 7,
            disable: true,
            permissions: given([pull])["permissions"],
        });
        assert.deepEqual((await one.refresh())?.toSorted(), ["description", "durationDays", "permissions"]);
        await one.update();
        assert.deepEqual(await one.refresh(), [], "after it was healed");
        assert.equal(one.state["secret"], secret, "the secret stays");
        assert.equal(await login(secret), false, "disabled is not managed");

        await one.update(given([pull], { disabled: false }));
        assert.equal(await login(secret), true);
        await one.update(given([pull], { secret: "Another12345" }));
        assert.deepEqual(await one.refresh(), [], "after update");
        assert.equal(await login("Another12345"), true);
        assert.equal(await login(secret), false);

        await assert.rejects(new Life(harbor, robotAccount).create(given([pull])), /409: .*To take over/);
        const adopted = new Life(harbor, robotAccount);
        await adopted.create(given([pull], { adopt: true }));
        assert.equal(adopted.id, one.id);
        assert.equal(await login(String(adopted.state["secret"])), true);
        assert.equal(await login("Another12345"), false);

        await one.delete();
        assert.equal(await one.refresh(), undefined);
        await team.delete();
    });

    it("RobotAccount of the system, with a given secret", async () => {
        const one = life(robotAccount);
        const given = {
            name: own,
            level: "system",
            durationDays: 30,
            disabled: true,
            secret: "Given12345",
            permissions: [
                { kind: "system", namespace: "/", access: [{ resource: "project", action: "list" }] },
                { kind: "project", namespace: "*", access: [{ resource: "repository", action: "pull" }] },
            ],
        };
        await one.create(given);
        assert.deepEqual(await one.refresh(), []);
        assert.equal(one.state["secret"], "Given12345");
        await one.update({ ...given, disabled: false });
        assert.equal(await robotLogin(harbor, String(one.state["fullName"]), "Given12345"), true);
        assert.deepEqual(await one.refresh(), []);
        await one.delete();
    });

    it("RobotAccount that Harbor refuses leaves nothing behind", async () => {
        const given = {
            name: `${own}-refused`,
            level: "system",
            permissions: [{ kind: "system", namespace: "/", access: [{ resource: "nonsense", action: "list" }] }],
        };
        await assert.rejects(
            new Life(harbor, robotAccount).create(given),
            /Harbor answered 400: bad request permission: nonsense:list/,
        );
    });

    it("RegistryEndpoint and ReplicationPolicy", async () => {
        const peer = life(registryEndpoint);
        const endpoint = {
            name: own,
            type: "harbor",
            url: `https://${address ?? new URL(url).host}/`,
            insecure: true,
            accessKey: "admin",
            accessSecret: connection?.password ?? "",
        };
        await peer.create(endpoint);
        assert.deepEqual(await peer.refresh(), [], "endpoint after create");
        await harbor.put(`/registries/${peer.id}`, { description: "by hand" });
        assert.deepEqual(await peer.refresh(), ["description"]);
        await peer.update();
        assert.deepEqual(await peer.refresh(), [], "endpoint after it was healed");
        await assert.rejects(
            new Life(harbor, registryEndpoint).create({ ...endpoint, name: `${own}-2`, accessSecret: "Wrong12345" }),
            /Harbor answered \d+: /,
        );
        await assert.rejects(new Life(harbor, registryEndpoint).create(endpoint), /409: .*To take over/);

        const policy = life(replicationPolicy);
        const given = {
            name: own,
            destRegistryId: Number(peer.id),
            filters: [
                { type: "name", value: `${own}/**` },
                { type: "tag", value: "v*", decoration: "matches" },
                { type: "tag", value: "v0*", decoration: "excludes" },
            ],
            trigger: { type: "scheduled", cron: "17 3 * * *" },
            deletion: true,
            initiallyEnabled: false,
        };
        await policy.create(given);
        assert.deepEqual(await policy.refresh(), [], "policy after create");
        const enabled = async () =>
            (await harbor.get<{ enabled?: boolean }>(`/replication/policies/${policy.id}`))?.enabled ?? false;
        assert.equal(await enabled(), false);
        const raw = await harbor.get<object>(`/replication/policies/${policy.id}`);
        await harbor.put(`/replication/policies/${policy.id}`, { ...raw, enabled: true, override: false, speed: 100 });
        assert.deepEqual(await policy.refresh(), ["override", "speed"], "enabled is not managed");
        await policy.update();
        assert.deepEqual(await policy.refresh(), [], "policy after it was healed");
        assert.equal(await enabled(), true);
        await policy.update({ ...given, enabled: false, filters: [], trigger: { type: "event_based" } });
        assert.deepEqual(await policy.refresh(), [], "policy after update");
        assert.equal(await enabled(), false);
        await assert.rejects(peer.delete(), /412: .*referenced by replication policies/);
        await policy.delete();
        assert.equal(await policy.refresh(), undefined);
        await peer.update({ name: own, type: "harbor", url: endpoint.url, insecure: true });
        assert.deepEqual(await peer.refresh(), [], "endpoint without a user");
        await peer.delete();
        assert.equal(await peer.refresh(), undefined);
    });

    const schedules = [
        {
            title: "GarbageCollectionSchedule",
            type: garbageCollectionSchedule,
            given: { cron: "0 3 * * *", deleteUntagged: true, workers: 2 },
            path: "gc",
            byHand: { delete_untagged: false, workers: 1 },
            differs: ["cron", "deleteUntagged", "workers"],
        },
        {
            title: "ScanAllSchedule",
            type: scanAllSchedule,
            given: { cron: "0 4 * * 6" },
            path: "scanAll",
            byHand: {},
            differs: ["cron"],
        },
        {
            title: "PurgeAuditSchedule",
            type: purgeAuditSchedule,
            given: { cron: "0 5 * * *", retentionHours: 720, includeEventTypes: ["pull_artifact", "create_artifact"] },
            path: "purgeaudit",
            byHand: { audit_retention_hour: 24, include_event_types: "pull_artifact" },
            differs: ["cron", "retentionHours", "includeEventTypes"],
        },
    ];
    for (const { title, type, given, path, byHand, differs } of schedules) {
        it(title, async () => {
            const put = (kind: string, cron: string) =>
                harbor.put(`/system/${path}/schedule`, { schedule: { type: kind, cron }, parameters: byHand });
            await put("Daily", "0 0 0 * * *");
            const one = life(type);
            await one.create(given);
            assert.deepEqual(await one.refresh(), [], "one that was there is taken over");
            await put("Hourly", "0 0 * * * *");
            assert.deepEqual(await one.refresh(), differs);
            await one.update();
            assert.deepEqual(await one.refresh(), [], "after it was healed");
            await one.update({ ...given, cron: "0 30 6 * * 1" });
            assert.deepEqual(await one.refresh(), [], "after update");
            await put("None", "");
            assert.equal(await one.refresh(), undefined, "taken away by hand");
            await one.create(given);
            await one.delete();
            assert.equal(await one.refresh(), undefined, "after delete");
            await one.delete();
        });
    }

    it("Configuration", async () => {
        const one = life(configuration);
        const current = async (key: string) =>
            (await harbor.get<Record<string, { value: unknown }>>("/configurations"))?.[key]?.value;
        const before = {
            self_registration: await current("self_registration"),
            token_expiration: await current("token_expiration"),
        };
        const settings = { self_registration: before.self_registration !== true, token_expiration: 47 };
        await one.create({ settings, secretSettings: { oidc_client_secret: "a secret" } });
        assert.deepEqual(one.state["before"], before);
        assert.deepEqual(await one.refresh(), []);
        await harbor.put("/configurations", { token_expiration: 48 });
        assert.deepEqual(await one.refresh(), ["settings"]);
        await one.update();
        assert.deepEqual(await one.refresh(), []);
        await one.update({ settings: { token_expiration: 49, banner_message: "maintenance" } });
        assert.equal(await current("self_registration"), before.self_registration, "no longer named");
        assert.equal(await current("token_expiration"), 49);
        assert.deepEqual(one.state["before"], { token_expiration: before.token_expiration, banner_message: "" });
        await one.delete();
        assert.equal(await current("token_expiration"), before.token_expiration);
        assert.equal(await current("banner_message"), "");
        await assert.rejects(
            new Life(harbor, configuration).create({ settings: { no_such_thing: 1 } }),
            /Harbor has no no_such_thing/,
        );
        await assert.rejects(
            new Life(harbor, configuration).create({ settings: { token_expiration: -1 } }),
            /Harbor answered 400: /,
        );
    });

    it("AdminPassword", async () => {
        const password = connection?.password ?? "";
        const one = life(adminPassword);
        const works = (candidate: string) =>
            harbor
                .as("admin", candidate)
                .get("/users/current")
                .then(Boolean, () => false);
        await one.create({ password: "Wanted12345", initialPassword: password });
        try {
            assert.ok(await works("Wanted12345"));
            assert.deepEqual(await one.refresh(), []);
            await one.create({ password: "Wanted12345", initialPassword: password });
            await one.update({ password: "Other12345" });
            assert.ok(await works("Other12345"));

            await harbor
                .as("admin", "Other12345")
                .put("/users/1/password", { old_password: "Other12345", new_password: "Byhand12345" });
            assert.deepEqual(await one.refresh(), ["password"]);
            await assert.rejects(one.update(), /changed outside this stack/);
            await one.update({ password: "Other12345", initialPassword: "Byhand12345" });
            assert.deepEqual(await one.refresh(), []);
            await one.delete();
            assert.ok(await works("Other12345"), "stays");
        } finally {
            for (const last of ["Other12345", "Wanted12345", "Byhand12345"]) {
                await harbor
                    .as("admin", last)
                    .put("/users/1/password", { old_password: last, new_password: password })
                    .catch(() => undefined);
            }
        }
        assert.ok(await works(password));
    });
});
