import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { z } from "zod";
import { HarborError, type Harbor } from "../../provider/client";
import { cron } from "../../provider/cron";
import { project } from "../../provider/project";
import { afterRead, checkInputs, difference, plannedState, stateOf, type AnyResource } from "../../provider/resource";
import { replicationPolicy } from "../../provider/replication-policy";
import { robotAccount } from "../../provider/robot-account";
import { registryEndpoint } from "../../provider/registry-endpoint";
import { configuration } from "../../provider/configuration";
import { adminPassword } from "../../provider/admin-password";
import { equal, hasUnknown, markSecrets, UNKNOWN, type Values } from "../../provider/values";

const SECRET = { "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270" };

function failures(type: AnyResource, inputs: Values): Record<string, string> {
    const checked = checkInputs(type.inputs, inputs);
    const together = checked.failures.length === 0 ? (type.checkTogether?.(checked.inputs) ?? []) : [];
    return Object.fromEntries([...checked.failures, ...together].map(({ property, reason }) => [property, reason]));
}

const robot = (more: Values = {}): Values => ({
    name: "ci",
    level: "project",
    permissions: [{ kind: "project", namespace: "team-a", access: [{ resource: "repository", action: "pull" }] }],
    ...more,
});
const policy = (more: Values = {}): Values => ({ name: "push", destRegistryId: 1, ...more });

