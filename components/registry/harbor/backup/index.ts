import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { PlainFile } from "../../../compose-stack/render-files";
import { renderCertificates, renderService, renderSettings, type BackupArgs } from "./render-backup";

export { backupSecretFiles, type BackupArgs, type BackupDatabase } from "./render-backup";

/** What backups, upgrades and restores add to a release of Harbor. */
export interface BackupParts {
    /** The service `backup`, for the override of upstream's compose file. */
    readonly service: ReturnType<typeof renderService>;
    readonly plainFiles: Readonly<Record<string, PlainFile>>;
}

/** The scripts by their names in a release. */
const scripts = {
    "backup/backup.sh": "backup.sh",
    "backup/machine.sh": "machine.sh",
    "backup/manifest.sh": "manifest.sh",
    "backup/record-version.sh": "record-version.sh",
    "backup/store.sh": "store.sh",
    "hooks/before.sh": "before.sh",
    "hooks/failed.sh": "failed.sh",
    "restore.sh": "restore.sh",
} as const;

/**
 * The parts of a release that back it up, keep upgrades safe and restore it. Beside them the release needs the secret
 * files of `backupSecretFiles` (those of S3 only where it is used), and `hooks/health.sh` must end with
 * `bash "$RELEASE/backup/record-version.sh"` once Harbor is healthy.
 */
export function backupParts(args: BackupArgs): BackupParts {
    const texts: Record<string, string> = { "backup/settings": renderSettings(args), ...renderCertificates(args) };
    for (const [name, file] of Object.entries(scripts)) {
        texts[name] = readFileSync(join(__dirname, file), "utf8");
    }
    return {
        service: renderService(args),
        plainFiles: Object.fromEntries(
            Object.entries(texts).map(([name, content]) => [
                name,
                { content, ...(content.startsWith("#!") ? { mode: "0755" } : {}) },
            ]),
        ),
    };
}
