import { activeNode } from "./active-node";
import { adminPassword } from "./admin-password";
import { configuration } from "./configuration";
import { garbageCollectionSchedule } from "./garbage-collection-schedule";
import { project } from "./project";
import { purgeAuditSchedule } from "./purge-audit-schedule";
import { registryEndpoint } from "./registry-endpoint";
import { replicationPolicy } from "./replication-policy";
import { robotAccount } from "./robot-account";
import { scanAllSchedule } from "./scan-all-schedule";
import { ProviderServer } from "./server";
import { warnings } from "./warnings";

/**
 * The provider `harborage`: what only Harbor's API can set, as resources. Harbor 2.14 and 2.15.
 *
 * The engine starts this by the script beside it, and reads the port from the first line of the output. Its
 * own address is the argument.
 */
const types = {
    "harborage:index:ActiveNode": activeNode,
    "harborage:harbor:AdminPassword": adminPassword,
    "harborage:harbor:Configuration": configuration,
    "harborage:harbor:GarbageCollectionSchedule": garbageCollectionSchedule,
    "harborage:harbor:Project": project,
    "harborage:harbor:PurgeAuditSchedule": purgeAuditSchedule,
    "harborage:harbor:RegistryEndpoint": registryEndpoint,
    "harborage:harbor:ReplicationPolicy": replicationPolicy,
    "harborage:harbor:RobotAccount": robotAccount,
    "harborage:harbor:ScanAllSchedule": scanAllSchedule,
};

const [, , engine] = process.argv;
const server = new ProviderServer(types, warnings(engine));

// The engine holds the other end of this pipe: it is closed when the engine has ended, however it ended.
process.stdin.on("end", () => process.exit(0)).resume();

void server.start().then((port) => process.stdout.write(`${port}\n`));
