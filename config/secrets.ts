import { valueAt } from "./consistency";
import { secretName } from "./fields";

/** The keys of the stack file that name a secret, and what the secret must be. */
interface Place {
    /** `*` stands for each name of a mapping and each item of a list. */
    readonly path: readonly string[];
    readonly example: string;
    /** What is wrong with a value, without showing it; undefined when nothing is. */
    readonly mistake: (value: string) => string | undefined;
}

/** bcrypt's limit: what stands behind it would not count. */
const maximumPasswordBytes = 72;

function passwordMistake(value: string): string | undefined {
    const bytes = Buffer.byteLength(value);
    return bytes === 0 || bytes > maximumPasswordBytes
        ? `has ${String(bytes)} bytes; expected a password of 1 to ${String(maximumPasswordBytes)}: bcrypt does not look at more`
        : undefined;
}

function privateKeyMistake(value: string): string | undefined {
    if (!/^-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----\n/.test(value.trimStart())) {
        return "is no private key; expected the text of a file such as ~/.ssh/id_ed25519, with its line ends (pulumi config set --secret NAME <FILE)";
    }
    return isEncrypted(value) ? "has a passphrase; expected a key without one, or the SSH agent" : undefined;
}

/**
 * In PEM and PKCS#8 a line says so. In OpenSSH's own format (openssh-portable, PROTOCOL.key) the cipher's name stands in
 * the bytes: its length and the name, behind a magic word.
 */
function isEncrypted(key: string): boolean {
    const [, base64 = ""] = /^-----BEGIN OPENSSH PRIVATE KEY-----([^-]*)/m.exec(key) ?? [];
    const bytes = Buffer.from(base64, "base64");
    const magic = "openssh-key-v1\0";
    const none = Buffer.from("\0\0\0\x04none");
    return (
        key.includes("ENCRYPTED") ||
        (bytes.toString("latin1", 0, magic.length) === magic &&
            !bytes.subarray(magic.length, magic.length + none.length).equals(none))
    );
}

const notEmpty = (value: string) => (value === "" ? "is empty; expected the secret itself" : undefined);

const places: readonly Place[] = [
    { path: ["registry", "users", "*", "password"], example: "ciPassword", mistake: passwordMistake },
    { path: ["machines", "*", "privateKey"], example: "sshKey", mistake: privateKeyMistake },
    { path: ["machines", "*", "bastion", "privateKey"], example: "bastionKey", mistake: privateKeyMistake },
    { path: ["openstack", "sshKey", "privateKey"], example: "sshKey", mistake: privateKeyMistake },
    { path: ["openstack", "auth", "password"], example: "cloudPassword", mistake: notEmpty },
    { path: ["openstack", "auth", "applicationCredentialSecret"], example: "cloudSecret", mistake: notEmpty },
    { path: ["openstack", "auth", "token"], example: "cloudToken", mistake: notEmpty },
];

/** A key of the stack file that names a secret. */
export interface SecretReference {
    readonly name: string;
    readonly path: readonly PropertyKey[];
    /** A name for such a secret. */
    readonly example: string;
    readonly mistake: (value: string) => string | undefined;
}

/** Every path of a file that a pattern stands for. */
function expand(file: unknown, [step, ...rest]: readonly string[], done: readonly PropertyKey[] = []): PropertyKey[][] {
    if (step === undefined) {
        return [[...done]];
    }
    if (step !== "*") {
        return expand(file, rest, [...done, step]);
    }
    const here = valueAt(file, done);
    const keys: PropertyKey[] = Array.isArray(here) ? here.map((_, index) => index) : Object.keys(here ?? {});
    return typeof here === "object" ? keys.flatMap((key) => expand(file, rest, [...done, key])) : [];
}

/** The names of secrets that a file refers to, with the paths that do; names that are none are left to the schema. */
export function secretReferences(file: unknown): SecretReference[] {
    return places.flatMap(({ path: pattern, example, mistake }) =>
        expand(file, pattern).flatMap((path) => {
            const name = valueAt(file, path);
            return typeof name === "string" && secretName.safeParse(name).success
                ? [{ name, path, example, mistake }]
                : [];
        }),
    );
}
