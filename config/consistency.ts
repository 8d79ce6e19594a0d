import { counts, kept, login, openstack, ports, reach, roles, sshPorts } from "./consistency-machines";
import { engine, harbor, several } from "./consistency-registry";
import { replicated } from "./consistency-replicated";
import { aws, ownStorage, storage, volumes } from "./consistency-storage";
import type { Contradiction } from "./raw-file";

/**
 * The checks across keys. They are made even when the file has other mistakes, so any part may be missing or wrong: what
 * the schema finds by itself is not said again here.
 */
export function contradictions(file: unknown): Contradiction[] {
    return [
        ...[roles, counts, several, replicated, ports, sshPorts, reach, openstack, login, kept],
        ...[engine, harbor, storage, ownStorage, volumes, aws],
    ].flatMap((check) => check(file));
}
