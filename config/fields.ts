import { isIP, isIPv4 } from "node:net";
import { CronExpressionParser } from "cron-parser";
import { z } from "zod";

/**
 * The kinds of values a stack file holds. Every one carries the sentence that a user reads when the value is wrong:
 * what was expected, and an example. The same sentence is not repeated at each use.
 */

/** The message for a wrong value: `expected WHAT, for example EXAMPLE`. */
function expected(what: string, example: string): string {
    return `expected ${what}, for example ${example}`;
}

/** What a value looks like in a message; long ones are cut, so that a pasted file does not hide the sentence. */
export function show(value: unknown): string {
    const text = value === undefined ? "nothing" : JSON.stringify(value);
    return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** An object of known keys; an unknown key is an error that lists the known ones. */
export function object<T extends z.core.$ZodLooseShape>(shape: T, example: string): z.ZodObject<T, z.core.$strict> {
    const known = Object.keys(shape).join(", ");
    return z.strictObject(shape, {
        error: (issue) =>
            issue.code === "unrecognized_keys"
                ? `there is no such key; the keys here are: ${known}`
                : expected("a mapping", example),
    });
}

/**
 * Variants told apart by one key. A value that is not built is answered with those that are.
 *
 * @param key the key that tells the variants apart, such as `kind`
 */
export function variants<T extends readonly [z.core.$ZodTypeDiscriminable, ...z.core.$ZodTypeDiscriminable[]]>(
    key: string,
    options: T,
    names: readonly string[],
    example: string,
): z.ZodDiscriminatedUnion<T> {
    return z.discriminatedUnion(key, options, {
        error: (issue) => {
            const input: unknown = issue.input;
            if (typeof input !== "object" || input === null || Array.isArray(input)) {
                return expected("a mapping", example);
            }
            const given = (input as Record<string, unknown>)[key];
            return given === undefined ? `one of: ${names.join(", ")}` : `there is: ${names.join(", ")}`;
        },
    });
}

/** Text that matches a pattern. */
export function text(pattern: RegExp, what: string, example: string): z.ZodString {
    const message = expected(what, example);
    return z
        .string(message)
        .regex(pattern, message)
        .meta({ examples: [example] });
}

/** A whole number in a range, both ends included. */
export function integer(min: number, max: number, what: string, example: number): z.ZodInt {
    const message = expected(`${what} from ${String(min)} to ${String(max)}`, String(example));
    return z
        .int(message)
        .min(min, message)
        .max(max, message)
        .meta({ examples: [example] });
}

/** true or false. */
export function flag(): z.ZodBoolean {
    return z.boolean("expected true or false");
}

/** One of a list of words. */
export function choice<const T extends readonly [string, ...string[]]>(
    words: T,
): z.ZodEnum<z.core.util.ToEnum<T[number]>> {
    return z.enum(words, { error: () => `expected one of: ${words.join(", ")}` });
}

/**
 * For a list's `superRefine`: what is there already is a mistake.
 *
 * @param of what must not be there twice
 * @param path where that is in an item
 */
export function eachOnce<T>(of: (item: T) => unknown, path: readonly PropertyKey[], message: string) {
    return (items: readonly T[], context: z.core.$RefinementCtx): void => {
        items.forEach((item, index) => {
            if (items.findIndex((other) => of(other) === of(item)) < index) {
                context.addIssue({ code: "custom", path: [index, ...path], message });
            }
        });
    };
}

/** A TCP port. */
export function port(example: number): z.ZodInt {
    return integer(1, 65535, "a TCP port", example);
}

/** Names of machines and stacks: they become parts of resource, container and host names (RFC 1123 label). */
export const resourceName = text(
    /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/,
    "a name of lower-case letters, digits and hyphens, at most 40 long",
    "node-1",
);

const dnsPattern =
    /^(?=.{1,253}$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/;

/** A DNS name. An address is refused: it would be part of every image name, and the registry could never move. */
export const dnsName = text(
    dnsPattern,
    "a DNS name (not an address: it becomes part of every image name)",
    "registry.example.com",
).refine((value) => isIP(value) === 0, {
    error: "expected a DNS name, not an address: it becomes part of every image name, for example registry.example.com",
});

/** A DNS name or an IP address, for further names in the certificate. */
export const dnsNameOrAddress = z
    .string("expected a DNS name or an IP address, for example registry.internal")
    .refine((value) => isIP(value) !== 0 || dnsPattern.test(value), {
        error: "expected a DNS name or an IP address, for example registry.internal",
    })
    .meta({ examples: ["registry.internal", "10.0.0.10"] });

/** An IPv4 address. */
export const ipv4Address = z
    .string("expected an IPv4 address, for example 192.0.2.10")
    .refine(isIPv4, { error: "expected an IPv4 address, for example 192.0.2.10" })
    .meta({ examples: ["192.0.2.10"] });

/** An IPv4 range, as `192.0.2.0/24`. */
export const cidr = z
    .string("expected a range of IPv4 addresses, for example 192.0.2.0/24")
    .refine(
        (value) => {
            const [, address = "", bits = ""] = /^([\d.]+)\/(\d{1,2})$/.exec(value) ?? [];
            return isIPv4(address) && Number(bits) <= 32 && hostBits(address, Number(bits)) === 0;
        },
        { error: "expected a range of IPv4 addresses with all host bits zero, for example 192.0.2.0/24" },
    )
    .meta({ examples: ["192.0.2.0/24"] });

/** The bits of an address that a prefix of so many bits leaves to hosts. */
function hostBits(address: string, bits: number): number {
    const number = address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
    return number % 2 ** (32 - bits);
}

/** An http or https URL. */
export function httpUrl(example: string): z.ZodString {
    return text(/^https?:\/\/[^\s/@"\\]+(?:\/[^\s"\\]*)?$/, "an http or https URL without a password", example);
}

const exampleSshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG1PyY83WZuOIXKzj7LqxitiSXtyZ+JoK4se3zgK2cyJ";

/** The message for what is no key of the types that are taken; RSA keys are answered with the reason. */
export function sshKeyMessage(what: string, value: unknown): string {
    return typeof value === "string" && value.startsWith("ssh-rsa ")
        ? expected(
              `${what}: with RSA, @pulumi/command asks for signatures with SHA-1, which servers refuse`,
              exampleSshKey,
          )
        : expected(what, exampleSshKey);
}

/** A public key as OpenSSH writes it; RSA is left out for the reason that {@link sshKeyMessage} gives. */
export const sshPublicKey = z
    .string({ error: ({ input }) => sshKeyMessage("an SSH public key of type ed25519 or ecdsa", input) })
    .regex(/^(?:ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)) [A-Za-z0-9+/]+={0,2}(?: .*)?$/, {
        error: ({ input }) => sshKeyMessage("an SSH public key of type ed25519 or ecdsa", input),
    })
    .meta({ examples: [exampleSshKey] });

