import { stringify } from "yaml";

export interface UserDataArgs {
    /** The host key, in OpenSSH's format. Secret. */
    readonly hostPrivateKey: string;
    readonly hostPublicKey: string;
}

/**
 * cloud-init's part: what must be there for SSH to work and to be trusted, and nothing else
 * (docs.cloud-init.io/en/latest/reference/modules.html, SSH). Everything after that is the same for every kind of machine.
 */
export function renderUserData({ hostPrivateKey, hostPublicKey }: UserDataArgs): string {
    const config = {
        // Keys that came with the image would be other machines' as well.
        ssh_deletekeys: true,
        ssh_genkeytypes: [],
        ssh_keys: { ed25519_private: hostPrivateKey, ed25519_public: hostPublicKey.trim() },
        disable_root: true,
        ssh_pwauth: false,
    };
    return `#cloud-config\n${stringify(config)}`;
}
