import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "mocha";

const project = resolve(__dirname, "../..");
const bin = (name: string) => join(project, "node_modules/.bin", name);

/** Every shell script that git knows or would take. */
function shellScripts(): string[] {
    const patterns = ["*.sh", ".ci/run", "provider/pulumi-resource-*"];
    return execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ...patterns], {
        cwd: project,
        encoding: "utf8",
    })
        .split("\0")
        .filter((path) => path !== "" && existsSync(join(project, path)));
}

const checks = [
    { title: "every file is formatted", command: bin("prettier"), args: () => ["--check", "--log-level", "warn", "."] },
    { title: "no file has a lint warning", command: bin("eslint"), args: () => ["--max-warnings", "0", "."] },
    { title: "the types fit", command: bin("tsc"), args: () => ["--noEmit"] },
    { title: "no shell script has a shellcheck finding", command: "shellcheck", args: shellScripts },
];

interface Finding {
    /** The exit code, or the name of the system's error when the command did not start. */
    code: string | number;
    output: string;
}

describe("source", () => {
    const running = new Map<string, Promise<Finding>>();
    const stop = new AbortController();

    before("start all of them, as each uses one core only", () => {
        for (const { title, command, args } of checks) {
            const finding = new Promise<Finding>((done) => {
                const options = { cwd: project, signal: stop.signal, maxBuffer: 64 * 1024 * 1024 };
                execFile(command, args(), options, (error, stdout, stderr) =>
                    done({ code: error?.code ?? (error ? "killed" : 0), output: stdout + stderr }),
                );
            });
            running.set(title, finding);
        }
    });
    after(() => stop.abort());

    for (const { title, command } of checks) {
        it(title, async function () {
            this.timeout("10m");
            const finding = await running.get(title);
            if (finding?.code === "ENOENT") {
                console.log(`      ${command} is not installed`);
                this.skip();
            }
            assert.equal(finding?.code, 0, finding?.output);
        });
    }
});
