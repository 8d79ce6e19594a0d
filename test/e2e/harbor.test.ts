import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "mocha";
import { ask, layoutDigest, type Access, type Skopeo } from "../support/client";
import { closedSite } from "../support/closed-site";
import {
    allHealthy,
    anonymous,
    api,
    harborInstaller,
    harborRegistry,
    healthOf,
    hostOf,
    livesOn,
    newClient,
    read,
    type Installer,
} from "../support/harbor";
import { makeImage, type Image } from "../support/image";
import { TestStack, type Settings } from "../support/launcher";
import { Machine } from "../support/machine";
import { ProcessWatch, SecretSearch } from "../support/secret-search";
import { stateFolder } from "../support/state";
import { addHost } from "../support/system";

/** Passwords of the administrator that the stack file gives, at first and later. */
const given = [`Aa1${randomBytes(15).toString("hex")}`, `Aa1${randomBytes(15).toString("hex")}`] as const;

/** What Harbor's own templates put into the environment of containers (env.jinja of each, in make/photon/prepare). */
const upstreamSecrets: Readonly<Record<string, readonly string[]>> = {
    "harbor-core": [
        "CORE_SECRET",
        "CSRF_KEY",
        "HARBOR_ADMIN_PASSWORD",
        "JOBSERVICE_SECRET",
        "POSTGRESQL_PASSWORD",
        "REGISTRY_CREDENTIAL_PASSWORD",
    ],
    "harbor-jobservice": ["CORE_SECRET", "JOBSERVICE_SECRET", "REGISTRY_CREDENTIAL_PASSWORD"],
    "harbor-db": ["POSTGRES_PASSWORD"],
    registryctl: ["CORE_SECRET", "JOBSERVICE_SECRET"],
};

/** What processes in containers set for themselves: the registry at its start, and the check of the database's health. */
const setInside = ["REGISTRY_HTTP_SECRET", "PGPASSWORD"];

/** Pulumi itself hands the configuration to the program in this variable; see test/engine/secrets.test.ts. */
const isPulumisOwn = (variable: string) => /^(?:export )?PULUMI_CONFIG=/.test(variable);

interface Schedule {
    readonly schedule: { readonly type: string; readonly cron: string };
    /** JSON. */
    readonly job_parameters?: string;
}

