import { z } from "zod";
import { aws } from "./aws";
import { baseline, sourceFile } from "./baseline";
import { contradictions } from "./consistency";
import {
    choice,
    dnsName,
    dnsNameOrAddress,
    eachOnce,
    exampleImage,
    flag,
    imageReference,
    integer,
    object,
    port,
    resourceName,
    schedule,
    secretName,
    text,
    variants,
} from "./fields";
import { harborRegistry } from "./harbor";
import { loadBalancer } from "./load-balancer";
import { machine } from "./machines";
import { openstack } from "./openstack";
import { storage } from "./storage";
import { topology } from "./topology";

/**
 * The schema of the stack file: the one place that says what a user may write. Types, the JSON Schema for editors and
 * the configuration reference are made from it. A further machine kind, engine, topology or storage kind is a further
 * member of the union that it belongs to.
 */

/** This machine can be there once only. */
const isLocal = ({ kind }: { kind: string }) => kind === "local";

const user = object(
    {
        name: text(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "a user name of letters, digits and . _ -", "ci").describe(
            "The name to log in with.",
        ),
        password: secretName
            .optional()
            .describe(
                "The name of the secret that holds the password (at most 72 bytes: bcrypt's limit). Default: a generated one.",
            ),
    },
    "{name: ci}",
);

const garbageCollection = object(
    {
        enabled: flag().default(true).describe("Whether collection runs by itself."),
        schedule: schedule("0 3 * * *"),
        deleteUntagged: flag()
            .default(false)
            .describe(
                "Whether manifests without a tag are deleted too. Images that are used by digest alone would be lost.",
            ),
        drainMinutes: integer(1, 240, "minutes", 15)
            .default(15)
            .describe(
                "How long to wait for running uploads. When they last longer, collection is put off to the next time.",
            ),
    },
    "{schedule: 0 3 * * *}",
);

const distributionRegistry = object(
    {
        engine: z.literal("distribution"),
        port: port(5000).default(5000).describe("The node's port. Only the load balancer uses it."),
        users: z
            .array(user, "expected a list of users, for example [{name: admin}]")
            .min(1, "expected at least one user, for example [{name: admin}]")
            .superRefine(eachOnce(({ name }) => name, ["name"], "is there twice; give each user a name of its own"))
            .default([{ name: "admin" }])
            .describe(
                "Who may log in; everyone may push, pull and delete. The first one is the administrator in the outputs.",
            ),
        garbageCollection: garbageCollection
            .prefault({})
            .describe(
                "Frees the bytes of deleted images. Pushes are refused while it runs (503 with Retry-After); pulls go on.",
            ),
        logLevel: choice(["error", "warn", "info", "debug"]).default("info").describe("What the registry logs."),
    },
    "{engine: distribution}",
).describe("CNCF Distribution 3: a plain registry with password users.");

const ownCaCertificate = object(
    {
        kind: z.literal("own-ca"),
        validityDays: integer(2, 825, "days", 365)
            .default(365)
            .describe("How long the server certificate is valid. Apple's clients refuse more than 825."),
        renewBeforeDays: integer(1, 824, "days", 60)
            .default(60)
            .describe("The first `up` in this time before expiry renews the certificate."),
        caValidityDays: integer(30, 36_500, "days", 3650).default(3650).describe("How long the CA is valid."),
    },
    "{kind: own-ca}",
)
    .refine((value) => value.renewBeforeDays < value.validityDays, {
        path: ["renewBeforeDays"],
        error: "expected fewer days than validityDays, for example 60 with validityDays 365",
    })
    .refine((value) => value.validityDays <= value.caValidityDays, {
        path: ["caValidityDays"],
        error: "expected at least as many days as validityDays, for example 3650",
    })
    .describe("A CA of the stack's own signs the server certificate; clients must trust it.");

