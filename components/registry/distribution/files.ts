import { readFileSync } from "node:fs";
import { join } from "node:path";
import type * as pulumi from "@pulumi/pulumi";
import { hook, type PlainFile } from "../../compose-stack";
import type { ObjectPlace, ObjectStorage } from "../../storage";
import { configSecrets, objectsCaFile } from "./render";

const script = (file: string) => join(__dirname, file);
/** A script of this folder. */
export const text = (file: string) => readFileSync(script(file), "utf8");

/** What a registry needs of a bucket beside its configuration: hooks and the CA; and the keys. */
export function bucketFiles(place: ObjectPlace | undefined): Record<string, PlainFile> {
    return {
        ...(place?.caCertificate === undefined ? {} : { [objectsCaFile]: { content: place.caCertificate } }),
        ...(place?.hasKey === true ? { "hooks/generate.sh": hook(script("hooks/generate.sh")) } : {}),
    };
}

/** The keys of a bucket, where there are any. */
export function bucketSecrets(objects: ObjectStorage | undefined): Record<`service/${string}`, pulumi.Output<string>> {
    const { accessKey, secretKey } = objects ?? {};
    const line = (value: pulumi.Output<string>) => value.apply((content) => `${content}\n`);
    return {
        ...(accessKey && { [`service/${configSecrets.accessKey}`]: line(accessKey) }),
        ...(secretKey && { [`service/${configSecrets.secretKey}`]: line(secretKey) }),
    };
}
