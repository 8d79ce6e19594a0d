import { strict as assert } from "node:assert";
import fc from "fast-check";
import { describe, it } from "mocha";
import { exitText, goQuote } from "../../toolchain/plugins/command/go-text";
import { LogLines } from "../../toolchain/plugins/command/log-lines";
import { refusal, stackOf } from "../../toolchain/plugins/lib/stack-guard";

describe("plugins: texts as Go writes them", () => {
    it("quotes as %q does", () => {
        assert.equal(goQuote('a "b" \\ c'), '"a \\"b\\" \\\\ c"');
        assert.equal(goQuote("\x07\b\f\n\r\t\v"), '"\\a\\b\\f\\n\\r\\t\\v"');
        assert.equal(goQuote("\x01\x7f"), '"\\x01\\x7f"');
        assert.equal(goQuote("Söhne 漢 🚢"), '"Söhne 漢 🚢"');
        assert.equal(goQuote("\u00a0\u200b\ufeff"), '"\\u00a0\\u200b\\ufeff"');
        assert.equal(goQuote("\u{e0001}"), '"\\U000e0001"');
    });

    it("names exits and signals", () => {
        assert.equal(exitText(3, null), "exit status 3");
        assert.equal(exitText(null, "SIGKILL"), "signal: killed");
        assert.equal(exitText(null, "SIGSEGV"), "signal: segmentation fault");
    });
});

describe("plugins: lines of output", () => {
    async function cut(chunks: readonly Buffer[]): Promise<{ lines: string[]; tooLong: boolean }> {
        const lines: string[] = [];
        const cutter = new LogLines((line) => Promise.resolve(void lines.push(line)));
        chunks.forEach((chunk) => cutter.write(chunk));
        await cutter.end();
        return { lines, tooLong: cutter.tooLong };
    }

    it("are the same however the output is cut", async () => {
        const text = "ä one\r\n\ntwo 漢\nlast without a newline";
        await fc.assert(
            fc.asyncProperty(fc.array(fc.nat({ max: Buffer.byteLength(text) })), async (cuts) => {
                const bytes = Buffer.from(text);
                const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length];
                const chunks = edges.slice(1).map((end, index) => bytes.subarray(edges[index], end));
                const expected = ["ä one", "", "two 漢", "last without a newline"];
                assert.deepEqual((await cut(chunks)).lines, expected);
            }),
        );
    });

    it("of 64 KiB and more are left out and told of", async () => {
        assert.equal((await cut([Buffer.from("x".repeat(65_535))])).tooLong, false);
        const { lines, tooLong } = await cut([Buffer.from(`a\n${"x".repeat(65_536)}\nb\n`)]);
        assert.deepEqual(lines, ["a", "b"]);
        assert.equal(tooLong, true);
    });

    it("go out one after the other", async () => {
        const seen: string[] = [];
        const cutter = new LogLines(async (line) => {
            await new Promise((resolve) => setTimeout(resolve, line === "slow" ? 20 : 0));
            seen.push(line);
        });
        cutter.write(Buffer.from("slow\nfast\n"));
        await cutter.end();
        assert.deepEqual(seen, ["slow", "fast"]);
    });
});

describe("plugins: stacks that a stand-in serves", () => {
    const urn = (stack: string): string => `urn:pulumi:${stack}::harborage::command:local:Command::it`;

    it("are dev and test-*", () => {
        assert.equal(stackOf(urn("test-a")), "test-a");
        for (const stack of ["dev", "test-", "test-e2e-1"]) {
            assert.equal(refusal(urn(stack), "command 1.2.1"), undefined, stack);
        }
        for (const stack of ["prod", "test", "dev2", "testing", "", "xdev"]) {
            assert.match(refusal(urn(stack), "command 1.2.1") ?? "", /stand-ins never run the stack/, stack);
        }
    });
});
