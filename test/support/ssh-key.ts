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

export type SshKeyType = "ed25519" | "ecdsa" | "rsa";

/**
 * Made by OpenSSH: of those that ssh2 1.17 makes, one of some 200 is not valid, because it takes zeros for padding.
 *
 * @param options of ssh-keygen; without -N the key has no passphrase, without -C no comment
 */
export function newSshKey(type: SshKeyType = "ed25519", ...options: readonly string[]): SshKey {
    const folder = mkdtempSync(join(tmpdir(), "ssh-key-"));
    try {
        const file = join(folder, "key");
        const blank = ["-N", "-C"].flatMap((option) => (options.includes(option) ? [] : [option, ""]));
        execFileSync("ssh-keygen", ["-q", "-t", type, ...blank, ...options, "-f", file]);
        return { private: readFileSync(file, "utf8"), public: readFileSync(`${file}.pub`, "utf8").trimEnd() };
    } finally {
        rmSync(folder, { recursive: true });
    }
}
