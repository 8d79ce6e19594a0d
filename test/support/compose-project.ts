import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { archive } from "../../components/compose-stack/archive";
import { renderFiles, type PlainFile } from "../../components/compose-stack/render-files";
import { quote, scriptText } from "../../components/machines/script-text";
import { attempt, type Ran } from "./processes";

const scripts = resolve(__dirname, "../../components/compose-stack/scripts");
const mark = "test-1";

/** A compose project on this machine, put there by the scripts that a compose stack runs, without Pulumi. */
export class ComposeProject {
    /** Where its data is. */
    readonly data: string;

    constructor(
        /** Where the machine's things are. */
        readonly directory: string,
        readonly project: string,
    ) {
        this.data = join(directory, "data");
        mkdirSync(this.data, { recursive: true });
        writeFileSync(join(directory, "incarnation"), mark);
    }

    /** Puts a release there and switches to it; gives how the last script ended. */
    async release(
        plainFiles: Readonly<Record<string, PlainFile>>,
        secretFiles: Readonly<Record<string, string>>,
    ): Promise<Ran> {
        const text = renderFiles(plainFiles);
        const hash = createHash("sha256").update(text).digest("hex");
        await this.run("data.sh", [this.directory, mark, this.data, "true"]);
        await this.run("project.sh", [this.directory, mark, this.project]);
        await this.run("files.sh", [this.directory, this.project, hash], text);
        return this.run("release.sh", [this.directory, mark, this.project, hash, "120"], await archive(secretFiles));
    }

    /** The container of a service. */
    container(service: string): string {
        return `${this.project}-${service}-1`;
    }

    async remove(): Promise<void> {
        await this.run("project.sh", [this.directory, mark, this.project], undefined, "delete");
    }

    private run(script: string, words: readonly string[], data?: string, action = "apply"): Promise<Ran> {
        const code = scriptText(join(scripts, script), data);
        return attempt("bash", ["-s", "--", action, ...words.map(quote)], { input: code });
    }
}
