import { spawn } from "node:child_process";
import { constants } from "node:os";
import * as path from "node:path";
import {
    editsCommittedFile,
    runsProgram,
    takesConfigFile,
    usesPlugins,
    writesState,
    type Invocation,
} from "./arguments";
import { writeWhole } from "./cache";
import { localEngine, officialEngine, type Engine } from "./engine";
import { Problem } from "./problem";
import { harborageHome, readIfThere, readProject, type Project } from "./project";
import { generateStackFile } from "./stack-file";
import { LocalState } from "./state";
import { say } from "./steps";

/** Does what a call of the launcher asks for; returns the exit code. */
export async function launch(invocation: Invocation): Promise<number> {
    if (invocation.stack === undefined) {
        return runPulumi(await localEngine(false), {}, withConfigFile(invocation, invocation.configFile));
    }
    if (!invocation.local) {
        const engine = await officialEngine(invocation.stack);
        return runPulumi(engine, {}, withConfigFile(invocation, invocation.configFile));
    }
    return launchLocal(invocation, invocation.stack);
}

async function launchLocal(invocation: Invocation, stack: string): Promise<number> {
    const project = readProject(invocation.project);
    const state = new LocalState(harborageHome(project), project.name, stack);
    state.prepare();
    state.recover();
    const engine = await localEngine(usesPlugins(invocation));
    const salt = await state.initialise(engine);
    if (invocation.command === "stack init") {
        say(`harborage: stack ${stack} is ready; its state is in ${state.directory}`);
        return 0;
    }
    const committed = committedFile(invocation, project, stack);
    const stackFile = generateStackFile({
        name: path.basename(committed.file),
        committed: committed.text,
        previous: readIfThere(state.stackFile) ?? "",
        salt,
        images: "keep",
    });
    writeWhole(state.stackFile, stackFile, 0o600);
    if (writesState(invocation)) {
        await state.clearPendingOperations(engine);
    }
    if (usesPlugins(invocation)) {
        for (const name of engine.standIns) {
            say(`stand-in: ${name}`);
        }
    }
    const file = editsCommittedFile(invocation) ? committed.file : state.stackFile;
    return runPulumi(engine, state.env, withConfigFile(invocation, file));
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
    const [...args] = invocation.pulumiArguments;
    const terminator = args.indexOf("--");
    args.splice(terminator === -1 ? args.length : terminator, 0, "--config-file", file);
    return args;
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
