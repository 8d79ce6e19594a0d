import eslint from "@eslint/js";
import pulumi from "@pulumi/eslint-plugin";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

// Pulumi's packages that declare resources; `@pulumi/pulumi` itself is not among them.
const resourcePackages = ["command", "tls", "random", "aws", "openstack", "docker"].flatMap((name) => [
    `@pulumi/${name}`,
    `@pulumi/${name}/**`,
]);
const commandPackage = ["@pulumi/command", "@pulumi/command/**"];
const pulumiSdk = ["@pulumi/pulumi", "@pulumi/pulumi/**"];
const nodeIo = ["fs", "fs/**", "child_process", "net", "http", "https", "os", "dns", "tls", "worker_threads"].flatMap(
    (name) => [name, `node:${name}`],
);

/** One boundary between folders, as an option of no-restricted-imports. */
const forbid = (group, message) => ({ group, message });
const imports = (...patterns) => ({ "@typescript-eslint/no-restricted-imports": ["error", { patterns }] });

const configIsPure = forbid(resourcePackages, "config/ describes the stack; resources are declared in components/.");
const configHasNoSdk = forbid(pulumiSdk, "In config/ only load.ts and outputs.ts know Pulumi.");
const commandsStayOnMachines = forbid(commandPackage, "Only components/machines runs commands on machines.");
const rendererIsPure = forbid(
    ["@pulumi/**", ...nodeIo],
    "A renderer is a pure function from typed values to text: no Pulumi, no Node I/O.",
);
const providerStandsAlone = forbid(
    ["**/components/**", "**/config/**", "**/toolchain/**", "**/test/**"],
    "provider/ is a program of its own, which Pulumi's engine starts.",
);
const harborApiIsPulumiOnly = {
    regex: "^(?!@pulumi/pulumi$|\\./)",
    message: "components/harbor-api has the classes for provider/, and imports Pulumi alone.",
};
const noOperatingSystem = forbid(
    ["os", "node:os", "process", "node:process"],
    "Facts about this machine come from components/machines/local.ts.",
);

const ofTheStackFileOnly = {
    "no-restricted-properties": [
        "error",
        { object: "process", property: "env", message: "The stack file configures the program, not the environment." },
    ],
    "no-restricted-syntax": [
        "error",
        { selector: "ImportExpression", message: "Imports stand at the top, where the boundaries are checked." },
    ],
};

export default defineConfig(
    globalIgnores(["node_modules/", ".harborage/", "coverage/"]),
    eslint.configs.recommended,
    { linterOptions: { reportUnusedDisableDirectives: "error", reportUnusedInlineConfigs: "error" } },
    {
        files: ["**/*.ts"],
        extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
        languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
        plugins: { "@pulumi": pulumi },
        rules: {
            // Offers `pulumi.interpolate` where strict types would only refuse the Output.
            "@pulumi/no-output-in-template-literal": "error",
            // A number in a message is as clear as text; objects and Outputs are still refused.
            "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
            // An empty string often means "not given", which `??` would let through.
            "@typescript-eslint/prefer-nullish-coalescing": ["error", { ignorePrimitives: { string: true } }],
            // `inputs["length"]` says that a key comes from outside, `inputs.length` that the type knows it.
            "@typescript-eslint/dot-notation": ["error", { allowIndexSignaturePropertyAccess: true }],
            "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
            "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
            "@typescript-eslint/consistent-type-imports": "error",
        },
    },
    {
        files: ["**/*.cjs", "**/*.mjs"],
        languageOptions: {
            globals: Object.fromEntries(["require", "process", "performance"].map((name) => [name, "readonly"])),
        },
    },

    // The boundaries between folders. A later block replaces an earlier one, so each names all of its rules.
    { files: ["index.ts", "components/**/*.ts"], rules: imports(commandsStayOnMachines, noOperatingSystem) },
    { files: ["index.ts", "components/**/*.ts", "config/**/*.ts"], rules: ofTheStackFileOnly },
    { files: ["components/machines/**/*.ts"], rules: imports(noOperatingSystem) },
    { files: ["components/machines/local.ts"], rules: { ...imports(), "no-restricted-properties": "off" } },
    // The command plugin finds the SSH agent by a variable too; ssh2 costs a start that does not need it 16 ms.
    {
        files: ["components/machines/reach.ts"],
        rules: { "no-restricted-properties": "off", "no-restricted-syntax": "off" },
    },
    { files: ["components/**/render*.ts"], rules: imports(rendererIsPure) },
    { files: ["components/harbor-api/**/*.ts"], rules: imports(harborApiIsPulumiOnly) },
    {
        files: ["provider/**/*.ts"],
        rules: imports(providerStandsAlone, forbid(resourcePackages, "provider/ makes resources and uses none.")),
    },
    { files: ["config/**/*.ts"], rules: imports(configIsPure, configHasNoSdk, noOperatingSystem) },
    {
        files: ["config/load.ts", "config/outputs.ts"],
        rules: imports(configIsPure, noOperatingSystem),
    },
    // Which keys are secret stands in a variable that the engine sets, and nowhere else.
    { files: ["config/load.ts"], rules: { "no-restricted-properties": "off" } },
);
