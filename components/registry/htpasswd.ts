import { encodeBase64, hashSync } from "bcryptjs";

/**
 * A password's bcrypt hash, the only kind that registries take; the same for the same salt. bcrypt looks at 72 bytes of
 * the password and no more.
 *
 * @param saltBase64 16 bytes
 */
export function bcrypt(password: string, saltBase64: string): string {
    return hashSync(password, `$2b$10$${encodeBase64(Buffer.from(saltBase64, "base64"), 16)}`);
}

/** An htpasswd file. */
export function renderHtpasswd(users: readonly { readonly name: string; readonly hash: string }[]): string {
    return users.map(({ name, hash }) => `${name}:${hash}\n`).join("");
}
