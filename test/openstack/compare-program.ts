/**
 * The Pulumi program of compare-plugins.ts: every resource type and every function that the program of this project
 * uses. A step is one of `create`, `update` (all in place) and `replace` (each type at least once).
 */
import * as openstack from "@pulumi/openstack";
import * as pulumi from "@pulumi/pulumi";

type Step = "create" | "update" | "replace";

const config = new pulumi.Config();
const step = config.require<Step>("step");
const names = {
    image: config.require("image"),
    flavor: config.require("flavor"),
    largerFlavor: config.require("largerFlavor"),
    key: config.require("key"),
    network: config.require("network"),
    volumeType: config.require("volumeType"),
};

/** A value that is as it was before the step. */
function from<T>(begin: Step, now: T, before: T): T {
    const steps: readonly Step[] = ["create", "update", "replace"];
    return steps.indexOf(step) >= steps.indexOf(begin) ? now : before;
}

const updated = from("update", "updated", "created");
const replaced = from("replace", "replaced", "created");

const cloud = new openstack.Provider("cloud", {});
const options = { provider: cloud };
/** Where the provider itself would never make a new one. */
const replacing = { provider: cloud, replaceOnChanges: ["description"] };

const image = openstack.images.getImageOutput({ name: names.image, mostRecent: true }, options);
const flavor = openstack.compute.getFlavorOutput({ name: names.flavor }, options);
const largerFlavor = openstack.compute.getFlavorOutput({ name: names.largerFlavor }, options);
const external = openstack.networking.getNetworkOutput({ name: names.network }, options);

const network = new openstack.networking.Network("network", { adminStateUp: true, description: updated }, options);
const subnet = new openstack.networking.Subnet(
    "subnet",
    {
        networkId: network.id,
        cidr: "10.98.1.0/24",
        allocationPools: [{ start: "10.98.1.10", end: "10.98.1.99" }],
        dnsNameservers: from("update", ["192.0.2.53", "192.0.2.54"], ["192.0.2.53"]),
    },
    options,
);
const router = new openstack.networking.Router(
    "router",
    { externalNetworkId: external.id, description: updated },
    options,
);
const wire = new openstack.networking.RouterInterface("wire", { routerId: router.id, subnetId: subnet.id }, options);

const spareNetwork = new openstack.networking.Network("spare-network", { description: replaced }, replacing);
const spareSubnet = new openstack.networking.Subnet(
    "spare-subnet",
    { networkId: spareNetwork.id, cidr: from("replace", "10.98.3.0/24", "10.98.2.0/24") },
    options,
);
const spareRouter = new openstack.networking.Router("spare-router", { description: replaced }, replacing);
new openstack.networking.RouterInterface("spare-wire", { routerId: spareRouter.id, subnetId: spareSubnet.id }, options);

const group = new openstack.networking.SecGroup("group", { description: updated }, options);
new openstack.networking.SecGroupRule(
    "rule",
    {
        direction: "ingress",
        ethertype: "IPv4",
        protocol: "tcp",
        portRangeMin: 443,
        portRangeMax: from("replace", 444, 443),
        remoteIpPrefix: "0.0.0.0/0",
        securityGroupId: group.id,
    },
    options,
);
new openstack.networking.SecGroup("spare-group", { description: replaced, deleteDefaultRules: true }, replacing);

const port = new openstack.networking.Port(
    "port",
    {
        networkId: network.id,
        securityGroupIds: [group.id],
        fixedIps: [{ subnetId: subnet.id }],
        description: updated,
    },
    options,
);
const sparePort = new openstack.networking.Port(
    "spare-port",
    { networkId: network.id, fixedIps: [{ subnetId: subnet.id }], noSecurityGroups: true, description: replaced },
    replacing,
);
const address = new openstack.networking.FloatingIp(
    "address",
    { pool: names.network, description: updated },
    { ...options, dependsOn: [wire] },
);
const spareAddress = new openstack.networking.FloatingIp(
    "spare-address",
    { pool: names.network, description: replaced },
    replacing,
);
new openstack.networking.FloatingIpAssociate(
    "address-of-port",
    { floatingIp: address.address, portId: from("update", sparePort.id, port.id) },
    { ...options, dependsOn: [wire], deleteBeforeReplace: true },
);

const key = new openstack.compute.Keypair("key", { name: `${replaced}-${names.key}` }, options);
const servers = new openstack.compute.ServerGroup(
    "servers",
    { policies: [from("replace", "soft-affinity", "soft-anti-affinity")] },
    options,
);
const instance = new openstack.compute.Instance(
    "instance",
    {
        name: `compare-${updated}`,
        imageId: image.id,
        flavorId: from("update", largerFlavor.id, flavor.id),
        keyPair: key.name,
        userData: `#cloud-config\n# ${replaced}\n`,
        networks: [{ port: port.id }],
        schedulerHints: [{ group: servers.id }],
        metadata: { step: updated },
    },
    { ...options, deleteBeforeReplace: true },
);
const volume = new openstack.blockstorage.Volume(
    "volume",
    { size: 1, volumeType: names.volumeType, description: updated, metadata: { step: updated } },
    options,
);
new openstack.blockstorage.Volume("spare-volume", { size: 1, description: replaced }, replacing);
new openstack.compute.VolumeAttach("volume-of-instance", { instanceId: instance.id, volumeId: volume.id }, options);

export const results = {
    image,
    flavor,
    external,
    subnet: openstack.networking.getSubnetOutput({ subnetId: subnet.id }, options),
};
export const privateKey = key.privateKey;
export const spare = spareAddress.address;
