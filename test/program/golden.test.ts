import assert from "node:assert/strict";
import { describe, it } from "mocha";
import { goldenStacks, readGolden, renderGolden } from "./golden";
import { runProgram, settingsOf } from "./program";

/** The lines that are in one text only; what is moved counts too. */
function changes(before: string, after: string): string[] {
    const [old, now] = [before.split("\n"), after.split("\n")];
    const all = [
        ...old.filter((line) => !now.includes(line)).map((line) => `- ${line}`),
        ...now.filter((line) => !old.includes(line)).map((line) => `+ ${line}`),
    ];
    return all.length === 0 && before !== after ? ["lines are moved or repeated"] : all;
}

describe("resource graph", function () {
    this.timeout("2m");

    for (const stack of goldenStacks) {
        it(`of ${stack} is the one that was reviewed (npm run golden)`, async () => {
            const run = await runProgram({ stack, settings: settingsOf(`Pulumi.${stack}.yaml`) });
            assert.equal(run.error, undefined);
            assert.deepEqual(changes(readGolden(stack) ?? "", await renderGolden(run)), []);
        });
    }

    it("shows a changed line of nginx.conf as one line, and no secret", async () => {
        const settings = settingsOf("Pulumi.dev.yaml");
        const hsts = { mode: "http", hstsSeconds: 4242 };
        const run = await runProgram({ settings: { ...settings, loadBalancer: hsts } });
        const text = await renderGolden(run);
        const changed = changes(readGolden("dev") ?? "", text);
        assert.equal(changed.length, 1, changed.join("\n"));
        assert.match(changed[0] ?? "", /^\+ .*Strict-Transport-Security \\"max-age=4242\\" always;/);
        assert.doesNotMatch(text, /password of|PRIVATE KEY|\$2b\$/);
    });
});
