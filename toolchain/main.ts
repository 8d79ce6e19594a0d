/**
 * The launcher behind `npm run pulumi | up | preview | destroy`: finds or makes Pulumi and what it needs, keeps the state
 * of the stacks of this machine, and runs Pulumi.
 *
 * usage: main.ts pulumi|up|preview|destroy [ARGUMENT...]
 *        main.ts forget --machine NAME [--stack STACK]
 */
import { SCRIPTS, readArguments, readForgetArguments, type Script } from "./arguments";
import { forget } from "./forget";
import { launch } from "./launch";
import { Problem } from "./problem";
import { say } from "./steps";

async function main(): Promise<number> {
    const [script, ...given] = process.argv.slice(2);
    if (script === "forget") {
        return forget(readForgetArguments(given, process.cwd(), process.env["PULUMI_STACK"]));
    }
    if (!isScript(script)) {
        throw new Problem(`usage: npm run ${[...SCRIPTS, "forget"].join(" | ")} [-- ARGUMENT...]`);
    }
    return launch(readArguments(script, given, process.cwd(), process.env["PULUMI_STACK"]));
}

function isScript(word: string | undefined): word is Script {
    return SCRIPTS.some((script) => script === word);
}

/** A full disk or a folder that may not be written is no mistake of the launcher's: its message says it all. */
function describe(error: unknown): string {
    const isSystemError = error instanceof Error && "syscall" in error && "code" in error;
    if (error instanceof Problem || isSystemError) {
        return `harborage: ${error.message}`;
    }
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

main().then(
    (code) => {
        process.exitCode = code;
    },
    (error: unknown) => {
        say(describe(error));
        process.exit(1);
    },
);
