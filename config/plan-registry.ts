import { sharedOpenConnections, type HarborConfig } from "./harbor";
import type { DistributionPlan, HarborPlan, NamedVolume, RegistryPlan } from "./plan";
import { scheduleTimes } from "./schedule";
import type { DistributionConfig, StackConfig } from "./schema";

/** The part of the plan that is about the registry engine. */

interface Surroundings {
    readonly stack: string;
    readonly registryUrl: string;
    /** The image of CNCF Distribution. */
    readonly image: string;
    readonly collectorProject: string;
}

/** What the registry does, whichever engine it is. */
export function planRegistry(config: StackConfig, surroundings: Surroundings): RegistryPlan {
    const { registry } = config;
    return registry.engine === "distribution"
        ? planDistribution(config, registry, surroundings)
        : planHarbor(config, registry, surroundings);
}

function planDistribution(
    { topology }: StackConfig,
    registry: DistributionConfig,
    { image, collectorProject }: Surroundings,
): DistributionPlan {
    const [administrator, ...otherUsers] = registry.users;
    if (administrator === undefined) {
        throw new Error("a registry without a user; the schema refuses such stack files");
    }
    const { schedule, ...collection } = registry.garbageCollection;
    return {
        engine: "distribution",
        image,
        users: [administrator, ...otherUsers],
        logLevel: registry.logLevel,
        garbageCollection: { ...collection, times: scheduleTimes(schedule) },
        isShared: topology.kind === "shared",
        collectorProject,
    };
}

function planHarbor(config: StackConfig, registry: HarborConfig, { stack, registryUrl }: Surroundings): HarborPlan {
    const { objects, database, cache, jobLogs } = config.storage;
    const { garbageCollection, scan, auditLog, trivy } = registry;
    const isShared = config.topology.kind === "shared";
    // Some drivers take no `_`, which stacks may have in their names.
    const volume = (
        part: string,
        { name, driver, options }: Omit<NamedVolume, "name"> & { name?: string | undefined },
    ) => ({
        kind: "volume" as const,
        name: name ?? `harborage-${stack}-${part}`.replaceAll("_", "-"),
        driver,
        options,
    });
    return {
        engine: "harbor",
        publicName: config.publicName,
        publicUrl: registryUrl,
        config: registry,
        jobLoggers: registry.jobs.loggers ?? ["STD_OUTPUT", isShared ? "DB" : "FILE"],
        maxOpenConnections: registry.database.maxOpenConnections ?? (isShared ? sharedOpenConnections : 900),
        storage: {
            objects: objects.kind === "volume" ? volume("registry", objects) : objects,
            database: database.kind === "volume" ? volume("database", database) : database,
            cache,
            jobLogs: jobLogs.kind === "volume" ? volume("job-logs", jobLogs) : jobLogs,
        },
        schedules: {
            ...(garbageCollection.enabled ? { garbageCollection: garbageCollection.schedule } : {}),
            ...(scan.enabled && trivy.enabled ? { scan: scan.schedule } : {}),
            ...(auditLog.purge ? { auditLog: auditLog.schedule } : {}),
        },
    };
}