const images = object(
    {
        registry: imageReference(exampleImage("registry:3.1.2"))
            .optional()
            .describe("The image of CNCF Distribution 3."),
        nginx: imageReference(exampleImage("nginx:1.30.1"))
            .optional()
            .describe(
                "The image of nginx, 1.25.1 or newer; on Debian or Alpine. From 1.27.4 on, clients notice nothing of a reload.",
            ),
        postgres: imageReference(exampleImage("postgres:17.6"))
            .optional()
            .describe(
                "The image of PostgreSQL, on Debian; another major version cannot read the data of the one before.",
            ),
        valkey: imageReference(exampleImage("valkey:8.1")).optional().describe("The image of Valkey."),
        bundle: sourceFile("A tar that `docker save` wrote", "harborage-images.tar")
            .optional()
            .describe("For sites that cannot pull: the images are loaded from this file, under the names given here."),
    },
    "{registry: mirror.example.com/registry:3.1.2@sha256:…}",
).superRefine((value, context) => {
    for (const key of ["registry", "nginx", "postgres", "valkey"] as const) {
        const reference = value[key];
        // What only some stacks have is asked for where it is known that they have it.
        const isAlways = key === "registry" || key === "nginx";
        if (value.bundle !== undefined && reference === undefined && isAlways) {
            context.addIssue({
                code: "custom",
                path: [key],
                message: "expected the name that the image has in the bundle, for example registry:3.1.2",
            });
        }
        if (value.bundle === undefined && reference !== undefined && !reference.includes("@sha256:")) {
            context.addIssue({
                code: "custom",
                path: [key],
                message: `has no digest; expected NAME:TAG@sha256:DIGEST, so that what runs is what was reviewed`,
            });
        }
    }
});

/** What the keys below `harborage:` may be; secrets beside them are found by the names that refer to them. */
export const stackSchema = object(
    {
        publicName: dnsName.describe("The name that clients use; the certificate is for it."),
        additionalNames: z
            .array(dnsNameOrAddress, "expected a list of names, for example [registry.internal]")
            .default([])
            .describe("Further names and addresses for the certificate."),
        machines: z
            .record(resourceName, machine, {
                error: (issue) =>
                    issue.code === "invalid_key"
                        ? "expected a name of lower-case letters, digits and hyphens, for example node-1"
                        : "expected machines by name, for example {box: {kind: local}}",
            })
            .refine((value) => Object.keys(value).length > 0, {
                error: "expected at least one machine, for example {box: {kind: local}}",
            })
            .refine((value) => Object.values(value).filter(isLocal).length < 2, {
                error: "expected one machine of kind local at most: each would be this machine, for example {box: {kind: local}}",
            })
            .describe("The machines, by name."),
        openstack: openstack
            .optional()
            .describe("The OpenStack that machines of kind openstack are made in. Needed as soon as there is one."),
        aws: aws.optional().describe("The AWS that storage of kind aws is made in. Needed as soon as there is one."),
        baseline: baseline
            .prefault({})
            .describe("What each machine of kind existing or openstack gets before anything runs on it."),
        topology: topology.describe("Which machine runs what."),
        registry: variants(
            "engine",
            [distributionRegistry, harborRegistry],
            ["distribution", "harbor"],
            "{engine: distribution}",
        ).describe("The registry engine."),
        storage: storage.prefault({}).describe("Where state is kept."),
        loadBalancer: loadBalancer.prefault({ mode: "http" }).describe("nginx, the only door to the registry."),
        certificate: variants("kind", [ownCaCertificate], ["own-ca"], "{kind: own-ca}")
            .prefault({ kind: "own-ca" })
            .describe("The server certificate."),
        images: images.prefault({}).describe("Other sources of the container images than Docker Hub."),
    },
    "{publicName: registry.example.com, …}",
).superRefine(
    (file, context) => {
        for (const { path, message } of contradictions(file)) {
            context.addIssue({ code: "custom", path: [...path], message });
        }
    },
    { when: () => true },
);

/** What a stack file says, with every default filled in. Secrets are in it by name only. */
export type StackConfig = z.output<typeof stackSchema>;
export type RegistryConfig = StackConfig["registry"];
export type DistributionConfig = Extract<RegistryConfig, { engine: "distribution" }>;
export type UserConfig = DistributionConfig["users"][number];
export type GarbageCollectionConfig = DistributionConfig["garbageCollection"];
export type CertificateConfig = StackConfig["certificate"];
