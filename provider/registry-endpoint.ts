import { z } from "zod";
import { makeOrFind } from "./adopt";
import type { Harbor } from "./client";
import { define } from "./resource";

const inputs = z.strictObject({
    name: z.string("expected a name").min(1).max(64),
    type: z.string("expected the type of the registry, for example harbor or docker-registry").min(1),
    url: z
        .string("expected a URL")
        .regex(/^https?:\/\/[^/?#]/, "expected a URL, for example https://registry.example.com")
        // As Harbor does it.
        .transform((url) => url.trim().replace(/\/+$/, "")),
    accessKey: z.string("expected a user's name").min(1).optional(),
    accessSecret: z.string("expected a password").min(1).optional(),
    insecure: z.boolean("expected true or false").default(false),
    caCertificate: z.string().includes("-----BEGIN CERTIFICATE-----", "expected a certificate in PEM").optional(),
    description: z.string().default(""),
    adopt: z.boolean("expected true or false").default(false),
});

type Inputs = z.infer<typeof inputs>;
interface Outputs {
    readonly registryId: number;
}

interface Found {
    readonly id: number;
    readonly name: string;
    readonly type: string;
    readonly url: string;
    readonly insecure?: boolean;
    readonly ca_certificate?: string;
    readonly description?: string;
    /** The secret is stars when there is one. */
    readonly credential?: { readonly access_key?: string; readonly access_secret?: string };
}

/** Another registry, to replicate with or to cache. Harbor calls it before it takes it. */
export const registryEndpoint = define<Inputs, Outputs>({
    title: "registry endpoint",
    inputs,
    outputs: ["registryId"],
    secrets: ["accessSecret"],
    replaces: ["type"],
    instructions: ["adopt"],
    checkTogether: ({ accessKey, accessSecret }) =>
        accessSecret !== undefined && accessKey === undefined
            ? [{ property: "accessKey", reason: "expected the user whose password accessSecret is" }]
            : [],

    async create(harbor, given) {
        const { name, type, url, insecure, caCertificate, description, accessKey, accessSecret = "", adopt } = given;
        const credential = { type: "basic", access_key: accessKey, access_secret: accessSecret };
        const body = {
            name,
            type,
            url,
            insecure,
            description,
            ...(caCertificate === undefined ? {} : { ca_certificate: caCertificate }),
            ...(accessKey === undefined ? {} : { credential }),
        };
        const find = async (): Promise<{ id: number; stateId: string } | undefined> => {
            const all = await harbor.list<Found>("/registries", { name });
            const existing = all.find((each) => each.name === name);
            if (adopt && existing !== undefined && existing.type !== type) {
                throw new Error(`it exists, and is of type ${existing.type}: that cannot be changed`);
            }
            return existing && { id: existing.id, stateId: String(existing.id) };
        };
        const { id, found } = await makeOrFind(harbor, "/registries", body, { adopt, find });
        if (found) {
            await change(harbor, id, given);
        }
        return { id: String(id), outputs: { registryId: id } };
    },

    async read(harbor, id, state) {
        const found = await harbor.find<Found>(`/registries/${id}`);
        if (found === undefined) {
            return undefined;
        }
        const { access_key: accessKey, access_secret: stars } = found.credential ?? {};
        return {
            registryId: found.id,
            name: found.name,
            type: found.type,
            url: found.url,
            insecure: found.insecure ?? false,
            description: found.description ?? "",
            ...(found.ca_certificate ? { caCertificate: found.ca_certificate } : {}),
            ...(accessKey ? { accessKey } : {}),
            ...(stars && state?.accessSecret !== undefined ? { accessSecret: state.accessSecret } : {}),
        };
    },

    async update(harbor, _id, { registryId }, given) {
        await change(harbor, registryId, given);
        return { registryId };
    },

    delete: (harbor, id) => harbor.delete(`/registries/${id}`),
});

function change(harbor: Harbor, id: number, given: Inputs): Promise<void> {
    const { name, url, insecure, caCertificate = "", description, accessKey = "", accessSecret = "" } = given;
    return harbor.put(`/registries/${id}`, {
        name,
        url,
        insecure,
        description,
        ca_certificate: caCertificate,
        credential_type: "basic",
        access_key: accessKey,
        access_secret: accessSecret,
    });
}
