import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { attempt, run, until, type Ran, type RunOptions } from "./processes";

const scripts = resolve(__dirname, "../../components/machines/scripts");

/** What every kind of test machine does in the same way, given what runs a program on it. */
export abstract class TestMachine {
    /** The program that runs another one on the machine, with its arguments. */
    protected abstract enter(): readonly string[];

    /** Runs a program on it as root; its exit code is for the caller to judge. */
    attempt(command: string, args: readonly string[] = [], options?: RunOptions): Promise<Ran> {
        const [program = "", ...words] = [...this.enter(), command, ...args];
        return attempt(program, words, options);
    }

    /** As {@link attempt}, of a program that has to succeed; gives its standard output without the last line end. */
    run(command: string, args: readonly string[] = [], options?: RunOptions): Promise<string> {
        const [program = "", ...words] = [...this.enter(), command, ...args];
        return run(program, words, options);
    }

    /** Runs a bash script on it that ends at the first failure; gives its standard output. */
    script(...lines: readonly string[]): Promise<string> {
        return this.run("bash", ["-euo", "pipefail", "-c", lines.join("\n")]);
    }

    /** Lines that `docker` writes on the machine. */
    async docker(...args: readonly string[]): Promise<string[]> {
        return (await this.run("docker", args)).split("\n").filter((line) => line !== "");
    }

    /** Starts Docker in the way that `up` does. */
    async startDocker(): Promise<void> {
        const script = ["lib.sh", "baseline.sh"].map((name) => readFileSync(join(scripts, name), "utf8"));
        await this.run("bash", ["-s"], { input: [...script, "ensure_docker"].join("\n") });
    }

    /** Ends Docker, as a service manager does, with every container. */
    async stopDocker(): Promise<void> {
        await this.script("kill $(cat /run/docker.pid)");
        await until("Docker has ended", 60, async () => (await this.attempt("pgrep", ["-x", "dockerd"])).code !== 0);
    }
}

/** The process that `unshare --fork` has started, as this machine numbers it: the first one of its namespace. */
export function firstProcess(unshare: number): number | undefined {
    return Number(readFileSync(`/proc/${unshare}/task/${unshare}/children`, "utf8")) || undefined;
}
