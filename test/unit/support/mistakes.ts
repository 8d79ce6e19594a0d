import assert from "node:assert/strict";
import { parseStackFile, StackFileError, type Mistake, type StackFile } from "../../../config/stack-file";

/** The mistakes of a stack file that must have some. */
export function mistakesOf(file: StackFile): readonly Mistake[] {
    try {
        parseStackFile(file);
    } catch (error) {
        assert.ok(error instanceof StackFileError, String(error));
        return error.mistakes;
    }
    assert.fail("the stack file was accepted");
}

/** The mistakes as they are printed. */
export function lines(file: StackFile): string[] {
    return mistakesOf(file).map(({ path, message }) => `${path}: ${message}`);
}

export function assertOneMistake(file: StackFile, expected: string | RegExp): void {
    const found = lines(file);
    assert.equal(found.length, 1, found.join("\n"));
    if (typeof expected === "string") {
        assert.equal(found[0], expected);
    } else {
        assert.match(found[0] ?? "", expected);
    }
}
