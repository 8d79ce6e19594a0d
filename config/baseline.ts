import { z } from "zod";
import { choice, dnsNameOrAddress, eachOnce, httpUrl, integer, object, sha256, text } from "./fields";

/** The part of the stack file's schema that says what every machine of kind existing or openstack gets. */

/** A file by path, on the machine that runs `up`, or by URL; always with its hash. */
export interface SourceFile {
    readonly path?: string | undefined;
    readonly url?: string | undefined;
    readonly sha256: string;
}

/**
 * The schema of a {@link SourceFile}.
 *
 * @param what a sentence's beginning, such as `A tar that docker save wrote`
 */
export function sourceFile(what: string, example: string) {
    return object(
        {
            path: text(/^\/.+$/, "an absolute path", `/srv/${example}`)
                .optional()
                .describe(`${what}, on the machine that runs \`up\`. It is sent to each other machine once.`),
            url: httpUrl(`https://files.example.com/${example}`)
                .optional()
                .describe(`${what}, where each machine can fetch it.`),
            sha256: sha256.describe("Its SHA-256."),
        },
        `{path: /srv/${example}, sha256: 9f86d0…}`,
    ).superRefine(({ path, url }, context) => {
        if ((path === undefined) === (url === undefined)) {
            const mistake = path === undefined ? "is missing" : "is there beside url";
            const message = `${mistake}; expected either path or url, for example /srv/${example}`;
            context.addIssue({ code: "custom", path: ["path"], message });
        }
    });
}

const packageSource = object(
    {
        name: text(/^[a-z][a-z0-9-]{0,31}$/, "a name of lower-case letters, digits and hyphens", "docker").describe(
            "The file's name below /etc/apt/sources.list.d.",
        ),
        uri: httpUrl("https://mirror.example.com/docker").describe("Where the repository is."),
        suite: text(/^[A-Za-z0-9./-]+$/, "a suite", "bookworm").describe("Its suite, or a path that ends with `/`."),
        components: z
            .array(
                text(/^[A-Za-z0-9/-]+$/, "a component", "stable"),
                "expected a list of components, for example [stable]",
            )
            .default([])
            .describe("Its components; none for a suite that ends with `/`."),
        key: text(
            /^-----BEGIN PGP PUBLIC KEY BLOCK-----[^]+$/,
            "an armored OpenPGP public key",
            "-----BEGIN PGP PUBLIC KEY BLOCK----- …",
        ).describe("The key that signs it, as text."),
    },
    "{name: docker, uri: https://mirror.example.com/docker, suite: bookworm, components: [stable], key: …}",
);

const packages = object(
    {
        proxy: httpUrl("http://proxy.example.com:3128").optional().describe("The HTTP proxy that apt uses."),
        sources: z
            .array(
                packageSource,
                "expected a list of repositories, for example [{name: docker, uri: https://mirror.example.com/docker, suite: bookworm, components: [stable], key: …}]",
            )
            .superRefine(
                eachOnce(({ name }) => name, ["name"], "is there twice; give each repository a name of its own"),
            )
            .default([])
            .describe("Further repositories, such as a mirror of Docker's."),
        bundle: sourceFile("A tar of .deb files", "packages.tar")
            .optional()
            .describe("For sites without a mirror: the packages are installed from this file alone."),
    },
    "{proxy: http://proxy.example.com:3128}",
);

const docker = object(
    {
        version: text(/^\d+(?:\.\d+)*$/, "a version or its beginning", "28.5")
            .optional()
            .describe(
                "The version of Docker Engine, or its beginning. It is installed where Docker is missing, and checked where it is there. Default: 20.10 or newer.",
            ),
        composePlugin: sourceFile("The program docker-compose", "docker-compose-linux-x86_64")
            .optional()
            .describe(
                "The compose plugin, where the distribution has no package of it (Debian 12). Default: the package.",
            ),
        httpProxy: httpUrl("http://proxy.example.com:3128")
            .optional()
            .describe("The proxy that Docker pulls images through."),
        noProxy: z
            .array(dnsNameOrAddress, "expected a list of names, for example [mirror.internal]")
            .default([])
            .describe("What is pulled without the proxy."),
        daemon: z
            .record(z.string(), z.unknown(), "expected a mapping, for example {bip: 172.31.0.1/16}")
            .default({})
            .describe("Further keys of /etc/docker/daemon.json."),
    },
    "{version: 28.5}",
);

/** Whether Node's own list of time zones has it; it takes any case, where a machine's folder of them does not. */
function isTimeZone(name: string): boolean {
    try {
        return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
    } catch {
        return false;
    }
}

/** `harborage:baseline`. */
export const baseline = object(
    {
        timeZone: text(/^[A-Za-z]+(?:\/[A-Za-z0-9_+-]+){0,2}$/, "a time zone", "Europe/Zurich")
            .refine(isTimeZone, { error: "expected a time zone that exists, for example Europe/Zurich" })
            .default("Etc/UTC")
            .describe("The machine's time zone."),
        timeSync: choice(["chrony", "external"])
            .default("chrony")
            .describe(
                "Who keeps the clock: chrony, which is installed and must be in sync, or something outside, such as a container's host.",
            ),
        timeServers: z
            .array(dnsNameOrAddress, "expected a list of NTP servers, for example [ntp.example.com]")
            .default([])
            .describe("chrony's servers, in place of the distribution's."),
        openFiles: integer(1024, 1_048_576, "a number of open files", 65_535)
            .default(65_535)
            .describe("How many files a service may have open."),
        firewall: choice(["keep", "open", "off"])
            .default("keep")
            .describe("ufw or firewalld: left as it is, opened for the stack's ports and SSH, or switched off."),
        seLinux: choice(["keep", "permissive"]).default("keep").describe("SELinux: left as it is, or made permissive."),
        journalMiB: integer(10, 1_000_000, "MiB", 500).default(500).describe("The most that systemd's journal takes."),
        packages: packages.prefault({}).describe("Where packages come from."),
        docker: docker.prefault({}).describe("Docker Engine and its compose plugin."),
    },
    "{timeZone: Europe/Zurich, timeServers: [ntp.example.com]}",
).refine((value) => value.timeSync === "chrony" || value.timeServers.length === 0, {
    path: ["timeServers"],
    error: "expected none with timeSync external: nothing would ask them, for example []",
});

export type BaselineConfig = z.output<typeof baseline>;
