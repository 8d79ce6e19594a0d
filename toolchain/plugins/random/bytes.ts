import { randomBytes as bytesOf } from "node:crypto";
import { atLeast, bridged } from "../lib/bridged";
import { textOf } from "../lib/values";

/** random.RandomBytes: as base64 and as hexadecimal digits, both secret. The id is the base64 text, as it is officially. */
export const randomBytes = bridged({
    attributes: {
        length: { type: "integer", input: "required", replaces: "always", check: atLeast(1) },
        keepers: { type: "string map", input: "optional", replaces: "always" },
        base64: { type: "string", secret: true, stays: true },
        hex: { type: "string", secret: true, stays: true },
    },
    create(planned) {
        const bytes = bytesOf(Number(planned["length"]));
        const base64 = bytes.toString("base64");
        return Promise.resolve({ id: base64, computed: { base64, hex: bytes.toString("hex") } });
    },
});

/** random.RandomId: not secret; the texts begin with the prefix, the id does not. */
export const randomId = bridged({
    attributes: {
        byteLength: { type: "integer", input: "required", replaces: "always" },
        prefix: { type: "string", input: "optional", replaces: "always" },
        keepers: { type: "string map", input: "optional", replaces: "always" },
        b64Std: { type: "string", stays: true },
        b64Url: { type: "string", stays: true },
        dec: { type: "string", stays: true },
        hex: { type: "string", stays: true },
        id: { type: "string", stays: true },
    },
    create(planned) {
        const bytes = bytesOf(Number(planned["byteLength"]));
        const prefix = textOf(planned["prefix"]);
        const id = bytes.toString("base64url");
        const hex = bytes.toString("hex");
        return Promise.resolve({
            id,
            computed: {
                id,
                b64Std: prefix + bytes.toString("base64"),
                b64Url: prefix + id,
                dec: prefix + BigInt(`0x${hex || "0"}`).toString(),
                hex: prefix + hex,
            },
        });
    },
});
