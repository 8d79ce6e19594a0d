import * as openstack from "@pulumi/openstack";
import * as pulumi from "@pulumi/pulumi";
import type { CloudPlan, MachinePlan, OpenstackMachinePlan } from "../../../config/plan";

/** What the stack file names, as the cloud has it. */
export interface Found {
    /** Ids by name. */
    readonly images: Readonly<Record<string, string>>;
    readonly flavors: Readonly<Record<string, string>>;
    /** Absent for a network of the stack's own. */
    readonly network?: { readonly id: string; readonly subnetId: string };
    /** Absent where no machine has a floating IP. */
    readonly externalNetworkId?: string;
}

interface Flavor {
    readonly id: string;
    readonly vcpus?: number;
    readonly ram?: number;
}

/** A mistake in the stack file, found by asking the cloud. */
class Wrong extends Error {}

const prefix = "harborage:";

/** The answer to a question for something by its name, or what to say when there is no such thing. */
async function named<T>(path: string, what: string, name: string | undefined, question: Promise<T>): Promise<T> {
    try {
        return await question;
    } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        if (/no results|not found|no .{0,40}found|does not exist|unable to find/i.test(text)) {
            const which = name === undefined ? what : `${what} "${name}"`;
            throw new Wrong(
                `${prefix}${path}: there is no ${which} that this project may use; see: openstack ${what} list`,
            );
        }
        if (/more than one/i.test(text)) {
            const several =
                name === undefined ? `there are several ${what}s` : `several ${what}s have the name "${name}"`;
            throw new Wrong(`${prefix}${path}: ${several}; expected a name of one only, see: openstack ${what} list`);
        }
        throw error;
    }
}

/** The cloud does not answer at all: it cannot be found, or does not let us in. */
function refusal(reason: unknown): string {
    const text = (reason instanceof Error ? reason.message : String(reason))
        .replace(/^invocation of \S+ returned an error: (?:\d+ errors? occurred:)?/, "")
        .replace(/\s*\n\s*/g, " ")
        .trim();
    return `${prefix}openstack.auth: OpenStack cannot be used: ${text}; expected a login in the OS_* variables (. openrc), in clouds.yaml with OS_CLOUD, or here`;
}

/** Waits for every answer, so that all mistakes are told at once. */
async function settle(questions: readonly Promise<unknown>[]): Promise<void> {
    const results = await Promise.allSettled(questions);
    const reasons = results.flatMap((result): unknown[] => (result.status === "rejected" ? [result.reason] : []));
    const wrong = reasons.map((reason) => (reason instanceof Wrong ? reason : new Wrong(refusal(reason))));
    if (wrong.length > 0) {
        throw new pulumi.RunError(
            `nothing in the cloud was changed:\n${[...new Set(wrong.map(({ message }) => `  - ${message}`))].join("\n")}`,
        );
    }
}

/** Asks for each name once. */
function once<T>(ask: (name: string) => Promise<T>): (name: string) => Promise<T> {
    const asked = new Map<string, Promise<T>>();
    return (name) => {
        const question = asked.get(name) ?? ask(name);
        asked.set(name, question);
        return question;
    };
}

type Vm = MachinePlan & { readonly place: OpenstackMachinePlan };

const isVm = (machine: MachinePlan): machine is Vm => machine.place.kind === "openstack";

function checkFlavor(
    path: string,
    name: string,
    { vcpus = 0, ram = 0 }: Flavor,
    { minimum }: OpenstackMachinePlan,
): void {
    if (vcpus < minimum.cpus || ram < minimum.memoryMiB) {
        throw new Wrong(
            `${prefix}${path}: the flavor "${name}" has ${String(vcpus)} vCPU and ${String(ram)} MiB; expected at least ${String(minimum.cpus)} vCPU and ${String(minimum.memoryMiB)} MiB for this registry`,
        );
    }
}

/**
 * Looks up what the stack file names, before anything is declared that would change the cloud.
 *
 * @throws pulumi.RunError with every name that the cloud does not have
 */
export async function lookUp(
    plan: CloudPlan,
    machines: readonly MachinePlan[],
    options: pulumi.InvokeOptions,
): Promise<Found> {
    const vms = machines.filter(isVm);
    const getImage = once((name) => openstack.images.getImage({ name, mostRecent: true }, options));
    const getFlavor = once((name) => openstack.compute.getFlavor({ name }, options));
    const images = vms.map(async ({ name, place: { image } }): Promise<[string, string]> => {
        return [image, (await named(`machines.${name}.image`, "image", image, getImage(image))).id];
    });
    const flavors = vms.map(async ({ name, place }): Promise<[string, string]> => {
        const path = `machines.${name}.flavor`;
        const flavor = await named(path, "flavor", place.flavor, getFlavor(place.flavor));
        checkFlavor(path, place.flavor, flavor, place);
        return [place.flavor, flavor.id];
    });
    const { network } = plan;
    const external =
        vms.some(({ place }) => place.floatingIp) || network.kind === "own" ? network.externalNetwork : undefined;
    const inside = network.kind === "existing" ? existingNetwork(network, options) : Promise.resolve(undefined);
    const outside =
        external === undefined
            ? Promise.resolve(undefined)
            : named(
                  "openstack.network.externalNetwork",
                  "network",
                  external,
                  openstack.networking.getNetwork({ name: external }, options),
              );
    await settle([...images, ...flavors, inside, outside]);
    const [foundInside, foundOutside] = [await inside, await outside];
    return {
        images: Object.fromEntries(await Promise.all(images)),
        flavors: Object.fromEntries(await Promise.all(flavors)),
        ...(foundInside === undefined ? {} : { network: foundInside }),
        ...(foundOutside === undefined ? {} : { externalNetworkId: foundOutside.id }),
    };
}

async function existingNetwork(
    network: Extract<CloudPlan["network"], { kind: "existing" }>,
    options: pulumi.InvokeOptions,
): Promise<{ id: string; subnetId: string }> {
    const path = "openstack.network";
    const question = openstack.networking.getNetwork({ name: network.name }, options);
    const { id } = await named(`${path}.name`, "network", network.name, question);
    const name = network.subnet;
    const subnet = await named(
        `${path}.subnet`,
        "subnet",
        name,
        openstack.networking.getSubnet({ networkId: id, ...(name === undefined ? {} : { name }) }, options),
    );
    return { id, subnetId: subnet.id };
}
