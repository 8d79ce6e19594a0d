import { valueAt, type Contradiction } from "./raw-file";

/** The checks across keys that are about where state is kept. */

/** What Harbor would not look at, or would make something else of. */
export function storage(file: unknown): Contradiction[] {
    const of = (part: string, key: string) => valueAt(file, ["storage", part, key]);
    const isExternal = (part: string) => of(part, "kind") === "external";
    const isHttp = (url: unknown) => typeof url === "string" && url.startsWith("http:");
    const isThere = (...path: string[]) => valueAt(file, path) !== undefined;
    const destination = ["registry", "backup", "destination"];
    const sslMode = of("database", "sslMode");
    const host = of("cache", "host");
    const checks: [boolean, string[], string][] = [
        [
            isExternal("objects") && isHttp(of("objects", "endpoint")),
            ["storage", "objects", "caCertificate"],
            "has no effect with an endpoint of http; expected one of https",
        ],
        [
            isHttp(valueAt(file, [...destination, "endpoint"])),
            [...destination, "caCertificate"],
            "has no effect with an endpoint of http; expected one of https",
        ],
        [
            isExternal("database") && (sslMode === "disable" || sslMode === "require"),
            ["storage", "database", "caCertificate"],
            "has no effect without sslMode: verify-ca or verify-full",
        ],
        [
            isExternal("cache") && of("cache", "tls") !== true,
            ["storage", "cache", "caCertificate"],
            "has no effect without tls: true",
        ],
        // `prepare` would make user@host into userhost (get_redis_url).
        [
            isExternal("cache") && !isThere("storage", "cache", "password"),
            ["storage", "cache", "username"],
            "expected a password beside it: Harbor writes no user without one",
        ],
        [
            isExternal("cache") && typeof host === "string" && host.includes(",") && !of("cache", "sentinelMaster"),
            ["storage", "cache", "host"],
            "expected one host, or sentinelMaster beside the sentinels, for example redis.example.com:6379",
        ],
    ];
    return checks.flatMap(([wrong, path, message]) => (wrong && isThere(...path) ? [{ path, message }] : []));
}

/** What a database or a cache on a machine needs beside it. */
export function ownStorage(file: unknown): Contradiction[] {
    const images: readonly (readonly [part: string, image: string, example: string])[] = [
        ["database", "postgres", "postgres:17.10"],
        ["cache", "valkey", "valkey:8.1.3"],
    ];
    const isOwn = (part: string) => valueAt(file, ["storage", part, "kind"]) === "machine";
    const isThere = (image: string) => valueAt(file, ["images", image]) !== undefined;
    const bundled = images
        .filter(([part, image]) => valueAt(file, ["images", "bundle"]) !== undefined && isOwn(part) && !isThere(image))
        .map(([, image, example]) => ({
            path: ["images", image],
            message: `expected the name that the image has in the bundle, for example ${example}`,
        }));
    // Backups are made by the programs of Harbor's own database, which is PostgreSQL 15 before 2.15.2.
    const version = valueAt(file, ["registry", "version"]);
    const isOld = typeof version === "string" && /^2\.(?:14\.\d+|15\.[01])$/.test(version);
    const tooNew: readonly (readonly [is: boolean, path: readonly string[], what: string])[] = [
        [isOwn("database") && !isThere("postgres"), ["images", "postgres"], "an image of PostgreSQL 15 or older"],
        [
            Number(valueAt(file, ["storage", "database", "engineVersion"])) > 15,
            ["storage", "database", "engineVersion"],
            "15 or less",
        ],
    ];
    return [
        ...bundled,
        ...tooNew.flatMap(([is, path, what]) =>
            isOld && is ? [{ path, message: `expected ${what}: Harbor ${version} cannot back up a newer one` }] : [],
        ),
    ];
}

/** Two parts in one volume would write over each other. */
export function volumes(file: unknown): Contradiction[] {
    const names = ["objects", "database", "jobLogs"].flatMap((part): [string, unknown][] =>
        valueAt(file, ["storage", part, "kind"]) === "volume" ? [[part, valueAt(file, ["storage", part, "name"])]] : [],
    );
    return names.flatMap(([part, name], index) => {
        const other = names.slice(0, index).find(([, each]) => name !== undefined && each === name);
        return other === undefined
            ? []
            : [
                  {
                      path: ["storage", part, "name"],
                      message: `expected another volume than that of storage.${other[0]}, for example registry-${part.toLowerCase()}`,
                  },
              ];
    });
}

/** What storage of kind aws needs, and what is for nothing without it. */
export function aws(file: unknown): Contradiction[] {
    const isMade = (part: string) => valueAt(file, ["storage", part, "kind"]) === "aws";
    const made = ["objects", "database", "cache"].filter(isMade);
    const settings = valueAt(file, ["aws"]);
    if (made.length === 0) {
        return settings === undefined
            ? []
            : [{ path: ["aws"], message: "is for nothing: no storage is of kind aws; remove it" }];
    }
    if (settings === undefined) {
        return [
            {
                path: ["aws"],
                message: `is needed by storage.${made.join(" and storage.")}, for example {region: eu-central-1}`,
            },
        ];
    }
    const network = valueAt(settings, ["network"]);
    const isPublic = valueAt(file, ["storage", "database", "public"]) !== undefined;
    const inside = made.filter((part) => part === "cache" || (part === "database" && !isPublic));
    const wrong: readonly (readonly [boolean, readonly string[], string])[] = [
        [
            network === undefined && made.some((part) => part !== "objects"),
            ["aws", "network"],
            "is needed by a database or a cache of kind aws, for example {vpc: vpc-0a1b2c3d4e5f60718, subnets: [subnet-0a1b2c3d4e5f60718, subnet-0b1c2d3e4f5a60719], nodeCidrs: [10.42.0.0/24]}",
        ],
        [
            network !== undefined && made.every((part) => part === "objects"),
            ["aws", "network"],
            "is for nothing: neither the database nor the cache is of kind aws; remove it",
        ],
        [
            network !== undefined && inside.length > 0 && valueAt(network, ["nodeCidrs"]) === undefined,
            ["aws", "network", "nodeCidrs"],
            `is needed by storage.${inside.join(" and storage.")}: the ranges that nodes come from, for example [10.42.0.0/24]`,
        ],
        [
            inside.length === 0 && made.includes("database") && valueAt(network, ["nodeCidrs"]) !== undefined,
            ["aws", "network", "nodeCidrs"],
            "has no effect: the database takes connections from storage.database.public.allowedCidrs; remove it",
        ],
    ];
    return wrong.flatMap(([is, path, message]) => (is ? [{ path, message }] : []));
}
