import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { NodePlan, DistributionPlan } from "../../../config/plan";
import type { UserConfig } from "../../../config/schema";
import { ComposeStack, type ComposeStackArgs } from "../../compose-stack";
import type { Machine } from "../../machines";
import { bcrypt, renderHtpasswd } from "../htpasswd";
import { renderCompose, renderConfig, renderGate, renderSchedule } from "./render";

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
            const salt = new random.RandomBytes(`${userName}-salt`, { length: 16 }, { parent: this });
            const hash = pulumi.all([password, salt.base64]).apply(([plain, bytes]) => bcrypt(plain, bytes));
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
    /** What must be done right before a release of it is switched to. */
    readonly beforeRelease?: ComposeStackArgs["beforeRelease"];
}

const text = (file: string) => readFileSync(join(__dirname, file), "utf8");

/** A node that runs CNCF Distribution. */
export class DistributionNode extends pulumi.ComponentResource {
    /** Done when the node is healthy. */
    readonly released: pulumi.CustomResource;

    constructor(name: string, args: DistributionNodeArgs, options?: pulumi.ComponentResourceOptions) {
        super("harborage:index:DistributionNode", name, {}, options);
        const { registry, node, machine, credentials } = args;
        const config = renderConfig(registry);
        const schedule = renderSchedule(registry.garbageCollection.times);
        const start = text("start.sh");
        const collect = text("collect.sh");
        const stack = new ComposeStack(
            name,
            {
                machine,
                project: node.project,
                plainFiles: args.address.apply((address) => ({
                    "compose.yaml": {
                        content: renderCompose({
                            stack: args.stack,
                            registry,
                            node,
                            address,
                            startFiles: [config, start],
                            collectorFiles: [config, schedule, collect],
                        }),
                    },
                    "registry/config.yml": { content: config },
                    "registry/schedule": { content: schedule },
                    "registry/start.sh": { content: start, mode: "0755" },
                    "registry/collect.sh": { content: collect, mode: "0755" },
                    ...(node.gateImage === undefined ? {} : { "gate/nginx.conf": { content: renderGate() } }),
                })),
                secretFiles: {
                    "service/htpasswd": pulumi.all(credentials.users.map(({ hash }) => hash)).apply((hashes) =>
                        renderHtpasswd(
                            credentials.users.map((user, index) => ({
                                name: user.name,
                                hash: hashes[index] ?? "",
                            })),
                        ),
                    ),
                    "service/http-secret": credentials.httpSecret.apply((secret) => `${secret}\n`),
                },
                data: { directory: node.dataDirectory, deleteData: node.deleteData },
                ...(args.beforeRelease && { beforeRelease: args.beforeRelease }),
            },
            { parent: this },
        );
        this.released = stack.released;
        this.registerOutputs({});
    }
}
