import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { Problem } from "./problem";

/**
 * Bundles a TypeScript program with all that it imports into one file, and puts a small shell script beside it that runs
 * it with the `node` on PATH: what is in the cache must outlive the clone that it was made from.
 *
 * @param entry      the program's source
 * @param executable path of the shell script; the bundle gets the same name with `.js`
 * @param defines    identifiers to replace by string constants
 */
export async function bundle(
    entry: string,
    executable: string,
    defines: Readonly<Record<string, string>>,
): Promise<void> {
    // Loaded here and not at the top: a run that finds everything in the cache does not need it.
    const { build } = await import("esbuild");
    mkdirSync(path.dirname(executable), { recursive: true });
    try {
        await build({
            entryPoints: [entry],
            outfile: `${executable}.js`,
            bundle: true,
            platform: "node",
            target: "node20",
            legalComments: "none",
            // ssh2 is faster with native modules and works without them; built for one machine's Node, they stay out.
            external: ["*.node", "cpu-features"],
            logLevel: "silent",
            define: Object.fromEntries(Object.entries(defines).map(([name, value]) => [name, JSON.stringify(value)])),
        });
    } catch (error) {
        throw new Problem(`cannot bundle ${entry}: ${error instanceof Error ? error.message : String(error)}`);
    }
    const file = path.basename(executable);
    writeFileSync(executable, `#!/bin/sh\nexec node "$(dirname "$0")/${file}.js" "$@"\n`);
    chmodSync(executable, 0o755);
}
