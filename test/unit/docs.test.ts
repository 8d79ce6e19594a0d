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
import { secretReferences } from "../../config/secrets";
import { fileWith, minimal } from "./support/stack-files";

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

type Settings = Readonly<Record<string, unknown>> & { readonly machines?: object };

/** The settings of a stack file, or of a part of one, without `harborage:` before their names. */
function settingsOf(yaml: string): Settings {
    const document = parse(yaml) as Settings;
    const config = (document["config"] ?? document) as Settings;
    return Object.fromEntries(Object.entries(config).map(([key, value]) => [key.replace(/^harborage:/, ""), value]));
}

/** What a page's parts of stack files are parts of: the whole one that it begins with, or the one that it is about. */
function wholeFile(path: string, stackFiles: readonly string[]): Settings {
    if (path === "docs/openstack.md") {
        return settingsOf(readFileSync(join(project, "Pulumi.staging.yaml"), "utf8"));
    }
    return ["docs/existing.md", "docs/harbor.md", "docs/storage.md"].includes(path)
        ? settingsOf(stackFiles[0] ?? "")
        : minimal;
}

/** One of these passes for whatever a secret must be: a private key, a password, Harbor's key. */
const secretTexts = ["-----BEGIN PRIVATE KEY-----\nAAAA\n", "Abcdefgh12345678"];

/** The places in a page that links may name, as GitHub makes them from its headings. */
function anchors(text: string): string[] {
    return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
        heading
            .toLowerCase()
            .replaceAll(/[^\w\- ]/g, "")
            .replaceAll(" ", "-"),
    );
}

/** Words that a page sets in code, outside of blocks. */
function codeWords(text: string): string[] {
    const prose = text.replaceAll(/^( *)```[^]*?^ *```$/gm, "");
    return [...prose.matchAll(/`([^`\n]+)`/g)].map(([, word = ""]) => word);
}

/** The keys of docs/configuration.md, with those of the lists and mappings around them. */
function settingNames(): Set<string> {
    const reference = pages.find(({ path }) => path === "docs/configuration.md")?.text ?? "";
    const rows = [...reference.matchAll(/^\| `([^`]+)` +\|/gm)].map(([, key = ""]) => key);
    return new Set(rows);
}

/** Everything that decides what is done on machines, as one text. */
function sources(folder: string): string {
    return readdirSync(join(project, folder), { recursive: true, encoding: "utf8" })
        .filter((name) => /\.(?:ts|sh)$/.test(name))
        .map((name) => readFileSync(join(project, folder, name), "utf8"))
        .join("\n");
}

describe("documentation", () => {
    it("links to files that there are", () => {
        for (const { path, text } of pages) {
            for (const [, target = "", anchor] of text.matchAll(/\]\(([^)#:]*)(?:#([^)]*))?\)/g)) {
                const file = join(project, target === "" ? path : join(dirname(path), target));
                assert.ok(existsSync(file), `${path}: ${target}`);
                assert.ok(
                    anchor === undefined || anchors(readFileSync(file, "utf8")).includes(anchor),
                    `${path}: #${String(anchor)}`,
                );
            }
        }
    });

    it("runs scripts that there are", () => {
        const { scripts } = JSON.parse(readFileSync(join(project, "package.json"), "utf8")) as { scripts: object };
        for (const { path, text } of pages) {
            for (const [, script = ""] of text.matchAll(/npm run (?:--silent )?([a-z:]*[a-z])/g)) {
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
        let count = 0;
        for (const { path, text } of pages) {
            const stackFiles = blocks(text, "yaml").filter((code) => code.includes("harborage:"));
            const whole = wholeFile(path, stackFiles);
            for (const code of stackFiles) {
                const part = settingsOf(code);
                const settings: Settings = {
                    ...whole,
                    ...part,
                    machines: { ...(part["topology"] === undefined ? whole.machines : {}), ...part.machines },
                };
                const file = fileWith(
                    settings,
                    secretReferences(settings).map(({ name }) => name),
                );
                const values = Object.fromEntries(
                    secretReferences(settings).map(({ name, mistake }) => [
                        name,
                        secretTexts.find((value) => mistake(value) === undefined) ?? "",
                    ]),
                );
                assert.doesNotThrow(
                    () => parseStackFile({ ...file, values: { ...file.values, ...values } }),
                    `${path}:\n${code}`,
                );
                count += 1;
            }
        }
        assert.ok(count >= 10, String(count));
    });

    it("names settings in its text that there are", () => {
        const names = settingNames();
        const sections = new Set([...names].map((name) => name.split(".")[0] ?? ""));
        const words = new Set([...names].flatMap((name) => name.split(".").map((word) => word.replace("[]", ""))));
        let count = 0;
        // The reference itself is made from the schema.
        for (const { path, text } of pages.filter((page) => page.path !== "docs/configuration.md")) {
            for (const word of codeWords(text).filter((each) => !each.includes("example"))) {
                const [section = ""] = word.split(".");
                if (/^[a-zA-Z]+(?:\.[a-zA-Z[\]]+)+$/.test(word) && sections.has(section)) {
                    // A machine by its name in the example.
                    const key = word.replace(/^machines\.[a-z]+/, "machines.NAME");
                    assert.ok(key === "machines.NAME" || names.has(key), `${path}: ${word}`);
                    count += 1;
                } else if (/^[a-z]+[A-Z]\w*$/.test(word)) {
                    assert.ok(words.has(word) || word in outputsSchema.shape, `${path}: ${word}`);
                    count += 1;
                }
            }
        }
        assert.ok(count > 80, String(count));
    });

    it("names files and messages of machines as the program has them", () => {
        const text = [sources("components"), sources("config")].join("\n");
        let count = 0;
        for (const page of pages.filter(({ path }) => ["docs/openstack.md", "docs/existing.md"].includes(path))) {
            for (const word of codeWords(page.text).filter((each) => /^\/(?:etc|usr)\//.test(each))) {
                // NAME and names of the example stand behind what the program has.
                const [, fixed = ""] = /^(.*?)(?:NAME.*|\/|\/ops)?$/.exec(word) ?? [];
                // Beside another file: scripts put its folder in front.
                const beside = `%s/${fixed.split("/").at(-1) ?? ""}`;
                assert.ok(text.includes(fixed) || text.includes(beside), `${page.path}: ${word}`);
                count += 1;
            }
            const [, errors = ""] = page.text.split("\n## Errors\n");
            for (const [, cell = ""] of errors.matchAll(/^\| (`[^|]+) \|/gm)) {
                for (const message of codeWords(cell)) {
                    assert.ok(text.includes(message), `${page.path}: ${message}`);
                    count += 1;
                }
            }
        }
        assert.ok(count > 40, String(count));
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
