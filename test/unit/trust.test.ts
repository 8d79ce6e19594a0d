import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "mocha";
import { selfSigned } from "../support/self-signed";
import { runMachineScript, withFolder, type Run } from "./support/machine";

const [older, newer] = [selfSigned(["DNS:old.example.com"]).cert, selfSigned(["DNS:new.example.com"]).cert];

/** A load balancer's folder, with a `docker` whose nginx runs or does not. */
class Balancer {
    readonly file: string;
    private readonly reloads: string;

    constructor(
        private readonly folder: string,
        trusted: string | undefined,
        isRunning = true,
    ) {
        const release = join(folder, "stacks/lb/releases/1");
        this.file = join(release, "trust/nodes.crt");
        this.reloads = join(folder, "reloads");
        mkdirSync(join(release, "trust"), { recursive: true });
        mkdirSync(join(folder, "bin"));
        symlinkSync("releases/1", join(folder, "stacks/lb/current"));
        writeFileSync(join(folder, "bin/docker"), `#!/bin/sh\n${isRunning ? "echo 5ca1ab1e" : ":"}\n`, { mode: 0o755 });
        writeFileSync(join(release, "harborage-lb"), `echo "$@" >>${this.reloads}\n`, { mode: 0o755 });
        if (trusted !== undefined) {
            writeFileSync(this.file, trusted, { mode: 0o644 });
        }
    }

    get reloaded(): string {
        return existsSync(this.reloads) ? readFileSync(this.reloads, "utf8") : "";
    }

    trust(ca: string): Run {
        const PATH = `${this.folder}/bin:${process.env["PATH"] ?? ""}`;
        const words = [this.folder, "lb"];
        return runMachineScript("load-balancer/scripts/trust.sh", words, { data: ca, environment: { PATH } });
    }
}

describe("the CA of the nodes' certificates", () => {
    it("is believed beside the one before, which a running load balancer is told at once", () => {
        withFolder((folder) => {
            const balancer = new Balancer(folder, older);
            for (let times = 0; times < 2; times += 1) {
                const { status, stderr } = balancer.trust(newer);
                assert.equal(status, 0, stderr);
            }
            const names = readFileSync(balancer.file, "utf8")
                .split(/(?<=-----END CERTIFICATE-----\n)/)
                .map((pem) => new X509Certificate(pem).subjectAltName);
            assert.deepEqual(names, ["DNS:old.example.com", "DNS:new.example.com"]);
            assert.equal(balancer.reloaded, "reload\n");
            for (const cert of [older, newer]) {
                writeFileSync(join(folder, "server.crt"), cert);
                const words = ["verify", "-CAfile", balancer.file, join(folder, "server.crt")];
                assert.equal(spawnSync("openssl", words).status, 0);
            }
        });
    });

    it("is not told again where it is believed already", () => {
        withFolder((folder) => {
            const balancer = new Balancer(folder, newer);
            assert.equal(balancer.trust(newer).status, 0);
            assert.equal(readFileSync(balancer.file, "utf8"), newer);
            assert.equal(balancer.reloaded, "");
        });
    });

    it("is nobody's matter where no nodes are asked for certificates yet, and is kept where nginx does not run", () => {
        withFolder((folder) => {
            const balancer = new Balancer(folder, undefined);
            assert.equal(balancer.trust(newer).status, 0);
            assert.ok(!existsSync(balancer.file));
            assert.equal(
                runMachineScript("load-balancer/scripts/trust.sh", [folder, "none"], { data: newer }).status,
                0,
            );
        });
        withFolder((folder) => {
            const balancer = new Balancer(folder, older, false);
            assert.equal(balancer.trust(newer).status, 0);
            assert.equal(readFileSync(balancer.file, "utf8"), older + newer);
            assert.equal(balancer.reloaded, "");
        });
    });
});
