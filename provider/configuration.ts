import { z } from "zod";
import type { Harbor } from "./client";
import { define } from "./resource";
import { pick } from "./values";

type Setting = string | number | boolean;
type Settings = Record<string, Setting>;

/** Harbor never tells the values of these. */
const isSecretKey = (key: string): boolean => /_(?:password|secret)$/.test(key);

/** Refuses the settings whose name is not one for this mapping. */
function names(isRight: (name: string) => boolean, otherwise: string) {
    return (settings: Record<string, unknown>, context: z.core.$RefinementCtx): void => {
        for (const name of Object.keys(settings).filter((each) => !isRight(each))) {
            context.addIssue({ code: "custom", path: [name], message: otherwise });
        }
    };
}

const inputs = z.strictObject({
    settings: z
        .record(
            z.string(),
            z.union([z.string(), z.number(), z.boolean()], "expected text, a number, true or false"),
            "expected a mapping, for example { self_registration: false }",
        )
        .superRefine(names((name) => !isSecretKey(name), "belongs in secretSettings: Harbor keeps its value secret"))
        .default({}),
    secretSettings: z
        .record(z.string(), z.string("expected text"), "expected a mapping, for example { oidc_client_secret: … }")
        .superRefine(names(isSecretKey, "belongs in settings: its name does not end in _password or _secret"))
        .optional(),
});

type Inputs = z.infer<typeof inputs>;

interface Outputs {
    /** What each of the settings was before it was managed. */
    readonly before: Settings;
}

/** Settings of a whole Harbor. Only those that are named are managed; one that is no longer named goes back to what it was. */
export const configuration = define<Inputs, Outputs>({
    title: "the configuration",
    inputs,
    outputs: ["before"],
    secrets: ["secretSettings"],
    replaces: [],

    async create(harbor, { settings, secretSettings }) {
        const before = known(await current(harbor), settings);
        await harbor.put("/configurations", { ...settings, ...secretSettings });
        return { id: "configuration", outputs: { before } };
    },

    async read(harbor, _id, state) {
        const { settings = {}, secretSettings, before = {} } = state ?? {};
        return {
            settings: pick(await current(harbor), Object.keys(settings)) as Settings,
            secretSettings,
            before,
        };
    },

    async update(harbor, _id, state, { settings, secretSettings }) {
        const before = {
            ...known(await current(harbor), settings),
            ...pick(state.before, Object.keys(settings)),
        } as Settings;
        await harbor.put("/configurations", { ...restored(state), ...settings, ...secretSettings });
        return { before };
    },

    async delete(harbor, _id, state) {
        await harbor.put("/configurations", restored(state));
    },
});

/** What was there before; a secret cannot be known and is emptied, which is Harbor's default for all of them. */
function restored({ before, secretSettings = {} }: Inputs & Outputs): Settings {
    return { ...Object.fromEntries(Object.keys(secretSettings).map((name) => [name, ""])), ...before };
}

async function current(harbor: Harbor): Promise<Settings> {
    const all = (await harbor.get<Record<string, { value?: Setting | null } | null>>("/configurations")) ?? {};
    return Object.fromEntries(
        Object.entries(all).flatMap(([name, item]) =>
            item?.value === undefined || item.value === null ? [] : [[name, item.value]],
        ),
    );
}

/**
 * The current values of these settings.
 *
 * @throws Error for one that Harbor does not have: it would take it without a word
 */
function known(all: Settings, wanted: Settings): Settings {
    const strange = Object.keys(wanted).filter((name) => !(name in all));
    if (strange.length > 0) {
        throw new Error(`settings: Harbor has no ${strange.join(", ")}. It has ${Object.keys(all).sort().join(", ")}`);
    }
    return pick(all, Object.keys(wanted)) as Settings;
}
