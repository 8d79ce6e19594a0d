/** Writes a line for people. Always to stderr: stdout belongs to Pulumi (`stack output … | docker login …`). */
export function say(line: string): void {
    process.stderr.write(`${line}\n`);
}

/** Runs one step of the preparation: a line when it starts, a line with its seconds when it is done. */
export async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    say(`harborage: ${what} …`);
    const result = await work();
    say(`harborage: ${what}: done in ${((performance.now() - start) / 1000).toFixed(1)} s`);
    return result;
}
