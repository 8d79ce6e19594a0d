import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A key and a certificate that signs itself, PEM; good for two days. @param names such as `DNS:registry.test` */
export function selfSigned(names: readonly string[]): { readonly key: string; readonly cert: string } {
    const folder = mkdtempSync(join(tmpdir(), "self-signed-"));
    try {
        const [key, cert] = [join(folder, "key"), join(folder, "crt")];
        const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        const subject = ["-subj", "/CN=test", "-addext", `subjectAltName=${names.join(",")}`];
        execFileSync("openssl", ["req", "-x509", ...kind, "-keyout", key, "-out", cert, ...subject], {
            stdio: "ignore",
        });
        return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
    } finally {
        rmSync(folder, { recursive: true });
    }
}
