import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before } from "mocha";
import { plain, plainValues, textOf, type Values } from "../../toolchain/plugins/lib/values";
import { PluginProcess, type Created, type Diffed } from "./plugins-harness";

export const KEY = "tls:index/privateKey:PrivateKey";
export const SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert";
export const REQUEST = "tls:index/certRequest:CertRequest";
export const SIGNED = "tls:index/locallySignedCert:LocallySignedCert";

export const P256: Values = { algorithm: "ECDSA", ecdsaCurve: "P256" };

/** A running tls plugin for the tests of one `describe`, and a directory for what OpenSSL is to look at. */
export class TlsPlugin {
    plugin!: PluginProcess;
    private directory = "";

    constructor() {
        before(async () => {
            this.directory = mkdtempSync(path.join(tmpdir(), "plugin-tls-"));
            this.plugin = await PluginProcess.start("tls");
        });
        after(async () => {
            await this.plugin.stop();
            rmSync(this.directory, { recursive: true });
        });
    }

    create(type: string, inputs: Values): Promise<Created> {
        return this.plugin.create(this.plugin.urn(type), inputs);
    }

    /** The difference that new inputs make to a created resource, whose state may be another than it was. */
    diff(type: string, was: Created, olds: Values, news: Values, state: Values = {}): Promise<Diffed> {
        const now = { ...plainValues(was.properties), ...state };
        return this.plugin.diff(this.plugin.urn(type), was.id, now, olds, { ...olds, ...news });
    }

    file(name: string, content: string): string {
        const target = path.join(this.directory, name);
        writeFileSync(target, content, { mode: 0o600 });
        return target;
    }
}

export function text(created: Created, name: string): string {
    return textOf(plain(created.properties[name] ?? null));
}

/** A command's output; fails with what it wrote to standard error. */
export function run(command: string, ...args: string[]): string {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}
