import { readFileSync } from "node:fs";
import type { Connection } from "../../provider/client";

/**
 * The real Harbor of the tests, from the environment, or undefined when there is none. They need it for themselves: they
 * change its settings, schedules and admin's password, and put them back.
 *
 * - HARBORAGE_HARBOR_URL: `https://NAME[:PORT]`
 * - HARBORAGE_HARBOR_PASSWORD_FILE: a file with the admin's password
 * - HARBORAGE_HARBOR_CA: a file with the CA of its certificate; not for a certificate of a public CA
 * - HARBORAGE_HARBOR_ADDRESS: `HOST[:PORT]` to connect to, where the name is not in DNS; its own containers must reach it there
 */
export function realHarbor(): Connection | undefined {
    const { HARBORAGE_HARBOR_URL: url, HARBORAGE_HARBOR_PASSWORD_FILE: file } = process.env;
    if (url === undefined || file === undefined) {
        return undefined;
    }
    const { HARBORAGE_HARBOR_CA: ca, HARBORAGE_HARBOR_ADDRESS: address } = process.env;
    return {
        url,
        username: "admin",
        password: readFileSync(file, "utf8").trim(),
        ...(ca === undefined ? {} : { caCertificate: readFileSync(ca, "utf8") }),
        ...(address === undefined ? {} : { address }),
    };
}
