import { z } from "zod";
import type { Harbor } from "./client";
import { define } from "./resource";
import { pick } from "./values";

type Setting = string | number | boolean;
type Settings = Record<string, Setting>;

/** Harbor never tells the values of these. */
const isSecretKey = (key: string): boolean => /_(?:password|secret)$/.test(key);

const key = z.string().regex(/^[a-z][a-z0-9_]*$/, "expected the name of a setting, for example self_registration");

const inputs = z.strictObject({
    settings: z
        .record(
            key.refine((name) => !isSecretKey(name), "belongs in secretSettings: Harbor keeps the value of it secret"),
            z.union([z.string(), z.number(), z.boolean()], "expected text, a number, true or false"),
            "expected a mapping, for example { self_registration: false }",
        )
        .default({}),
    secretSettings: z
        .record(
            key.refine(
                isSecretKey,
                "belongs in settings: only what ends in _password or _secret is kept secret by Harbor",
            ),
            z.string(),
            "expected a mapping, for example { oidc_client_secret: … }",
        )
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
