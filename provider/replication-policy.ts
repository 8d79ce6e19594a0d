import { z } from "zod";
import { makeOrFind } from "./adopt";
import type { Harbor } from "./client";
import { define } from "./resource";
import { cron } from "./cron";

const flag = z.boolean("expected true or false");
const registry = z.int("expected the id of a registry endpoint").min(1);

const filter = z
    .strictObject({
        type: z.enum(["name", "tag", "resource", "label"]),
        value: z.union([z.string(), z.array(z.string())], "expected a pattern, for example team-a/**"),
        decoration: z.enum(["matches", "excludes"]).optional(),
    })
    // Without a decoration a filter matches.
    .transform(({ type, value, decoration }) => ({
        type,
        value,
        ...(decoration === "excludes" ? { decoration } : {}),
    }));

const trigger = z
    .strictObject({
        type: z.enum(["manual", "event_based", "scheduled"]),
        cron: cron.optional(),
    })
    .refine(
        ({ type, cron: when }) => (type === "scheduled") === (when !== undefined),
        "cron belongs to scheduled, which needs it",
    )
    .refine(
        ({ cron: when = "" }) => when.split(" ")[1] !== "*",
        "Harbor does not replicate every minute: the field of minutes must not be *",
    );

const inputs = z.strictObject({
    name: z.string("expected a name").min(1),
    description: z.string().default(""),
    srcRegistryId: registry.optional(),
    destRegistryId: registry.optional(),
    destNamespace: z.string().default(""),
    destNamespaceReplaceCount: z.int().min(-1).max(127).default(-1),
    filters: z.array(filter).default([]),
    trigger: trigger.default({ type: "manual" }),
    enabled: flag.optional(),
    initiallyEnabled: flag.default(true),
    override: flag.default(true),
    deletion: flag.default(false),
    speed: z.int("expected KB per second, or 0 for no limit").min(0).default(0),
    copyByChunk: flag.default(false),
    adopt: flag.default(false),
});

type Inputs = z.infer<typeof inputs>;
interface Outputs {
    readonly policyId: number;
}

interface Found {
    readonly id: number;
    readonly name: string;
    readonly description?: string;
    readonly src_registry?: { readonly id: number };
    readonly dest_registry?: { readonly id: number };
    readonly dest_namespace?: string;
    readonly dest_namespace_replace_count?: number;
    readonly filters?: readonly Inputs["filters"][number][];
    readonly trigger?: {
        readonly type: Inputs["trigger"]["type"];
        readonly trigger_settings?: { readonly cron?: string };
    };
    readonly enabled?: boolean;
    readonly override?: boolean;
    readonly deletion?: boolean;
    readonly speed?: number;
    readonly copy_by_chunk?: boolean;
}

export const replicationPolicy = define<Inputs, Outputs>({
    title: "replication policy",
    inputs,
    outputs: ["policyId"],
    secrets: [],
    // An endpoint that is replaced can only be deleted when no policy names it.
    replaces: ["srcRegistryId", "destRegistryId"],
    unmanaged: ["enabled"],
    instructions: ["initiallyEnabled", "adopt"],
    checkTogether: ({ srcRegistryId, destRegistryId }) =>
        (srcRegistryId === undefined) === (destRegistryId === undefined)
            ? [
                  {
                      property: "destRegistryId",
                      reason: "expected one of srcRegistryId (to pull from) and destRegistryId (to push to)",
                  },
              ]
            : [],

    async create(harbor, given) {
        const { name, enabled, initiallyEnabled, adopt } = given;
        const find = async (): Promise<{ id: number; stateId: string } | undefined> => {
            const all = await harbor.list<Found>("/replication/policies", { name });
            const existing = all.find((each) => each.name === name);
            return existing && { id: existing.id, stateId: String(existing.id) };
        };
        const body = bodyOf(given, enabled ?? initiallyEnabled);
        const { id, found } = await makeOrFind(harbor, "/replication/policies", body, { adopt, find });
        if (found) {
            await change(harbor, id, given);
        }
        return { id: String(id), outputs: { policyId: id } };
    },

    async read(harbor, id) {
        const found = await harbor.find<Found>(pathOf(id));
        if (found === undefined) {
            return undefined;
        }
        const { type = "manual", trigger_settings: settings } = found.trigger ?? {};
        return {
            policyId: found.id,
            name: found.name,
            description: found.description ?? "",
            ...(found.src_registry?.id ? { srcRegistryId: found.src_registry.id } : {}),
            ...(found.dest_registry?.id ? { destRegistryId: found.dest_registry.id } : {}),
            destNamespace: found.dest_namespace ?? "",
            destNamespaceReplaceCount: found.dest_namespace_replace_count ?? -1,
            filters: (found.filters ?? []).map((each) =>
                filter.parse({ ...each, decoration: each.decoration || undefined }),
            ),
            trigger: { type, ...(type === "scheduled" ? { cron: settings?.cron ?? "" } : {}) },
            enabled: found.enabled ?? false,
            override: found.override ?? false,
            deletion: found.deletion ?? false,
            speed: Math.max(found.speed ?? 0, 0),
            copyByChunk: found.copy_by_chunk ?? false,
        };
    },

    async update(harbor, _id, { policyId }, given) {
        await change(harbor, policyId, given);
        return { policyId };
    },

    delete: (harbor, id) => harbor.delete(pathOf(id)),
});

function pathOf(id: number | string): string {
    return `/replication/policies/${id}`;
}

/** Harbor takes a policy as a whole. */
async function change(harbor: Harbor, id: number, given: Inputs): Promise<void> {
    const enabled = given.enabled ?? (await harbor.get<Found>(pathOf(id)))?.enabled ?? false;
    await harbor.put(pathOf(id), bodyOf(given, enabled));
}

function bodyOf(given: Inputs, enabled: boolean): object {
    const { type, cron: when } = given.trigger;
    return {
        name: given.name,
        description: given.description,
        // 0 is this Harbor.
        src_registry: { id: given.srcRegistryId ?? 0 },
        dest_registry: { id: given.destRegistryId ?? 0 },
        dest_namespace: given.destNamespace,
        dest_namespace_replace_count: given.destNamespaceReplaceCount,
        filters: given.filters,
        trigger: { type, trigger_settings: { cron: when ?? "" } },
        enabled,
        override: given.override,
        // The API calls replicate_deletion the newer name, and ignores it.
        deletion: given.deletion,
        speed: given.speed,
        copy_by_chunk: given.copyByChunk,
    };
}
