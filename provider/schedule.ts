import type { z } from "zod";
import type { Harbor } from "./client";
import { define, type AnyResource } from "./resource";
import type { Values } from "./values";

/** What Harbor answers about a schedule; without one it answers with nothing. */
interface Found {
    readonly schedule?: { readonly type?: string; readonly cron?: string };
    /** JSON. */
    readonly job_parameters?: string;
}

interface Kind<Inputs extends { cron: string }> {
    readonly title: string;
    /** Below /system, and the resource's id. */
    readonly path: string;
    readonly inputs: z.ZodObject;
    parameters(inputs: Inputs): Values;
    /** The inputs in the parameters that Harbor has recorded. */
    fromParameters(parameters: Values): Omit<Inputs, "cron">;
}

/** One of Harbor's schedules. There is one of each kind: a schedule that was set by hand is taken over. */
export function schedule<Inputs extends { cron: string }>(kind: Kind<Inputs>): AnyResource {
    const path = `/system/${kind.path}/schedule`;
    // PUT makes what is not there, too, and comes to the same when it is repeated.
    const put = (harbor: Harbor, inputs: Inputs, type: "Custom" | "None"): Promise<void> =>
        harbor.put(path, { schedule: { type, cron: inputs.cron }, parameters: kind.parameters(inputs) });

    return define<Inputs, object>({
        title: kind.title,
        inputs: kind.inputs,
        outputs: [],
        secrets: [],
        replaces: [],

        async create(harbor, inputs) {
            await put(harbor, inputs, "Custom");
            return { id: kind.path, outputs: {} };
        },

        async read(harbor) {
            const found = await harbor.get<Found>(path);
            const { type, cron = "" } = found?.schedule ?? {};
            if (cron === "" || type === "None") {
                return undefined;
            }
            const parameters = JSON.parse(found?.job_parameters || "{}") as Values;
            return { cron, ...kind.fromParameters(parameters) } as Partial<Inputs>;
        },

        async update(harbor, _id, _state, inputs) {
            await put(harbor, inputs, "Custom");
            return {};
        },

        delete: (harbor, _id, state) => put(harbor, state, "None"),
    });
}
