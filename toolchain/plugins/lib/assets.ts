import { isObject, type Value, type Values } from "./values";

/**
 * Files and archives as they travel over gRPC: an object with a signature, the content's SHA-256, and where the content
 * is. Source: pulumi/pulumi, sdk/go/common/resource/asset and archive.
 */
export interface Asset {
    readonly kind: "asset" | "archive";
    readonly hash: string;
    /** Of a file or folder of this machine; "" when the content is elsewhere. */
    readonly path: string;
    /** The content of a StringAsset. */
    readonly text: string | undefined;
}

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const KINDS: Readonly<Record<string, Asset["kind"]>> = {
    c44067f5952c0a294b673a41bacd8c17: "asset",
    "0def7320c3a5731c473e5ecbe6d01bc7": "archive",
};
const HASH_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

export function assetOf(value: Value | undefined): Asset | undefined {
    const kind = isObject(value) ? KINDS[text(value, SIGNATURE)] : undefined;
    if (kind === undefined || !isObject(value)) {
        return undefined;
    }
    const hash = text(value, "hash");
    const path = text(value, "path");
    const content = text(value, "text");
    // An empty text is left out on the way: then the hash tells it from a text that is not there.
    const isText = path === "" && text(value, "uri") === "" && (content !== "" || [HASH_OF_NOTHING, ""].includes(hash));
    return { kind, hash, path, text: kind === "asset" && isText ? content : undefined };
}

/** With all the fields that the official plugins write. */
export function completeAsset(value: Value): Value {
    const asset = assetOf(value);
    if (asset === undefined || !isObject(value)) {
        return value;
    }
    const absent = asset.kind === "asset" ? { path: "", text: "", uri: "" } : { assets: {}, path: "", uri: "" };
    return { ...absent, ...value };
}

function text(values: Values, key: string): string {
    const value = values[key];
    return typeof value === "string" ? value : "";
}
