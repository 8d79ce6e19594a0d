import { existsSync, linkSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import { stringify } from "yaml";
import { filesBelow } from "./cache";
import type { Engine } from "./engine";
import { isLocked, releaseDeadLocks } from "./locks";
import { Problem } from "./problem";
import { run } from "./processes";
import { readIfThere } from "./project";
import { say } from "./steps";

/** A stack whose state is kept in a folder of this machine: $HARBORAGE_HOME/<stack>/. */
export class LocalState {
    /** The stack's folder. */
    readonly directory: string;
    readonly #project: string;
    readonly #stack: string;

    /**
     * @param home    $HARBORAGE_HOME
     * @param project name in Pulumi.yaml
     * @param stack   name of the stack
     */
    constructor(home: string, project: string, stack: string) {
        this.directory = path.join(home, stack);
        this.#project = project;
        this.#stack = stack;
    }

    /** The stack file that is generated for this machine. */
    get stackFile(): string {
        return path.join(this.directory, `Pulumi.${this.#stack}.yaml`);
    }

    get #passphrase(): string {
        return path.join(this.directory, "passphrase");
    }

    get #locks(): string {
        return path.join(this.directory, ".pulumi", "locks", "organization", this.#project, this.#stack);
    }

    get #checkpoint(): string {
        return path.join(this.directory, ".pulumi", "stacks", this.#project, `${this.#stack}.json`);
    }

    /** Environment of the CLI for this stack. */
    get env(): Record<string, string | undefined> {
        return {
            PULUMI_BACKEND_URL: pathToFileURL(this.directory).href,
            PULUMI_CONFIG_PASSPHRASE_FILE: this.#passphrase,
            // Would be preferred to the file.
            PULUMI_CONFIG_PASSPHRASE: undefined,
            // Other formats and places of the state than the one that is read here.
            PULUMI_DIY_BACKEND_GZIP: undefined,
            PULUMI_STACK: undefined,
        };
    }

    /** Makes the folder and its passphrase when they are not there. */
    prepare(): void {
        try {
            mkdirSync(this.directory, { recursive: true, mode: 0o700 });
            this.#makePassphrase();
        } catch (error) {
            if (error instanceof Problem) {
                throw error;
            }
            throw new Problem(
                `cannot keep the state of stack ${this.#stack} in ${this.directory}: ${messageOf(error)}\n` +
                    "Make that folder writable, or name another one in HARBORAGE_HOME.",
            );
        }
    }

    /** Puts right what a killed run has left: locks of dead processes, files of the state that were cut short. */
    recover(): void {
        for (const line of releaseDeadLocks(this.#locks)) {
            say(`harborage: ${line}`);
        }
        this.#dropBrokenAttributes();
        if (existsSync(this.#checkpoint) && readCheckpoint(this.#checkpoint) === undefined) {
            const backup = `${this.#checkpoint}.bak`;
            if (readCheckpoint(backup) === undefined) {
                throw new Problem(
                    `the state file ${this.#checkpoint} cannot be read, and neither can its backup ${backup}`,
                );
            }
            renameSync(this.#checkpoint, `${this.#checkpoint}.broken`);
            writeFileSync(this.#checkpoint, readFileSync(backup), { mode: 0o600 });
            say("harborage: the state file was cut short; its backup has taken its place");
        }
    }

    /** Names of the plugins that the stack's resources were made with. */
    get plugins(): readonly string[] {
        return readCheckpoint(this.#checkpoint)?.plugins ?? [];
    }

    /**
     * Makes sure that Pulumi knows the stack.
     *
     * @returns the salt that goes with the passphrase, as far as the state holds it
     */
    async initialise(engine: Engine): Promise<string | undefined> {
        if (existsSync(this.#checkpoint)) {
            return readCheckpoint(this.#checkpoint)?.salt;
        }
        // `stack init` writes the salt into the stack file of the project it runs in: that must not be the committed one.
        const scratch = mkdtempSync(path.join(tmpdir(), "harborage-"));
        try {
            writeFileSync(path.join(scratch, "Pulumi.yaml"), stringify({ name: this.#project, runtime: "nodejs" }));
            await run(
                engine.cli,
                ["stack", "init", this.#stack, "--no-select", "--non-interactive", "--cwd", scratch],
                {
                    env: { ...process.env, ...engine.env, ...this.env },
                },
            );
        } finally {
            rmSync(scratch, { recursive: true, force: true });
        }
        return readCheckpoint(this.#checkpoint)?.salt;
    }

    /**
     * Forgets operations that a killed run has left half done. What was being created is created anew: the scripts of
     * this program may run twice. Pulumi would go on warning of them, and never clears creations by itself.
     */
    async clearPendingOperations(engine: Engine): Promise<void> {
        const pending = readCheckpoint(this.#checkpoint)?.pending ?? [];
        // Under a lock these are the operations of a run that is at work now; Pulumi will say so.
        if (pending.length === 0 || isLocked(this.#locks)) {
            return;
        }
        const env = { ...process.env, ...engine.env, ...this.env };
        // The full name needs no project around it.
        const stack = ["--stack", `organization/${this.#project}/${this.#stack}`, "--non-interactive"];
        const exported = path.join(this.directory, "export.json");
        try {
            // `stack import` drops the pending operations of what it reads.
            await run(engine.cli, ["stack", "export", "--file", exported, ...stack], { env });
            await run(engine.cli, ["stack", "import", "--file", exported, ...stack], { env });
        } finally {
            rmSync(exported, { force: true });
        }
        say(`harborage: an earlier run was cut short during: ${pending.join(", ")}; that is done anew`);
    }

    /**
     * Beside each file of the state Pulumi keeps its attributes in another one, which it does not write in one step: it
     * refuses a file whose attributes were cut short, and reads one that has none.
     */
    #dropBrokenAttributes(): void {
        const state = path.join(this.directory, ".pulumi");
        if (!existsSync(state)) {
            return;
        }
        for (const file of filesBelow(state, (name) => name.endsWith(".attrs"))) {
            if (!isJson(readIfThere(file) ?? "")) {
                rmSync(file, { force: true });
            }
        }
    }

    #makePassphrase(): void {
        if (existsSync(this.#passphrase)) {
            return;
        }
        if (existsSync(this.#checkpoint)) {
            throw new Problem(
                `the state of stack ${this.#stack} cannot be decrypted: its passphrase file ${this.#passphrase} is gone.\n` +
                    `Put the file back. If it is lost, remove what the stack has made by hand, then ${this.directory}.`,
            );
        }
        const fresh = `${this.#passphrase}.${process.pid}.new`;
        writeFileSync(fresh, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600 });
        try {
            // Unlike a rename, a link does not replace what another run may have made meanwhile.
            linkSync(fresh, this.#passphrase);
        } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
                throw error;
            }
        } finally {
            rmSync(fresh, { force: true });
        }
    }
}

interface Checkpoint {
    readonly salt: string | undefined;
    /** Names of resources with an operation that has not been finished, each with what it was. */
    readonly pending: readonly string[];
    /** Names of the plugins of all providers, each once. */
    readonly plugins: readonly string[];
}

/** The type of a provider is this and the name of its plugin. */
const PROVIDER = "pulumi:providers:";

/** The parts of a state file (Pulumi's checkpoint, version 3) that matter here; undefined when it cannot be read. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
    interface Latest {
        readonly secrets_providers?: { readonly state?: { readonly salt?: string } };
        readonly resources?: readonly { readonly type: string }[];
        readonly pending_operations?: readonly { readonly type: string; readonly resource: { readonly urn: string } }[];
    }
    try {
        const { checkpoint } = JSON.parse(text) as { checkpoint?: { latest?: Latest } };
        if (checkpoint === undefined) {
            return undefined;
        }
        const types = (checkpoint.latest?.resources ?? []).map(({ type }) => type);
        const providers = types.filter((type) => type.startsWith(PROVIDER));
        return {
            salt: checkpoint.latest?.secrets_providers?.state?.salt,
            pending: (checkpoint.latest?.pending_operations ?? []).map(
                ({ type, resource }) => `${type} ${resource.urn.split("::").at(-1) ?? resource.urn}`,
            ),
            plugins: [...new Set(providers.map((type) => type.slice(PROVIDER.length)))],
        };
    } catch {
        return undefined;
    }
}

function readCheckpoint(file: string): Checkpoint | undefined {
    return existsSync(file) ? parseCheckpoint(readFileSync(file, "utf8")) : undefined;
}

function isJson(text: string): boolean {
    try {
        JSON.parse(text);
        return true;
    } catch {
        return false;
    }
}

function messageOf(error: unknown): string {
    return error instanceof Error ? error.message : String(error);
}
