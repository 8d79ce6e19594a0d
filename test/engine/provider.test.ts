import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "mocha";
import { connect, Harbor } from "../../provider/client";
import { realHarbor } from "../support/given-harbor";
import { startHttpsServer, type HttpsServer } from "../support/https-server";
import { markedProcesses, newMark } from "../support/marked-processes";
import { until } from "../support/processes";
import { ProviderStack, type Declared } from "../support/provider-stack";
import { ProcessWatch, SecretSearch } from "../support/secret-search";
import { selfSigned } from "../support/self-signed";

/**
 * The provider on the real engine: alone, with a server that refuses everything; and with a real Harbor where the environment
 * names one (test/support/given-harbor.ts has the variables).
 */

const NAME = "registry.provider.test";
const STACK_TRACE = /\bat .*\.[jt]s:\d+/;

describe("provider", function () {
    this.timeout(240_000);
    const password = "Provider-Password-1";
    const wanted = "Wanted-Password-1";
    const identity = selfSigned([`DNS:${NAME}`]);
    let server: HttpsServer;
    let stack: ProviderStack;
    let config: Record<string, unknown>;
    const requests: string[] = [];
    let refuses = true;
    /** What the failover agent says, where there is one. */
    let active: object | undefined;

    before(async () => {
        server = await startHttpsServer(identity, (request, response) => {
            requests.push(`${request.method ?? ""} ${request.url ?? ""}`);
            if (active !== undefined) {
                response.end(JSON.stringify(active));
            } else if (refuses) {
                // Harbor says in some of its errors what it was given.
                const sent = Buffer.from(
                    (request.headers.authorization ?? "").replace("Basic ", ""),
                    "base64",
                ).toString();
                response.writeHead(400).end(JSON.stringify({ errors: [{ message: `refused: ${sent}` }] }));
            }
        });
        config = {
            url: `https://${NAME}`,
            address: `127.0.0.1:${server.port}`,
            caCertificate: identity.cert,
            password,
        };
        stack = await ProviderStack.make("alone");
    });
    after(async () => {
        await server.close();
        stack.remove();
    });
    afterEach(() => {
        requests.splice(0);
        refuses = true;
        active = undefined;
    });

    const adminPassword: Declared = { type: "AdminPassword", name: "admin", args: { password: wanted } };
    const project: Declared = { type: "Project", name: "team", args: { name: "team-a" } };
    const gc: Declared = { type: "GarbageCollectionSchedule", name: "gc", args: { cron: "0 3 * * *" } };

    it("is found by its path, and calls nothing in a preview", async () => {
        const robot: Declared = {
            type: "RobotAccount",
            name: "robot",
            args: {
                name: "ci",
                level: "project",
                permissions: [
                    {
                        kind: "project",
                        namespace: { $of: "team", output: "name" },
                        access: [{ resource: "repository", action: "pull" }],
                    },
                ],
            },
        };
        stack.declare(config, [adminPassword, project, robot, gc]);
        const output = await stack.run("preview");
        assert.match(output, /\+ 6 to create/);
        assert.deepEqual(requests, []);
    });

    it("calls nothing while its own configuration is not known", async () => {
        stack.declare({ ...config, address: { $unknown: config["address"] }, password: { $unknown: password } }, [
            adminPassword,
            project,
        ]);
        assert.match(await stack.run("preview"), /\+ 4 to create/);
        assert.deepEqual(requests, []);
    });

    it("tells every mistake, by property, before anything is called", async () => {
        stack.declare(config, [{ ...project, args: { name: "Team A", public: "yes" } }]);
        const { code, output } = await stack.pulumi("preview");
        assert.notEqual(code, 0);
        assert.match(output, /property name value \{Team A\} has a problem: .*for example team-a/);
        assert.match(output, /property public .*expected true or false/);
        assert.deepEqual(requests, []);
    });

    it("shows no secret that is wrong", async () => {
        for (const type of ["AdminPassword", "harborage:harbor:AdminPassword"]) {
            stack.declare(config, [{ type, name: "admin", args: { password: "too short" } }]);
            const { code, output } = await stack.pulumi("preview");
            assert.notEqual(code, 0);
            assert.match(output, /password: expected 8 to 128 characters with/);
            assert.ok(!output.includes("too short"), output);
            assert.doesNotMatch(output, STACK_TRACE);
        }
    });

    it("refuses a configuration that would not be verified", async () => {
        stack.declare({ ...config, url: "http://registry.test/x", caCertificate: "none", colour: "red" }, [project]);
        const { code, output } = await stack.pulumi("preview");
        assert.notEqual(code, 0);
        assert.match(output, /https:\/\/registry\.example\.com/);
        assert.match(output, /a certificate in PEM/);
        assert.match(output, /colour.*url, address, caCertificate, username, password/s);
    });

    it("fails with what Harbor said, no secret and no stack trace", async () => {
        stack.declare(config, [adminPassword, project]);
        const { code, output } = await stack.pulumi("up", "--diff");
        assert.notEqual(code, 0);
        assert.match(output, /error: harborage: project team: Harbor answered 400: refused: admin:\[secret\]/);
        assert.match(
            output,
            /error: harborage: the admin's password admin: Harbor answered 400: refused: admin:\[secret\]/,
        );
        assert.doesNotMatch(output, STACK_TRACE);
        for (const secret of [password, wanted]) {
            assert.ok(!output.includes(secret), output);
            assert.ok(!stack.state().includes(secret));
        }
        assert.match(stack.state(), /pulumi:providers:harborage/);
        const noTrust = { ...config, caCertificate: selfSigned([`DNS:${NAME}`]).cert };
        stack.declare(noTrust, [project]);
        assert.match(
            (await stack.pulumi("up")).output,
            /cannot reach https:\/\/registry\.provider\.test at .*caCertificate has to hold/,
        );
    });

    it("stops what knows nothing of a failover with a question, and warns where nobody can be asked", async () => {
        const node: Declared = { type: "ActiveNode", name: "active", args: { node: "first" } };
        const seenEpoch = () => stack.run("stack", "output", "seenEpoch");
        active = undefined;
        stack.declare(config, [node]);
        await stack.run("up");
        assert.match(await seenEpoch(), /^epoch undefined$/m);
        stack.declare(config, []);
        await stack.run("up");
        stack.declare(config, [node]);
        active = { active: "first", epoch: 1 };
        await stack.run("up");
        assert.match(await seenEpoch(), /^epoch 1$/m);
        active = undefined;
        assert.match(await stack.run("preview"), /warning: nobody knows which node is active now: Harbor answered 400/);
        active = { active: "second", epoch: 2, since: "2026-05-02T03:04:05Z", by: "agent", reason: "first is dead" };
        stack.declare(config, [node, { ...project, after: ["active"] }]);
        requests.splice(0);
        for (const command of ["preview", "up"]) {
            const { code, output } = await stack.pulumi(command);
            assert.notEqual(code, 0);
            assert.match(output, /error: harborage: the active node active: second is active, .*2026-05-02T03:04:05Z/);
            assert.match(output, /topology\.active: second +second stays active\n +topology\.epoch: 2 +first becomes/);
            assert.doesNotMatch(output, STACK_TRACE);
        }
        assert.deepEqual(new Set(requests), new Set(["GET /harborage/active"]));
        stack.declare(config, [{ ...node, args: { node: "second" } }]);
        assert.match(await stack.run("up"), /~ 1 updated/);
        assert.match(await stack.run("preview"), /3 unchanged/);
    });

    it("ends when the engine is interrupted or killed, also in the middle of a call", async () => {
        refuses = false;
        stack.declare(config, [project]);
        for (const signal of ["SIGINT", "SIGKILL"] as const) {
            const mark = newMark();
            stack.env = mark;
            const running = stack.start("up");
            await until("the plugin calls", 60, () => requests.length > 0);
            const plugins = () => markedProcesses(mark).filter(({ command }) => command.includes("main.ts"));
            assert.equal(plugins().length, 1);
            running.kill(signal);
            if (signal === "SIGINT") {
                // The engine asks the plugin to cancel after the second one.
                setTimeout(() => running.kill(signal), 500);
            }
            await running.done;
            await until("the plugin has ended", 60, () => plugins().length === 0);
            requests.splice(0);
        }
    });
});

