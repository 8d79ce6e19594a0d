import { resolve } from "node:path";
import { attempt, run } from "./processes";

/** Sees to it that Docker answers, in the way that `up` does: for tests that look at it before their first `up`. */
export async function ensureDocker(): Promise<void> {
    const answers = await attempt("docker", ["info"]).catch(() => undefined);
    if (answers?.code !== 0) {
        const scripts = resolve(__dirname, "../../components/machines/scripts");
        await run("bash", ["-c", `. ${scripts}/lib.sh && . ${scripts}/baseline.sh && ensure_docker`]);
    }
}

/** Runs `docker`, which has to succeed; gives its standard output. */
export function docker(...args: readonly string[]): Promise<string> {
    return run("docker", args);
}

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

/** Names of a stack's containers, running or not. */
export async function containersOf(stack: string): Promise<string[]> {
    return lines(await docker("ps", "--all", "--filter", `label=harborage.stack=${stack}`, "--format", "{{.Names}}"));
}

/** Names of a stack's networks. */
export async function networksOf(stack: string): Promise<string[]> {
    return lines(await docker("network", "ls", "--filter", `name=^harborage-${stack}-`, "--format", "{{.Name}}"));
}

/** The name of a service's container: `registry` and `collector` of role `registry`, `nginx` of role `lb`. */
export function containerName(stack: string, role: "registry" | "lb", service: string): string {
    return `harborage-${stack}-${role}-${service}-1`;
}

/** What says that a container is still the one that it was, and has not been restarted. */
export interface Life {
    readonly id: string;
    readonly startedAt: string;
    readonly pid: number;
    readonly health: string;
}

/** As the Docker API has it; health only where the service has a check. */
interface State {
    readonly StartedAt: string;
    readonly Pid: number;
    readonly Health?: { readonly Status: string };
}

export async function lifeOf(container: string): Promise<Life> {
    const [id, state] = (await docker("inspect", "--format", "{{.Id}} {{json .State}}", container)).split(/ (.*)/s);
    const { StartedAt, Pid, Health } = JSON.parse(state ?? "") as State;
    return { id: id ?? "", startedAt: StartedAt, pid: Pid, health: Health?.Status ?? "none" };
}

/** Takes away a stack's containers and networks, without asking the stack. */
export async function removeContainersOf(stack: string): Promise<void> {
    for (const container of await containersOf(stack).catch(() => [])) {
        await attempt("docker", ["rm", "--force", "--volumes", container]);
    }
    for (const network of await networksOf(stack).catch(() => [])) {
        await attempt("docker", ["network", "rm", network]);
    }
}

/** Takes away what a test run that was killed has left of the stacks `test-WORD-PID`. */
export async function removeLeftovers(word: string): Promise<void> {
    const { code, stdout } = await attempt("docker", ["ps", "--all", "--format", '{{.Label "harborage.stack"}}']);
    const stacks = code === 0 ? new Set(lines(stdout)) : [];
    for (const stack of stacks) {
        const [, of, pid] = /^test-(.+)-([0-9]+)$/.exec(stack) ?? [];
        if (of === word && !isAlive(Number(pid))) {
            await removeContainersOf(stack);
        }
    }
}

function isAlive(pid: number): boolean {
    try {
        process.kill(pid, 0);
        return true;
    } catch (error) {
        return (error as NodeJS.ErrnoException).code === "EPERM";
    }
}
