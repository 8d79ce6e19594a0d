import { isStatus, type Harbor } from "./client";

/** What the resources that have a name can be told about one that exists already. */
export interface Adoption {
    readonly adopt: boolean;
    /** Looks the existing one up: its id in Harbor, and in the state. */
    readonly find: () => Promise<{ readonly id: number; readonly stateId: string } | undefined>;
}

/**
 * Makes something. Where Harbor has one with that name, it is taken over if the program says so.
 *
 * @returns its id, and the body of Harbor's answer if it was made
 * @throws Error that says how to take it over
 */
export async function makeOrFind(
    harbor: Harbor,
    path: string,
    body: unknown,
    { adopt, find }: Adoption,
): Promise<{ readonly id: number; readonly body: unknown; readonly found: boolean }> {
    try {
        return { ...(await harbor.post(path, body)), found: false };
    } catch (error) {
        const existing = isStatus(error, 409) ? await find() : undefined;
        if (existing === undefined) {
            throw error;
        }
        if (adopt) {
            return { id: existing.id, body: undefined, found: true };
        }
        throw new Error(
            `${(error as Error).message}. To take over the one that is there, give \`adopt: true\`, ` +
                `or \`import: "${existing.stateId}"\` among the resource's options`,
            { cause: error },
        );
    }
}
