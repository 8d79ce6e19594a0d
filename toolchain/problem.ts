/** A mistake or a shortage that the person at the keyboard can put right: shown as one message, without a stack trace. */
export class Problem extends Error {
    override readonly name = "Problem";
}
