import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { isLocalStack, type ForgetInvocation } from "./arguments";
import { forgetMachine, machineNames, type Exported } from "./deployment";
import { localEngine, officialEngine, type Engine } from "./engine";
import { Problem } from "./problem";
import { run } from "./processes";
import { harborageHome, readProject } from "./project";
import { LocalState } from "./state";
import { say } from "./steps";

type Environment = Readonly<Record<string, string | undefined>>;

/** A stack's state as Pulumi exports it; secrets stay encrypted. */
export async function exportState(engine: Engine, env: Environment, stack: string, project: string): Promise<Exported> {
    const args = ["stack", "export", "--non-interactive", "--stack", stack, "--cwd", project];
    return JSON.parse(await run(engine.cli, args, { env: { ...process.env, ...engine.env, ...env } })) as Exported;
}

/**
 * Takes a machine that is lost out of a stack's state, so that `up` and `destroy` do not wait for it.
 *
 * @throws Problem when the stack has no such machine
 */
export async function forget({ machine, stack, project }: ForgetInvocation): Promise<number> {
    const local = isLocalStack(stack);
    const engine = local ? await localEngine([]) : await officialEngine(stack);
    const { name, directory } = readProject(project);
    const env = local ? new LocalState(harborageHome({ name, directory }), name, stack).env : {};
    const before = await exportState(engine, env, stack, project);
    const { exported, forgotten } = forgetMachine(before, machine);
    if (forgotten.length === 0) {
        const names = machineNames(before).join(", ");
        throw new Problem(
            `stack ${stack} has done nothing on a machine ${machine}; its machines are: ${names || "none"}`,
        );
    }
    const scratch = mkdtempSync(path.join(tmpdir(), "harborage-"));
    try {
        const file = path.join(scratch, "state.json");
        writeFileSync(file, JSON.stringify(exported), { mode: 0o600 });
        const args = ["stack", "import", "--file", file, "--non-interactive", "--stack", stack, "--cwd", project];
        await run(engine.cli, args, { env: { ...process.env, ...engine.env, ...env } });
    } finally {
        rmSync(scratch, { recursive: true, force: true });
    }
    say(
        [
            `harborage: forgotten, as done on the machine ${machine}: ${forgotten.join(", ")}`,
            "The next up does it again, on whatever machine the stack file names by then. What is left on the lost one is no longer known.",
        ].join("\n"),
    );
    return 0;
}
