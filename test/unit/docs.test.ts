import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "mocha";
import { parse } from "yaml";
import { renderClientTrust } from "../../config/clients";
import { outputsSchema } from "../../config/outputs";
import { parseStackFile } from "../../config/stack-file";
import { makePlan } from "../../config/plan";
import { fileWith } from "./support/stack-files";

const project = join(__dirname, "../..");
const pages = ["README.md", ...readdirSync(join(project, "docs")).map((name) => `docs/${name}`)].map((path) => ({
    path,
    text: readFileSync(join(project, path), "utf8"),
}));

/** The blocks of code of a page in a language. */
function blocks(text: string, language: string): string[] {
    return [...text.matchAll(/^( *)```(\w+)\n([^]*?)^ *```$/gm)]
        .filter(([, , name]) => name === language)
        .map(([, indent = "", , code = ""]) => code.replaceAll(new RegExp(`^${indent}`, "gm"), ""));
}

describe("documentation", () => {
    it("links to files that there are", () => {
        for (const { path, text } of pages) {
            for (const [, target = ""] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
                assert.ok(existsSync(join(project, dirname(path), target)), `${path}: ${target}`);
            }
        }
    });

    it("runs scripts that there are", () => {
        const { scripts } = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as { scripts: object };
        for (const { path, text } of pages) {
            for (const [, script = ""] of text.matchAll(/npm run (?:--silent )?([a-z]+)/g)) {
                assert.ok(script in scripts, `${path}: npm run ${script}`);
            }
        }
    });

    it("has commands that a shell can read, and YAML that can be read", () => {
        let count = 0;
        for (const { path, text } of pages) {
            for (const code of blocks(text, "sh")) {
                const { status, stderr } = spawnSync("bash", ["-n"], { input: code, encoding: "utf8" });
                assert.equal(status, 0, `${path}: ${stderr}\n${code}`);
                count += 1;
            }
            for (const code of blocks(text, "yaml")) {
                assert.ok(parse(code) !== null, path);
                count += 1;
            }
        }
        assert.ok(count > 15, String(count));
    });

    it("names settings in its YAML that the program takes", () => {
        for (const { path, text } of pages) {
            for (const code of blocks(text, "yaml").filter((each) => each.includes("harborage:"))) {
                const document = parse(code) as Record<string, unknown>;
                const config = (document["config"] ?? document) as Record<string, unknown>;
                const settings = Object.entries(config).map(([key, value]) => [key.replace(/^harborage:/, ""), value]);
                const names = new Set([...code.matchAll(/password: (\w+)/g)].map(([, name = ""]) => name));
                const all = Object.fromEntries(settings) as Record<string, unknown>;
                // A part of a stack file names the machine of the whole one.
                const machine = all["topology"] === undefined ? {} : { machines: all["machines"] };
                assert.doesNotThrow(
                    () => parseStackFile(fileWith({ ...machine, ...all }, [...names])),
                    `${path}:\n${code}`,
                );
            }
        }
    });

    it("names outputs and containers as they are", () => {
        const { nodes, loadBalancer } = makePlan("dev", parseStackFile(fileWith({})));
        const projects = [...nodes.map((node) => node.project), loadBalancer.project];
        let count = 0;
        for (const { path, text } of pages) {
            for (const [, name = ""] of text.matchAll(/stack output ([a-zA-Z]+)/g)) {
                assert.ok(name in outputsSchema.shape, `${path}: ${name}`);
                count += 1;
            }
            for (const [, container = ""] of text.matchAll(/\b(harborage-dev-[a-z-]+-1)\b/g)) {
                assert.ok(
                    projects.some((each) => container.startsWith(`${each}-`)),
                    `${path}: ${container}`,
                );
                count += 1;
            }
        }
        assert.ok(count >= 10, String(count));
    });

    it("tells of the files that clients read", () => {
        const clients = pages.find(({ path }) => path === "docs/clients.md")?.text ?? "";
        for (const { path } of renderClientTrust("HOST", "").filter(({ client }) => client !== "containerd")) {
            assert.ok(clients.includes(path), path);
        }
        assert.ok(clients.includes("/etc/containerd/certs.d/HOST/hosts.toml"));
    });
});
