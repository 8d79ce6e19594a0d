/** What the scripts that delete things on machines write before each thing that they leave there. */
const MARK = "kept: ";

/**
 * What a run has left on the machines on purpose.
 *
 * @param log Pulumi's event log: one JSON object a line; a line cut short by a kill is passed over
 * @returns the rest of each line that starts with `kept: `, each once, in the order of their first appearance
 */
export function keptLines(log: string): string[] {
    const lines = log.split("\n").flatMap((text) => messageOf(text).split("\n"));
    return [...new Set(lines.filter((line) => line.startsWith(MARK)).map((line) => line.slice(MARK.length)))];
}

function messageOf(text: string): string {
    try {
        const event = JSON.parse(text) as { diagnosticEvent?: { message?: string } };
        // Pulumi marks colours as <{%bold%}>.
        return (event.diagnosticEvent?.message ?? "").replace(/<\{%[^%]*%\}>/gu, "");
    } catch {
        return "";
    }
}
