import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { ask, Skopeo, type Access, type Answer } from "./client";
import type { Settings } from "./launcher";
import { run } from "./processes";
import type { TestMachine } from "./test-machine";

/** An offline installer of Harbor, as its project publishes it. */
export interface Installer {
    readonly path: string;
    readonly version: string;
    readonly sha256: string;
}

/** Harbor's installer is not in any package registry: tests that need a real one are skipped where nobody says where it is. */
export const installerVariable = "HARBORAGE_HARBOR_INSTALLER";

/**
 * The installer that the environment names.
 *
 * @returns undefined where it names none
 */
export async function harborInstaller(variable = installerVariable): Promise<Installer | undefined> {
    const path = process.env[variable] ?? "";
    if (path === "") {
        console.log(`      needs ${variable}, the path of Harbor's offline installer`);
        return undefined;
    }
    const hash = createHash("sha256");
    await pipeline(createReadStream(path), hash);
    const prepare = await run("tar", ["--extract", "--to-stdout", "--file", path, "harbor/prepare"]);
    const [, version] = /goharbor\/prepare:v(\S+)/.exec(prepare) ?? [];
    assert.ok(version, `${path} is no installer of Harbor`);
    return { path, version, sha256: hash.digest("hex") };
}

/** `registry` of a stack file. */
export function harborRegistry({ path, version, sha256 }: Installer, more: Settings = {}): Settings {
    return { engine: "harbor", version, installer: { path, sha256 }, ...more };
}

/** The way in without a login. */
export function anonymous({ name, port, ca, address }: Required<Access>): Access {
    return { name, port, ca, address };
}

/** The names of Harbor's components in its health, with trivy. */
export const components = [
    "core",
    "database",
    "jobservice",
    "portal",
    "redis",
    "registry",
    "registryctl",
    "trivy",
] as const;

/** What Harbor says of its health: for each component the status. */
export async function healthOf(access: Required<Access>): Promise<Record<string, string>> {
    const { body } = await ask(anonymous(access), "GET", "/api/v2.0/health");
    const { components: all } = JSON.parse(body) as { components: { name: string; status: string }[] };
    return Object.fromEntries(all.map(({ name, status }) => [name, status]));
}

/** Each of the components, healthy. */
export const allHealthy = Object.fromEntries(components.map((name) => [name, "healthy"]));

/** A request of Harbor's API with a body in JSON. */
export function api(access: Access, method: string, path: string, body?: unknown): Promise<Answer> {
    return ask(access, method, `/api/v2.0${path}`, {
        headers: { "Content-Type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
}

/** What the API answers, which has to be a success. */
export async function read<T>(access: Access, path: string): Promise<T> {
    const { status, body } = await api(access, "GET", path);
    assert.equal(status, 200, `${path}: ${body}`);
    return JSON.parse(body) as T;
}

/** A client that has nothing but the CA, and is not logged in. The registry's name must have an address here. */
export function newClient(access: Access, folder: string): Skopeo {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "ca.crt"), access.ca);
    return new Skopeo(folder, folder);
}

/** What stands before an image's name. */
export function hostOf({ name, port }: Access): string {
    return port === 443 ? name : `${name}:${port}`;
}

/** By name, which containers a machine has and since when each runs: another line is another container, or another start. */
export async function livesOn(machine: TestMachine): Promise<Record<string, string>> {
    const ids = await machine.docker("ps", "--all", "--quiet");
    const lines = await machine.docker("inspect", "--format", "{{.Name}} {{.Id}} {{.State.StartedAt}}", ...ids);
    return Object.fromEntries(
        lines.map((line) => {
            const [name = "", id = "", since = ""] = line.split(" ");
            return [name.slice(1), `${id.slice(0, 12)} since ${since}`];
        }),
    );
}
