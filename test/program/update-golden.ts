import { writeFileSync } from "node:fs";
import { goldenPath, goldenStacks, renderGolden } from "./golden";
import { runProgram, settingsOf } from "./program";

/** Writes the graphs that the program declares now: `npm run golden`. */
async function main(): Promise<void> {
    for (const stack of goldenStacks) {
        const run = await runProgram({ stack, settings: settingsOf(`Pulumi.${stack}.yaml`) });
        if (run.error !== undefined) {
            throw new Error(`${stack}: ${run.error.message}`);
        }
        writeFileSync(goldenPath(stack), await renderGolden(run));
        console.log(`wrote ${goldenPath(stack)}`);
    }
}

main().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
});
