import { z } from "zod";
import { makeOrFind } from "./adopt";
import { isStatus, type Harbor } from "./client";
import { define } from "./resource";

const flag = z.boolean("expected true or false");

const inputs = z.strictObject({
    name: z
        .string("expected a project's name")
        .max(255)
        .regex(
            /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/,
            "expected lower-case letters and digits, with single . _ or - between them, for example team-a",
        ),
    public: flag.default(false),
    storageLimitBytes: z
        .int("expected a number of bytes, or -1 for no limit")
        .refine((bytes) => bytes === -1 || bytes > 0, "expected a number of bytes, or -1 for no limit")
        .optional(),
    autoScan: flag.default(false),
    autoSbom: flag.default(false),
    contentTrust: flag.default(false),
    preventVulnerable: flag.default(false),
    severity: z.enum(["none", "low", "medium", "high", "critical"]).optional(),
    reuseSystemCveAllowlist: flag.default(true),
    registryId: z.int("expected the id of a registry endpoint").min(1).optional(),
    adopt: flag.default(false),
});

type Inputs = z.infer<typeof inputs>;
interface Outputs {
    readonly projectId: number;
}

/** Harbor's metadata of a project are texts. */
const METADATA = {
    public: "public",
    autoScan: "auto_scan",
    autoSbom: "auto_sbom_generation",
    contentTrust: "enable_content_trust_cosign",
    preventVulnerable: "prevent_vul",
    reuseSystemCveAllowlist: "reuse_sys_cve_allowlist",
} as const;
const flags = Object.entries(METADATA) as [keyof typeof METADATA, string][];

interface Found {
    readonly project_id: number;
    readonly name: string;
    readonly registry_id?: number;
    readonly metadata?: Readonly<Record<string, string>>;
}

interface Quota {
    readonly id: number;
    readonly hard: { readonly storage: number };
}

/** A project; its id in the state is its name. */
export const project = define<Inputs, Outputs>({
    title: "project",
    inputs,
    outputs: ["projectId"],
    secrets: [],
    replaces: ["name", "registryId"],
    unmanaged: ["storageLimitBytes", "severity"],
    instructions: ["adopt"],

    async create(harbor, given) {
        const { name, storageLimitBytes, registryId, adopt } = given;
        const body = {
            project_name: name,
            metadata: metadata(given),
            ...(storageLimitBytes === undefined ? {} : { storage_limit: storageLimitBytes }),
            ...(registryId === undefined ? {} : { registry_id: registryId }),
        };
        const find = async (): Promise<{ id: number; stateId: string } | undefined> => {
            const existing = await harbor.find<Found>(pathOf(name));
            if (adopt && existing !== undefined && (existing.registry_id ?? 0) !== (registryId ?? 0)) {
                throw new Error("it exists, and is not a proxy cache of the same registry: that cannot be changed");
            }
            return existing === undefined ? undefined : { id: existing.project_id, stateId: name };
        };
        const { id, found } = await makeOrFind(harbor, "/projects", body, { adopt, find });
        if (found) {
            await change(harbor, id, given);
        }
        return { id: name, outputs: { projectId: id } };
    },

    async read(harbor, id, state) {
        const found = await harbor.find<Found>(pathOf(id));
        if (found === undefined) {
            return undefined;
        }
        const { project_id: projectId, name, registry_id: registryId, metadata: texts = {} } = found;
        const wantsQuota = state === undefined || state.storageLimitBytes !== undefined;
        const { severity } = texts as { severity?: Inputs["severity"] };
        return {
            projectId,
            name,
            ...(registryId ? { registryId } : {}),
            ...(severity === undefined ? {} : { severity }),
            ...(wantsQuota ? limitIn(await quotaOf(harbor, projectId)) : {}),
            // A project without this one has never had an allowlist of its own.
            ...Object.fromEntries(
                flags.map(([input, key]) => [
                    input,
                    (texts[key] ?? String(input === "reuseSystemCveAllowlist")) === "true",
                ]),
            ),
        };
    },

    async update(harbor, _id, { projectId }, given) {
        await change(harbor, projectId, given);
        return { projectId };
    },

    async delete(harbor, id) {
        try {
            await harbor.delete(pathOf(id));
        } catch (error) {
            if (isStatus(error, 412)) {
                throw new Error(
                    `${(error as Error).message}. Delete its repositories in Harbor first, or keep the project: ` +
                        "`retainOnDelete: true` among the resource's options",
                    { cause: error },
                );
            }
            throw error;
        }
    },
});

function pathOf(name: string): string {
    return `/projects/${encodeURIComponent(name)}`;
}

function metadata(given: Inputs): Record<string, string> {
    const { severity } = given;
    return {
        ...Object.fromEntries(flags.map(([input, key]) => [key, String(given[input])])),
        ...(severity === undefined ? {} : { severity }),
    };
}

async function change(harbor: Harbor, id: number, given: Inputs): Promise<void> {
    const { name, storageLimitBytes: storage } = given;
    await harbor.put(pathOf(name), { metadata: metadata(given) });
    if (storage === undefined) {
        return;
    }
    const quota = await quotaOf(harbor, id);
    if (quota === undefined) {
        throw new Error("storageLimitBytes: this Harbor has no quotas for projects (quota_per_project_enable is off)");
    }
    if (quota.hard.storage !== storage) {
        await harbor.put(`/quotas/${quota.id}`, { hard: { storage } });
    }
}

async function quotaOf(harbor: Harbor, id: number): Promise<Quota | undefined> {
    const quotas = await harbor.get<Quota[]>("/quotas", { reference: "project", reference_id: id });
    return quotas?.[0];
}

function limitIn(quota: Quota | undefined): { storageLimitBytes?: number } {
    return quota === undefined ? {} : { storageLimitBytes: quota.hard.storage };
}
