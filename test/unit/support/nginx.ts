import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whether this machine has nginx. */
export const hasNginx = spawnSync("nginx", ["-v"]).error === undefined;

/** Has nginx read a configuration, with files of this machine in place of the container's. */
export function assertReadable(text: string): void {
    const folder = mkdtempSync(join(tmpdir(), "harborage-nginx-"));
    try {
        const openssl = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        const files = ["-subj", "/CN=x", "-keyout", join(folder, "key"), "-out", join(folder, "crt")];
        assert.equal(spawnSync("openssl", [...openssl, ...files]).status, 0);
        writeFileSync(join(folder, "release.conf"), 'map "" $release {\n    default "x";\n}\n');
        writeFileSync(join(folder, "nodes.conf"), "server 127.0.0.1:8080; # first\n");
        const here = text
            // First, as the folder may be below it.
            .replaceAll(" /tmp/", ` ${folder}/`)
            .replaceAll("/etc/harborage/current/release.conf", join(folder, "release.conf"))
            .replaceAll("/etc/harborage/current/secrets/root/server.key", join(folder, "key"))
            .replaceAll("/etc/harborage/current/secrets/root/server.crt", join(folder, "crt"))
            .replaceAll("/etc/harborage/current/trust/nodes.crt", join(folder, "crt"))
            .replaceAll("/balancer/nodes.conf", join(folder, "nodes.conf"))
            .replaceAll("/run/nginx.pid", join(folder, "pid"));
        writeFileSync(join(folder, "nginx.conf"), here);
        const { status, stderr } = spawnSync("nginx", ["-t", "-q", "-c", join(folder, "nginx.conf")]);
        assert.equal(status, 0, String(stderr));
    } finally {
        rmSync(folder, { recursive: true });
    }
}
