import { readFileSync } from "node:fs";
import { join } from "node:path";
import { hook, type PlainFile } from "../../compose-stack";
import { quote } from "../../machines";
import type { CachePlace, DatabasePlace, ObjectPlace } from "../places";

export interface StorageChecks {
    /** The name of the machine that the release is for. */
    readonly machine: string;
    readonly objects?: ObjectCheck | undefined;
    readonly database?: DatabaseCheck | undefined;
    readonly cache?: CacheCheck | undefined;
}

/** What each check needs: an image that is on the machine, and the release's files by their names in it. */
interface Check {
    readonly image: string;
    /** With the CA of the server's certificate, where the place has one. */
    readonly caFile: string;
}

export interface ObjectCheck extends Check {
    readonly place: ObjectPlace;
    /** With bash and curl 7.75 or newer. */
    readonly image: string;
    readonly accessKeyFile: string;
    readonly secretKeyFile: string;
}

export interface DatabaseCheck extends Check {
    readonly place: DatabasePlace;
    /** With bash and psql. */
    readonly image: string;
    readonly passwordFile: string;
}

export interface CacheCheck extends Check {
    readonly place: CachePlace;
    /** With Python 3. */
    readonly image: string;
    readonly passwordFile: string;
}

const script = (file: string) => join(__dirname, file);

/** Where Amazon's machines ask for the keys of their role. */
const roleServer = "http://169.254.169.254";

/**
 * A release's `validate` hook that looks at the storage from the node before anything that runs is touched, with the scripts
 * that it runs. What is wrong is said by the path in the stack file.
 *
 * @returns no file where all storage is on the node
 */
export function storageChecks({ machine, objects, database, cache }: StorageChecks): Record<string, PlainFile> {
    const parts = [
        ...(objects === undefined ? [] : [objectCheck(objects)]),
        ...(database === undefined ? [] : [databaseCheck(database)]),
        ...(cache === undefined ? [] : [cacheCheck(cache)]),
    ];
    if (parts.length === 0) {
        return {};
    }
    const calls = parts.map(({ part, image, program, file, settings }) => {
        const all = Object.entries({ MACHINE: `machines.${machine}`, ...settings });
        return [
            "check",
            ...[part, image, program, file, ...all.map(([key, value]) => `${key}=${value}`)].map(quote),
        ].join(" ");
    });
    return {
        "hooks/validate.sh": hook(script("validate.sh"), {}, [...calls, "report"]),
        ...Object.fromEntries(
            parts.map(({ file }) => [`checks/${file}`, { content: readFileSync(script(file), "utf8") }]),
        ),
    };
}

function objectCheck({ place, image, caFile, accessKeyFile, secretKeyFile }: ObjectCheck) {
    const root = place.rootDirectory.replace(/^\/+|\/+$/g, "");
    const settings = {
        ENDPOINT: (place.endpoint ?? `https://s3.${place.region}.amazonaws.com`).replace(/\/+$/, ""),
        REGION: place.region,
        BUCKET: place.bucket,
        ROOT: root === "" ? "" : `${root}/`,
        STORAGE_CLASS: place.storageClass,
        ENCRYPT: String(place.encrypt),
        CA: place.caCertificate === undefined ? "" : caFile,
        ACCESS_KEY: place.hasKey ? `secrets/${accessKeyFile}` : "",
        SECRET_KEY: place.hasKey ? `secrets/${secretKeyFile}` : "",
        ROLE: roleServer,
        SETTLE: String(place.settleSeconds ?? 0),
    };
    return { part: "objects", image, program: "bash", file: "objects.sh", settings };
}

function databaseCheck({ place, image, caFile, passwordFile }: DatabaseCheck) {
    const settings = {
        HOST: place.host,
        PORT: String(place.port),
        NAME: place.name,
        USER_NAME: place.user,
        SSL_MODE: place.sslMode,
        CA: place.caCertificate === undefined ? "" : caFile,
        PASSWORD: `secrets/${passwordFile}`,
    };
    return { part: "database", image, program: "bash", file: "database.sh", settings };
}

function cacheCheck({ place, image, caFile, passwordFile }: CacheCheck) {
    const settings = {
        ADDRESSES: place.host,
        USER_NAME: place.username ?? "",
        MASTER: place.sentinelMaster ?? "",
        TLS: String(place.tls),
        INDEXES: Object.entries(place.indexes)
            .map(([path, index]) => `${path}=${String(index)}`)
            .join(","),
        CA: place.caCertificate === undefined ? "" : caFile,
        PASSWORD: place.hasPassword ? `secrets/${passwordFile}` : "",
    };
    return { part: "cache", image, program: "python3", file: "cache.py", settings };
}
