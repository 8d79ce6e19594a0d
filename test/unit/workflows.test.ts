import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "mocha";
import { parse } from "yaml";
import { z } from "zod";

const project = resolve(__dirname, "../..");

/** What these tests read of a workflow, or of an action of our own; everything else may stand there too. */
const steps = z.array(
    z.looseObject({ uses: z.string().optional(), with: z.record(z.string(), z.unknown()).optional() }),
);
const job = z.looseObject({
    uses: z.string().optional(),
    steps: steps.optional(),
    permissions: z.record(z.string(), z.string()).optional(),
});
const workflow = z.looseObject({
    on: z.union([z.string(), z.array(z.string()), z.record(z.string(), z.unknown())]),
    permissions: z.record(z.string(), z.string()),
    jobs: z.record(z.string(), job),
});

const directory = join(project, ".github/workflows");
const workflows = readdirSync(directory).map((name) => {
    const text = readFileSync(join(directory, name), "utf8");
    return { name, text, content: workflow.parse(parse(text)) };
});
const setup = readFileSync(join(project, ".github/actions/setup/action.yml"), "utf8");

describe("workflows", () => {
    it("take actions of others by commit, with the version in a comment", () => {
        for (const { name, text } of [...workflows, { name: "setup", text: setup }]) {
            const uses = text.split("\n").filter((line) => /^\s*-?\s*uses:/.test(line));
            assert.notEqual(uses.length, 0, name);
            for (const line of uses) {
                assert.match(line, /uses: (\.\/[\w./-]+|[\w-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$/, name);
            }
        }
    });

    it("take each action at one version", () => {
        const pins = new Map<string, Set<string>>();
        for (const [, action = "", pin = ""] of [setup, ...workflows.map(({ text }) => text)]
            .join("\n")
            .matchAll(/uses: ([\w/-]+)@(.+)$/gm)) {
            pins.set(action, (pins.get(action) ?? new Set()).add(pin));
        }
        assert.deepEqual([...pins.keys()].sort(), ["actions/checkout", "actions/setup-node", "pulumi/actions"]);
        for (const [action, versions] of pins) {
            assert.equal(versions.size, 1, action);
        }
    });

    it("may read the code by default, and write only comments on pull requests", () => {
        for (const { name, content } of workflows) {
            assert.deepEqual(content.permissions, { contents: "read" }, name);
            for (const [title, { permissions }] of Object.entries(content.jobs)) {
                const expected = name === "preview.yml" && title === "preview";
                assert.deepEqual(
                    permissions,
                    expected ? { contents: "read", "pull-requests": "write" } : undefined,
                    `${name}: ${title}`,
                );
            }
        }
    });

    it("never run code of a fork with our secrets, and leave no token behind", () => {
        for (const { name, text, content } of workflows) {
            assert.doesNotMatch(text, /pull_request_target|workflow_run/, name);
            for (const { uses, with: inputs } of Object.values(content.jobs).flatMap((each) => each.steps ?? [])) {
                if (uses?.startsWith("actions/checkout@") === true) {
                    assert.equal(inputs?.["persist-credentials"], false, name);
                }
            }
        }
    });

    describe("the list of stacks", () => {
        let scratch: string;
        const list = (...stacks: string[]) => {
            rmSync(scratch, { recursive: true });
            mkdirSync(join(scratch, ".ci"), { recursive: true });
            cpSync(join(project, ".ci/stacks"), join(scratch, ".ci/stacks"));
            for (const stack of stacks) {
                writeFileSync(join(scratch, `Pulumi.${stack}.yaml`), "");
            }
            return execFileSync(join(scratch, ".ci/stacks"), { encoding: "utf8" }).trim().split("\n");
        };
        before(() => {
            scratch = mkdtempSync(join(tmpdir(), "harborage-stacks-"));
        });
        after(() => rmSync(scratch, { recursive: true }));

        it("holds those of the stack files, production last", () => {
            assert.deepEqual(list("prod", "staging", "prod-eu", "qa"), [
                'staging=["qa","staging"]',
                'production=["prod-eu","prod"]',
                'all=["qa","staging","prod-eu","prod"]',
            ]);
        });
        it("leaves out those of this machine and of the tests", () => {
            assert.deepEqual(list("dev", "test-1"), ["staging=[]", "production=[]", "all=[]"]);
        });
        it("may be empty", () => {
            assert.deepEqual(list(), ["staging=[]", "production=[]", "all=[]"]);
        });
    });
});
