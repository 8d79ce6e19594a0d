import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A pair of SSH keys. */
export interface SshKey {
    /** As OpenSSH writes it, and as `ssh -i` and stack files take it. */
    readonly private: string;
    /** As in authorized_keys: `ssh-ed25519 AAAA…`. */
    readonly public: string;
}

/** Made by OpenSSH: of those that ssh2 1.17 makes, one of 256 is not valid, because it takes zeros for padding. */
export function newSshKey(type: "ed25519" | "ecdsa" = "ed25519"): SshKey {
    const folder = mkdtempSync(join(tmpdir(), "ssh-key-"));
    try {
        const file = join(folder, "key");
        execFileSync("ssh-keygen", ["-q", "-t", type, "-N", "", "-C", "", "-f", file]);
        return { private: readFileSync(file, "utf8"), public: readFileSync(`${file}.pub`, "utf8").trimEnd() };
    } finally {
        rmSync(folder, { recursive: true });
    }
}
