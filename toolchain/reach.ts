import { readNote, writeNote } from "./cache";
import { Problem } from "./problem";

/** Where the official CLI and its plugins come from. */
export const PULUMI_DOWNLOADS = "https://get.pulumi.com/install.sh";

/** Where images without a registry in their name come from. */
export const DOCKER_HUB = "https://registry-1.docker.io/v2/";

/** How long a host may take to answer, in milliseconds. A refused network answers at once, a filtered one never. */
const ANSWER_TIME = 5000;

/** How long an answer is remembered, in milliseconds. */
const MEMORY = 3600 * 1000;

/** How a run gets what it needs: what can be downloaded, only what can be built, or nothing but downloads. */
export type Mode = "auto" | "build" | "download";

/** The mode that the environment variable HARBORAGE_TOOLCHAIN asks for; default `auto`. */
export function mode(value = process.env["HARBORAGE_TOOLCHAIN"]): Mode {
    switch (value) {
        case undefined:
        case "":
        case "auto":
            return "auto";
        case "build":
        case "download":
            return value;
        default:
            throw new Problem(`HARBORAGE_TOOLCHAIN=${value}: expected auto (the default), build or download`);
    }
}

interface Answer {
    readonly reachable: boolean;
    /** Milliseconds since 1970. */
    readonly at: number;
}

/**
 * Whether something can be downloaded from an address. Asked once an hour at most, for all runs together, and never when
 * the mode answers already.
 */
export async function canDownloadFrom(url: string): Promise<boolean> {
    const wanted = mode();
    if (wanted !== "auto") {
        return wanted === "download";
    }
    const note = `reachable-${new URL(url).host}`;
    const known = readNote(note) as Answer | undefined;
    if (known !== undefined && Date.now() - known.at < MEMORY && Date.now() >= known.at) {
        return known.reachable;
    }
    const reachable = await answers(url);
    rememberReachable(url, reachable);
    return reachable;
}

/** Notes what a real download has shown, so that the next one need not be tried in vain. */
export function rememberReachable(url: string, reachable: boolean): void {
    writeNote(`reachable-${new URL(url).host}`, { reachable, at: Date.now() } satisfies Answer);
}

async function answers(url: string): Promise<boolean> {
    try {
        const response = await fetch(url, { method: "HEAD", signal: AbortSignal.timeout(ANSWER_TIME) });
        // 401 is how a registry asks for a token: it is there. A filtering proxy answers 403, 407 or 5xx.
        return response.ok || response.status === 401;
    } catch {
        return false;
    }
}
