import { z } from "zod";
import { makeOrFind } from "./adopt";
import { harborSecret } from "./admin-password";
import type { Harbor } from "./client";
import { define } from "./resource";

const access = z.strictObject({
    resource: z.string("expected a resource, for example repository").min(1),
    action: z.string("expected an action, for example pull").min(1),
});

const permission = z.strictObject({
    kind: z.enum(["system", "project"]),
    namespace: z.string("expected a project's name, * for all projects, or / for the system").min(1),
    access: z.array(access, "expected a list, for example [{ resource: repository, action: pull }]").min(1),
});

type Permission = z.infer<typeof permission>;

const DAYS = "expected a number of days, or -1 for an account that does not expire";

const inputs = z.strictObject({
    name: z
        .string("expected a robot account's name")
        .regex(
            /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/,
            "expected lower-case letters and digits, with single . _ or - between them, for example ci",
        ),
    level: z.enum(["system", "project"]),
    description: z.string().default(""),
    durationDays: z
        .int(DAYS)
        .refine((days) => days === -1 || (days > 0 && days < 2 ** 31 - 1), DAYS)
        .default(-1),
    permissions: z.array(permission, "expected a list of permissions").min(1).transform(inOrder),
    disabled: z.boolean("expected true or false").optional(),
    secret: harborSecret.optional(),
    adopt: z.boolean("expected true or false").default(false),
});

type Inputs = z.infer<typeof inputs>;
interface Outputs {
    readonly robotId: number;
    readonly fullName: string;
    /** Only Harbor's answer that makes it holds it; absent after an import. */
    readonly secret?: string;
}

interface Found {
    readonly id: number;
    /** With Harbor's prefix and, at level `project`, the project: `robot$team-a+ci`. */
    readonly name: string;
    readonly level: Inputs["level"];
    readonly description?: string;
    readonly duration?: number;
    readonly disable: boolean;
    readonly permissions?: readonly Permission[];
}

export const robotAccount = define<Inputs, Outputs>({
    title: "robot account",
    inputs,
    outputs: ["robotId", "fullName", "secret"],
    secrets: ["secret"],
    replaces: ["name", "level"],
    unmanaged: ["secret", "disabled"],
    instructions: ["adopt"],
    checkTogether: ({ level, permissions }) =>
        level === "project" && (permissions.length > 1 || permissions[0]?.kind !== "project")
            ? [{ property: "permissions", reason: "an account of level project has one permission, of kind project" }]
            : [],

    async create(harbor, given) {
        const { name, level, description, durationDays, permissions, disabled, secret, adopt } = given;
        const body = { name, level, description, duration: durationDays, permissions };
        const find = async (): Promise<{ id: number; stateId: string } | undefined> => {
            const existing = await findByName(harbor, given);
            return existing && { id: existing.id, stateId: String(existing.id) };
        };
        const made = await makeOrFind(harbor, "/robots", body, { adopt, find });
        try {
            const { name: fullName = "", secret: generated = "" } = (made.body ?? {}) as {
                name?: string;
                secret?: string;
            };
            // Harbor takes a secret and `disable` of an account that exists only.
            const kept = made.found || secret !== undefined ? await setSecret(harbor, made.id, secret) : generated;
            const changed = made.found || disabled === true ? await change(harbor, made.id, given) : fullName;
            return {
                id: String(made.id),
                outputs: { robotId: made.id, fullName: changed, secret: kept },
            };
        } catch (error) {
            // Half made it would be in nobody's state, and in the way of the next try.
            if (!made.found) {
                await harbor.delete(pathOf(made.id)).catch(() => undefined);
            }
            throw error;
        }
    },

    async read(harbor, id, state) {
        const found = await harbor.find<Found>(pathOf(id));
        if (found === undefined) {
            return undefined;
        }
        return {
            robotId: found.id,
            fullName: found.name,
            name: state?.name ?? (await shortName(harbor, found)),
            level: found.level,
            description: found.description ?? "",
            durationDays: found.duration ?? -1,
            permissions: inOrder(found.permissions ?? []),
            disabled: found.disable,
            ...(state?.secret === undefined ? {} : { secret: state.secret }),
        };
    },

    async update(harbor, _id, { robotId, secret: recorded }, given) {
        const fullName = await change(harbor, robotId, given);
        const { secret = recorded } = given;
        if (secret !== undefined && secret !== recorded) {
            await setSecret(harbor, robotId, secret);
        }
        return { robotId, fullName, ...(secret === undefined ? {} : { secret }) };
    },

    delete: (harbor, id) => harbor.delete(pathOf(id)),
});

function pathOf(id: number | string): string {
    return `/robots/${id}`;
}

/** Harbor keeps no order of permissions; what does not matter here is left out. */
function inOrder(permissions: readonly Permission[]): Permission[] {
    const byText = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
    return permissions
        .map(({ kind, namespace, access: list }) => ({
            kind,
            namespace,
            access: list.map(({ resource, action }) => ({ resource, action })).sort(byText),
        }))
        .sort(byText);
}

/** Sets everything that can be changed; returns the full name, without which Harbor takes no change. */
async function change(harbor: Harbor, id: number, given: Inputs): Promise<string> {
    const { level, description, durationDays, permissions } = given;
    const { name = given.name, disable = false } = (await harbor.get<Found>(pathOf(id))) ?? {};
    const disabled = given.disabled ?? disable;
    await harbor.put(pathOf(id), { name, level, description, duration: durationDays, permissions, disable: disabled });
    return name;
}

/** Without a secret Harbor makes one. */
async function setSecret(harbor: Harbor, id: number, secret = ""): Promise<string> {
    const answer = (await harbor.patch(pathOf(id), { secret })) as { secret?: string } | undefined;
    return secret || (answer?.secret ?? "");
}

async function findByName(harbor: Harbor, { name, level, permissions }: Inputs): Promise<Found | undefined> {
    const prefix = await prefixOf(harbor);
    if (level === "system") {
        const robots = await harbor.list<Found>("/robots");
        return robots.find((robot) => robot.name === `${prefix}${name}`);
    }
    const project = permissions[0]?.namespace ?? "";
    const found = await harbor.find<{ project_id: number }>(`/projects/${encodeURIComponent(project)}`);
    const query = { q: `Level=project,ProjectID=${found?.project_id ?? 0}` };
    const robots = found === undefined ? [] : await harbor.list<Found>("/robots", query);
    return robots.find((robot) => robot.name === `${prefix}${project}+${name}`);
}

/** The name as it was given, of an account that is imported. */
async function shortName(harbor: Harbor, { name, level }: Found): Promise<string> {
    const own = name.slice((await prefixOf(harbor)).length);
    return level === "project" ? own.slice(own.indexOf("+") + 1) : own;
}

async function prefixOf(harbor: Harbor): Promise<string> {
    const settings = await harbor.get<{ robot_name_prefix?: { value: string } }>("/configurations");
    return settings?.robot_name_prefix?.value ?? "";
}
