import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { containersOf, docker } from "../support/docker";
import { copyProject, TestStack, type LauncherOptions } from "../support/launcher";
import { attempt } from "../support/processes";
import { ProgramLog } from "../support/program-log";
import { ProcessWatch, SecretSearch } from "../support/secret-search";
import { registryStatus, stateFile, stateFolder } from "../support/state";

/** Passwords that the test gives, at first and later. */
const GIVEN = [randomBytes(18).toString("base64url"), randomBytes(18).toString("base64url")] as const;

/**
 * Pulumi itself hands the stack's configuration to the program in this variable, decrypted, with the official language
 * host too. Nobody but the same user and root can read it, and nothing else may have it.
 */
const isPulumisOwn = (variable: string) => /^(?:export )?PULUMI_CONFIG=/.test(variable);

describe("secrets", function () {
    this.timeout("15m");
    let stack: TestStack;
    let programs: ProgramLog;
    let temporary: string;
    let watched: ReadonlySet<string>;
    /** What every run of the launcher wrote, by what it was. */
    const outputs = new Map<string, string>();
    const secrets = new SecretSearch();

    before(async () => {
        stack = await TestStack.make("secrets");
        // A clone of its own, so that what is written into the project shows.
        stack.project = copyProject(join(stack.folder, "clone"));
        stack.stackFile = join(stack.project, `Pulumi.${stack.name}.yaml`);
        stack.home = join(stack.project, ".harborage");
        stack.write({
            registry: {
                engine: "distribution",
                port: stack.registryPort,
                users: [{ name: "admin" }, { name: "ci", password: "ciPassword" }],
            },
        });
        git("init", "--quiet");
        git("config", "--local", "core.excludesFile", "/dev/null");
        execFileSync("sh", ["-c", "echo node_modules >>.git/info/exclude"], { cwd: stack.project });
        git("add", "--all");
        git("-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message", "clone");
        temporary = join(stack.folder, "temporary");
        mkdirSync(temporary);
        programs = new ProgramLog(join(stack.folder, "program-log"));
        stack.env = { HARBORAGE_HOME: undefined, TMPDIR: temporary };

        await stack.setSecret("ciPassword", GIVEN[0]);
        const watch = new ProcessWatch();
        await run("up --diff", "succeeds", "up", ["--diff"], { env: programs.env });
        const looks = watch.stop();
        watched = watch.seen;
        assert.ok(looks > 100, `looked at the processes ${looks} times only`);
        assert.equal(await registryStatus(stack), 401);
        await run("preview", "succeeds", "preview", []);
        await learn();
        await stack.setSecret("ciPassword", GIVEN[1]);
        await run("preview --diff of another password", "succeeds", "preview", ["--diff"]);
        await run("preview --json", "succeeds", "preview", ["--json"]);
        // The release needs files that are gone: it fails with the secrets in its hands.
        const plain = join(stack.machineDirectory, "stacks", `harborage-${stack.name}-registry`, "plain");
        renameSync(plain, `${plain}.away`);
        await run("up that fails", "fails", "up", ["--diff"], { env: programs.env });
        renameSync(`${plain}.away`, plain);
        await run("outputs", "succeeds", "pulumi", ["stack", "output"]);
        await run("export", "succeeds", "pulumi", ["stack", "export"]);
    });

    after(() => stack.cleanUp());

    const git = (...args: string[]) => execFileSync("git", args, { cwd: stack.project, encoding: "utf8" });

    async function run(
        what: string,
        expected: "succeeds" | "fails",
        script: "up" | "preview" | "pulumi" | "destroy",
        args: readonly string[],
        options?: LauncherOptions,
    ): Promise<void> {
        const { code, output } = await stack.run(script, args, options);
        assert.equal(code === 0 ? "succeeds" : "fails", expected, `${what}:\n${output}`);
        outputs.set(what, output);
    }

    /** Asks the stack for its secrets. */
    async function learn(): Promise<void> {
        await secrets.learn(stack);
        secrets.add("the given password", GIVEN[0]);
        secrets.add("the password given later", GIVEN[1]);
        secrets.add("the passphrase", readFileSync(join(stateFolder(stack), "passphrase"), "utf8").trim());
    }

    it("are found where they have to be: the search works", () => {
        const released = join(stack.machineDirectory, "stacks");
        const found = secrets.inFiles(released).map((line) => line.replace(/^.*: /, ""));
        assert.deepEqual([...new Set(found)].sort(), [
            "a bcrypt hash",
            "the key certificates-server",
            "the password registry-http-secret",
        ]);
        assert.notDeepEqual(secrets.in(Buffer.from(`x admin:${GIVEN[0]} y`).toString("base64")), []);
    });

    it("are in no output, hashes included", () => {
        for (const [what, output] of outputs) {
            assert.deepEqual(secrets.in(output), [], `${what}:\n${output}`);
        }
        assert.match(outputs.get("up that fails") ?? "", /are gone/);
        assert.match(outputs.get("outputs") ?? "", /adminPassword +\[secret\]/);
        assert.match(outputs.get("outputs") ?? "", /pullSecret +\[secret\]/);
    });

    it("are in the state encrypted only, backups and history included", () => {
        assert.match(readFileSync(stateFile(stack), "utf8"), /"ciphertext"/);
        assert.ok(readdirSync(join(stateFolder(stack), ".pulumi", "history", "harborage", stack.name)).length > 1);

        const found = secrets.inFiles(stateFolder(stack), (path) => path === join(stateFolder(stack), "passphrase"));

        assert.deepEqual(found, []);
    });

    it("are in no process's arguments or environment", () => {
        const words = [...watched].flatMap((text) => text.split("\0")).filter((word) => !isPulumisOwn(word));
        assert.deepEqual(
            words.filter((word) => secrets.in(word).length > 0),
            [],
        );
        const log = programs.read();
        assert.match(log, /bin\/docker compose /);
        assert.match(log, /bin\/bash -s -- apply /);
        assert.deepEqual(
            log.split("\n").filter((line) => !isPulumisOwn(line) && secrets.in(line).length > 0),
            [],
        );
    });

    it("are in no container's definition or log", async () => {
        const containers = await containersOf(stack.name);
        assert.equal(containers.length, 3);
        for (const container of containers) {
            const { stdout, stderr } = await logsOf(container);
            assert.deepEqual(secrets.in(stdout + stderr), [], container);
            assert.deepEqual(secrets.in(await docker("inspect", container)), [], container);
        }
    });

    it("are on the machine only where services read them, readable for those alone", () => {
        const isSecret = (path: string) => /\/releases\/[^/]+\/secrets\//.test(path);
        assert.deepEqual(secrets.inFiles(stack.machineDirectory, isSecret), []);
        const files = execFileSync("find", [stack.machineDirectory, "-path", "*/secrets/*", "-type", "f"], {
            encoding: "utf8",
        });
        const names = files.trim().split("\n");
        assert.equal(names.length, 4, files);
        for (const name of names) {
            assert.equal((statSync(name).mode & 0o777).toString(8), "400", name);
        }
    });

    it("are in no temporary file, nor anywhere in the project", () => {
        assert.deepEqual(secrets.inFiles(temporary), []);
        const passphrase = join(stateFolder(stack), "passphrase");
        assert.deepEqual(
            secrets.inFiles(stack.project, (path) => path === passphrase),
            [],
        );
    });

    it("depend on a passphrase that only its owner can read", () => {
        assert.equal((statSync(join(stateFolder(stack), "passphrase")).mode & 0o777).toString(8), "600");
        assert.equal((statSync(stateFolder(stack)).mode & 0o777).toString(8), "700");
    });

    it("leave git with nothing to say about a clean clone", () => {
        assert.equal(git("status", "--porcelain"), "");
    });

    it("go with the stack, unseen", async () => {
        await run("destroy", "succeeds", "destroy", ["--diff"]);

        assert.deepEqual(secrets.in(outputs.get("destroy") ?? ""), []);
        assert.deepEqual(secrets.inFiles(stack.machineDirectory), []);
        const passphrase = join(stateFolder(stack), "passphrase");
        assert.deepEqual(
            secrets.inFiles(stateFolder(stack), (path) => path === passphrase),
            [],
        );
        assert.equal(git("status", "--porcelain"), "");
    });
});

function logsOf(container: string): Promise<{ readonly stdout: string; readonly stderr: string }> {
    return attempt("docker", ["logs", container]);
}
