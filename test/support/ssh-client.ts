import { Client, type ConnectConfig } from "ssh2";
import type { SshKey } from "./ssh-key";
import type { SshMachine } from "./ssh-machine";

export interface SshRan {
    readonly code: number;
    /** Standard output and standard error. */
    readonly output: string;
}

/** Runs a command as a user of a test machine, by SSH, if its host key is the one that it should have. */
export function ssh(machine: SshMachine, user: string, key: SshKey, command: string): Promise<SshRan> {
    const [, hostKey = ""] = machine.hostKey.split(" ");
    const config: ConnectConfig = {
        host: machine.address,
        username: user,
        privateKey: key.private,
        hostVerifier: (shown: Buffer) => shown.equals(Buffer.from(hostKey, "base64")),
    };
    return new Promise((done, failed) => {
        const client = new Client();
        client.once("error", failed).once("ready", () => {
            client.exec(command, (error, channel) => {
                if (error !== undefined) {
                    failed(error);
                    return;
                }
                let output = "";
                const collect = (text: Buffer) => (output += text.toString());
                channel.on("data", collect).stderr.on("data", collect);
                channel.once("close", (code: number | null) => {
                    client.end();
                    done({ code: code ?? -1, output });
                });
            });
        });
        client.connect(config);
    });
}
