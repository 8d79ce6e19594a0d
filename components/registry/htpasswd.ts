import { encodeBase64, hashSync } from "bcryptjs";

/**
 * A registry compares the password with the hash at each request: of cost 10 that takes 60 ms of a processor, most of what a
 * small request takes at all. It keeps a password that could be guessed; a generated one cannot be, at any cost.
 */
const costs = { given: "10", generated: "04" } as const;

/**
 * A password's bcrypt hash, the only kind that registries take; the same for the same salt. bcrypt looks at 72 bytes of
 * the password and no more.
 *
 * @param saltBase64 16 bytes
 * @param origin     whether somebody has chosen the password
 */
export function bcrypt(password: string, saltBase64: string, origin: keyof typeof costs): string {
    return hashSync(password, `$2b$${costs[origin]}$${encodeBase64(Buffer.from(saltBase64, "base64"), 16)}`);
}

/** An htpasswd file. */
export function renderHtpasswd(users: readonly { readonly name: string; readonly hash: string }[]): string {
    return users.map(({ name, hash }) => `${name}:${hash}\n`).join("");
}
