import assert from "node:assert/strict";
import {
    mkdirSync,
    mkdtempSync,
    readFileSync,
    readdirSync,
    rmSync,
    statSync,
    symlinkSync,
    writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { projectDirectory } from "../support/launcher";
import { kill, markedProcesses, newMark, processIds } from "../support/marked-processes";
import { attempt, start, until, type Ran } from "../support/processes";

const program = `
import * as pulumi from "@pulumi/pulumi";
import * as command from "@pulumi/command";
import * as random from "@pulumi/random";

const config = new pulumi.Config();
const mistake = config.get("mistake");
if (mistake !== undefined) {
    throw new pulumi.RunError(mistake);
}
if (config.getBoolean("crash")) {
    process.exit(7);
}
console.log("the program has run");
const made = new random.RandomPassword("made", { length: 24, special: false });
new command.local.Command("slow", {
    create: \`sleep \${config.getNumber("seconds") ?? 0}\`,
    delete: "echo 'kept: /somewhere; delete it with: rm -rf /somewhere'",
    stdin: made.result,
});
export const greeting = config.get("greeting");
export const given = config.getSecret("given");
export const result = made.result;
`;

/** A project of a few resources, with a stack of its own and nothing on any machine. */
class TinyProject {
    readonly stack = `test-launcher-${process.pid}`;
    readonly directory = mkdtempSync(join(tmpdir(), "harborage-launcher-"));
    readonly stackDirectory = join(this.directory, ".harborage", this.stack);
    readonly locks = join(this.stackDirectory, ".pulumi", "locks", "organization", "tiny", this.stack);

    constructor() {
        const options = { typescript: true, nodeargs: "--max-old-space-size=512" };
        this.write("Pulumi.yaml", JSON.stringify({ name: "tiny", runtime: { name: "nodejs", options } }));
        this.write("package.json", '{ "name": "tiny", "main": "index.ts" }');
        const compilerOptions = { module: "node16", moduleResolution: "node16", target: "es2022", noCheck: true };
        this.write("tsconfig.json", JSON.stringify({ compilerOptions }));
        this.write("index.ts", program);
        symlinkSync(join(projectDirectory, "node_modules"), join(this.directory, "node_modules"));
    }

    write(name: string, text: string): void {
        writeFileSync(join(this.directory, name), text);
    }

    /** Starts the launcher as an npm script would; the engine is the one that this machine has or has built. */
    start(words: readonly string[], env: Readonly<Record<string, string | undefined>> = {}) {
        return start(process.execPath, ["--import", "tsx", "toolchain/main.ts", ...words, "--cwd", this.directory], {
            cwd: projectDirectory,
            env: { HARBORAGE_HOME: undefined, PULUMI_STACK: undefined, ...env },
        });
    }

    run(...words: string[]): Promise<Ran> {
        return this.start([...words, "--stack", this.stack]).done;
    }

    async succeed(...words: string[]): Promise<Ran> {
        const ran = await this.run(...words);
        assert.equal(ran.code, 0, ran.output);
        return ran;
    }

    lock(content: object): string {
        mkdirSync(this.locks, { recursive: true });
        const file = join(this.locks, "of-a-test.json");
        writeFileSync(file, JSON.stringify({ username: "someone", timestamp: new Date().toISOString(), ...content }));
        return file;
    }
}

describe("the launcher", function () {
    this.timeout(900_000);
    let tiny: TinyProject;

    before(() => {
        tiny = new TinyProject();
    });

    after(async () => {
        await tiny.run("destroy");
        rmSync(tiny.directory, { recursive: true });
    });

    it("makes a stack from nothing and keeps its state to itself", async () => {
        tiny.write(`Pulumi.${tiny.stack}.yaml`, "config:\n  tiny:greeting: hello\n");
        const before = readdirSync(tiny.directory);

        const { stdout, stderr } = await tiny.succeed("up");

        assert.match(stdout, /the program has run/);
        assert.match(stdout, /greeting\s*: "hello"/);
        assert.match(stdout, /result\s*: \[secret\]/);
        // Where official parts can be had there is nothing to name; elsewhere it is all or nothing for the plugins.
        const named = stderr.match(/(?<=^stand-in: )(random|tls|command)(?= \d)/gm) ?? [];
        assert.ok(named.length === 0 || named.length === 3, stderr);
        assert.deepEqual(readdirSync(tiny.directory).sort(), [".harborage", ...before].sort());
        assert.equal(
            readFileSync(join(tiny.directory, `Pulumi.${tiny.stack}.yaml`), "utf8"),
            "config:\n  tiny:greeting: hello\n",
        );
        assert.equal(statSync(join(tiny.stackDirectory, "passphrase")).mode & 0o777, 0o600);
        assert.equal(statSync(tiny.stackDirectory).mode & 0o777, 0o700);
    });

    it("gets the plugin of a kind of machines when the stack file names one", async () => {
        const file = `Pulumi.${tiny.stack}.yaml`;
        const before = readFileSync(join(tiny.directory, file), "utf8");
        const named = async (): Promise<readonly string[]> =>
            (await tiny.succeed("preview")).stderr.match(/(?<=^stand-in: )(random|openstack)(?= \d)/gm) ?? [];
        assert.ok(!(await named()).includes("openstack"));
        tiny.write(file, "config:\n  tiny:greeting: hello\n  harborage:machines: { x: { kind: openstack } }\n");
        assert.notEqual((await named()).length, 1, "all plugins are official ones or none is");
        tiny.write(file, before);
    });

    it("shows a secret only when asked, and then nothing else on stdout", async () => {
        const { stdout } = await tiny.succeed("pulumi", "stack", "output", "result", "--show-secrets");
        assert.match(stdout, /^[A-Za-z0-9]{24}\n$/);
        const masked = await tiny.succeed("pulumi", "stack", "output", "result");
        assert.equal(masked.stdout, "[secret]\n");
        const state = readFileSync(
            join(tiny.stackDirectory, ".pulumi", "stacks", "tiny", `${tiny.stack}.json`),
            "utf8",
        );
        assert.ok(!state.includes(stdout.trim()));
    });

    it("changes nothing when it is run again, and has nothing to get", async () => {
        const { code, output } = await tiny.run("preview", "--stack", tiny.stack);
        assert.equal(code, 0, output);
        assert.match(output, /3 unchanged/);
        assert.doesNotMatch(output, /harborage: .* …/);
    });

    it("keeps a secret of this machine out of the committed file, and through the next run", async () => {
        const set = tiny.start([
            "pulumi",
            "config",
            "set",
            "--secret",
            "given",
            "s3cret-of-mine",
            "--stack",
            tiny.stack,
        ]);
        assert.equal((await set.done).code, 0, set.output());
        await tiny.succeed("up", "--skip-preview");
        const { stdout } = await tiny.succeed("pulumi", "stack", "output", "given", "--show-secrets");
        assert.equal(stdout.trim(), "s3cret-of-mine");
        const generated = readFileSync(join(tiny.stackDirectory, `Pulumi.${tiny.stack}.yaml`), "utf8");
        assert.ok(!generated.includes("s3cret-of-mine"));
        assert.doesNotMatch(readFileSync(join(tiny.directory, `Pulumi.${tiny.stack}.yaml`), "utf8"), /given|salt/);
    });

    it("passes on what the program says of a mistake, once and without a stack trace", async () => {
        const { code, output } = await tiny.run("preview", "--config", "tiny:mistake=the port is taken");
        assert.notEqual(code, 0);
        assert.match(output, /the port is taken/);
        assert.doesNotMatch(output, /^\s+at .*:\d+:\d+/m);
        assert.doesNotMatch(output, /exited with/);
    });

    it("says so when the program ends by itself", async () => {
        const { code, output } = await tiny.run("preview", "--config", "tiny:crash=true");
        assert.notEqual(code, 0);
        assert.match(output, /exited with (code|non-zero exit code:) 7/);
    });

    it("releases the lock of a dead process of this machine, with a word", async () => {
        const gone = Math.max(...processIds()) + 100_000;
        tiny.lock({ pid: gone, hostname: hostname() });
        const { stderr } = await tiny.succeed("up", "--skip-preview");
        assert.match(stderr, new RegExp(`released the stack's lock .*process ${gone} is gone`));
    });

    for (const [whose, content] of [
        ["a living process", { pid: process.pid, hostname: hostname() }],
        ["another machine", { pid: 1, hostname: "another.machine.example" }],
    ] as const) {
        it(`leaves the lock of ${whose} alone`, async () => {
            const file = tiny.lock(content);
            try {
                const { code, output } = await tiny.run("up", "--skip-preview");
                assert.notEqual(code, 0);
                assert.match(output, /currently locked/);
                assert.ok(statSync(file).isFile());
            } finally {
                rmSync(file);
            }
        });
    }

    it("converges after a kill -9 in the middle, and nothing of the killed run lives on", async () => {
        tiny.write("index.ts", program.replace('"slow"', '"slower"'));
        const mark = newMark();
        const killed = tiny.start(
            ["up", "--skip-preview", "--stack", tiny.stack, "--config", "tiny:seconds=300"],
            mark,
        );
        await until("the command runs", 60, () => markedProcesses(mark).some(({ program: name }) => name === "sleep"));
        const pulumi = markedProcesses(mark).find(({ program: name }) => name === "pulumi");
        assert.ok(pulumi);
        kill(pulumi.pid);
        assert.notEqual((await killed.done).code, 0);
        await until("host and program have ended", 60, () =>
            markedProcesses(mark).every(({ command }) => !/language-nodejs|cmd\/run/.test(command)),
        );
        // A plugin ends with the last command that it has started; what that has started it does not touch.
        for (const { pid } of markedProcesses(mark).filter(({ program: name }) => name === "sleep")) {
            kill(pid);
        }
        await until("everything has ended", 60, () => markedProcesses(mark).length === 0);

        const next = await tiny.succeed("up", "--skip-preview", "--config", "tiny:seconds=0");
        assert.match(next.stderr, /released the stack's lock/);
        assert.match(next.stderr, /cut short during: creating slower/);
        assert.doesNotMatch(next.output, /pending operation|interrupted while/);
        assert.match((await tiny.succeed("preview", "--config", "tiny:seconds=0")).stdout, /3 unchanged/);
    });

    it("refuses every stack that is not of this machine on built and stand-in parts", async () => {
        const { code, output } = await tiny.start(["up", "--stack", "prod"], { HARBORAGE_TOOLCHAIN: "build" }).done;
        assert.equal(code, 1);
        assert.match(output, /Stack prod needs the official Pulumi CLI/);
        assert.doesNotMatch(output, /^\s+at /m);
    });

    it("lists what was kept after it has destroyed the stack", async () => {
        const { stderr } = await tiny.succeed("destroy");
        assert.match(stderr, /Kept on the machines:\n {2}\/somewhere; delete it with: rm -rf \/somewhere\n/);
        const { stdout } = await tiny.succeed("pulumi", "stack", "output", "--json");
        assert.equal(stdout.trim(), "{}");
    });

    it("explains arguments and settings that it cannot use", async () => {
        const script = await attempt(process.execPath, ["--import", "tsx", "toolchain/main.ts", "launch"], {
            cwd: projectDirectory,
        });
        assert.equal(script.code, 1);
        assert.match(script.output, /^harborage: usage: npm run pulumi \| up/m);
        const mode = await tiny.start(["preview", "--stack", tiny.stack], { HARBORAGE_TOOLCHAIN: "fast" }).done;
        assert.match(mode.output, /HARBORAGE_TOOLCHAIN=fast: expected auto/);
        const file = await tiny.run("preview", "--config-file", "missing.yaml");
        assert.match(file.output, /there is no stack file .*missing\.yaml/);
    });
});
