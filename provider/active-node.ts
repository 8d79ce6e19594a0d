import { z } from "zod";
import type { Harbor } from "./client";
import { define } from "./resource";

const inputs = z.strictObject({
    node: z.string("expected a node's name").min(1),
    epoch: z.int("expected a number, as the question has it").min(0).optional(),
});

type Inputs = z.infer<typeof inputs>;
interface Outputs {
    /** The agent's epoch when the wanted node was last told; absent where the agent did not answer then. */
    readonly seenEpoch?: number;
}

/** What the failover agent says at an admin port of the load balancer. */
const answer = z.object({
    active: z.string().min(1),
    /** Grows by one with each change of the active node. */
    epoch: z.int(),
    /** A time, as text or as seconds since 1970. */
    since: z.union([z.string(), z.number()]).optional(),
    by: z.string().optional(),
    reason: z.string().optional(),
});

type Answer = z.infer<typeof answer>;

const PATH = "/harborage/active";

/** The load balancer may be reloading; and a preview should not wait for one that is not there. In milliseconds. */
const DEADLINE = 3_000;

/**
 * Which of two nodes the stack file wants to be active, as against the one that the failover agent has made active. It
 * changes nothing: it stops a program that knows nothing of a failover.
 */
export const activeNode = define<Inputs, Outputs>({
    title: "the active node",
    inputs,
    outputs: ["seenEpoch"],
    secrets: [],
    replaces: [],

    async examine(harbor, state, wanted, warn) {
        try {
            compare(await ask(harbor), wanted, state);
        } catch (error) {
            if (error instanceof Question) {
                throw error;
            }
            warn(`nobody knows which node is active now: ${(error as Error).message}`);
        }
    },

    async create(harbor, wanted) {
        return { id: "active", outputs: { ...compare(await askIfThere(harbor), wanted, undefined) } };
    },

    // What the agent does is no drift: the question is asked where something is going to be changed.
    read: (_harbor, _id, state) => Promise.resolve(state),

    async update(harbor, _id, state, wanted) {
        const { seenEpoch } = state;
        return {
            ...(seenEpoch === undefined ? {} : { seenEpoch }),
            ...compare(await askIfThere(harbor), wanted, state),
        };
    },

    delete: () => Promise.resolve(),
});

class Question extends Error {}

async function ask(harbor: Harbor): Promise<Answer> {
    const said = answer.safeParse(await harbor.beside(PATH, DEADLINE));
    if (!said.success) {
        throw new Error(`the load balancer does not say it at ${PATH}`);
    }
    return said.data;
}

/** Undefined where nothing answers: before the first `up` there is no load balancer. */
async function askIfThere(harbor: Harbor): Promise<Answer | undefined> {
    try {
        return await ask(harbor);
    } catch {
        return undefined;
    }
}

/**
 * @param state as it was recorded; absent before that
 * @throws Question where the active node is neither the one that is wanted nor the one that was, and nobody has said that
 * it is to change
 */
function compare(said: Answer | undefined, wanted: Inputs, state: (Inputs & Outputs) | undefined): Outputs {
    if (said === undefined) {
        return {};
    }
    const { active, epoch } = said;
    const isExpected =
        active === wanted.node ||
        active === state?.node ||
        epoch === wanted.epoch ||
        // Nobody has changed it since it was wanted: that `up` did not come to it.
        epoch === state?.seenEpoch;
    if (!isExpected) {
        throw new Question(question(said, wanted.node));
    }
    return { seenEpoch: epoch };
}

const doers: Readonly<Record<string, string>> = {
    agent: "the failover agent made it active",
    operator: "an operator made it active",
    up: "an `up` made it active",
};

/** It ends with the two lines of the stack file that answer it. */
function question({ active, epoch, since, by = "", reason = "" }: Answer, wanted: string): string {
    const at = typeof since === "number" ? new Date(since * 1000).toISOString().replace(".000Z", "Z") : since;
    const why = [
        doers[by] ?? "it has been active",
        ...(at === undefined ? [] : [`${by in doers ? "at" : "since"} ${at}`]),
        ...(reason === "" ? [] : [`(${reason})`]),
    ].join(" ");
    const keep = `topology.active: ${active}`;
    const back = `topology.epoch: ${String(epoch)}`;
    const width = Math.max(keep.length, back.length);
    return [
        `${active} is active, and the stack file wants ${wanted}: ${why}.`,
        "Say in the stack file which of them is to be active; no node is touched before:",
        `    ${keep.padEnd(width)}    ${active} stays active`,
        `    ${back.padEnd(width)}    ${wanted} becomes active again, by a planned switchover`,
    ].join("\n");
}