describe("provider resource", () => {
    describe("inputs", () => {
        it("get the defaults, so that what is left out and what is said come to the same", () => {
            const { inputs } = checkInputs(project.inputs, { name: "team-a" });
            assert.deepEqual(
                inputs,
                checkInputs(project.inputs, { name: "team-a", public: false, autoScan: false }).inputs,
            );
            assert.equal(inputs["reuseSystemCveAllowlist"], true);
            assert.equal("storageLimitBytes" in inputs, false);
        });

        it("are told apart by property, all mistakes at once", () => {
            const wrong = failures(project, {
                name: "Team A",
                public: "yes",
                storageLimitBytes: 0,
                severity: "bad",
                colour: 1,
            });
            assert.deepEqual(Object.keys(wrong), ["name", "public", "storageLimitBytes", "severity", "colour"]);
            assert.match(wrong["name"] ?? "", /for example team-a/);
            assert.match(wrong["colour"] ?? "", /there are: name, public/);
        });

        it("that a preview does not know are let through, also inside others", () => {
            const inputs = robot({
                permissions: [{ kind: "project", namespace: UNKNOWN, access: [] }],
                secret: UNKNOWN,
            });
            assert.deepEqual(failures(robotAccount, { ...inputs }), {});
            assert.deepEqual(checkInputs(robotAccount.inputs, inputs).inputs["permissions"], inputs["permissions"]);
        });

        it("without a name for what the engine adds", () => {
            assert.deepEqual(failures(project, { name: "a", __defaults: [] }), {});
        });

        it("of robot accounts are as Harbor wants them", () => {
            assert.deepEqual(failures(robotAccount, robot()), {});
            const both = [
                ...(robot()["permissions"] as Values[]),
                { kind: "system", namespace: "/", access: [{ resource: "a", action: "b" }] },
            ];
            assert.deepEqual(Object.keys(failures(robotAccount, robot({ permissions: both }))), ["permissions"]);
            assert.deepEqual(failures(robotAccount, robot({ level: "system", permissions: both })), {});
            for (const [property, value] of Object.entries({
                durationDays: 0,
                secret: "short",
                name: "a+b",
                permissions: [],
            })) {
                assert.deepEqual(Object.keys(failures(robotAccount, robot({ [property]: value }))), [property]);
            }
        });

        it("of replication policies name one registry, and a schedule that Harbor takes", () => {
            assert.deepEqual(failures(replicationPolicy, policy()), {});
            assert.deepEqual(Object.keys(failures(replicationPolicy, policy({ srcRegistryId: 2 }))), [
                "destRegistryId",
            ]);
            assert.deepEqual(Object.keys(failures(replicationPolicy, { name: "push" })), ["destRegistryId"]);
            const triggers = [
                { type: "scheduled" },
                { type: "scheduled", cron: "* * * * *" },
                { type: "manual", cron: "1 * * * *" },
            ];
            for (const trigger of triggers) {
                assert.deepEqual(Object.keys(failures(replicationPolicy, policy({ trigger }))), ["trigger"]);
            }
            assert.deepEqual(
                failures(replicationPolicy, policy({ trigger: { type: "scheduled", cron: "7 * * * *" } })),
                {},
            );
        });

        it("never show a secret in a message", () => {
            const secret = "p4ss";
            const all = [
                failures(adminPassword, { password: secret }),
                failures(robotAccount, robot({ secret })),
                failures(registryEndpoint, { name: "a", type: "harbor", url: "https://a", accessSecret: [secret] }),
                failures(configuration, {
                    settings: { oidc_client_secret: secret },
                    secretSettings: { a_password: [secret] },
                }),
            ];
            for (const wrong of all) {
                assert.notDeepEqual(wrong, {});
                assert.ok(!JSON.stringify(wrong).includes(secret), JSON.stringify(wrong));
            }
        });

        it("of a secret setting belong where they are kept secret", () => {
            const wrong = failures(configuration, {
                settings: { oidc_client_secret: "x" },
                secretSettings: { self_registration: "x" },
            });
            assert.match(wrong["settings.oidc_client_secret"] ?? "", /belongs in secretSettings/);
            assert.match(wrong["secretSettings.self_registration"] ?? "", /belongs in settings/);
        });
    });

    describe("schedules", () => {
        it("of five fields are Harbor's of six", () => {
            assert.equal(cron.parse(" 0  3 * * * "), "0 0 3 * * *");
            assert.equal(cron.parse("0 0 3 * * *"), "0 0 3 * * *");
            assert.equal(cron.parse("*/5 1-3,7 * JAN MON"), "0 */5 1-3,7 * JAN MON");
        });

        it("of another form are refused", () => {
            for (const wrong of ["", "@daily", "0 3 * *", "5 0 3 * * *", "0 0 0 3 * * *", "0 3 * * $(x)", 5]) {
                assert.ok(!z.safeParse(cron, wrong).success, String(wrong));
            }
        });
    });

    describe("difference", () => {
        const checked = (type: AnyResource, inputs: Values): Values => checkInputs(type.inputs, inputs).inputs;

        it("is none when nothing changed, whatever the order of permissions", () => {
            const access = ["pull", "push"].map((action) => ({ resource: "repository", action }));
            const permissions = (list: object[]) => [{ kind: "project", namespace: "team-a", access: list }];
            const state = stateOf(robotAccount, checked(robotAccount, robot({ permissions: permissions(access) })), {
                robotId: 1,
            });
            const inputs = checked(robotAccount, robot({ permissions: permissions(access.toReversed()) }));
            assert.deepEqual(difference(robotAccount, state, inputs).changed, []);
        });

        it("counts what is unmanaged only when it is given", () => {
            const state = { ...checked(project, { name: "a" }), storageLimitBytes: 5 };
            assert.deepEqual(difference(project, state, checked(project, { name: "a" })).changed, []);
            assert.deepEqual(
                difference(project, state, checked(project, { name: "a", storageLimitBytes: 6 })).changed,
                ["storageLimitBytes"],
            );
        });

        it("takes no notice of instructions", () => {
            const state = stateOf(project, checked(project, { name: "a", adopt: true }), { projectId: 1 });
            assert.equal("adopt" in state, false);
            assert.deepEqual(difference(project, state, checked(project, { name: "a" })).changed, []);
        });

        it("replaces what cannot be changed: first deleted, unless the name is another", () => {
            const state = checked(project, { name: "a" });
            assert.deepEqual(difference(project, state, checked(project, { name: "b" })), {
                changed: ["name"],
                replaces: ["name"],
                deleteBeforeReplace: false,
            });
            const cache = difference(project, state, checked(project, { name: "a", registryId: 3 }));
            assert.deepEqual([cache.replaces, cache.deleteBeforeReplace], [["registryId"], true]);
            assert.deepEqual(difference(project, { ...state, registryId: 3 }, state).replaces, ["registryId"]);
        });

        it("is there for a value that is not known yet", () => {
            assert.deepEqual(
                difference(
                    replicationPolicy,
                    checked(replicationPolicy, policy()),
                    checked(replicationPolicy, policy({ destRegistryId: UNKNOWN })),
                ).changed,
                ["destRegistryId"],
            );
        });
    });

    describe("what somebody else switches", () => {
        /** A Harbor that has one thing, with this body, and refuses a second one of that name. */
        function harborWith(found: object): { harbor: Harbor; puts: Values[] } {
            const puts: Values[] = [];
            const harbor = {
                post: () => Promise.reject(new HarborError(409, "it exists")),
                list: () => Promise.resolve([{ id: 7, ...found }]),
                get: (path: string) => Promise.resolve(path === "/configurations" ? {} : found),
                put: (_: string, body: Values) => Promise.resolve(void puts.push(body)),
                patch: () => Promise.resolve({}),
            };
            return { harbor: harbor as unknown as Harbor, puts };
        }
        const inputs = (type: AnyResource, given: Values) => checkInputs(type.inputs, given).inputs;

        it("is left when a policy is taken over or changed", async () => {
            const { harbor, puts } = harborWith({ name: "push", enabled: true });
            const given = inputs(replicationPolicy, policy({ initiallyEnabled: false, adopt: true }));
            const { id, outputs } = await replicationPolicy.create(harbor, given);
            await replicationPolicy.update(harbor, id, { ...given, ...outputs }, given);
            assert.deepEqual([id, ...puts.map(({ enabled }) => enabled)], ["7", true, true]);
            await replicationPolicy.update(harbor, id, outputs, { ...given, enabled: false });
            assert.equal(puts.at(-1)?.["enabled"], false);
        });

        it("is left when a robot account is taken over or changed, and is no drift", async () => {
            const { harbor, puts } = harborWith({ name: "ci", disable: true });
            const given = inputs(robotAccount, robot({ level: "system", secret: "Secret12345", adopt: true }));
            const { id, outputs } = await robotAccount.create(harbor, given);
            const state = stateOf(robotAccount, given, outputs);
            await robotAccount.update(harbor, id, state, given);
            assert.deepEqual([id, ...puts.map(({ disable }) => disable)], ["7", true, true]);
            assert.deepEqual(difference(robotAccount, { ...state, disabled: true }, given).changed, []);
            await robotAccount.update(harbor, id, state, { ...given, disabled: false });
            assert.equal(puts.at(-1)?.["disable"], false);
        });
    });

    describe("state", () => {
        it("of a preview knows what it can", () => {
            const given = checkInputs(robotAccount.inputs, robot()).inputs;
            const created = plannedState(robotAccount, undefined, given);
            assert.deepEqual([created["fullName"], created["secret"]], [UNKNOWN, UNKNOWN]);
            const old = stateOf(robotAccount, given, { robotId: 7, fullName: "robot$a+ci", secret: "Old12345" });
            const updated = plannedState(robotAccount, old, { ...given, description: "x" });
            assert.deepEqual(
                [updated["fullName"], updated["secret"], updated["description"]],
                ["robot$a+ci", "Old12345", "x"],
            );
            assert.equal(plannedState(robotAccount, old, { ...given, secret: "New12345" })["secret"], "New12345");
        });

        it("after a read leaves out what is not managed, and keeps instructions", () => {
            const found = { name: "a", public: false, severity: "low", storageLimitBytes: 5, projectId: 1 };
            const read = afterRead(project, { name: "a", public: false, severity: "high", adopt: true }, found);
            assert.deepEqual(read.state, { name: "a", public: false, severity: "low", projectId: 1 });
            assert.deepEqual(read.inputs, { name: "a", public: false, severity: "low", adopt: true });
            const imported = afterRead(project, {}, found);
            assert.deepEqual(imported.state, found);
            assert.equal("projectId" in imported.inputs, false);
        });

        it("keeps a robot's own secret, which is no input", () => {
            const read = afterRead(robotAccount, robot(), {
                ...robot(),
                robotId: 1,
                fullName: "x",
                secret: "Own12345",
            });
            assert.equal(read.state["secret"], "Own12345");
            assert.equal("secret" in read.inputs, false);
        });
    });

    describe("values", () => {
        it("carry marks for what is secret", () => {
            assert.deepEqual(markSecrets({ a: 1, b: "x" }, ["b", "c"]), { a: 1, b: { ...SECRET, value: "x" } });
        });

        it("are compared deeply", () => {
            assert.ok(equal({ a: [1, { b: 2 }], c: undefined }, { a: [1, { b: 2 }] }));
            assert.ok(!equal({ a: [1, 2] }, { a: [2, 1] }));
            assert.ok(!equal({ a: 1 }, { a: "1" }));
            assert.ok(!equal([], {}));
        });

        it("are unknown when something in them is", () => {
            assert.ok(hasUnknown({ a: [{ b: UNKNOWN }] }));
            assert.ok(!hasUnknown({ a: ["x", null, 1] }));
        });
    });
});