/** A certificate as text. */
export const certificatePem = text(
    /^-----BEGIN CERTIFICATE-----[^]+$/,
    "a certificate in PEM",
    "-----BEGIN CERTIFICATE----- …",
);

/** An absolute folder on a machine, or one below the home of the user that the machine is reached as. */
export const machineDirectory = text(
    /^(?:~\/|\/)(?!(?:.*\/)?\.\.(?:\/|$))[A-Za-z0-9_.-][A-Za-z0-9_./-]*$/,
    "a folder, absolute or below ~/ and without .., of letters, digits and _ . - /",
    "/var/lib/harborage",
);

/** The name of a secret of its own at the top of the stack file, set with `pulumi config set --secret NAME`. */
export const secretName = text(
    /^[a-zA-Z][A-Za-z0-9]{0,63}$/,
    "the name of a secret that was set with `pulumi config set --secret NAME`",
    "ciPassword",
);

/** Five fields of cron, in UTC: numbers, names, lists, ranges and steps; none of the extensions of single crons. */
export const cronSchedule = text(
    /^[\dA-Za-z*,/-]+(?: +[\dA-Za-z*,/-]+){4}$/,
    "five fields of cron (minute hour day month weekday)",
    "0 3 * * *",
).refine(
    (value) => {
        try {
            CronExpressionParser.parse(value);
            return !/(?<![a-zA-Z])[LlHh](?![a-zA-Z])/.test(value);
        } catch {
            return false;
        }
    },
    { error: "expected five fields of cron (minute hour day month weekday), for example 0 3 * * *" },
);

/** When something is done by itself. */
export function schedule(usual: string): z.ZodDefault<typeof cronSchedule> {
    return cronSchedule.default(usual).describe("When, as five fields of cron, in UTC.");
}

/** A container image, as `docker pull` takes it. */
export function imageReference(example: string): z.ZodString {
    return text(
        /^[a-z0-9][a-z0-9.:_/-]*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/,
        "an image reference",
        example,
    );
}

const exampleSha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/** `NAME:TAG` with a digest, as an example. */
export function exampleImage(name: string): string {
    return `mirror.example.com/${name}@sha256:${exampleSha256}`;
}

export const sha256 = text(/^[0-9a-f]{64}$/, "64 hexadecimal digits, as sha256sum prints them", exampleSha256);
