import { valueAt } from "./raw-file";
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

const oneWord = (value: string) =>
    /^[^\s"\\]+$/.test(value) ? undefined : "expected one word without quotes and line ends";

const notEmpty = (value: string) => (value === "" ? "is empty; expected the secret itself" : undefined);

/** Harbor writes such a secret into URLs and files as it is (make/photon/prepare/templates of its sources). */
const plainWord = (value: string) =>
    /^[A-Za-z0-9]+$/.test(value) ? undefined : "expected letters and digits only: Harbor does not escape it";

/** Goes through a file of docker compose, which takes $ and # for its own. */
const tokenMistake = (value: string) => (/^\w+$/.test(value) ? undefined : "expected a token of letters, digits and _");

function secretKeyMistake(value: string): string | undefined {
    return /^[A-Za-z0-9]{16}$/.test(value)
        ? undefined
        : `has ${String(value.length)} characters; expected exactly 16 letters and digits, without a line end`;
}

/** Harbor's own rule (src/server/v2.0/handler/user.go, requireValidSecret) and its example, which everybody knows. */
function adminPasswordMistake(value: string): string | undefined {
    if (value === "Harbor12345") {
        return "is the password of Harbor's documentation; expected one of your own";
    }
    return value.length >= 8 && value.length <= 128 && /[A-Z]/.test(value) && /[a-z]/.test(value) && /\d/.test(value)
        ? undefined
        : "expected 8 to 128 characters, with an upper-case letter, a lower-case letter and a digit: Harbor refuses others";
}

const places: readonly Place[] = [
    { path: ["registry", "adminPassword"], example: "adminPassword", mistake: adminPasswordMistake },
    { path: ["registry", "secrets", "secretKey"], example: "harborSecretKey", mistake: secretKeyMistake },
    { path: ["registry", "backup", "destination", "accessKey"], example: "backupKey", mistake: oneWord },
    { path: ["registry", "backup", "destination", "secretKey"], example: "backupSecret", mistake: oneWord },
    { path: ["registry", "trivy", "githubToken"], example: "githubToken", mistake: tokenMistake },
    { path: ["registry", "trace", "exporter", "password"], example: "jaegerPassword", mistake: plainWord },
    { path: ["storage", "objects", "accessKey"], example: "s3AccessKey", mistake: oneWord },
    { path: ["storage", "objects", "secretKey"], example: "s3SecretKey", mistake: oneWord },
    { path: ["storage", "database", "password"], example: "databasePassword", mistake: plainWord },
    { path: ["storage", "cache", "password"], example: "redisPassword", mistake: plainWord },
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
