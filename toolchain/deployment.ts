/** The part of an exported state (`pulumi stack export`, version 3) that matters here. */
export interface Exported {
    readonly deployment: { readonly resources?: readonly StateResource[] };
}

export interface StateResource {
    readonly urn: string;
    readonly type: string;
    readonly id?: string;
    readonly protect?: boolean;
    readonly custom?: boolean;
    readonly inputs?: Readonly<Record<string, unknown>>;
    readonly outputs?: Readonly<Record<string, unknown>>;
    readonly dependencies?: readonly string[];
    readonly propertyDependencies?: Readonly<Record<string, readonly string[] | null>>;
    readonly deletedWith?: string;
}

const nameOf = ({ urn }: StateResource) => urn.split("::").at(-1) ?? urn;

const claimType = "random:index/randomId:RandomId";

/** The machines of a stack by name, each with the mark that all its scripts carry (components/machines/prepare.ts). */
function claims(resources: readonly StateResource[]): Map<string, string> {
    const found = resources.filter((resource) => resource.type === claimType && nameOf(resource).endsWith("-claim"));
    return new Map(
        found.map((resource) => [nameOf(resource).slice(0, -"-claim".length), String(resource.outputs?.["hex"])]),
    );
}

/** The machines that a stack has, by name. */
export function machineNames({ deployment }: Exported): string[] {
    return [...claims(deployment.resources ?? []).keys()];
}

/**
 * Takes what was done on a machine out of a state: the machine is lost, and nothing that is still to be deleted on it can
 * be. What the machine itself consists of in a cloud stays.
 *
 * @returns the new state, and the names of the resources that were taken out; none where there is no such machine
 */
export function forgetMachine<T extends Exported>(
    exported: T,
    machine: string,
): { readonly exported: T; readonly forgotten: string[] } {
    const { resources = [] } = exported.deployment;
    const claim = claims(resources).get(machine);
    const isScript = ({ type, inputs = {} }: StateResource) =>
        type.startsWith("command:") && JSON.stringify([inputs["create"], inputs["triggers"]]).includes(claim ?? "\0");
    const forgotten = resources.filter(isScript);
    const gone = new Set(forgotten.map(({ urn }) => urn));
    const stays = (urn: string) => !gone.has(urn);
    const kept = resources
        .filter(({ urn }) => stays(urn))
        .map(({ deletedWith, ...resource }) => ({
            ...resource,
            ...(deletedWith === undefined || !stays(deletedWith) ? {} : { deletedWith }),
            ...(resource.dependencies && { dependencies: resource.dependencies.filter(stays) }),
            ...(resource.propertyDependencies && {
                propertyDependencies: Object.fromEntries(
                    Object.entries(resource.propertyDependencies).map(([key, urns]) => [
                        key,
                        urns?.filter(stays) ?? null,
                    ]),
                ),
            }),
        }));
    return {
        exported: { ...exported, deployment: { ...exported.deployment, resources: kept } },
        forgotten: forgotten.map(nameOf),
    };
}

/** What a destroy has left because it is protected, and how to delete it. */
export function protectedLines({ deployment }: Exported, stack: string): string[] {
    return (deployment.resources ?? [])
        .filter(({ custom, protect }) => custom === true && protect === true)
        .map(({ urn, type, id = "", outputs }) => {
            const name = typeof outputs?.["name"] === "string" ? outputs["name"] : (urn.split("::").at(-1) ?? urn);
            const kind = type.split(":").at(-1) ?? type;
            return `${kind} ${name} (${id}); delete it with: npm run pulumi -- state unprotect '${urn}' --yes --stack ${stack}, then npm run destroy -- --stack ${stack}`;
        });
}
