import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { constants } from "node:os";
import * as path from "node:path";
import {
    DEFAULT_STACK,
    editsCommittedFile,
    runsProgram,
    takesConfigFile,
    usesPlugins,
    writesState,
    type Invocation,
} from "./arguments";
import { writeWhole } from "./cache";
import { ensureComposePlugin } from "./compose-plugin";
import { protectedLines } from "./deployment";
import { localEngine, officialEngine, type Engine } from "./engine";
import { exportState } from "./forget";
import { standInImages } from "./images/build";
import { keptLines } from "./kept";
import { COMMON_PLUGINS, MACHINE_PLUGINS, type PluginName } from "./pins";
import { Problem } from "./problem";
import { run } from "./processes";
import { harborageHome, readIfThere, readProject, type Project } from "./project";
import { generateStackFile, machineKinds, needsImages, ownSecrets } from "./stack-file";
import { LocalState } from "./state";
import { say } from "./steps";
import { summary, summaryOutputs } from "./summary";

/** Name of the file, in a stack's folder, that holds the CA. */
const CA_FILE = "ca.crt";

/** Does what a call of the launcher asks for; returns the exit code. */
export async function launch(invocation: Invocation): Promise<number> {
    const { stack, configFile } = invocation;
    if (stack === undefined) {
        return runPulumi(await localEngine([]), {}, withConfigFile(invocation, configFile));
    }
    if (invocation.local) {
        return launchLocal(invocation, stack);
    }
    const engine = await officialEngine(stack);
    const code = await runPulumi(engine, {}, withConfigFile(invocation, configFile));
    if (code === 0 && invocation.command === "up") {
        await printSummary(engine, {}, invocation, stack);
    }
    if (code === 0 && invocation.script === "destroy") {
        await printProtected(engine, {}, invocation);
    }
    return code;
}

async function launchLocal(invocation: Invocation, stack: string): Promise<number> {
    const project = readProject(invocation.project);
    const committed = committedFile(invocation, project, stack);
    const state = new LocalState(harborageHome(project), project.name, stack);
    state.prepare();
    state.recover();
    const plugins = usesPlugins(invocation) ? neededPlugins(committed, state) : [];
    const preparesMachine = runsProgram(invocation) && needsImages(committed.text, path.basename(committed.file));
    const [engine, images, compose] = await Promise.all([
        localEngine(plugins),
        preparesMachine ? standInImages() : undefined,
        preparesMachine ? ensureComposePlugin() : undefined,
    ]);
    const salt = await state.initialise(engine);
    if (invocation.command === "stack init") {
        say(`harborage: stack ${stack} is ready; its state is in ${state.directory}`);
        return 0;
    }
    const stackFile = generateStackFile({
        name: path.basename(committed.file),
        committed: committed.text,
        previous: readIfThere(state.stackFile) ?? "",
        salt,
        images: preparesMachine ? (images ?? "none") : "keep",
    });
    writeWhole(state.stackFile, stackFile, 0o600);
    if (writesState(invocation)) {
        await state.clearPendingOperations(engine);
    }
    if (plugins.length > 0) {
        const names = [...engine.standIns, images?.registry, images?.nginx, compose].filter(
            (name) => name !== undefined,
        );
        for (const name of names) {
            say(`stand-in: ${name}`);
        }
    }
    const file = editsCommittedFile(invocation, ownSecrets(committed.text, stackFile))
        ? committed.file
        : state.stackFile;
    const args = withConfigFile(invocation, file);
    if (invocation.command === "destroy") {
        return destroyLocal(engine, state, invocation, args);
    }
    const code = await runPulumi(engine, state.env, args);
    if (code === 0 && invocation.command === "up") {
        await printSummary(engine, state.env, invocation, stack, path.join(state.directory, CA_FILE));
    }
    return code;
}

