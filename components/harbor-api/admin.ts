import * as pulumi from "@pulumi/pulumi";
import type { InstanceArgs } from "./instance";

export interface AdminPasswordArgs extends InstanceArgs {
    /** 8 to 128 characters with an upper-case letter, a lower-case letter and a digit (Harbor's rule). Always a secret. */
    readonly password: pulumi.Input<string>;
    /**
     * A password that may be valid when the wanted one is not set yet: the one that Harbor was installed with, or after
     * somebody changed it by hand, that one. A change of this alone does nothing. Always a secret.
     */
    readonly initialPassword?: pulumi.Input<string>;
}

/**
 * The password of Harbor's user `admin`, which harbor.yml sets at the first start only. It does not use the user and password of its
 * provider. Let what does depend on it: `{ dependsOn: adminPassword }`.
 *
 * A password that was changed by hand shows in a refresh. `up` then sets the wanted one if `initialPassword` is the valid
 * one, and otherwise says that it has to be. Deleting this leaves the password as it is.
 */
export class AdminPassword extends pulumi.CustomResource {
    declare readonly password: pulumi.Output<string>;

    constructor(name: string, args: AdminPasswordArgs, options?: pulumi.CustomResourceOptions) {
        const inputs = {
            ...args,
            password: pulumi.secret(args.password),
            initialPassword: args.initialPassword === undefined ? undefined : pulumi.secret(args.initialPassword),
        };
        super("harborage:harbor:AdminPassword", name, inputs, options);
    }
}

export interface ConfigurationArgs extends InstanceArgs {
    /**
     * Settings by the names that Harbor's API has for them (`PUT /configurations`), for example
     * `{ self_registration: false, project_creation_restriction: "adminonly" }`. Settings that are not named are not touched.
     */
    readonly settings?: pulumi.Input<Readonly<Record<string, pulumi.Input<string | number | boolean>>>>;
    /**
     * Those whose name ends in `_password` or `_secret`, for example `{ oidc_client_secret: secret }`. Harbor never tells them:
     * a change by hand cannot be seen. Always a secret.
     */
    readonly secretSettings?: pulumi.Input<Readonly<Record<string, pulumi.Input<string>>>>;
}

/**
 * Settings of a whole Harbor; one of these for each Harbor. A setting that is not named any more, or all of them when this is deleted,
 * goes back to what it was before it was named; a secret one is emptied, which is Harbor's default.
 */
export class Configuration extends pulumi.CustomResource {
    declare readonly settings: pulumi.Output<Record<string, string | number | boolean>>;
    /** What each of the settings was before it was named here. */
    declare readonly before: pulumi.Output<Record<string, string | number | boolean>>;

    constructor(name: string, args: ConfigurationArgs, options?: pulumi.CustomResourceOptions) {
        const inputs = {
            ...args,
            secretSettings: args.secretSettings === undefined ? undefined : pulumi.secret(args.secretSettings),
            before: undefined,
        };
        super("harborage:harbor:Configuration", name, inputs, options);
    }
}
