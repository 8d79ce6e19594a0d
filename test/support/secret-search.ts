import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { TestStack } from "./launcher";
import { processIds } from "./marked-processes";

/** A resource of an exported state whose secrets are in plain text. */
interface Exported {
    readonly type: string;
    readonly urn: string;
    readonly outputs?: Readonly<Record<string, unknown>>;
}

/** Finds secrets in texts, as they are and in the forms in which they travel: JSON, base64. */
export class SecretSearch {
    readonly #needles: { readonly name: string; readonly text: string }[] = [];

    /** @param value at least 12 characters, so that it cannot be anywhere by chance */
    add(name: string, value: string): void {
        if (value.length < 12) {
            throw new Error(`${name} is too short to be searched for`);
        }
        this.#needles.push({ name, text: value });
        for (const offset of [0, 1, 2]) {
            this.#needles.push({ name: `${name} in base64`, text: base64Inside(value, offset) });
        }
    }

    /** A private key in PEM: the lines that hold the key, not the frame. */
    addKey(name: string, pem: string): void {
        const lines = pem.split("\n").filter((line) => line.length >= 40 && !line.startsWith("-----"));
        const first = lines[0];
        if (first === undefined) {
            throw new Error(`${name} is no key`);
        }
        this.add(name, first);
    }

    /** Asks a stack for the passwords and keys that it has generated. Passwords of fewer than 12 characters are left out. */
    async learn(stack: TestStack): Promise<void> {
        const { stdout } = await stack.run("pulumi", ["stack", "export", "--show-secrets"]);
        const { deployment } = JSON.parse(stdout) as { deployment: { resources: Exported[] } };
        const plain = (output: unknown) => JSON.parse((output as { plaintext: string }).plaintext) as string;
        for (const { type, urn, outputs: values = {} } of deployment.resources) {
            const name = urn.split("::").at(-1) ?? urn;
            if (type === "random:index/randomPassword:RandomPassword" && plain(values["result"]).length >= 12) {
                this.add(`the password ${name}`, plain(values["result"]));
            }
            if (type === "tls:index/privateKey:PrivateKey") {
                this.addKey(`the key ${name}`, plain(values["privateKeyPem"]));
                this.addKey(`the key ${name}`, plain(values["privateKeyPemPkcs8"]));
            }
        }
    }

    /** The names of the secrets that a text holds. */
    in(text: string): string[] {
        const names = this.#needles.filter((needle) => text.includes(needle.text)).map(({ name }) => name);
        return [...new Set([...names, ...(/\$2[aby]\$\d\d\$[./A-Za-z0-9]{20}/.test(text) ? ["a bcrypt hash"] : [])])];
    }

    /** The files below a folder that hold secrets, with what they hold; links are not followed. */
    inFiles(folder: string, leaveOut: (path: string) => boolean = () => false): string[] {
        return filesBelow(folder)
            .filter((path) => !leaveOut(path))
            .flatMap((path) => this.in(readFileSync(path, "latin1")).map((name) => `${path}: ${name}`));
    }
}

/** The part of the base64 of any text with `value` in it that depends on `value` alone, when so many bytes precede it. */
function base64Inside(value: string, bytesBefore: number): string {
    const start = bytesBefore === 0 ? 0 : bytesBefore + 1;
    const encoded = Buffer.concat([Buffer.alloc(bytesBefore), Buffer.from(value)]).toString("base64");
    const whole = Math.floor(((bytesBefore + Buffer.byteLength(value)) * 8) / 6);
    return encoded.slice(start, whole);
}

function filesBelow(folder: string): string[] {
    return readdirSync(folder).flatMap((name) => {
        const path = join(folder, name);
        // What is looked at may be at work.
        const stat = lstatSync(path, { throwIfNoEntry: false });
        return stat?.isDirectory() ? filesBelow(path) : stat?.isFile() ? [path] : [];
    });
}

/** Looks at the arguments and the environment of every process of this machine, again and again. */
export class ProcessWatch {
    /** Each text once. */
    readonly seen = new Set<string>();
    /** Those that are the arguments of a process. */
    readonly arguments = new Set<string>();
    #looks = 0;
    readonly #timer: NodeJS.Timeout;

    constructor(milliseconds = 10) {
        // A test that fails must not be kept from ending.
        this.#timer = setInterval(() => this.#look(), milliseconds).unref();
    }

    /** How often it has looked. */
    stop(): number {
        clearInterval(this.#timer);
        return this.#looks;
    }

    #look(): void {
        this.#looks += 1;
        for (const pid of processIds()) {
            for (const file of ["cmdline", "environ"]) {
                try {
                    const text = readFileSync(`/proc/${pid}/${file}`, "latin1");
                    this.seen.add(text);
                    if (file === "cmdline") {
                        this.arguments.add(text);
                    }
                } catch {
                    // It has ended.
                }
            }
        }
    }
}
