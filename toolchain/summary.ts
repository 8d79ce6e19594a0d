import type { OutputValues } from "../config/outputs";

/** The outputs that the summary is made of. */
export type SummaryOutputs = Pick<
    OutputValues,
    "registryUrl" | "registryHost" | "engine" | "adminUsername" | "caCertificate" | "clientTrust"
>;

export interface SummaryContext {
    readonly stack: string;
    /** Whether commands may leave the stack's name out. */
    readonly isDefault: boolean;
    /** Where the CA has been written on this machine; absent for stacks that are not of this machine. */
    readonly caFile?: string;
}

/**
 * Picks what the summary needs out of `pulumi stack output --json`.
 *
 * @returns undefined when the stack is not a Harborage stack
 */
export function summaryOutputs(json: string): SummaryOutputs | undefined {
    let all: Partial<Record<string, unknown>>;
    try {
        all = JSON.parse(json) as Partial<Record<string, unknown>>;
    } catch {
        return undefined;
    }
    const { registryUrl, registryHost, engine, adminUsername, caCertificate, clientTrust } = all;
    if (
        typeof registryUrl !== "string" ||
        typeof registryHost !== "string" ||
        typeof adminUsername !== "string" ||
        typeof caCertificate !== "string"
    ) {
        return undefined;
    }
    const trust = (Array.isArray(clientTrust) ? clientTrust : []) as SummaryOutputs["clientTrust"];
    return {
        registryUrl,
        registryHost,
        // A stack that was up before this output was there.
        engine: engine === "harbor" ? "harbor" : "distribution",
        adminUsername,
        caCertificate,
        clientTrust: trust,
    };
}

/** What a person wants to know when a registry is up: where it is, how to get in, what to do next. No secrets. */
export function summary(outputs: SummaryOutputs, { stack, isDefault, caFile }: SummaryContext): string {
    const { registryUrl, registryHost, engine, adminUsername, clientTrust } = outputs;
    // The project that every Harbor has from the beginning.
    const image = `${registryHost}/${engine === "harbor" ? "library/" : ""}IMAGE`;
    const output = (name: string, more = ""): string =>
        `npm run --silent pulumi -- stack output ${name}${more}${isDefault ? "" : ` --stack ${stack}`}`;
    const password = output("adminPassword", " --show-secrets");
    const ca = caFile ?? "ca.crt";
    const dockerPlace =
        clientTrust.find(({ client }) => client === "docker")?.path ?? `/etc/docker/certs.d/${registryHost}/ca.crt`;
    const caFolder = ca.includes("/") ? ca.slice(0, ca.lastIndexOf("/")) : ".";
    return `
The registry is up.
  URL    ${registryUrl}
  user   ${adminUsername}
  CA     ${caFile ?? `${output("caCertificate")} > ca.crt`}

Trust the CA on this machine (once), then log in; the password goes from one program to the other:
  sudo install -D -m 644 ${ca} ${dockerPlace}
  ${password} | docker login --username ${adminUsername} --password-stdin ${registryHost}
or, with skopeo, without touching the system:
  ${password} | skopeo login --cert-dir ${caFolder} --username ${adminUsername} --password-stdin ${registryHost}

Push the first image:
  docker tag IMAGE ${image} && docker push ${image}
  skopeo copy --dest-cert-dir ${caFolder} docker-archive:IMAGE.tar docker://${image}:TAG

Next: let other machines trust the CA, each client in its place, see
  ${output("clientTrust")}
and for a registry that others depend on, README.md says how to go to production.
`;
}
