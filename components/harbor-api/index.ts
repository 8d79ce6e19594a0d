/**
 * Harbor's API as resources: the classes for the provider `harborage`, which is in `provider/` and named in Pulumi.yaml.
 * Each resource needs a {@link Provider}, `{ provider }` among its options: there is one for each Harbor.
 */
export { ActiveNode, type ActiveNodeArgs } from "./active-node";
export { AdminPassword, type AdminPasswordArgs, Configuration, type ConfigurationArgs } from "./admin";
export { Project, type ProjectArgs } from "./project";
export { Provider, type ProviderArgs } from "./provider";
export {
    RegistryEndpoint,
    type RegistryEndpointArgs,
    type ReplicationFilter,
    ReplicationPolicy,
    type ReplicationPolicyArgs,
    type ReplicationTrigger,
} from "./replication";
export { RobotAccount, type RobotAccountArgs, type RobotPermission } from "./robot-account";
export {
    GarbageCollectionSchedule,
    type GarbageCollectionScheduleArgs,
    PurgeAuditSchedule,
    type PurgeAuditScheduleArgs,
    ScanAllSchedule,
    type ScanAllScheduleArgs,
} from "./schedules";
