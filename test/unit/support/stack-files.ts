import fc from "fast-check";
import type { StackFile } from "../../../config/stack-file";
import { cronLine } from "./cron";

/** A stack file as a person thinks of it: settings as values, secrets by name. Those that begin with `key` are private keys. */
export interface Draft {
    readonly stack: string;
    readonly settings: Readonly<Record<string, unknown>>;
    readonly secrets: readonly string[];
}

/** The settings of `Pulumi.dev.yaml`. */
export const minimal = {
    publicName: "localhost",
    machines: { box: { kind: "local" } },
    topology: { kind: "single", node: "box", loadBalancer: "box" },
    registry: { engine: "distribution", users: [{ name: "admin" }] },
} as const;

/** A private key as far as a stack file is looked at. */
export function privateKey(content: string): string {
    return `-----BEGIN OPENSSH PRIVATE KEY-----\n${content}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

/** What the engine makes of a draft: text stays text, everything else is JSON. */
export function stackFile({ stack, settings, secrets }: Draft): StackFile {
    const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
    return {
        stack,
        values: Object.fromEntries([
            ...Object.entries(settings).map(([key, value]) => [key, text(value)] as const),
            ...secrets.map((name) => {
                const value = `value of ${name}`;
                return [name, name.startsWith("key") ? privateKey(value) : value] as const;
            }),
        ]),
        secretKeys: new Set(secrets),
    };
}

/** A stack file with some settings other than those of `minimal`. */
export function fileWith(settings: Readonly<Record<string, unknown>>, secrets: readonly string[] = []): StackFile {
    return stackFile({ stack: "test", settings: { ...minimal, ...settings }, secrets });
}

/** Keys that may be left out. */
function partial(model: Readonly<Record<string, fc.Arbitrary<unknown>>>): fc.Arbitrary<Record<string, unknown>> {
    return fc.record(model, { requiredKeys: [] });
}

const text = (pattern: RegExp) => fc.stringMatching(pattern);
const sshPorts = [22, 2222];
const digest = text(/^[0-9a-f]{64}$/);
/** Names that objects have without being given them are names like any other. */
const machineName = fc.oneof(text(/^[a-z]([a-z0-9-]{0,12}[a-z0-9])?$/), fc.constantFrom("constructor", "valueof"));
const secretName = fc.oneof(text(/^secret[A-Za-z0-9]{0,8}$/), fc.constantFrom("constructor", "toString"));

const users = fc
    .uniqueArray(
        fc.record(
            { name: text(/^[A-Za-z0-9][A-Za-z0-9._-]{0,10}$/), password: secretName },
            {
                requiredKeys: ["name"],
            },
        ),
        { minLength: 1, maxLength: 4, selector: ({ name }) => name },
    )
    // fast-check's records may have no prototype; a stack file's have one.
    .map((list) => list.map((user) => ({ ...user })));

const certificate = fc
    .record({ validity: fc.integer({ min: 61, max: 825 }), more: fc.integer({ min: 0, max: 30_000 }) })
    .chain(({ validity, more }) =>
        partial({
            validityDays: fc.constant(validity),
            renewBeforeDays: fc.integer({ min: 1, max: 60 }),
            caValidityDays: fc.constant(825 + more),
        }),
    )
    .map((values) => ({ kind: "own-ca", ...values }));

const images = fc.oneof(
    partial({
        registry: digest.map((hex) => `mirror.example.com:5000/registry:3@sha256:${hex}`),
        nginx: digest.map((hex) => `nginx@sha256:${hex}`),
    }),
    digest.map((sha256) => ({
        registry: "registry:3.1.2",
        nginx: "nginx:1.30.1",
        bundle: { path: "/srv/images.tar", sha256 },
    })),
);

/** Everything of a stack file but its machines and what runs on which. */
const rest = fc
    .record({
        stack: text(/^[a-z0-9][a-z0-9_-]{0,12}$/),
        publicName: fc.oneof(fc.domain(), fc.constant("localhost")),
        names: fc.array(fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6()), { maxLength: 3 }),
        ports: fc.uniqueArray(
            fc.integer({ min: 1, max: 65535 }).filter((port) => !sshPorts.includes(port)),
            { minLength: 3, maxLength: 3 },
        ),
        users,
        collection: partial({
            enabled: fc.boolean(),
            schedule: cronLine,
            deleteUntagged: fc.boolean(),
            drainMinutes: fc.integer({ min: 1, max: 240 }),
        }),
        logLevel: fc.constantFrom("error", "warn", "info", "debug"),
        hstsSeconds: fc.integer({ min: 0, max: 63_072_000 }),
        method: fc.constantFrom("random", "least_conn", "ip_hash"),
        drainSeconds: fc.integer({ min: 1, max: 900 }),
        probeSeconds: fc.integer({ min: 1, max: 10 }),
        deleteData: fc.boolean(),
        certificate,
        images,
        left: fc.subarray(["additionalNames", "storage", "certificate", "images"]),
    })
    .map((parts): Draft => {
        const [httpsPort, httpPort, port] = parts.ports;
        const settings = {
            publicName: parts.publicName,
            additionalNames: parts.names,
            registry: {
                engine: "distribution",
                port,
                users: parts.users,
                garbageCollection: { ...parts.collection },
                logLevel: parts.logLevel,
            },
            storage: { objects: { kind: "node", deleteData: parts.deleteData } },
            loadBalancer: {
                mode: "http",
                httpsPort,
                httpPort,
                hstsSeconds: parts.hstsSeconds,
                method: parts.method,
                drainSeconds: parts.drainSeconds,
                probeSeconds: parts.probeSeconds,
            },
            certificate: parts.certificate,
            images: { ...parts.images },
        };
        return {
            stack: parts.stack,
            settings: Object.fromEntries(Object.entries(settings).filter(([key]) => !parts.left.includes(key))),
            secrets: parts.users.flatMap(({ password }) => password ?? []),
        };
    });

const ofEveryKind = {
    directory: text(/^(\/[A-Za-z0-9_][A-Za-z0-9_.-]{0,6}){1,3}$/),
    generation: fc.integer({ min: 1, max: 1_000_000 }),
    minimumFreeDiskGiB: fc.integer({ min: 1, max: 100_000 }),
};

const localMachine = partial({
    ...ofEveryKind,
    directory: text(/^(~\/|\/)[A-Za-z0-9_]([A-Za-z0-9_/-]{0,12}[A-Za-z0-9])?$/),
}).map((machine) => ({ kind: "local", ...machine }));

/** Stack files with this machine alone. */
export const localDraft: fc.Arbitrary<Draft> = fc
    .record({ draft: rest, name: machineName, machine: localMachine })
    .map(({ draft, name, machine }) => ({
        ...draft,
        settings: {
            ...draft.settings,
            machines: { [name]: machine },
            topology: { kind: "single", node: name, loadBalancer: name },
        },
        secrets: [...new Set(draft.secrets)],
    }));

/** Keys that may be left out beside those that may not. */
function needs(
    model: Readonly<Record<string, fc.Arbitrary<unknown>>>,
    further: Readonly<Record<string, fc.Arbitrary<unknown>>> = {},
): fc.Arbitrary<Record<string, unknown>> {
    return fc.record({ ...model, ...further }, { requiredKeys: Object.keys(model) }).map((record) => ({ ...record }));
}

const sshKey = fc
    .record({
        type: fc.constantFrom("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
        key: text(/^[A-Za-z0-9+/]{4,40}={0,2}( [a-z@.-]{0,10})?$/),
    })
    .map(({ type, key }) => `${type} ${key}`);
const keyName = text(/^key[A-Za-z0-9]{0,8}$/);
const sshPort = fc.constantFrom(...sshPorts);
const userName = text(/^[a-z_][a-z0-9_-]{0,10}$/);
const hostKey = fc.oneof(sshKey, fc.constant("accept-any"));
const cloudName = text(/^[!-~][ -~]{0,12}$/);

const bits = (address: string) => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
const address = (number: number) =>
    [24, 16, 8, 0].map((shift) => String(Math.floor(number / 2 ** shift) % 256)).join(".");

/** A range of addresses, and an address in it. */
const range = fc.record({ ip: fc.ipV4(), prefix: fc.integer({ min: 0, max: 32 }) }).map(({ ip, prefix }) => {
    const size = 2 ** (32 - prefix);
    return { cidr: `${address(Math.floor(bits(ip) / size) * size)}/${String(prefix)}`, inside: ip };
});
const cidrs = fc.uniqueArray(
    range.map(({ cidr }) => cidr),
    { minLength: 1, maxLength: 3 },
);

const bastion = needs(
    { address: fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6()), hostKey },
    { port: sshPort, user: userName, privateKey: keyName },
);

const existingMachine = fc
    .oneof(
        needs(
            { address: fc.ipV4(), hostKey },
            {
                ...ofEveryKind,
                privateAddress: fc.ipV4(),
                port: sshPort,
                user: userName,
                privateKey: keyName,
                bastion,
                dataDevice: text(/^\/dev\/[A-Za-z0-9_./:-]{1,12}$/),
            },
        ),
        needs({ address: fc.oneof(fc.domain(), fc.ipV6()), privateAddress: fc.ipV4(), hostKey }, { ...ofEveryKind }),
    )
    .map((machine) => ({ kind: "existing", ...machine }));

const volume = { type: cloudName };

const vm = needs(
    { image: cloudName, flavor: cloudName },
    {
        ...ofEveryKind,
        user: userName,
        availabilityZone: cloudName,
        bootVolume: needs({ sizeGiB: fc.integer({ min: 1, max: 100_000 }) }, volume),
        dataVolume: needs({ sizeGiB: fc.integer({ min: 1, max: 100_000 }) }, { ...volume, deleteData: fc.boolean() }),
        metadata: fc.dictionary(text(/^[A-Za-z0-9_.:-]{1,10}$/), text(/^[ -~]{1,10}$/), { noNullPrototype: true }),
    },
).map((machine) => ({ kind: "openstack", ...machine }));

const sshLogin = fc.oneof(
    fc.constant({ kind: "generated" }),
    needs({ kind: fc.constant("public-key"), publicKey: sshKey }, { privateKey: keyName }),
    needs({ kind: fc.constant("keypair"), name: cloudName }, { privateKey: keyName }),
);

const network = {
    own: needs({ kind: fc.constant("own") }, { nameServers: fc.array(fc.ipV4(), { maxLength: 2 }) }),
    existing: needs({ kind: fc.constant("existing"), name: cloudName }, { subnet: cloudName }),
};

/** Without the network. */
const cloud = needs(
    { sshCidrs: cidrs },
    {
        clientCidrs: cidrs,
        sshKey: sshLogin,
        antiAffinity: fc.constantFrom("soft", "hard", "none"),
        bootMinutes: fc.integer({ min: 1, max: 120 }),
        auth: fc
            .oneof(
                partial({ cloud: cloudName, caFile: text(/^\/[a-z/]{1,12}$/) }),
                partial({
                    authUrl: fc.webUrl(),
                    userName: cloudName,
                    password: secretName,
                    applicationCredentialId: text(/^[0-9a-f]{32}$/),
                    applicationCredentialSecret: secretName,
                    token: secretName,
                    caFile: text(/^\/[a-z/]{1,12}$/),
                }),
            )
            .map((record) => ({ ...record })),
    },
);

const url = text(/^https?:\/\/[a-z.]{1,12}(:8080)?(\/[a-z/]{0,12})?$/);
const source = fc.oneof(needs({ path: text(/^\/[a-z/]{1,12}$/), sha256: digest }), needs({ url, sha256: digest }));

const baseline = partial({
    timeZone: fc.constantFrom("Etc/UTC", "Europe/Zurich", "America/Argentina/Ushuaia", "Etc/GMT+1"),
    timeServers: fc.array(fc.oneof(fc.domain(), fc.ipV4()), { maxLength: 2 }),
    openFiles: fc.integer({ min: 1024, max: 1_048_576 }),
    firewall: fc.constantFrom("keep", "open", "off"),
    seLinux: fc.constantFrom("keep", "permissive"),
    journalMiB: fc.integer({ min: 10, max: 1_000_000 }),
    packages: partial({
        proxy: url,
        sources: fc.uniqueArray(
            needs(
                {
                    name: text(/^[a-z][a-z0-9-]{0,5}$/),
                    uri: url,
                    suite: text(/^[A-Za-z0-9./-]{1,8}$/),
                    key: text(/^-----BEGIN PGP PUBLIC KEY BLOCK-----\n[a-z]{1,5}$/),
                },
                { components: fc.array(text(/^[A-Za-z0-9/-]{1,6}$/), { maxLength: 2 }) },
            ),
            { maxLength: 2, selector: ({ name }) => name },
        ),
        bundle: source,
    }).map((record) => ({ ...record })),
    docker: partial({
        version: text(/^\d{1,2}(\.\d{1,2}){0,2}$/),
        composePlugin: source,
        httpProxy: url,
        noProxy: fc.array(fc.domain(), { maxLength: 2 }),
        daemon: fc.dictionary(text(/^[a-z-]{1,8}$/), fc.jsonValue({ maxDepth: 1, noUnicodeString: true }), {
            noNullPrototype: true,
        }),
    }).map((record) => ({ ...record })),
}).map((record) => ({ ...record }));

/** The kinds of a node, of its load balancer where that is another machine, and of a machine that does nothing. */
const kinds = fc.record({
    pair: fc.constantFrom<readonly string[]>(
        ["existing"],
        ["openstack"],
        ["existing", "existing"],
        ["existing", "openstack"],
        ["existing", "local"],
        ["openstack", "openstack"],
        ["openstack", "existing"],
    ),
    idle: fc.subarray(["existing"]),
});

/** The names of secrets that settings hold; users have theirs already. */
function namesOfSecrets(settings: unknown): string[] {
    const keys = /"(?:privateKey|password|applicationCredentialSecret|token)":"(\w+)"/g;
    return [...JSON.stringify(settings).matchAll(keys)].map(([, name = ""]) => name);
}

const three = <T>(each: fc.Arbitrary<T>) => fc.array(each, { minLength: 3, maxLength: 3 });

/** Stack files with machines that are reached by SSH. */
export const remoteDraft: fc.Arbitrary<Draft> = fc
    .record({
        draft: rest,
        kinds,
        names: fc.uniqueArray(machineName, { minLength: 3, maxLength: 3 }),
        local: localMachine,
        existing: three(existingMachine),
        vms: three(vm),
        cloud,
        network: fc.oneof(network.own, network.existing),
        range,
        external: cloudName,
        hasExternal: fc.boolean(),
        isFloating: three(fc.boolean()),
        hasAddress: three(fc.boolean()),
        baseline: fc.option(baseline, { nil: undefined }),
    })
    .map((parts): Draft => {
        const { draft, names, range: addresses, isFloating, hasAddress } = parts;
        const kindsOfAll = [...parts.kinds.pair, ...parts.kinds.idle];
        const machines = kindsOfAll.map((kind, index) => ({
            ...(kind === "local" ? parts.local : kind === "existing" ? parts.existing[index] : parts.vms[index]),
            ...(kind === "openstack" ? { floatingIp: isFloating[index] } : {}),
            ...(kind === "openstack" && hasAddress[index] === true ? { address: addresses.inside } : {}),
        }));
        const isOwn = parts.network["kind"] === "own";
        const needsExternal = isOwn || machines.some((machine) => "floatingIp" in machine && machine.floatingIp);
        const openstack = {
            ...parts.cloud,
            network: {
                ...parts.network,
                ...(isOwn ? { cidr: addresses.cidr } : {}),
                ...(needsExternal || parts.hasExternal ? { externalNetwork: parts.external } : {}),
            },
        };
        const [node, other] = names;
        const settings = {
            ...draft.settings,
            machines: Object.fromEntries(machines.map((each, index) => [names[index] ?? "", each])) as unknown,
            topology: { kind: "single", node, loadBalancer: parts.kinds.pair.length === 2 ? other : node },
            ...(kindsOfAll.includes("openstack") ? { openstack } : {}),
            ...(parts.baseline === undefined ? {} : { baseline: parts.baseline }),
            // On a VM data goes with its volume.
            ...(parts.kinds.pair[0] === "openstack" ? { storage: {} } : {}),
        };
        return { ...draft, settings, secrets: [...new Set(namesOfSecrets(settings))] };
    });

/** Stack files with several nodes, each on a machine of its own: VMs from one number, or machines that exist. */
export const sharedDraft: fc.Arbitrary<Draft> = fc
    .record({
        draft: rest,
        names: fc.uniqueArray(machineName, { minLength: 4, maxLength: 4 }),
        number: fc.integer({ min: 2, max: 6 }),
        generation: fc.integer({ min: 2, max: 9 }),
        isCloud: fc.record({ nodes: fc.boolean(), balancer: fc.boolean() }),
        vms: three(vm),
        existing: three(existingMachine),
        cloud,
        range,
        network: network.own,
        external: cloudName,
    })
    .map((parts): Draft => {
        const { draft, number, isCloud, vms, existing } = parts;
        const [lb = "", ...others] = parts.names;
        const nodes = isCloud.nodes ? others.slice(0, 1) : others.slice(0, Math.min(number, 3));
        const names = nodes.map((node) => (isCloud.nodes ? `${node}-${String(number)}` : node));
        const nodeMachines = nodes.map((node, index) => [
            node,
            isCloud.nodes
                ? { ...vms[0], count: number, generations: { [names[0] ?? ""]: parts.generation } }
                : existing[index],
        ]);
        const balancer = isCloud.balancer ? { ...vms[1], floatingIp: true } : { ...existing[2] };
        const openstack = {
            ...parts.cloud,
            network: { ...parts.network, cidr: parts.range.cidr, externalNetwork: parts.external },
        };
        const settings = {
            ...draft.settings,
            machines: Object.fromEntries([[lb, balancer], ...nodeMachines]) as unknown,
            topology: { kind: "shared", nodes, loadBalancer: lb },
            storage: { objects: { kind: "external", bucket: "registry", region: "eu-central-1" } },
            ...(isCloud.nodes || isCloud.balancer ? { openstack } : {}),
        };
        return { ...draft, settings, secrets: [...new Set(namesOfSecrets(settings))] };
    });

/** Stack files with an active node and a standby, on the machines of {@link sharedDraft}. */
export const replicatedDraft: fc.Arbitrary<Draft> = fc
    .record({
        draft: sharedDraft,
        mode: fc.constantFrom("http", "stream"),
        active: fc.option(fc.integer({ min: 0, max: 1 })),
        epoch: partial({ epoch: fc.integer({ min: 1, max: 1_000_000_000 }) }),
        failover: partial({
            failoverMisses: fc.integer({ min: 2, max: 60 }),
            adminPort: fc.integer({ min: 30_000, max: 40_000 }),
            drainSeconds: fc.integer({ min: 1, max: 900 }),
        }),
        adminCidrs: cidrs,
        installer: digest.map((sha256) => ({ path: "/srv/harbor.tgz", sha256 })),
    })
    .map(({ draft, mode, active, epoch, failover, adminCidrs, installer }): Draft => {
        const { machines, topology } = draft.settings as {
            machines: Record<string, Record<string, unknown>>;
            topology: { nodes: string[]; loadBalancer: string };
        };
        const nodes = topology.nodes.slice(0, 2);
        const [first = ""] = nodes;
        const isOne = nodes.length === 1;
        const names = isOne ? [`${first}-1`, `${first}-2`] : nodes;
        const settings = {
            ...draft.settings,
            machines: isOne
                ? { ...machines, [first]: { ...machines[first], count: 2, generations: { [`${first}-2`]: 3 } } }
                : machines,
            topology: {
                ...topology,
                ...epoch,
                ...(active === null ? {} : { active: names[active] }),
                kind: "replicated",
                nodes,
            },
            registry: { engine: "harbor", version: "2.15.2", installer },
            storage: {},
            loadBalancer: { mode, adminCidrs, ...failover },
        };
        return { ...draft, settings, secrets: [...new Set(namesOfSecrets(settings))] };
    });

/** Stack files with CNCF Distribution. */
export const distributionDraft: fc.Arbitrary<Draft> = fc.oneof(localDraft, remoteDraft, sharedDraft);

/** Stack files that the schema must accept. */
export const validDraft: fc.Arbitrary<Draft> = fc.oneof(distributionDraft, replicatedDraft);
