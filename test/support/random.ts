/**
 * What chance in tests starts from: the same in every run, so that what fails in one fails in the next. Another one gives
 * other cases: HARBORAGE_TEST_SEED=7 npm test
 */
export const testSeed = Number(process.env["HARBORAGE_TEST_SEED"] ?? 20_260_101);

/**
 * A generator of numbers from 0 (included) to 1 (not included) that gives the same ones for the same seed (mulberry32), so
 * that a failure can be had again.
 */
export function randomNumbers(seed: number): () => number {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let bits = Math.imul(state ^ (state >>> 15), state | 1);
        bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
        return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
    };
}
