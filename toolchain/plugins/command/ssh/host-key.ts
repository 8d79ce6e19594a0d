/** A server's public key: its type, such as "ssh-ed25519", and the key as it travels. */
export interface HostKey {
    readonly type: string;
    readonly blob: Buffer;
}

/**
 * Reads a public key as it stands in authorized_keys; options before it and a comment after it may be there.
 *
 * @throws Error with the text of the official plugin.
 */
export function parseHostKey(text: string): HostKey {
    for (const line of text.split(/\r?\n/)) {
        const words = line.trim().split(/[ \t]+/);
        // The first word is the type, or the key's options; the type is then read from the key.
        const blob = [words[1], words[2]].map(keyBlob).find((found) => found !== undefined);
        if (blob !== undefined && !line.trim().startsWith("#")) {
            return blob;
        }
    }
    throw new Error("failed to parse host key: ssh: no key found");
}

function keyBlob(word: string | undefined): HostKey | undefined {
    const blob = Buffer.from(word ?? "", "base64");
    const length = blob.length > 4 ? blob.readUInt32BE(0) : 0;
    const type = blob.subarray(4, 4 + length).toString("latin1");
    return /^(ssh|ecdsa|sk)-[\w@.-]+$/.test(type) && blob.length > 4 + length ? { type, blob } : undefined;
}
