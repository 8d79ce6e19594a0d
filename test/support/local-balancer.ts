import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { archive } from "../../components/compose-stack/archive";
import { renderFiles, type PlainFile } from "../../components/compose-stack/render-files";
import { balancerFiles, type Upstream } from "../../components/load-balancer";
import { scriptText } from "../../components/machines/script-text";
import type { LoadBalancerPlan } from "../../config/plan";
import { standInImages } from "../../toolchain/images/build";
import { ensureDocker, removeContainersOf } from "./docker";
import { attempt, run, type Ran } from "./processes";

/** What a release has beside what its plan says. */
export interface ReleaseOptions {
    /** Secret files beside the certificate of the public name. */
    readonly secrets?: Readonly<Record<`root/${string}`, string>>;
    /** The CA of the nodes' certificates. */
    readonly nodesCa?: string;
    /** In place of what the plan gives. */
    readonly files?: Readonly<Record<string, PlainFile>>;
}

/** A load balancer in containers on this machine, whose releases are made by the scripts of `up`. */
export class LocalBalancer {
    readonly folder = mkdtempSync(join(tmpdir(), "harborage-balancer-"));
    readonly project: string;

    constructor(
        readonly stack: string,
        private readonly identity: { readonly cert: string; readonly key: string },
    ) {
        this.project = `harborage-${stack}-lb`;
    }

    /**
     * Sees to Docker, the image and the folder.
     *
     * @returns a plan without nodes, for `registry.test`
     */
    async prepare(httpsPort: number, httpPort: number): Promise<LoadBalancerPlan> {
        await ensureDocker();
        const images = await standInImages();
        if (images !== undefined) {
            await run("docker", ["load", "--quiet", "--input", images.bundle.path]);
        }
        writeFileSync(join(this.folder, "incarnation"), "1\n");
        mkdirSync(join(this.folder, "stacks", this.project, "plain"), { recursive: true });
        mkdirSync(join(this.folder, "stacks", this.project, "releases"));
        return {
            machine: "box",
            project: this.project,
            image: images?.nginx ?? "nginx:1.30.1",
            host: "registry.test",
            httpsPort,
            httpPort,
            hstsSeconds: 0,
            method: "random",
            drainSeconds: 20,
            probeSeconds: 1,
            engine: "harbor",
            nodes: [],
        };
    }

    /** Runs a script of components/. */
    script(name: string, words: readonly string[], data = ""): Promise<Ran> {
        return attempt("bash", ["-s", "--", "apply", this.folder, ...words], {
            input: scriptText(join(__dirname, "../../components", name), data),
        });
    }

    /** Makes a release, as `up` does. */
    async release(
        plan: LoadBalancerPlan,
        upstreams: readonly Upstream[],
        { secrets, nodesCa, files: others }: ReleaseOptions = {},
    ): Promise<Ran> {
        const { key, cert } = this.identity;
        const text = renderFiles({ ...balancerFiles(this.stack, plan, upstreams, nodesCa), ...others });
        const hash = createHash("sha256").update(text).digest("hex");
        const data = await archive({ "root/server.crt": cert, "root/server.key": key, ...secrets });
        const files = await this.script("compose-stack/scripts/files.sh", [this.project, hash], text);
        return files.code === 0
            ? this.script("compose-stack/scripts/release.sh", ["1", this.project, hash, "60"], data)
            : files;
    }

    /** `harborage-lb`, as operators call it. */
    command(...words: readonly string[]): Promise<Ran> {
        return attempt(join(this.folder, "stacks", this.project, "current/harborage-lb"), words);
    }

    /** The nodes that nginx sends requests to, in order. */
    rotation(): string {
        return readFileSync(join(this.folder, "balancer/nodes.conf"), "utf8")
            .split("\n")
            .filter((line) => line !== "" && !line.includes(" down;"))
            .map((line) => line.replace(/^.*# /, ""))
            .join(" ");
    }

    /** A file of the release that runs. */
    current(name: string): string {
        return readFileSync(join(this.folder, "stacks", this.project, "current", name), "utf8");
    }

    async remove(): Promise<void> {
        await removeContainersOf(this.stack);
        await run("rm", ["-rf", this.folder]);
    }
}