const connection = realHarbor();

(connection === undefined ? describe.skip : describe)("provider with a real Harbor", function () {
    this.timeout(400_000);
    const own = `harborage-engine-${process.pid}`;
    const secrets = new SecretSearch();
    const given = { robot: `Robot-Secret-${process.pid}a`, oidc: `Oidc-Secret-${process.pid}a` };
    let stack: ProviderStack;
    let harbor: Harbor;
    let outputs = "";

    before(async () => {
        assert.ok(connection);
        harbor = new Harbor(connection, connect(connection), new AbortController().signal);
        stack = await ProviderStack.make("real");
        secrets.add("the robot's secret", given.robot);
        secrets.add("the OIDC secret", given.oidc);
    });
    after(async () => {
        await stack.pulumi("destroy");
        stack.remove();
    });

    const permissions = [{ kind: "project", namespace: "*", access: [{ resource: "repository", action: "pull" }] }];

    /** Tokens: what the classes do for secrets is left out, so that the plugin has to. */
    function declare(changed: Readonly<Record<string, unknown>> = {}): void {
        const { url, address, caCertificate, password } = connection ?? { url: "", password: "" };
        const token = (type: string) => `harborage:harbor:${type}`;
        stack.declare({ url, password, ...(address ? { address } : {}), ...(caCertificate ? { caCertificate } : {}) }, [
            { type: token("AdminPassword"), name: "admin", args: { password } },
            { type: token("Project"), name: "team", args: { name: own, autoScan: true, ...changed }, after: ["admin"] },
            {
                type: token("RobotAccount"),
                name: "given",
                args: { name: own, level: "system", permissions, secret: given.robot },
                after: ["admin"],
            },
            {
                type: "RobotAccount",
                name: "robot",
                args: { name: `${own}-2`, level: "system", permissions },
                after: ["admin"],
            },
            {
                type: token("Configuration"),
                name: "settings",
                args: { settings: { token_expiration: 33 }, secretSettings: { oidc_client_secret: given.oidc } },
                after: ["admin"],
            },
            { type: "GarbageCollectionSchedule", name: "gc", args: { cron: "0 3 * * *" }, after: ["admin"] },
        ]);
    }

    const run = async (...args: string[]): Promise<string> => {
        const output = await stack.run(...args);
        outputs += output;
        return output;
    };

    it("makes everything, and nothing the second time", async () => {
        declare();
        const watch = new ProcessWatch();
        assert.match(await run("up", "--diff"), /\+ 8 created/);
        watch.stop();
        assert.ok(
            [...watch.seen].some((text) => text.includes("main.ts")),
            "the plugin was seen",
        );
        assert.deepEqual(secrets.in([...watch.seen].join("\n")), []);
        assert.match(await run("up", "--expect-no-changes"), /8 unchanged/);
        assert.match(await run("refresh", "--expect-no-changes"), /8 unchanged/);
    });

    it("keeps secrets out of the state and the output, whether or not the program marks them", async () => {
        const robot = JSON.parse(await stack.run("stack", "output", "robot", "--json", "--show-secrets")) as {
            secret: string;
        };
        secrets.add("the robot's own secret", robot.secret);
        assert.deepEqual(secrets.in(outputs), []);
        assert.deepEqual(secrets.inFiles(`${stack.folder}/state`), []);
        const state = await stack.run("stack", "export", "--show-secrets");
        const found = ["the robot's secret", "the OIDC secret", "the robot's own secret"];
        assert.deepEqual(
            secrets
                .in(state)
                .filter((name) => !name.endsWith("base64"))
                .sort(),
            found.sort(),
            "the search works",
        );
        assert.doesNotMatch(stack.state(), new RegExp(`"password": ?"${connection?.password ?? ""}"`));
    });

    it("shows drift, and heals it", async () => {
        await harbor.put("/system/gc/schedule", { schedule: { type: "Hourly", cron: "0 0 * * * *" }, parameters: {} });
        await harbor.put(`/projects/${own}`, { metadata: { public: "true" } });
        await harbor.put("/configurations", { token_expiration: 34 });
        const preview = await run("preview", "--refresh", "--diff");
        assert.match(preview, /~ 3 to update/);
        assert.match(preview, /cron *: "0 0 \* \* \* \*" => "0 0 3 \* \* \*"/);
        assert.match(preview, /token_expiration: 34 => 33/);
        assert.match(await run("up", "--refresh"), /~ 3 updated/);
        const { schedule } = (await harbor.get<{ schedule: { cron: string } }>("/system/gc/schedule")) ?? {};
        assert.equal(schedule?.cron, "0 0 3 * * *");
        await run("refresh", "--expect-no-changes");
    });

    it("makes again what is gone, and replaces what cannot be changed", async () => {
        await harbor.put("/system/gc/schedule", { schedule: { type: "None" }, parameters: {} });
        declare({ name: `${own}-other`, storageLimitBytes: 2 ** 30 });
        const output = await run("up", "--refresh");
        assert.match(output, /\+ 1 created/);
        assert.match(output, /\+-1 replaced/);
        assert.equal(await harbor.find(`/projects/${own}`), undefined);
    });

    it("takes everything away, and puts settings back", async () => {
        await run("destroy");
        assert.equal(await harbor.find(`/projects/${own}-other`), undefined);
        assert.equal(await harbor.get("/system/gc/schedule"), undefined);
        const settings = await harbor.get<{ token_expiration: { value: number } }>("/configurations");
        assert.notEqual(settings?.token_expiration.value, 33);
        assert.deepEqual(secrets.in(outputs), []);
    });
});