/** Destroys a stack of this machine and lists what was kept on it. */
async function destroyLocal(
    engine: Engine,
    state: LocalState,
    invocation: Invocation,
    args: readonly string[],
): Promise<number> {
    const log = path.join(state.directory, "events.json");
    rmSync(log, { force: true });
    // Pulumi's Automation API reads events in the same way; without this variable the option is not there.
    const env = { ...state.env, PULUMI_DEBUG_COMMANDS: "true" };
    try {
        const code = await runPulumi(engine, env, beforeTerminator(args, "--event-log", log));
        const kept = keptLines(readIfThere(log) ?? "");
        if (kept.length > 0) {
            say(["", "Kept on the machines:", ...kept.map((line) => `  ${line}`)].join("\n"));
        }
        if (code === 0) {
            await printProtected(engine, state.env, invocation);
            rmSync(path.join(state.directory, CA_FILE), { force: true });
        }
        return code;
    } finally {
        rmSync(log, { force: true });
    }
}

/** Lists what a destroy has left because it is protected. */
async function printProtected(
    engine: Engine,
    env: Readonly<Record<string, string | undefined>>,
    { stack = "", project }: Invocation,
): Promise<void> {
    const lines = protectedLines(await exportState(engine, env, stack, project), stack);
    if (lines.length > 0) {
        say(["", "Kept, because it is protected:", ...lines.map((line) => `  ${line}`)].join("\n"));
    }
}

/** Says where the registry is, when the stack is one; writes its CA to a file where that is wanted. */
async function printSummary(
    engine: Engine,
    env: Readonly<Record<string, string | undefined>>,
    invocation: Invocation,
    stack: string,
    caFile?: string,
): Promise<void> {
    const args = ["stack", "output", "--json", "--non-interactive", "--stack", stack, "--cwd", invocation.project];
    const outputs = summaryOutputs(await run(engine.cli, args, { env: { ...process.env, ...engine.env, ...env } }));
    if (outputs === undefined) {
        return;
    }
    if (caFile !== undefined) {
        writeWhole(caFile, outputs.caCertificate, 0o644);
    }
    const context = { stack, isDefault: stack === DEFAULT_STACK };
    process.stdout.write(summary(outputs, caFile === undefined ? context : { ...context, caFile }));
}

/** The plugins for what the stack file names, and for what the stack still has from an earlier one. */
function neededPlugins({ file, text }: CommittedFile, state: LocalState): readonly PluginName[] {
    const called = new Set([...machineKinds(text, path.basename(file)), ...state.plugins]);
    return [...COMMON_PLUGINS, ...MACHINE_PLUGINS.filter((name) => called.has(name))];
}

interface CommittedFile {
    readonly file: string;
    readonly text: string;
}

/** The stack file that is kept in the project; the tests' stacks may do without one. */
function committedFile(invocation: Invocation, project: Project, stack: string): CommittedFile {
    const file = invocation.configFile ?? path.join(project.directory, `Pulumi.${stack}.yaml`);
    const text = readIfThere(file);
    if (text === undefined && invocation.configFile !== undefined) {
        throw new Problem(`there is no stack file ${file}`);
    }
    return { file, text: text ?? "" };
}

function withConfigFile(invocation: Invocation, file: string | undefined): readonly string[] {
    if (file === undefined || !takesConfigFile(invocation)) {
        return invocation.pulumiArguments;
    }
    return beforeTerminator(invocation.pulumiArguments, "--config-file", file);
}

/** Adds options before a `--`, behind which they would be taken for words. */
function beforeTerminator(args: readonly string[], ...options: readonly string[]): readonly string[] {
    const terminator = args.indexOf("--");
    return args.toSpliced(terminator === -1 ? args.length : terminator, 0, ...options);
}

/** Runs the CLI in the foreground, with this process's terminal. */
function runPulumi(
    engine: Engine,
    env: Readonly<Record<string, string | undefined>>,
    args: readonly string[],
): Promise<number> {
    return new Promise((resolve, reject) => {
        const child = spawn(engine.cli, args, { stdio: "inherit", env: { ...process.env, ...engine.env, ...env } });
        // Ctrl-C reaches Pulumi too, which ends in an orderly way: it must be waited for.
        process.on("SIGINT", () => undefined);
        process.on("SIGTERM", () => child.kill("SIGINT"));
        child.once("error", (error) => reject(new Problem(`cannot start ${engine.cli}: ${error.message}`)));
        child.once("close", (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? "SIGKILL"]));
    });
}
