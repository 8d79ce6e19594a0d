import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { NodePlan, DistributionPlan } from "../../../config/plan";
import type { UserConfig } from "../../../config/schema";
import { ComposeStack, type ComposeStackArgs } from "../../compose-stack";
import type { Machine } from "../../machines";
import type { ObjectStorage } from "../../storage";
import { storageChecks } from "../../storage/checks";
import { bcrypt, renderHtpasswd } from "../htpasswd";
import { bucketFiles, bucketSecrets, text } from "./files";
import { configSecrets, objectsCaFile, renderCompose, renderConfig, renderGate, renderSchedule } from "./render";

export { Collector } from "./collector";

/** A user who may log in. */
export interface Credential {
    readonly name: string;
    /** Secret. */
    readonly password: pulumi.Output<string>;
    /** bcrypt, stable: its salt is in the state. Secret. */
    readonly hash: pulumi.Output<string>;
}

export interface CredentialsArgs {
    readonly registry: DistributionPlan;
    /** A secret of the stack file, by name. */
    readonly secret: (name: string) => pulumi.Output<string>;
}

/** The users of a registry with their passwords, given or generated, the same on every node. */
export class Credentials extends pulumi.ComponentResource {
    readonly users: readonly Credential[];
    /** The first user of the stack file. */
    readonly administrator: Credential;
    /** Signs the state of uploads; every node must have the same. Secret. */
    readonly httpSecret: pulumi.Output<string>;

    constructor(name: string, args: CredentialsArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:Credentials", name, {}, options);
        const [first, ...others] = args.registry.users;
        const credential = (user: UserConfig): Credential => {
            const userName = `${name}-user-${user.name}`;
            const password =
                user.password === undefined
                    ? new random.RandomPassword(userName, { length: 32, special: false }, { parent: this }).result
                    : args.secret(user.password);
            const origin = user.password === undefined ? "generated" : "given";
            const salt = new random.RandomBytes(`${userName}-salt`, { length: 16 }, { parent: this });
            const hash = pulumi.all([password, salt.base64]).apply(([plain, bytes]) => bcrypt(plain, bytes, origin));
            return { name: user.name, password, hash: pulumi.secret(hash) };
        };
        this.administrator = credential(first);
        this.users = [this.administrator, ...others.map(credential)];
        this.httpSecret = new random.RandomPassword(
            `${name}-http-secret`,
            { length: 32, special: false },
            { parent: this },
        ).result;
        this.registerOutputs({});
    }
}

export interface DistributionNodeArgs {
    readonly stack: string;
    readonly registry: DistributionPlan;
    readonly node: NodePlan;
    readonly machine: Machine;
    /** Where the load balancer reaches it. */
    readonly address: pulumi.Output<string>;
    readonly credentials: Credentials;
    /** Where images are that are not on the node. */
    readonly objects?: ObjectStorage | undefined;
    /** The load balancer's, which is on the node's machine too. */
    readonly nginxImage: string;
    /** What must be done right before a release of it is switched to. */
    readonly beforeRelease?: ComposeStackArgs["beforeRelease"];
}

/** A node that runs CNCF Distribution. */
export class DistributionNode extends pulumi.ComponentResource {
    /** Done when the node is healthy. */
    readonly released: pulumi.CustomResource;
    /** A text that is another one with each release. */
    readonly change: pulumi.Output<string>;

    constructor(name: string, args: DistributionNodeArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:DistributionNode", name, {}, options);
        const { registry, node, machine, credentials, objects } = args;
        const schedule = renderSchedule(registry.garbageCollection.times);
        const start = text("start.sh");
        const configure = text("config.sh");
        const collect = text("collect.sh");
        const stack = new ComposeStack(
            name,
            {
                machine,
                project: node.project,
                plainFiles: pulumi.all([args.address, objects?.place]).apply(([address, place]) => {
                    const config = renderConfig(registry, place);
                    const read = [config, configure, place?.caCertificate ?? ""];
                    return {
                        "compose.yaml": {
                            content: renderCompose({
                                stack: args.stack,
                                registry,
                                node,
                                objects: place,
                                address,
                                startFiles: [...read, start],
                                collectorFiles: [...read, schedule, collect],
                            }),
                        },
                        "registry/config.yml": { content: config },
                        "registry/config.sh": { content: configure },
                        "registry/schedule": { content: schedule },
                        "registry/start.sh": { content: start, mode: "0755" },
                        "registry/collect.sh": { content: collect, mode: "0755" },
                        ...bucketFiles(place),
                        ...storageChecks({
                            machine: machine.name,
                            objects: place && {
                                place,
                                image: args.nginxImage,
                                caFile: objectsCaFile,
                                accessKeyFile: `service/${configSecrets.accessKey}`,
                                secretKeyFile: `service/${configSecrets.secretKey}`,
                            },
                        }),
                        ...(node.gateImage === undefined
                            ? {}
                            : { "gate/nginx.conf": { content: renderGate(registry) } }),
                    };
                }),
                secretFiles: {
                    "service/htpasswd": pulumi.all(credentials.users.map(({ hash }) => hash)).apply((hashes) =>
                        renderHtpasswd(
                            credentials.users.map((user, index) => ({
                                name: user.name,
                                hash: hashes[index] ?? "",
                            })),
                        ),
                    ),
                    [`service/${configSecrets.http}`]: credentials.httpSecret.apply((secret) => `${secret}\n`),
                    ...bucketSecrets(objects),
                },
                ...(objects === undefined && {
                    data: { directory: node.dataDirectory, deleteData: node.deleteData },
                }),
                ...(args.beforeRelease && { beforeRelease: args.beforeRelease }),
            },
            { parent: this },
        );
        this.released = stack.released;
        this.change = stack.change;
        this.registerOutputs({});
    }
}
