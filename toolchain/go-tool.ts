import * as path from "node:path";
import { cached, filesBelow, inCache, keyOf } from "./cache";
import { Problem } from "./problem";
import { run, which } from "./processes";
import { step } from "./steps";

/** A program built from its Go module. */
export interface GoTool {
    /** For people, for example `the Pulumi CLI 3.259.0`. */
    readonly title: string;
    /** Folder below toolchain/ that holds the go.mod and go.sum which pin everything that goes in. */
    readonly module: string;
    /** The package to build; `.` is one of our own, whose sources are in the same folder. */
    readonly package: string;
    /** Name of the executable. */
    readonly binary: string;
    /** Variables set by the linker: full name to value. */
    readonly variables: Readonly<Record<string, string>>;
}

/** Builds the program when the cache does not hold it; returns the path of the executable. */
export async function goTool(tool: GoTool): Promise<string> {
    const directory = await cached(tool.binary, keyOfTool(tool), (target) =>
        inTurn(() => step(`building ${tool.title} from its Go module`, () => build(tool, target))),
    );
    return path.join(directory, tool.binary);
}

async function build(tool: GoTool, target: string): Promise<void> {
    const go = which("go");
    if (go === undefined) {
        throw new Problem(
            `${tool.title} has to be built here, because it cannot be downloaded, and Go is missing.\n` +
                `Install Go 1.21 or newer (it fetches the version it needs by itself) and run this again.`,
        );
    }
    // Static: the result also runs in images, and in a clone on another distribution that shares the cache.
    await run(go, [...buildArguments(tool), "-o", path.join(target, tool.binary), tool.package], {
        cwd: path.join(__dirname, tool.module),
        env: { ...process.env, CGO_ENABLED: "0" },
    });
}

/** How many builds run at once: one uses the net while another computes; more would only need more memory. */
const AT_ONCE = 2;

const building = new Set<Promise<unknown>>();

async function inTurn(work: () => Promise<void>): Promise<void> {
    while (building.size >= AT_ONCE) {
        await Promise.race(building).catch(() => undefined);
    }
    const one = work();
    building.add(one);
    try {
        await one;
    } finally {
        building.delete(one);
    }
}

/** The program if the cache holds it, or undefined. */
export function builtGoTool(tool: GoTool): string | undefined {
    const directory = inCache(tool.binary, keyOfTool(tool));
    return directory === undefined ? undefined : path.join(directory, tool.binary);
}

function buildArguments(tool: GoTool): string[] {
    const variables = Object.entries(tool.variables).map(([name, value]) => `-X ${name}=${value}`);
    return ["build", "-trimpath", "-ldflags", ["-s", "-w", ...variables].join(" ")];
}

/** Says what goes into the program. */
export function keyOfTool(tool: GoTool): string {
    const module = path.join(__dirname, tool.module);
    return keyOf(
        [process.platform, process.arch, tool.package, ...buildArguments(tool)],
        filesBelow(module, (name) => /\.(?:go|mod|sum)$/u.test(name)),
    );
}
