import type * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";

/**
 * A name that nothing else has, in the account or in the world: `harborage-STACK-WORD`, of lower-case letters, digits and
 * single hyphens, at most 40 long (CreateReplicationGroup takes no longer one).
 */
export function uniqueName(name: string, stack: string, parent: pulumi.Resource): pulumi.Output<string> {
    const word = new random.RandomId(`${name}-name`, { byteLength: 4 }, { parent }).hex;
    return word.apply((hex) => `${prefixOf(stack)}-${hex}`);
}

function prefixOf(stack: string): string {
    return `harborage-${stack}`
        .replaceAll(/[^a-z0-9]+/g, "-")
        .slice(0, 31)
        .replace(/-$/, "");
}
