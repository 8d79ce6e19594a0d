import { writeFileSync } from "node:fs";
import { goldenPath, renderGolden } from "./golden";
import { runProgram, settingsOf } from "./program";

/** Writes the graphs that the program declares now: `npm run golden`. */
async function main(): Promise<void> {
    for (const stack of ["dev"]) {
        const run = await runProgram({ stack, settings: settingsOf(`Pulumi.${stack}.yaml`) });
        writeFileSync(goldenPath(stack), await renderGolden(run));
        console.log(`wrote ${goldenPath(stack)}`);
    }
}

main().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
});