describe("Harbor on this machine", function () {
    this.timeout("5m");

    let stack: TestStack | undefined;
    let installer: Installer;
    let machine: Machine;
    let site: Settings;
    let image: Image;
    let access: Required<Access>;
    let skopeo: Skopeo;
    let forgetName: (() => void) | undefined;
    let watch: ProcessWatch | undefined;
    /** What every run of the launcher wrote. */
    const outputs: string[] = [];
    const secrets = new SecretSearch();

    const theStack = (): TestStack => {
        assert.ok(stack);
        return stack;
    };
    const theWatch = (): ProcessWatch => {
        assert.ok(watch);
        return watch;
    };
    const folder = (name: string) => join(theStack().folder, name);
    const up = async (args: readonly string[] = []) => {
        const result = await theStack().up(args);
        outputs.push(result.output);
        return result;
    };
    const project = () => join(theStack().machineDirectory, "stacks", `harborage-${theStack().name}-registry`);
    const data = () => join(theStack().machineDirectory, "data/registry");
    const write = (registry: Settings = {}, deleteData = false) =>
        theStack().write({
            ...site,
            registry: harborRegistry(installer, {
                port: theStack().registryPort,
                adminPassword: "adminPassword",
                garbageCollection: { schedule: "30 4 * * *", deleteUntagged: true, workers: 2 },
                scan: { schedule: "15 5 * * 6" },
                auditLog: { schedule: "45 6 1 * *", keepDays: 90 },
                settings: { robot_token_duration: 60 },
                ...registry,
            }),
            storage: { objects: { kind: "node", deleteData } },
        });
    const readAccess = async () => {
        const { name, httpsPort } = theStack();
        const { caCertificate: ca, adminUsername, adminPassword } = await theStack().outputs();
        const login = { name: adminUsername, password: adminPassword };
        access = { name: `${name}.example`, port: httpsPort, address: machine.address, ca, login };
    };
    const image1 = () => `${hostOf(access)}/team/app:one`;
    const pulls = async (name: string, client = skopeo) => {
        const { code, output } = await client.pull(image1(), folder(name));
        assert.equal(code, 0, output);
        assert.equal(layoutDigest(folder(name)), image.digest);
    };
    const namesOf = (changes: readonly { op: string; name: string }[]) =>
        changes.map(({ op, name }) => `${op} ${name}`).sort();
    const schedule = (what: "gc" | "scanAll" | "purgeaudit") => read<Schedule>(access, `/system/${what}/schedule`);

    before(async function () {
        this.timeout("10m");
        const found = await harborInstaller();
        if (found === undefined || !(await Machine.possible())) {
            this.skip();
        }
        installer = found;
        stack = await TestStack.make("harbor");
        machine = await Machine.make(folder("box"));
        forgetName = addHost(`${stack.name}.example`, machine.address);
        site = await closedSite(stack.folder);
        await machine.boot();
        stack.wrapper = machine.wrapper(stack.project);
        write();
        await stack.setSecret("adminPassword", given[0]);
        mkdirSync(folder("temporary"));
        stack.env = { TMPDIR: folder("temporary") };
        watch = new ProcessWatch(100);
        [image] = await Promise.all([makeImage(folder("image"), [3, 1]), up(["--diff"])]);
        await readAccess();
        skopeo = newClient(access, folder("client"));
    });

    after(async () => {
        watch?.stop();
        forgetName?.();
        if (stack !== undefined) {
            await machine.close();
            await stack.cleanUp();
        }
    });

    it("is healthy, each of its components", async () => {
        assert.deepEqual(await healthOf(access), allHealthy);
    });

    it("lets in who has the password, and nobody else", async () => {
        const login = { name: "admin", password: given[0] };
        assert.deepEqual(access.login, login);
        assert.equal((await read<{ username: string }>(access, "/users/current")).username, "admin");
        assert.equal((await skopeo.login(hostOf(access), login)).code, 0);
        const stranger = newClient(access, folder("stranger"));
        const refused = await stranger.login(hostOf(access), { ...login, password: `${given[0]}x` });
        assert.notEqual(refused.code, 0);
        assert.match(refused.output, /unauthorized|invalid username\/password/);
    });

    it("names the public URL for tokens", async () => {
        const { status, headers } = await ask(anonymous(access), "GET", "/v2/");
        assert.equal(status, 401);
        const realm = `https://${hostOf(access)}/service/token`;
        assert.equal(headers["www-authenticate"], `Bearer realm="${realm}",service="harbor-registry"`);
    });

    it("takes and gives images by its name, for those who have the CA, and private ones to those who may", async () => {
        const project = { project_name: "team", metadata: { public: "false" } };
        const made = await api(access, "POST", "/projects", project);
        assert.equal(made.status, 201, made.body);
        const pushed = await skopeo.push(image.folder, image1());
        assert.equal(pushed.code, 0, pushed.output);
        await pulls("pulled");

        const nobody = newClient(access, folder("anonymous"));
        const refused = await nobody.pull(image1(), folder("pulled-by-nobody"));
        assert.notEqual(refused.code, 0);
        assert.match(refused.output, /unauthorized/);
        const untrusting = newClient({ ...access, ca: "" }, folder("untrusting"));
        assert.match((await untrusting.pull(image1(), folder("untrusted"))).output, /x509|certificate/);
    });

    it("collects, scans and purges when the stack file says", async () => {
        const collection = await schedule("gc");
        assert.equal(collection.schedule.cron, "0 30 4 * * *");
        const parameters = JSON.parse(collection.job_parameters ?? "") as Settings;
        assert.equal(parameters["delete_untagged"], true);
        assert.equal(parameters["workers"], 2);
        assert.equal((await schedule("scanAll")).schedule.cron, "0 15 5 * * 6");
        const purge = await schedule("purgeaudit");
        assert.equal(purge.schedule.cron, "0 45 6 1 * *");
        const { audit_retention_hour: hours } = JSON.parse(purge.job_parameters ?? "") as Settings;
        assert.equal(hours, 90 * 24);
        const settings = await read<Record<string, { value: unknown }>>(access, "/configurations");
        assert.equal(settings["robot_token_duration"]?.value, 60);
    });

    it("is left alone by an up that has nothing to change", async () => {
        const before = await livesOn(machine);
        theStack().takeCommands();
        assert.deepEqual((await up()).changes, []);
        assert.deepEqual(theStack().takeCommands(), []);
        assert.deepEqual(await livesOn(machine), before);
    });

    it("has what was changed by hand shown, and set right", async () => {
        const changed = { schedule: { type: "Custom", cron: "0 0 12 * * *" } };
        const put = await api(access, "PUT", "/system/gc/schedule", {
            ...changed,
            parameters: { delete_untagged: false, workers: 1 },
        });
        assert.equal(put.status, 200, put.body);
        const preview = await theStack().run("preview", ["--refresh", "--diff"]);
        assert.equal(preview.code, 0, preview.output);
        assert.match(preview.output, /harborage:harbor:GarbageCollectionSchedule: \(update\)/);
        assert.match(preview.output, /cron +: "0 0 12 \* \* \*" => "0 30 4 \* \* \*"/);

        const refreshed = await theStack().run("pulumi", ["refresh", "--yes", "--skip-preview"]);
        assert.equal(refreshed.code, 0, refreshed.output);
        assert.match(refreshed.output, /harbor-garbage-collection +updated/);
        assert.deepEqual(namesOf((await up()).changes), ["update harbor-garbage-collection"]);
        assert.equal((await schedule("gc")).schedule.cron, "0 30 4 * * *");
    });

    it("takes another password of the administrator without a restart", async () => {
        const before = await livesOn(machine);
        await theStack().setSecret("adminPassword", given[1]);
        await up();
        assert.deepEqual(await livesOn(machine), before);
        assert.equal((await ask(access, "GET", "/api/v2.0/users/current")).status, 401);
        await readAccess();
        assert.equal(access.login.password, given[1]);
        assert.equal((await ask(access, "GET", "/api/v2.0/users/current")).status, 200);
        assert.equal((await skopeo.login(hostOf(access), access.login)).code, 0);
        assert.deepEqual((await up()).changes, []);
    });

    it("is in one new release after a setting was changed, and has its images", async () => {
        write({ log: { level: "warning" } });
        const { changes } = await up();
        assert.deepEqual(namesOf(changes), ["update box-files", "update box-release"]);
        assert.deepEqual(await healthOf(access), allHealthy);
        await pulls("pulled-after-change");
        assert.equal(readdirSync(join(project(), "releases")).length, 1);
    });

    it("does not change when prepare is run again by hand", async () => {
        const state = async () => ({
            configuration: await machine.script(`cd -P '${project()}/current'`, "docker compose config"),
            secret: await machine.script(`cd '${data()}/secret'`, "find . -type f -exec sha256sum {} + | sort -k 2"),
            containers: await livesOn(machine),
        });
        const before = await state();
        await machine.script(`cd -P '${project()}/current'`, "./prepare --with-trivy", "docker compose up --detach");
        assert.deepEqual(await state(), before);
        const client = newClient(access, folder("client-after-prepare"));
        assert.equal((await client.login(hostOf(access), access.login)).code, 0);
        const other = await makeImage(folder("other"), [1]);
        const pushed = await client.push(other.folder, `${hostOf(access)}/library/other:one`);
        assert.equal(pushed.code, 0, pushed.output);
        await pulls("pulled-after-prepare", client);
        assert.deepEqual((await up()).changes, []);
    });

    describe("and its secrets", () => {
        before(async () => {
            theWatch().stop();
            await secrets.learn(theStack());
            secrets.add("the given password", given[0]);
            secrets.add("the password given later", given[1]);
        });

        it("are found where they have to be: the search works", () => {
            const found = secrets.inFiles(data()).map((line) => line.replace(/^.*: /, ""));
            assert.deepEqual([...new Set(found)].sort(), [
                "the key registry-token",
                "the password registry-secret-key",
            ]);
            assert.equal(secrets.in(Buffer.from(`x admin:${given[1]} y`).toString("base64")).length, 1);
        });

        it("are in no output of Pulumi, and in its state encrypted", () => {
            assert.ok(outputs.length > 3);
            for (const output of outputs) {
                assert.deepEqual(secrets.in(output), [], output);
            }
            const passphrase = join(stateFolder(theStack()), "passphrase");
            assert.deepEqual(
                secrets.inFiles(stateFolder(theStack()), (path) => path === passphrase),
                [],
            );
            assert.deepEqual(secrets.inFiles(folder("temporary")), []);
        });

        it("were in no process's arguments, and in no environment but those of Harbor's own templates", () => {
            assert.ok([...theWatch().arguments].some((text) => text.includes("goharbor/prepare")));
            assert.deepEqual(
                [...theWatch().arguments].filter((text) => secrets.in(text).length > 0),
                [],
            );
            const names = new Set([...Object.values(upstreamSecrets).flat(), ...setInside]);
            const upstream = new RegExp(`^(?:${[...names].join("|")})=`);
            const words = [...theWatch().seen]
                .flatMap((text) => text.split("\0"))
                .filter((word) => !isPulumisOwn(word));
            assert.deepEqual(
                words.filter((word) => !upstream.test(word) && secrets.in(word).length > 0),
                [],
            );
        });

        it("are in no container's definition but where Harbor's own templates put them, and in no log", async () => {
            const found: Record<string, string[]> = {};
            for (const container of await machine.docker("ps", "--all", "--format", "{{.Names}}")) {
                const [inspected] = JSON.parse(await machine.run("docker", ["inspect", container])) as [
                    { Config: { Env: string[] } },
                ];
                const { Env: variables, ...config } = inspected.Config;
                const names = variables
                    .filter((variable) => secrets.in(variable).length > 0)
                    .map((variable) => variable.replace(/=.*/s, ""));
                if (names.length > 0) {
                    found[container] = names.sort();
                }
                assert.deepEqual(secrets.in(JSON.stringify({ ...inspected, Config: config })), [], container);
                const { output } = await machine.attempt("docker", ["logs", container]);
                assert.deepEqual(secrets.in(output), [], container);
            }
            assert.deepEqual(found, upstreamSecrets);
            assert.ok(readdirSync(join(data(), "logs")).includes("core.log"));
            assert.deepEqual(secrets.inFiles(join(data(), "logs")), []);
        });

        it("are in no file that others can read", async () => {
            // The folder of the test itself lets nobody in. That others cannot list folders does not count.
            const asNobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
            const files = await machine.script(
                "mkdir /run/look",
                `mount --bind '${theStack().machineDirectory}' /run/look`,
                `find /run/look -type f -print0 | ${asNobody} xargs -0 bash -c 'for f; do [ ! -r "$f" ] || echo "$f"; done' -`,
                "umount /run/look",
            );
            const readable = files.split("\n").map((path) => path.replace("/run/look", theStack().machineDirectory));
            assert.ok(readable.some((path) => path.endsWith("/docker-compose.override.yml")));
            // Of a password that `prepare` makes up each time; the stack's own is used in its place.
            assert.deepEqual(
                readable.filter(
                    (path) =>
                        !path.endsWith("/common/config/registry/passwd") &&
                        secrets.in(readFileSync(path, "latin1")).length > 0,
                ),
                [],
            );
        });
    });

    describe("when it is destroyed", () => {
        const remains = async () => ({
            containers: await machine.docker("ps", "--all", "--quiet"),
            networks: await machine.docker("network", "ls", "--filter", "type=custom", "--quiet"),
            volumes: await machine.docker("volume", "ls", "--quiet"),
            images: await machine.docker("image", "ls", "--quiet"),
        });
        const nothing = { containers: [], networks: [], volumes: [], images: [] };

        it("keeps its data, says where, and leaves nothing else", async () => {
            const { code, output } = await theStack().run("destroy");
            assert.equal(code, 0, output);
            assert.deepEqual(secrets.in(output), []);
            assert.match(
                output,
                /Kept on the machines:\n\s+\S+\/data\/registry \(.*\) on \S+; delete it with: rm -rf \S+/,
            );
            assert.deepEqual(await remains(), nothing);
            const { machineDirectory } = theStack();
            assert.deepEqual(
                readdirSync(machineDirectory).filter((entry) => entry !== "lock"),
                ["data"],
            );
        });

        it("takes its data for somebody else's until it is given the key that belongs to it", async () => {
            const { code, output } = await theStack().tryUp();
            assert.notEqual(code, 0);
            assert.match(output, /was encrypted with another key than this stack has: \S+\/secret\/keys\/secretkey/);
            assert.match(output, /registry\.secrets\.secretKey/);
            assert.deepEqual(await machine.docker("ps", "--all", "--quiet"), []);

            await theStack().setSecret("harborKey", readFileSync(join(data(), "secret/keys/secretkey"), "utf8"));
            write({ secrets: { secretKey: "harborKey" } }, true);
            await up();
            await readAccess();
            skopeo = newClient(access, folder("client-after-destroy"));
            assert.equal((await skopeo.login(hostOf(access), access.login)).code, 0);
            await pulls("pulled-after-destroy");
        });

        it("leaves nothing when the data is to be deleted", async () => {
            const { code, output } = await theStack().run("destroy");
            assert.equal(code, 0, output);
            assert.doesNotMatch(output, /Kept/);
            assert.deepEqual(await remains(), nothing);
            assert.equal(existsSync(theStack().machineDirectory), false);
        });
    });
});
