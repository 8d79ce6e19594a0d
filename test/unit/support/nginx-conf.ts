/** A directive of nginx: its words, and what is in its braces. */
export interface Directive {
    readonly words: readonly string[];
    readonly block?: readonly Directive[];
}

/**
 * Reads nginx's configuration: words, quotes, comments and blocks, as nginx's own ngx_conf_read_token does.
 *
 * @throws Error where braces or semicolons are missing
 */
export function parseNginx(text: string): Directive[] {
    const tokens = [...text.matchAll(/#[^\n]*|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([{};])|((?:[^\s{};"'])+)/g)]
        .filter(([token]) => !token.startsWith("#"))
        .map(([, double, single, mark, bare]) => ({ mark, word: double ?? single ?? bare ?? "" }));
    let next = 0;
    const read = (isTop: boolean): Directive[] => {
        const directives: Directive[] = [];
        let words: string[] = [];
        for (;;) {
            const token = tokens[next];
            next += 1;
            if (token === undefined || token.mark === "}") {
                if (words.length > 0 || isTop !== (token === undefined)) {
                    throw new Error(`unexpected end of a block after: ${words.join(" ")}`);
                }
                return directives;
            }
            if (token.mark === ";") {
                directives.push({ words });
                words = [];
            } else if (token.mark === "{") {
                directives.push({ words, block: read(false) });
                words = [];
            } else {
                words.push(token.word);
            }
        }
    };
    return read(true);
}

/** The blocks with a name, at any depth. */
export function blocks(directives: readonly Directive[], ...words: readonly string[]): Directive[] {
    return directives.flatMap((directive) => [
        ...(words.every((word, index) => directive.words[index] === word) && directive.block !== undefined
            ? [directive]
            : []),
        ...blocks(directive.block ?? [], ...words),
    ]);
}

/** What directives of a block say, each as its words behind the name. */
export function values(block: readonly Directive[] | undefined, name: string): string[] {
    return (block ?? []).filter(({ words }) => words[0] === name).map(({ words }) => words.slice(1).join(" "));
}
