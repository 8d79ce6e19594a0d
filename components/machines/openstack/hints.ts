import * as pulumi from "@pulumi/pulumi";

/** What OpenStack says when it refuses, and what to do about it. */
const hints: readonly (readonly [RegExp, (path: string) => string])[] = [
    [
        /quota|exceeds allowed|over ?limit/i,
        (path) =>
            `${path}: the project's quota does not allow it. See: openstack limits show --absolute; ask for more, or choose something smaller`,
    ],
    [
        /no valid host/i,
        (path) =>
            `${path}: no host of the cloud has room for this VM. Choose another flavor or availability zone, or, with openstack.antiAffinity hard, soft`,
    ],
    [
        /flavor's disk is too small|too small for requested image/i,
        (path) =>
            `${path}.flavor: its disk is smaller than the image. Choose a larger one, or boot from a volume (${path}.bootVolume)`,
    ],
];

/** What to do about a refusal; undefined where nothing is known. */
export function hintFor(path: string, errors: readonly string[]): string | undefined {
    return hints.find(([pattern]) => errors.some((error) => pattern.test(error)))?.[1](path);
}

/** Says, beside the cloud's own words, what to do; nothing is tried again. */
export function failureHint(path: string): pulumi.ErrorHook {
    return new pulumi.ErrorHook(`explain ${path}`, async ({ errors }) => {
        const hint = hintFor(path, errors);
        if (hint !== undefined) {
            await pulumi.log.error(hint);
        }
        return false;
    });
}
