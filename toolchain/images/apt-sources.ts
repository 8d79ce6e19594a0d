/** One place that apt takes packages from. */
export interface AptSource {
    /** http(s) address of the mirror, without a slash at the end. */
    readonly uri: string;
    /** For example `bookworm`. */
    readonly suite: string;
    /** For example `main`. */
    readonly components: readonly string[];
}

/** Reads the one-line format of sources.list(5). */
export function parseListFile(text: string): AptSource[] {
    return text.split("\n").flatMap((line) => {
        const words = line
            .replace(/#.*$/u, "")
            .replace(/\[[^\]]*\]/u, "")
            .trim()
            .split(/\s+/u);
        const [type, uri = "", suite = "", ...components] = words;
        return type === "deb" ? sources([uri], [suite], components) : [];
    });
}

/** Reads the deb822 format of sources.list(5). */
export function parseSourcesFile(text: string): AptSource[] {
    const paragraphs = text
        .split("\n")
        .filter((line) => !line.startsWith("#"))
        .join("\n")
        .split(/\n\s*\n/u);
    return paragraphs.flatMap((paragraph) => {
        const fields = new Map<string, string[]>();
        // A line that starts with white space continues the field before it.
        for (const line of paragraph.replace(/\n[ \t]+/gu, " ").split("\n")) {
            const [, name, value] = /^([\w-]+):\s*(.*)$/u.exec(line) ?? [];
            if (name !== undefined && value !== undefined) {
                fields.set(name.toLowerCase(), value.trim().split(/\s+/u));
            }
        }
        const field = (name: string): string[] => fields.get(name) ?? [];
        const enabled = field("enabled")[0]?.toLowerCase() !== "no";
        return enabled && field("types").includes("deb")
            ? sources(field("uris"), field("suites"), field("components"))
            : [];
    });
}

/**
 * The mirror of the distribution itself: where the machine takes the release that it runs.
 *
 * @param codename VERSION_CODENAME in os-release(5)
 */
export function distributionMirror(all: readonly AptSource[], codename: string): string | undefined {
    return all.find(({ suite, components }) => suite === codename && components.includes("main"))?.uri;
}

function sources(uris: readonly string[], suites: readonly string[], components: readonly string[]): AptSource[] {
    return uris
        .filter((uri) => /^https?:/u.test(uri))
        .flatMap((uri) => suites.map((suite) => ({ uri: uri.replace(/\/+$/u, ""), suite, components })));
}
